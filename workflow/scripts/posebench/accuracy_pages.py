"""The tables of posebench.accuracy_tables as Markdown: fewer columns, intervals, and what they mean."""

import numpy as np
import pandas as pd

from posebench.study import BOX_SOURCES, COCO_C_CORRUPTIONS, CONDITIONS, SUITES
from posebench.tables import DASH, cell, machines, markdown, page

# Names that a cell or sentence lists before it counts the rest.
NAMED = 3
NOTHING = "No image condition is configured."
SIMCC = "Confidence: mean SimCC maximum of the keypoints, which is no probability and may pass 1."


def number(value, digits: int = 3, signed: bool = False) -> str:
    """Return a rounded number, a dash for nothing; what is rounded to zero has no sign."""
    if value is None or pd.isna(value):
        return DASH
    rounded = round(value, digits) + 0.0  # of -0.0 this makes 0.0
    return f"{rounded:{'+' if signed and rounded else ''}.{digits}f}"


def spread(
    row: dict, name: str, digits: int = 3, scale: float = 1, unit: str = "", signed: bool = False
) -> str:
    """Return '0.819 [0.774, 0.860]', or the number alone where its interval is unknown.

    unit: stands behind the number, like ' %'; scale: what all three are multiplied with.
    """
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    if pd.isna(value):
        return DASH
    text = f"{number(scale * value, digits, signed)}{unit}"
    if pd.isna(low) or pd.isna(high):
        return text
    return f"{text} [{number(scale * low, digits, signed)}, {number(scale * high, digits, signed)}]"


def rate(row: dict, name: str) -> str:
    """Return a share in [0, 1] as '95.2 % [93.1, 97.0]'."""
    return spread(row, name, 1, 100, " %")


def listed(names, most: int = NAMED) -> str:
    """Return 'a, b and c', or 'a, b, c and 4 more'."""
    names = list(names)
    if len(names) > most + 1:  # "and 1 more" is no shorter than the name
        names = [*names[:most], f"{len(names) - most} more"]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def condition_title(name: str, suite: str | None = None) -> str:
    """Return the title of a condition; within its suite without the suite's name."""
    condition = CONDITIONS[name]
    if suite == "coco_c" and condition.suite == suite:
        return f"{COCO_C_CORRUPTIONS[condition.corruption]} {condition.severity}"
    return condition.title


def _table(rows: list[dict], left: tuple = ()) -> str:
    """Return a Markdown table of rows with equal keys; the first column and `left` are left-aligned."""
    names = list(rows[0])
    return markdown(rows, {name: "left" if name in (names[0], *left) else "right" for name in names})


def interval_note(records: list[dict]) -> str:
    """Say what the brackets are, or why there are none."""
    about = records[0]["interval"]
    if about["note"]:
        return f"{about['note'][0].upper()}{about['note'][1:]}."
    return (
        f"In brackets: {100 * about['level']:.0f} % intervals from {about['resamples']} bootstrap resamples "
        "of the images. Changes and differences are paired: both sides are of the same images. Each interval "
        "stands alone: of 20 comparisons without any difference about one excludes 0."
    )


def _measured(records: list[dict], title: str) -> str:
    images = f"{records[0]['images']} images"
    machine = f"Machine: {'; '.join(machines(records)) or 'not recorded'}"
    return " · ".join(filter(None, (title, images, machine)))


def _persons(records: list[dict]) -> str:
    thresholds = sorted({record["person_thr"] for record in records})
    return f"A person counts from a box score of {', '.join(f'{threshold:g}' for threshold in thresholds)}."


def _unreadable(records: list[dict]) -> str:
    files = list(dict.fromkeys(name for record in records for name in record["unreadable"]))
    return f"Unreadable images, left out of all figures: {', '.join(map(cell, files))}." if files else ""


def _suites(table: pd.DataFrame) -> dict[str, list[dict]]:
    """Return the rows of each suite with clean first; clean alone when there is nothing else."""
    rows = table.to_dict("records")
    clean = [row for row in rows if row["condition"] == "clean"]
    found = {}
    for suite in SUITES:
        degraded = [row for row in rows if row["suite"] == suite and row["condition"] != "clean"]
        if degraded:
            found[suite] = clean + degraded
    return found or ({"study": clean} if clean else {})


# --------------------------------------------------------------------------------------------- robustness


def _robustness_rows(rows: list[dict], suite: str) -> str:
    shown = []
    for row in rows:
        same = row["ap_same_as"] or ""
        change = spread(row, "ap_change", signed=True)
        if row["ap_distinguishable"] is False:
            change += " ≈ clean"
        if row["condition"] == "clean":
            change = "baseline"
        told = listed(condition_title(name, suite) for name in same.split(";")) if same else DASH
        shown.append(
            {
                "Condition": cell(condition_title(row["condition"], suite)),
                "Detection rate": rate(row, "detection_rate"),
                "AP": spread(row, "ap"),
                "AP change": change,
                "AP not distinguishable from": cell(told),
                "Box AP": spread(row, "box_ap"),
                "Confidence": spread(row, "mean_confidence"),
                "ECE": spread(row, "ece"),
            }
        )
    return _table(shown, ("AP not distinguishable from",))


def coco_c_markdown(table: pd.DataFrame) -> str:
    """Return AP by corruption (rows) and severity (columns) of COCO-C, with the time to corrupt an image.

    table: of robustness_table. A condition that cannot be told from clean is marked. "" without COCO-C.
    """
    found = table[table["suite"] == "coco_c"]
    if found.empty:
        return ""
    severities = sorted(int(severity) for severity in found["severity"].unique())
    shown = []
    for corruption, rows in found.groupby("corruption", sort=False):
        aps = {int(row["severity"]): row for row in rows.to_dict("records")}
        line = {"Corruption": COCO_C_CORRUPTIONS[corruption]}
        for severity in severities:
            row = aps.get(severity)
            mark = " ≈" if row and row["ap_distinguishable"] is False else ""
            line[f"Severity {severity}"] = number(row["ap"]) + mark if row else DASH
        line["Mean"] = number(np.mean([row["ap"] for row in aps.values()]))
        line["ms / image"] = number(rows["corruption_ms_mean"].mean(), 1)
        shown.append(line)
    clean = table.loc[table["condition"] == "clean", "ap"]
    against = f" Clean: {number(clean.iloc[0])}." if len(clean) else ""
    return (
        f"{_table(shown)}\n\nAP by corruption and severity.{against} ms / image: time to corrupt one image."
    )


def robustness_markdown(
    table: pd.DataFrame, records: list[dict], title: str = "", notice: str | None = None
) -> str:
    """Return the robustness table by suite; of COCO-C a table by severity, and the conditions folded away."""
    suites = _suites(table)
    if not suites:
        return page([NOTHING], notice)
    parts = []
    for suite, rows in suites.items():
        parts.append(f"**{SUITES[suite]}**")
        if suite == "coco_c":
            parts += [
                coco_c_markdown(table),
                "<details>\n<summary>Every condition of COCO-C</summary>",
                _robustness_rows(rows, suite),
                "</details>",
            ]
        else:
            parts.append(_robustness_rows(rows, suite))
    told = bool(table["ap_distinguishable"].notna().any())
    explained = (
        f"{_persons(records)} Detection rate: images with such a person / all images. AP: COCO keypoints; "
        f"AP change: against clean images. Box AP: COCO boxes of persons. {SIMCC} ECE: expected calibration "
        "error, the mean distance of a keypoint's score from its similarity to the annotation."
    )
    same = "≈ clean, ≈: the interval of the AP change includes 0." if told else ""
    notes = [_measured(records, title), explained, interval_note(records), same, _unreadable(records)]
    return page([*parts, *notes], notice)


# ---------------------------------------------------------------------------------------------- protocols


def protocols_markdown(
    table: pd.DataFrame, records: list[dict], title: str = "", notice: str | None = None
) -> str:
    """Return the study's protocol beside the corrected one: what is found, then how well it is posed."""
    rows = table.to_dict("records")
    if not rows:
        return page([NOTHING], notice)
    found, posed = [], []
    for row in rows:
        name = {"Condition": cell(row["title"])}
        found.append(
            name
            | {
                "Rate, study": rate(row, "study_detection_rate"),
                "Rate, corrected": rate(row, "corrected_detection_rate"),
                "Rate, difference (points)": spread(row, "difference_detection_rate", 1, 100, signed=True),
                "Fall-back images": cell(row["fallback_images"], 0),
                "Persons / image, study": spread(row, "study_persons_per_image", 2),
                "Persons / image, corrected": spread(row, "corrected_persons_per_image", 2),
                "FPS": cell(row["fps"]),
            }
        )
        posed.append(
            name
            | {
                "AP, study": spread(row, "study_ap"),
                "AP, corrected": spread(row, "corrected_ap"),
                "AP, difference": spread(row, "difference_ap", signed=True),
                "Confidence, study": spread(row, "study_mean_confidence"),
                "Confidence, corrected": spread(row, "corrected_mean_confidence"),
                "Confidence, difference": spread(row, "difference_mean_confidence", signed=True),
            }
        )
    explained = (
        "Study: flip test, MMPose's second NMS, and the whole image as a box of score 1 where no box is left "
        "(fall-back images), which counts as a detected person. Corrected: the pipeline of this run, without "
        f"the fall-back. {_persons(records)} Difference: corrected - study. {SIMCC} FPS: 1000 / mean time "
        "per image of the corrected pipeline while predicting."
    )
    notes = [_measured(records, title), explained, interval_note(records), _unreadable(records)]
    return page([_table(found), _table(posed), *notes], notice)


# ----------------------------------------------------------------------------------------------- accuracy


def accuracy_markdown(
    table: pd.DataFrame, records: list[dict], title: str = "", notice: str | None = None
) -> str:
    """Return all scores: of poses, by box source, and of the detector with the calibration."""
    rows = table.to_dict("records")
    if not rows:
        return page([NOTHING], notice)
    sources = {}
    for row in rows:
        sources.setdefault(row["condition"], {})[row["box_source"]] = row
    poses, persons = [], []
    for found in sources.values():
        row = found["detected"]
        name = {"Condition": cell(row["title"])}
        poses.append(
            name
            | {
                "AP": spread(row, "ap"),
                "AP50": spread(row, "ap50"),
                "AP75": spread(row, "ap75"),
                "AP medium": spread(row, "ap_medium"),
                "AP large": spread(row, "ap_large"),
                "AR": spread(row, "ar"),
                "AP, clean boxes": spread(found["clean"], "ap"),
                "AP, annotated boxes": spread(found["annotated"], "ap"),
            }
        )
        persons.append(
            name
            | {
                "Box AP": spread(row, "box_ap"),
                "Persons found": rate(row, "person_recall"),
                "False persons / image": spread(row, "false_positives_per_image", 2),
                "Images with a missed person": rate(row, "missed_person_rate"),
                "Confidence": spread(row, "mean_confidence"),
                "Similarity": spread(row, "mean_similarity"),
                "ECE": spread(row, "ece"),
            }
        )
    explained = (
        "AP, AP50, AP75, AR: COCO keypoints, in the boxes detected on the corrupted image; clean boxes: "
        f"those detected on the clean image. {_persons(records)} Persons found: annotated persons with such "
        "a box, IoU 0.5 or more. Similarity: mean keypoint similarity (as in OKS) of the counted persons, 0 "
        f"for one who is not there. {SIMCC} ECE: expected calibration error over 10 bins."
    )
    notes = [_measured(records, title), explained, interval_note(records), _unreadable(records)]
    return page([_table(poses), _table(persons), *notes], notice)


# ------------------------------------------------------------------------------------------ loss and suites


def loss_markdown(
    table: pd.DataFrame, records: list[dict], title: str = "", notice: str | None = None
) -> str:
    """Return how much AP each condition costs, and whose loss it is; means by suite stand last.

    table: of loss_table, with the rows of suite_loss_table behind it.
    """
    rows = table.to_dict("records")
    if not rows:
        return page([NOTHING], notice)
    shown = [
        {
            "Condition": cell(row["title"]),
            "AP": number(row["ap_detected"]),
            "AP, clean boxes": number(row["ap_clean_boxes"]),
            "AP, annotated boxes": number(row["ap_annotated"]),
            # Against itself clean loses nothing.
            "Loss": "baseline" if row["condition"] == "clean" else spread(row, "total_loss"),
            "Detector's": DASH if row["condition"] == "clean" else spread(row, "detector_loss"),
            "Pose network's": DASH if row["condition"] == "clean" else spread(row, "pose_loss"),
            "Perfect boxes would give": spread(row, "annotated_gap", signed=True),
        }
        for row in rows
    ]
    explained = (
        "Loss: AP on clean images - AP. The boxes of the clean image, posed on the corrupted one, cost no "
        "box: what is lost with them is the pose network's, and what the boxes of the corrupted image lose "
        "beyond that is the detector's; the two sum to the loss. Perfect boxes would give: AP in annotated "
        "boxes - AP. Mean: over corruptions, of the mean over severities."
    )
    notes = [_measured(records, title), explained, interval_note(records), _unreadable(records)]
    return page([_table(shown), *notes], notice)


def suites_markdown(
    table: pd.DataFrame, records: list[dict], title: str = "", notice: str | None = None
) -> str:
    """Return mPC and rPC by suite and box source."""
    rows = table.to_dict("records")
    if not rows:
        return page(["No image condition besides clean is configured."], notice)
    shown = [
        {
            "Suite": cell(row["title"]),
            "Boxes": BOX_SOURCES[row["box_source"]],
            "Conditions": cell(row["conditions"], 0),
            "AP, clean images": spread(row, "clean_ap"),
            "mPC": spread(row, "mpc"),
            "rPC": rate(row, "rpc"),
        }
        for row in rows
    ]
    explained = (
        "mPC: mean AP under corruption, over corruptions, of the mean over severities. rPC: mPC / AP on "
        "clean images (Michaelis et al., 2019)."
    )
    notes = [_measured(records, title), explained, interval_note(records), _unreadable(records)]
    return page([_table(shown, ("Boxes",)), *notes], notice)
