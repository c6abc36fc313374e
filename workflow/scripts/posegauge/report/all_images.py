"""AP over all images beside AP over those with persons: table and Markdown."""

import pandas as pd

from posegauge.report.markdown import (
    cell,
    interval_note,
    markdown_table,
    measured_line,
    page,
    spread,
)
from posegauge.report.records import interval_columns

TITLES = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_medium": "AP medium",
    "ap_large": "AP large",
    "ar": "AR",
    "box_ap": "Box AP",
    "false_positives_per_image": "False persons / image",
}
SIDES = ("all", "persons", "difference")
COLUMNS = ("metric", "title", "images", "person_images", *interval_columns(SIDES))


def table(run) -> pd.DataFrame:
    """Return one row per metric (see COLUMNS). run: records.Run."""
    record, rows = run.all_images, []
    for metric, title in TITLES.items():
        row = {
            "metric": metric,
            "title": title,
            "images": record["images"],
            "person_images": record["person_images"],
        }
        for side in SIDES:
            found = record["scores"][metric][side]
            row |= {side: found["value"], f"{side}_low": found["low"], f"{side}_high": found["high"]}
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def text(table: pd.DataFrame, run, title: str = "", notice: str | None = None) -> str:
    """Return the table of `table` as Markdown, with what explains it."""
    record = run.all_images
    rows = [
        {
            "Clean images": cell(row["title"]),
            f"All {record['images']:,} images": spread(row, "all"),
            f"The {record['person_images']:,} with persons": spread(row, "persons"),
            "Difference": spread(row, "difference", signed=True),
        }
        for row in table.to_dict("records")
    ]
    left_out = (
        f"Unreadable images, left out: {', '.join(map(cell, record['unreadable']))}."
        if record["unreadable"]
        else ""
    )
    explained = (
        "Over all images false persons on images without persons count, as in COCO's own protocol and in "
        "published APs; every other table is over the images with persons."
    )
    notes = [measured_line([record], title), explained, interval_note([record]), left_out]
    return page([markdown_table(rows), *notes], notice)
