"""The parity table: every artifact against its source."""

import pandas as pd

from posegauge.report.markdown import DASH, DEVICE_TITLES, cell, machines, markdown, page, span
from posegauge.study import EXECUTION_TITLES, RUNTIME_TITLES, source_title

ESTIMATES = ("ap_source", "ap_artifact", "ap_diff")


PARITY_COLUMNS = (
    "artifact", "title", "status", "reason", "images", "persons",
    *(f"{name}{end}" for name in ESTIMATES for end in ("", "_low", "_high")),
    "keypoints", "keypoint_px_p95", "keypoint_px_max", "boxes", "box_px_p95", "box_px_max",
    "box_score_diff_max", "unmatched_boxes", "max_ap_diff", "max_keypoint_p95_px", "max_box_p95_px",
    "passes", "failed",
)  # fmt: skip


def parity_table(records: list[dict]) -> pd.DataFrame:
    """Return one row per parity record (see PARITY_COLUMNS; distances in pixels of the image)."""
    rows = []
    for record in records:
        row = {key: record.get(key) for key in PARITY_COLUMNS} | record["gates"]
        row["title"] = artifact_title(record)
        row["failed"] = ";".join(record["failed"])
        for name in ESTIMATES:
            estimate = record[name] or dict.fromkeys(("value", "low", "high"))
            row |= {name: estimate["value"]} | {f"{name}_{end}": estimate[end] for end in ("low", "high")}
        rows.append(row)
    table = pd.DataFrame(rows, columns=list(PARITY_COLUMNS))
    counts = ("images", "persons", "keypoints", "boxes", "unmatched_boxes")
    return table.astype({**dict.fromkeys(counts, "Int64"), "passes": "boolean"})


def failing_artifacts(records: list[dict]) -> set[str]:
    """Return the names of the artifacts that were compared and fail."""
    return {record["artifact"] for record in records if record["status"] == "ok" and not record["passes"]}


def compared_with(records: list[dict]) -> str:
    """Return what artifacts are compared with, like 'PyTorch'. records: of parity or latency."""
    return source_title(max((record.get("source") or {} for record in records), key=len, default=None))


def artifact_title(record: dict) -> str:
    """Return 'ONNX Runtime, CPU, FP32'."""
    words = [RUNTIME_TITLES[record["runtime"]], DEVICE_TITLES[record["device"]], record["precision"].upper()]
    words += [EXECUTION_TITLES[record["execution"]]]
    words += ["all on device"] if record["images_on"] == "device" else []
    return ", ".join(filter(None, words))


def parity_markdown(
    table: pd.DataFrame, records: list[dict], title: str = "", notice: str | None = None
) -> str:
    """Return the parity table for people, with models, machine, notice and the gates."""
    source = compared_with(records)
    ap_source = f"AP {source if source == 'PyTorch' else 'source'}"
    columns = {"Artifact": "left", ap_source: "right", "AP artifact": "right"}
    columns |= {"Difference of AP": "right", "Keypoints P95 / max (px)": "right"}
    columns |= {"Boxes P95 / max (px)": "right", "Unmatched boxes": "right", "Parity": "left"}
    rows = []
    for row, record in zip(table.to_dict("records"), records, strict=True):
        shown = {"Artifact": cell(row["title"])}
        if row["status"] == "ok":
            shown |= {
                ap_source: cell(row["ap_source"], 4),
                "AP artifact": cell(row["ap_artifact"], 4),
                "Difference of AP": _difference(row),
                "Keypoints P95 / max (px)": _distances(row, "keypoint"),
                "Boxes P95 / max (px)": _distances(row, "box"),
                "Unmatched boxes": f"{row['unmatched_boxes']} of {row['unmatched_boxes'] + 2 * row['boxes']}",
                "Parity": "passes" if row["passes"] else f"fails: {parity_failure(record)}",
            }
        else:
            status = "not run: " if row["status"] == "not run" else ""
            shown["Parity"] = f"*{status}{cell(row['reason'])}{_raw(record)}*"
        rows.append(shown)
    if not rows:
        return page(["No artifact besides the source on the CPU is configured."], notice)
    gates = records[0]["gates"]
    ran = [record for record in records if record["status"] == "ok"]
    images = f" on {span(sorted({record['images'] for record in ran}))} images with persons" if ran else ""
    explained = (
        f"Compared with {source}, CPU, FP32{images}. Difference of AP: with its 95 % interval, paired. "
        "Keypoints: distances in the same boxes, in pixels of the image; the largest may be a tie on one "
        "that nobody sees. Boxes: distance of the side that is farthest off. Unmatched boxes (IoU below .5) "
        f"have no gate of their own: they show in AP. Gates: AP {gates['max_ap_diff']:g} either way, "
        f"keypoints P95 {gates['max_keypoint_p95_px']:g} px, boxes P95 {gates['max_box_p95_px']:g} px."
    )
    measured = " · ".join(filter(None, (title, f"Machine: {'; '.join(machines(records)) or 'not recorded'}")))
    return page([markdown(rows, columns), measured, explained, _calibrated_note(ran)], notice)


def _calibrated_note(ran: list[dict]) -> str:
    """Say where images were compared that set the ranges of INT8."""
    shared = {record["calibrated_on"] for record in ran if record.get("calibrated_on")}
    if not shared:
        return ""
    return (
        f"{span(sorted(shared))} of the images compared set the ranges of INT8, too, so on other images INT8 "
        "may be farther off; a smaller precision.calibration_images or parity.images keeps them apart."
    )


def _difference(row: dict) -> str:
    """Return '-0.0310 (-0.0420 to -0.0190)', without the interval where there is none."""
    if pd.isna(row["ap_diff"]):
        return DASH
    interval = (
        "" if pd.isna(row["ap_diff_low"]) else f" ({row['ap_diff_low']:+.4f} to {row['ap_diff_high']:+.4f})"
    )
    return f"{row['ap_diff']:+.4f}{interval}"


def _distances(row: dict, what: str) -> str:
    return f"{cell(row[f'{what}_px_p95'])} / {cell(row[f'{what}_px_max'])}"


def _raw(record: dict) -> str:
    """Return '; largest differences: boxes 0.001 px, scores 2e-06' of an artifact without accuracy."""
    if record["status"] != "no accuracy":
        return ""
    names = {"max_box_diff_px": "boxes {} px", "max_score_diff": "scores {}", "max_simcc_diff": "SimCC {}"}
    raw = {name: value for name, value in (record["raw"] or {}).items() if value is not None}
    told = [names[name].format(f"{value:.1g}") for name, value in raw.items()]
    return f"; largest differences: {', '.join(told)}" if told else ""


def parity_failure(record: dict) -> str:
    """Say by how much an artifact passed over its gates, like 'AP -0.031, keypoints P95 4.2 px'."""
    told = []
    for gate in record["failed"]:
        if gate == "max_ap_diff":
            told.append(f"AP {round(record['ap_diff']['value'], 4):+g}")
            continue
        name, key = {
            "max_keypoint_p95_px": ("keypoints", "keypoint_px_p95"),
            "max_box_p95_px": ("boxes", "box_px_p95"),
        }[gate]
        # Null: no box of the artifact is a person of the source.
        told.append(
            f"no {name} in common" if record[key] is None else f"{name} P95 {round(record[key], 2):g} px"
        )
    return ", ".join(told)


# ------------------------------------------------------------------- what report/pages.py asks for


def table(run) -> pd.DataFrame:
    """Return the parity table. run: records.Run."""
    return parity_table(run.parity)


def text(table: pd.DataFrame, run, title: str = "", notice: str | None = None) -> str:
    """Return the table of `table` as Markdown, with what explains it."""
    return parity_markdown(table, run.parity, title, notice)
