"""Where the loss of AP comes from, detector or pose network: table, Markdown, figure and sentences."""

import matplotlib.pyplot as plt
import pandas as pd

from posegauge.report.coco_c import suite_mean
from posegauge.report.markdown import (
    DASH,
    NOTHING,
    cell,
    input_note,
    interval_note,
    markdown_table,
    measured_line,
    number,
    page,
    spread,
)
from posegauge.report.records import as_table, by_suite, clean_record, estimate, interval_columns
from posegauge.report.style import (
    AP,
    DETECTOR_LOSS,
    LEGEND_IN,
    MARKER,
    NO_CONDITION,
    POSE_LOSS,
    STYLE,
    WIDTH_IN,
    all_known,
    columns,
    draw_whisker,
    dress,
    dress_conditions,
    frame,
    headings,
    legend,
    legend_block,
    message,
    rows_of,
    save,
)
from posegauge.report.wording import as_change, as_percent, figure_text
from posegauge.score.estimate import Estimate
from posegauge.study import SUITES

# --------------------------------------------------------------------------- detector and pose network


def _mean_losses(records: list[dict], clean: dict) -> dict[str, Estimate]:
    """Return loss.losses of the mean of a suite."""
    splits = {record["condition"]: losses(record, clean) for record in records}
    names = next(iter(splits.values()))
    return {name: suite_mean(records, {key: split[name] for key, split in splits.items()}) for name in names}


def loss_finding(suite: str, records: list[dict], clean: dict) -> str | None:
    """Return how the loss of AP of a suite is shared between detector and pose network."""
    means = _mean_losses(records, clean)
    total, detector = means["total_loss"], means["detector_loss"]
    if total.value is None:
        return None
    # A share of a loss that may be none would mean nothing.
    share = f", {as_percent(detector / total)} of it" if total.side() == 1 else ""
    text = (
        f"{SUITES[suite]}: mean loss of AP {figure_text(total)}, the detector's part {figure_text(detector)}"
        f"{share}, the pose network's {figure_text(means['pose_loss'])}."
    )
    sides = [losses(record, clean)["detector_minus_pose"].side() for record in records]
    if None in sides:
        return text
    return (
        f"{text} The detector's is the larger part in {sides.count(1)} of {len(sides)} conditions, the pose "
        f"network's in {sides.count(-1)}, undecided in {sides.count(0)}."
    )


def bottleneck_finding(records: list[dict], clean: dict) -> str | None:
    """Return whether the detector costs most of the accuracy, as it takes most of the time in the study."""
    verdicts = []
    for suite, found in by_suite(records).items():
        means = _mean_losses(found, clean)
        gap = means["detector_minus_pose"]
        verdict = {
            0: f"undecided (its loss of AP less the pose network's is {as_change(gap)})",
            1: f"yes, its loss of AP is larger by {figure_text(gap)}",
            -1: "no, the pose network's loss of AP is larger by "
            f"{figure_text(means['pose_loss'] - means['detector_loss'])}",
            None: None,
        }[gap.side()]
        if verdict:
            verdicts.append(f"{SUITES[suite]}: {verdict}")
    if not verdicts:
        return None
    gap = estimate(clean, "annotated", "ap") - estimate(clean, "detected", "ap")
    given = "" if gap.value is None else f" On clean images annotated boxes change AP by {as_change(gap)}."
    return f"Is the detector the bottleneck in accuracy? {'; '.join(verdicts)}.{given}"


# --------------------------------------------------------------------------------------------------- loss


def plot_loss(table: pd.DataFrame, path, title: str = "", notice: str | None = None) -> None:
    """Draw AP in detected boxes, and what detector and pose network lost of the AP on clean images, as PNG.

    table: loss.loss_table. The losses end at the AP on clean images; a negative one, a gain, is
    hatched and leads back. The whisker of a loss stands at its end.
    """
    heading = "Where the loss of AP comes from"
    rows = rows_of(table, "study")
    clean = next((row["ap_detected"] for row in rows if row["condition"] == "clean"), None)
    with plt.rc_context(STYLE):
        if not rows:
            message(path, heading, NO_CONDITION, notice)
            return
        figure = plt.figure(figsize=(WIDTH_IN, 0.6 * len(rows) + 2.75))
        told = [title, "dotted line: AP on clean images"] if all_known(clean) else [title]
        losses = [row[f"{part}_loss"] for row in rows for part in ("detector", "pose")]
        if any(all_known(loss) and loss < 0 for loss in losses):
            told.append("hatched: a gain, which leads back to the left")
        if any(all_known(row["pose_loss_low"]) for row in rows):
            told.append("whiskers: 95 % interval of a loss, at its end")
        bottom, top = dress(figure, heading, " · ".join(filter(None, told)), notice)
        axes = frame(figure, bottom + LEGEND_IN, top + 0.5)
        for y, row in enumerate(rows):
            _loss_row(axes, y, row)
        if all_known(clean):
            axes.axvline(clean, color=AP, linestyle=":", linewidth=1.3, zorder=1)
        headings(axes, ["AP", "lost by\ndetector", "lost by\npose"])
        dress_conditions(axes, rows)
        axes.set_xlim(min(0, axes.get_xlim()[0]), max(axes.get_xlim()[1], 0.1))
        axes.set_xlabel("keypoint AP (COCO)")
        handles = [
            legend_block(AP, "left, in detected boxes"),
            legend_block(DETECTOR_LOSS, "lost by the detector"),
            legend_block(POSE_LOSS, "lost by the pose network"),
            plt.Line2D([], [], label="AP in annotated boxes", markersize=6.5, **MARKER),
        ]
        legend(figure, handles, bottom + 0.02, columnspacing=1.4, handlelength=1.4)
        save(figure, path)


def _loss_row(axes, y: float, row: dict) -> None:
    left, middle = row["ap_detected"], row["ap_clean_boxes"]
    if all_known(left):
        axes.barh(y, left, height=0.62, color=AP, zorder=2)
    if all_known(row["ap_annotated"]):
        axes.plot(row["ap_annotated"], y, markersize=6.5, zorder=7, **MARKER)
    known = row["condition"] != "clean" and all_known(left, middle, row["pose_loss"])
    if known:
        for shift, start, key, colour in (
            (-0.2, left, "detector_loss", DETECTOR_LOSS),
            (0.2, middle, "pose_loss", POSE_LOSS),
        ):
            loss = row[key]
            gain = {"facecolor": "white", "edgecolor": colour, "hatch": "////", "linewidth": 0.8, "zorder": 4}
            if loss < 0:
                axes.barh(y + 0.8 * shift, loss, 0.3, start, **gain)
            else:
                axes.barh(y, loss, 0.62, start, color=colour, zorder=3)
            low, high = row[f"{key}_low"], row[f"{key}_high"]
            if all_known(low, high):
                draw_whisker(axes, y + shift, start + low, start + high)
    losses = [cell(row[key], 3) if known else "" for key in ("detector_loss", "pose_loss")]
    if row["condition"] != "clean" and not known:
        losses = [DASH, DASH]
    columns(axes, y, [cell(left, 3), *losses])


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
    notes = [measured_line(records, title), explained, interval_note(records), input_note(records)]
    return page([markdown_table(shown), *notes], notice)


LOSSES = ("total_loss", "detector_loss", "pose_loss", "detector_minus_pose")


LOSS_COLUMNS = (
    "condition", "title", "suite", "severity",
    *interval_columns(("ap_detected", "ap_clean_boxes", "ap_annotated", *LOSSES, "annotated_gap")),
)  # fmt: skip


def losses(record: dict, clean: dict) -> dict[str, Estimate]:
    """Return the loss of AP of one condition against clean, split in two (see LOSSES).

    The boxes of the clean image on the corrupted one cost no box: what is lost with them is the pose
    network's, and what the boxes of the corrupted image lose beyond that is the detector's. Both sum to the
    total, since on the clean image the two are the same boxes.
    """
    here, there = (
        {source: estimate(of, source, "ap") for source in ("detected", "clean")} for of in (record, clean)
    )
    found = {
        "total_loss": there["detected"] - here["detected"],
        "detector_loss": here["clean"] - here["detected"],
        "pose_loss": there["clean"] - here["clean"],
    }
    return found | {"detector_minus_pose": found["detector_loss"] - found["pose_loss"]}


def loss_table(records: list[dict]) -> pd.DataFrame:
    """Return the loss of AP by condition, and whose it is (see losses and LOSS_COLUMNS).

    annotated_gap: what annotated boxes would give back. Without the condition clean the losses are unknown.
    """
    clean = clean_record(records)
    rows = []
    for record in records:
        row = {key: record[key] for key in ("condition", "title", "suite", "severity")}
        sources = {"detected": "ap_detected", "clean": "ap_clean_boxes", "annotated": "ap_annotated"}
        for source, name in sources.items():
            row |= estimate(record, source, "ap").columns(name)
        gap = estimate(record, "annotated", "ap") - estimate(record, "detected", "ap")
        row |= gap.columns("annotated_gap")
        if clean:
            for name, loss in losses(record, clean).items():
                row |= loss.columns(name)
        rows.append(row)
    return as_table(rows, LOSS_COLUMNS)


def suite_loss_table(records: list[dict]) -> pd.DataFrame:
    """Return the mean of the rows of loss_table by suite, with the condition "mean"; averaged as mPC is."""
    clean = clean_record(records)
    rows = []
    for suite, found in by_suite(records).items() if clean else ():
        row = {"condition": "mean", "title": f"Mean: {SUITES[suite]}", "suite": suite}
        by_condition = {record["condition"]: losses(record, clean) for record in found}
        for name in LOSSES:
            row |= suite_mean(found, {key: split[name] for key, split in by_condition.items()}).columns(name)
        rows.append(row)
    return as_table(rows, LOSS_COLUMNS)


# ------------------------------------------------------------------- what report/pages.py asks for


def table(run) -> pd.DataFrame:
    """Return the losses of every condition and of the suites. run: records.Run."""
    # An empty table would make columns of text of the other's.
    return pd.concat([made for made in (loss_table(run.scores), suite_loss_table(run.scores)) if len(made)])


def text(table: pd.DataFrame, run, title: str = "", notice: str | None = None) -> str:
    """Return the table of `table` as Markdown, with what explains it."""
    return loss_markdown(table, run.scores, title, notice)


def plot(run, path, title: str = "", notice: str | None = None) -> None:
    """Draw the figure as PNG."""
    plot_loss(loss_table(run.scores), path, title, notice)
