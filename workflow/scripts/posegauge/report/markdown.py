"""Cells, tables and pages in Markdown, which all subjects of the report share."""

import pandas as pd

from posegauge.score.doubt import doubt
from posegauge.store.machine import describe
from posegauge.study import COCO_C_CORRUPTIONS, CONDITIONS, SUITES

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


def markdown_table(rows: list[dict], left: tuple = ()) -> str:
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


def images_text(record: dict) -> str:
    """Say over which images a record's scores are: '2693 images with persons'."""
    if "person_images" not in record:
        return f"{record['images']} images with persons"
    return f"{record['images']} images, {record['person_images']} of them with persons"


def measured_line(records: list[dict], title: str) -> str:
    images = images_text(records[0])
    machine = f"Machine: {'; '.join(machines(records)) or 'not recorded'}"
    return " · ".join(filter(None, (title, images, machine)))


def person_note(records: list[dict]) -> str:
    thresholds = sorted({record["person_thr"] for record in records})
    return f"A person counts from a box score of {', '.join(f'{threshold:g}' for threshold in thresholds)}."


def threads_text(records: list[dict]) -> str:
    """Return ', on 2 processor threads', of the jobs that made the records; empty where none says."""
    counts = sorted({count for record in records if (count := record["provenance"].get("threads"))})
    return (
        f", on {' or '.join(map(str, counts))} processor thread{'' if counts == [1] else 's'}"
        if counts
        else ""
    )


def input_note(records: list[dict]) -> str:
    """Say what of the images and annotations is not as it was brought, and why scores cannot be believed."""
    files = list(dict.fromkeys(name for record in records for name in record["unreadable"]))
    taken = list(dict.fromkeys(note for record in records for note in record.get("annotation_notes", ())))
    told = [text for record in records if (text := doubt(record))]
    if files:
        told.append(f"Unreadable images, left out of all figures: {', '.join(map(cell, files))}.")
    if taken:
        told.append(f"Of the annotations: {'; '.join(map(cell, taken))}.")
    return "\n\n".join(told)


def rows_by_suite(table: pd.DataFrame) -> dict[str, list[dict]]:
    """Return the rows of each suite with clean first; clean alone when there is nothing else."""
    rows = table.to_dict("records")
    clean = [row for row in rows if row["condition"] == "clean"]
    found = {}
    for suite in SUITES:
        degraded = [row for row in rows if row["suite"] == suite and row["condition"] != "clean"]
        if degraded:
            found[suite] = clean + degraded
    return found or ({"study": clean} if clean else {})


DASH = "–"


DEVICE_TITLES = {"cpu": "CPU", "cuda": "GPU"}


def cell(value, digits: int = 2, unit: str = "") -> str:
    """Return the text of one Markdown cell: a rounded number, a dash for nothing, or escaped text."""
    if isinstance(value, str):
        return " ".join(value.split()).replace("|", "\\|").replace("<", "&lt;")
    if value is None or pd.isna(value):
        return DASH
    return f"{value:z.{digits}f}{unit}"


def percent(value) -> str:
    """Return a share in [0, 1] as '95.2 %', or a dash for nothing."""
    return DASH if value is None or pd.isna(value) else f"{100 * value:.1f} %"


def markdown(rows: list[dict], columns: dict[str, str]) -> str:
    """Return a Markdown table; `columns` maps each heading to its alignment, 'left' or 'right'."""
    rule = ["---" if side == "left" else "--:" for side in columns.values()]
    lines = [list(columns), rule, *([row.get(name, DASH) for name in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def ratio_text(value: float, low: float | None = None, high: float | None = None, digits: int = 2) -> str:
    """Return '1.62× [1.55, 1.70]', without the interval where it is unknown."""
    known = not (low is None or pd.isna(low) or high is None or pd.isna(high))
    return f"{value:.{digits}f}×" + (f" [{low:.{digits}f}, {high:.{digits}f}]" if known else "")


def machines(records: list[dict]) -> list[str]:
    """Return the distinct machines that measured `records`, as text, in order."""
    found = [record["provenance"].get("machine") for record in records if record.get("status", "ok") == "ok"]
    return list(dict.fromkeys(describe(machine) for machine in found if machine))


def span(values: list[int]) -> str:
    return str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"


def page(parts: list[str], notice: str | None) -> str:
    """Join paragraphs; the notice comes last so that it stays with the table wherever the file is shown."""
    parts = [*parts, f"*{notice}*" if notice else ""]
    return "\n\n".join(part for part in parts if part) + "\n"
