"""The study's protocol beside the corrected one: table, Markdown and sentences."""

import itertools
from dataclasses import asdict

import pandas as pd

from posegauge.pipeline.study_protocol import STUDY, STUDY_BBOX_NMS_THR
from posegauge.report.markdown import (
    NOTHING,
    SIMCC,
    cell,
    condition_title,
    input_note,
    interval_note,
    listed,
    markdown,
    markdown_table,
    measured_line,
    page,
    person_note,
    rate,
    spread,
    threads_text,
)
from posegauge.report.records import as_table, estimate, interval_columns, score_columns
from posegauge.report.wording import HOLDS_FROM, as_change, as_points, by_size, name_of
from posegauge.score.estimate import Estimate

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
                "Rate, original": rate(row, "original_detection_rate"),
                "Rate, corrected": rate(row, "corrected_detection_rate"),
                "Rate, difference (points)": spread(row, "difference_detection_rate", 1, 100, signed=True),
                "Fall-back images": cell(row["fallback_images"], 0),
                "Persons / image, original": spread(row, "original_persons_per_image", 2),
                "Persons / image, corrected": spread(row, "corrected_persons_per_image", 2),
                "FPS": cell(row["fps"]),
            }
        )
        posed.append(
            name
            | {
                "AP, original": spread(row, "original_ap"),
                "AP, corrected": spread(row, "corrected_ap"),
                "AP, difference": spread(row, "difference_ap", signed=True),
                "Confidence, original": spread(row, "original_mean_confidence"),
                "Confidence, corrected": spread(row, "corrected_mean_confidence"),
                "Confidence, difference": spread(row, "difference_mean_confidence", signed=True),
            }
        )
    explained = (
        "Original: flip test, MMPose's second NMS, and the whole image as a box of score 1 where no box is "
        "left (fall-back images), which counts as a detected person. Corrected: the pipeline of this run, "
        f"without the fall-back. {person_note(records)} Difference: corrected - original. {SIMCC} "
        "FPS: 1000 / mean time per image of the corrected pipeline while predicting"
        f"{threads_text(records)}."
    )
    notes = [measured_line(records, title), explained, interval_note(records), input_note(records)]
    return page([markdown_table(found), markdown_table(posed), *notes], notice)


PROTOCOL_METRICS = ("detection_rate", "mean_confidence", "persons_per_image", "ap")


PROTOCOL_COLUMNS = (
    "condition", "title", "images",
    *interval_columns(
        f"{side}_{name}" for name in PROTOCOL_METRICS for side in ("original", "corrected", "difference")
    ),
    "fallback_images", "fps",
)  # fmt: skip


def protocols_table(records: list[dict]) -> pd.DataFrame:
    """Return the study's protocol beside the corrected one, for the study's conditions (PROTOCOL_COLUMNS).

    difference_*: corrected minus original, paired. fallback_images: images in which the study's protocol
    found no box and took the whole image for a person. fps: of the corrected pipeline.
    """
    rows = []
    for record in records:
        if record["suite"] != "study":
            continue
        row = {key: record[key] for key in ("condition", "title", "images", "fps")}
        row |= score_columns(record, "original", PROTOCOL_METRICS, "original_")
        row |= score_columns(record, "detected", PROTOCOL_METRICS, "corrected_")
        for metric in PROTOCOL_METRICS:
            difference = estimate(record, "detected", metric) - estimate(record, "original", metric)
            row |= difference.columns(f"difference_{metric}")
        row["fallback_images"] = record["counts"]["original"]["fallback_images"]
        rows.append(row)
    return as_table(rows, PROTOCOL_COLUMNS)


# ------------------------------------------------------------------------------------------- protocols


def protocols_finding(records: list[dict]) -> str | None:
    """Return what the study's protocol says otherwise than the corrected one."""
    found = [record for record in records if record["suite"] == "study"]
    sides = [
        {record["condition"]: estimate(record, name, "detection_rate") for record in found}
        for name in ("original", "detected")
    ]
    if not found or any(rate.value is None for rates in sides for rate in rates.values()):
        return None
    return " ".join((_fallbacks(found), _differences(found), _order(*sides), _still_held(*sides)))


def _fallbacks(found: list[dict]) -> str:
    counts = [(record["counts"]["original"]["fallback_images"], name_of(record)) for record in found]
    total, most = sum(count for count, _ in counts), max(count for count, _ in counts)
    where = [name for count, name in counts if count == most]
    told = f", most in {where[0]} ({most} of {found[0]['images']})" if len(where) == 1 < len(found) else ""
    times, conditions = _count(total, "time"), _count(len(found), "condition")
    return (
        "The study's protocol against the corrected one: where no box is left it takes the whole image for a "
        f"detected person, {times} in {conditions}{told}."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _differences(found: list[dict]) -> str:
    """Return the largest differences of detection rate and AP that are no chance, corrected - original."""
    parts = []
    for metric, name, text in (("detection_rate", "detection rate", as_points), ("ap", "AP", as_change)):
        changes = by_size(
            (estimate(record, "detected", metric) - estimate(record, "original", metric), record)
            for record in found
        )
        changes = [(change, record) for change, record in changes if change.side() != 0]
        if changes:
            change, record = changes[0]
            parts.append(f"of {name} {text(change)} in {name_of(record)}")
        else:
            parts.append(f"of {name} none that can be told from 0")
    return f"The largest difference, corrected - original: {', '.join(parts)}."


def _ranks(rates: dict[str, Estimate]) -> dict[str, int]:
    """Return the place of each condition, 1 for the highest rate; equals share a place."""
    values = {name: rate.value for name, rate in rates.items()}
    return {name: 1 + sum(other > value for other in values.values()) for name, value in values.items()}


def _order(study: dict[str, Estimate], corrected: dict[str, Estimate]) -> str:
    """Return which conditions change their place by detection rate, and which reversals are no chance."""
    before, after = _ranks(study), _ranks(corrected)
    moved = [
        f"{condition_title(name)} from {place} to {after[name]}"
        for name, place in before.items()
        if place != after[name]
    ]
    if not moved:
        return "Ranked by detection rate every condition keeps its place."
    pairs = list(itertools.combinations(before, 2))
    sides = [[(rates[one] - rates[two]).side() for rates in (study, corrected)] for one, two in pairs]
    sure = ""
    if all(side is not None for both in sides for side in both):
        reversed_ = sum(one * other == -1 for one, other in sides)
        sure = f"; pairs whose order turns round, with both intervals clear of 0: {reversed_}"
    return f"Ranked by detection rate {len(moved)} of {len(before)} change place ({listed(moved)}){sure}."


def _still_held(study: dict[str, Estimate], corrected: dict[str, Estimate]) -> str:
    counts = [
        sum(rate.value > HOLDS_FROM for name, rate in rates.items() if name != "clean")
        for rates in (study, corrected)
    ]
    share = f"{100 * HOLDS_FROM:.0f} %"
    return f"Degraded conditions above {share}: {counts[0]} by the study's, {counts[1]} by the corrected one."


def protocols_text(pipeline: dict) -> str:
    """Return what the two protocols do, side by side; pipeline: that group of the config."""

    def boxes(of: dict) -> str:
        return f"score > {of['score_thr']:g}, NMS at IoU {of['nms_thr']:g}, at most {of['max_persons']}"

    study, once = asdict(STUDY), "once, on the crop"
    twice = "twice: on the crop and on its mirror image, the mean of both"
    rows = [
        ("Boxes of the detector", boxes(study), boxes(pipeline)),
        (
            "Boxes that get a pose",
            f"score > {study['bbox_thr']:g}, then a second NMS at IoU {STUDY_BBOX_NMS_THR:g}",
            f"for AP all; on the clock score > {pipeline['bbox_thr']:g}",
        ),
        ("Pose network", *(twice if of["flip_test"] else once for of in (study, pipeline))),
        ("No box left", "pose of the whole image, as a person of box score 1", "nobody was found"),
        (
            "A person counts from",
            f"box score {study['person_thr']:g}; the whole image does, too",
            f"box score {pipeline['person_thr']:g}",
        ),
    ]
    columns = ("", "Original", "Corrected")
    table = [dict(zip(columns, row, strict=True)) for row in rows]
    return (
        "The published study counted persons with MMPose's inferencer as it comes: an image in which nobody "
        "was found then counts as one with a person. Here every condition is counted by that protocol and by "
        "a corrected one. Both start from the same run of the detector on the same images, so only the "
        "protocol differs.\n\n"
        f"{markdown(table, dict.fromkeys(columns, 'left'))}\n\n"
        "The study measured no accuracy; AP is added to both. All other sections use the corrected protocol."
    )


# ------------------------------------------------------------------- what report/pages.py asks for


def table(run) -> pd.DataFrame:
    """Return the two protocols beside each other. run: records.Run."""
    return protocols_table(run.scores)


def text(table: pd.DataFrame, run, title: str = "", notice: str | None = None) -> str:
    """Return the table of `table` as Markdown, with what explains it."""
    return protocols_markdown(table, run.scores, title, notice)
