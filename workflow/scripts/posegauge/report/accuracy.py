"""Every score by box source: table and Markdown."""

import pandas as pd

from posegauge.report.markdown import (
    NOTHING,
    SIMCC,
    cell,
    input_note,
    interval_note,
    markdown_table,
    measured_line,
    page,
    person_note,
    rate,
    spread,
)
from posegauge.report.records import KEYPOINT_METRICS, as_table, interval_columns, score_columns
from posegauge.study import BOX_SOURCES

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
        f"those detected on the clean image. {person_note(records)} Persons found: annotated persons with "
        "such a box, IoU 0.5 or more. Similarity: mean keypoint similarity (as in OKS) of the counted "
        f"persons, 0 for one who is not there. {SIMCC} ECE: expected calibration error over 10 bins."
    )
    notes = [measured_line(records, title), explained, interval_note(records), input_note(records)]
    return page([markdown_table(poses), markdown_table(persons), *notes], notice)


DETECTED_METRICS = (
    "detection_rate", "mean_confidence", "persons_per_image", *KEYPOINT_METRICS, "box_ap", "person_recall",
    "false_positives_per_image", "missed_person_rate", "mean_similarity", "ece",
)  # fmt: skip


ACCURACY_COLUMNS = (
    "condition",
    "title",
    "suite",
    "severity",
    "box_source",
    *interval_columns(DETECTED_METRICS),
)


def accuracy_table(records: list[dict]) -> pd.DataFrame:
    """Return one row per condition and box source with every score (see ACCURACY_COLUMNS).

    What depends on the detector is only known for the boxes detected on the corrupted image.
    """
    rows = []
    for record in records:
        about = {key: record[key] for key in ("condition", "title", "suite", "severity")}
        for source in BOX_SOURCES:
            metrics = DETECTED_METRICS if source == "detected" else KEYPOINT_METRICS
            rows.append(about | {"box_source": source} | score_columns(record, source, metrics))
    return as_table(rows, ACCURACY_COLUMNS)


# ------------------------------------------------------------------- what report/pages.py asks for


def table(run) -> pd.DataFrame:
    """Return every score by box source. run: records.Run."""
    return accuracy_table(run.scores)


def text(table: pd.DataFrame, run, title: str = "", notice: str | None = None) -> str:
    """Return the table of `table` as Markdown, with what explains it."""
    return accuracy_markdown(table, run.scores, title, notice)
