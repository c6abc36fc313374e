"""The parity table: every artifact against its source, and its tier."""

import math

import pandas as pd

from posegauge.report.markdown import DASH, DEVICE_TITLES, cell, machines, markdown, page, span
from posegauge.score import tiers
from posegauge.score.bootstrap import MIN_IMAGES
from posegauge.study import CALIBRATION_TITLES, EXECUTION_TITLES, RUNTIME_TITLES, source_title

ESTIMATES = ("ap_source", "ap_artifact", "ap_diff")


TIER_COLUMNS = ("tier", "ap_share", "ap_share_low", "ap_share_high", "tier_note")


# What the tiers are, below every table that shows them.
TIERS_NOTE = (
    "Tiers: exact passes all gates of parity; 99.9 % and 99 % pass over a gate and keep at least that share "
    "of their source's AP on the same images; what keeps less fails."
)


PARITY_COLUMNS = (
    "artifact", "title", "status", "reason", "images", "persons",
    *(f"{name}{end}" for name in ESTIMATES for end in ("", "_low", "_high")),
    "keypoints", "keypoint_px_p95", "keypoint_px_max", "boxes", "box_px_p95", "box_px_max",
    "box_score_diff_max", "unmatched_boxes", "max_ap_diff", "max_keypoint_p95_px", "max_box_p95_px",
    "passes", "failed", *TIER_COLUMNS,
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
        rows.append(row | tier_columns(record))
    table = pd.DataFrame(rows, columns=list(PARITY_COLUMNS))
    kinds = dict.fromkeys(("images", "persons", "keypoints", "boxes", "unmatched_boxes"), "Int64")
    kinds |= dict.fromkeys(("ap_share", "ap_share_low", "ap_share_high"), "float64")
    return table.astype({**kinds, "passes": "boolean"})


def tier_columns(record: dict) -> dict:
    """Return TIER_COLUMNS of a parity record; tier_note is None where it is exact."""
    verdict = tiers.of_record(record)
    shares = (verdict.tier, verdict.share, verdict.low, verdict.high)
    return dict(zip(TIER_COLUMNS, (*shares, _tier_note(record, verdict)), strict=True))


def titled(row) -> str:
    """Return the title of a row, with its tier where that says that it is not the model itself."""
    return row["title"] + (f" · {row['tier']}" if row["tier"] in (*tiers.LEAST, tiers.FAILS) else "")


def tiers_note(table: pd.DataFrame) -> str:
    """Return what the tiers are where a row is not the model itself."""
    return TIERS_NOTE if table["tier"].isin((*tiers.LEAST, tiers.FAILS)).any() else ""


def row_verdict(row: dict) -> tiers.Verdict:
    """Return the Verdict that a row of a table with TIER_COLUMNS was made from."""
    shares = (None if pd.isna(row[name]) else row[name] for name in TIER_COLUMNS[1:4])
    return tiers.Verdict(row["tier"], *shares)


def _tier_note(record: dict, verdict: tiers.Verdict) -> str | None:
    """Return '99.46 % [98.91, 100.12] of its source's AP, keypoints P95 2.48 px', and what cannot be told."""
    if verdict.tier == tiers.NOT_CHECKED:
        return record["reason"]
    if verdict.tier == tiers.EXACT:
        return None
    if verdict.share is None:
        value = record["ap_source"]["value"]
        lacks = "no AP" if value is None else f"an AP of {value:g}"
        return f"its source has {lacks} on these images, so no tier can be told; {gates_passed(record)}"
    beyond = gates_passed(record, ap=False)
    note = f"{share_text(verdict)} of its source's AP" + (f", {beyond}" if beyond else "")
    return note if verdict.told else f"{note}; {_doubt(record['images'], verdict)}"


def _doubt(images: int, verdict: tiers.Verdict) -> str:
    """Say why the tier cannot be told."""
    if verdict.others:
        return f"{images} images are too few to tell it from {' and '.join(verdict.others)}"
    if images < MIN_IMAGES:
        return f"with fewer than {MIN_IMAGES} images no tier can be told for sure"
    return "without an interval no tier can be told for sure"


def share_text(verdict: tiers.Verdict) -> str:
    """Return '99.46 % [98.91, 100.12]', rounded down, so that it never reads like a better tier."""
    if verdict.low is None:
        return f"{_percent_down(verdict.share)} %"
    return f"{_percent_down(verdict.share)} % [{_percent_down(verdict.low)}, {_percent_down(verdict.high)}]"


def _percent_down(share: float) -> str:
    return f"{math.floor(1e4 * share + 1e-5) / 100:.2f}"


def counts(row: dict) -> bool:
    """Say whether the speed of a row counts: it may be compared, be a baseline, and be named the fastest.

    row: with the keys precision and tier. A row that keeps less than 99 % of its source's AP does not, nor
    does INT8 that was not compared, since it seldom gives the model's results.
    """
    return row["tier"] != tiers.FAILS and not (
        row["precision"].startswith("int8") and row["tier"] == tiers.NOT_CHECKED
    )


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
    columns |= {"Difference of AP": "right", "Share of AP": "right", "Keypoints P95 / max (px)": "right"}
    columns |= {"Boxes P95 / max (px)": "right", "Unmatched boxes": "right", "Tier": "left"}
    rows = []
    for row, record in zip(table.to_dict("records"), records, strict=True):
        shown = {"Artifact": cell(row["title"])}
        if row["status"] == "ok":
            shown |= {
                ap_source: cell(row["ap_source"], 4),
                "AP artifact": cell(row["ap_artifact"], 4),
                "Difference of AP": _difference(row),
                "Share of AP": DASH if pd.isna(row["ap_share"]) else share_text(tiers.of_record(record)),
                "Keypoints P95 / max (px)": _distances(row, "keypoint"),
                "Boxes P95 / max (px)": _distances(row, "box"),
                "Unmatched boxes": f"{row['unmatched_boxes']} of {row['unmatched_boxes'] + 2 * row['boxes']}",
                "Tier": _tier_text(row, record),
            }
        else:
            status = "not run: " if row["status"] == "not run" else ""
            shown["Tier"] = f"*{status}{cell(row['reason'])}{_raw(record)}*"
        rows.append(shown)
    if not rows:
        return page(["No artifact besides the source on the CPU is configured."], notice)
    gates = records[0]["gates"]
    ran = [record for record in records if record["status"] == "ok"]
    images = f" on {span(sorted({record['images'] for record in ran}))} images with persons" if ran else ""
    explained = (
        f"Compared with {source}, CPU, FP32{images}. Difference and share of AP: paired 95 % intervals. "
        "Keypoints: distances in the same boxes, in pixels of the image; the largest may be a tie on one "
        "that nobody sees. Boxes: distance of the side that is farthest off. Unmatched boxes (IoU below .5) "
        f"have no gate of their own: they show in AP. Gates: AP {gates['max_ap_diff']:g} either way, "
        f"keypoints P95 {gates['max_keypoint_p95_px']:g} px, boxes P95 {gates['max_box_p95_px']:g} px."
    )
    measured = " · ".join(filter(None, (title, f"Machine: {'; '.join(machines(records)) or 'not recorded'}")))
    notes = [explained, TIERS_NOTE if ran else "", _calibrated_note(ran)]
    return page([markdown(rows, columns), measured, *notes], notice)


def _tier_text(row: dict, record: dict) -> str:
    """Return '99 %: past its gates: keypoints P95 2.48 px; 38 images are too few to tell it from fails'."""
    if row["tier"] == tiers.EXACT:
        return row["tier"]
    verdict = tiers.of_record(record)
    doubt = [] if verdict.told else [_doubt(record["images"], verdict)]
    return f"{row['tier']}: {'; '.join([gates_passed(record), *doubt])}"


def _calibrated_note(ran: list[dict]) -> str:
    """Say what set the ranges of INT8, and where images did that were compared."""
    kinds = {record.get("calibrated_from") for record in ran} - {None}
    shared = {record["calibrated_on"] for record in ran if record.get("calibrated_on")}
    notes = []
    if kinds:
        by = " and ".join(CALIBRATION_TITLES[kind] for kind in sorted(kinds))
        notes.append(f"The ranges of INT8 were set by {by}" + ("." if shared else ", none of them compared."))
    if shared:
        notes.append(
            f"{span(sorted(shared))} of the images compared set the ranges of INT8, too, so on other images "
            "INT8 may be farther off; a smaller precision.calibration_images or parity.images keeps them "
            "apart."
        )
    return " ".join(notes)


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


def gates_passed(record: dict, ap: bool = True) -> str:
    """Say by how much an artifact passed over its gates, like 'AP -0.031, keypoints P95 4.2 px'.

    ap: false leaves out that of AP, where its share is told.
    """
    told = []
    for gate in record["failed"]:
        if gate == "max_ap_diff":
            told += [f"AP {round(record['ap_diff']['value'], 4):+g}"] if ap else []
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
