"""How far a keypoint's score can be trusted: figure and sentences."""

import math

import matplotlib.pyplot as plt
import numpy as np

from posegauge.report.markdown import DASH, listed, number
from posegauge.report.records import estimate
from posegauge.report.style import (
    AP,
    DETECTION,
    GREY,
    LEGEND_IN,
    NO_CONDITION,
    QUIET,
    RULE,
    STYLE,
    WIDTH_IN,
    all_known,
    dress,
    legend,
    message,
    save,
)
from posegauge.report.wording import as_change, by_size, change_of, figure_text, in_order, kept_share, name_of

# -------------------------------------------------------------------------------------------- calibration


def plot_calibration(records: list[dict], path, title: str = "", notice: str | None = None) -> None:
    """Draw the reliability of the keypoint score, one panel per condition, as PNG.

    records: as read by records.read_scores. A dot is a bin of keypoints: mean score and mean OKS
    similarity; a line leads to the diagonal, where the score would be right.
    """
    heading = "What a keypoint score is worth"
    records = [record for record in records if record["suite"] == "study"]
    with plt.rc_context(STYLE):
        if not records:
            message(path, heading, NO_CONDITION, notice)
            return
        across = min(3, len(records))
        down = math.ceil(len(records) / across)
        head_in = 0.74  # the lines above a panel
        figure = plt.figure(figsize=(WIDTH_IN, down * (2.05 + head_in) + 2.1))
        bins = [entry for record in records for entry in record["calibration"]["bins"] if entry["count"]]
        right = max([1, *(1.04 * entry["mean_score"] for entry in bins)])
        most = max((entry["count"] for entry in bins), default=1)
        told = [title, "ECE: mean distance of the dots from the diagonal", "n: keypoints"]
        if any(all_known(record["scores"]["detected"]["ece"]["low"]) for record in records):
            told.append("in brackets: 95 % interval")
        bottom, top = dress(figure, heading, " · ".join(filter(None, told)), notice)
        bottom, height = bottom + LEGEND_IN, figure.get_figheight()
        panel_in = (height - bottom - top) / down - head_in
        width_in = (WIDTH_IN - 0.85 - 0.2 - 2 * 0.3) / 3
        for index, record in enumerate(records):
            row, column = divmod(index, across)
            low_in = bottom + (down - 1 - row) * (panel_in + head_in)
            left_in = 0.85 + column * (width_in + 0.3)
            box = (left_in / WIDTH_IN, low_in / height, width_in / WIDTH_IN, panel_in / height)
            axes = figure.add_axes(box)
            _panel(axes, record, right, most)
            if column:
                axes.set_yticklabels([])
            elif row == 0:
                axes.set_ylabel("OKS similarity")
            if index + across < len(records):
                axes.set_xticklabels([])
        where = (0.85 + (across * (width_in + 0.3) - 0.3) / 2) / WIDTH_IN
        middle = {"ha": "center", "va": "center"}
        figure.text(where, (bottom - 0.4) / height, "keypoint score (SimCC maximum)", **middle)
        dot = {"marker": "o", "linestyle": "none", "color": AP}
        handles = [
            plt.Line2D([], [], label="a bin of keypoints; area: how many", **dot),
            plt.Line2D([], [], label="a score that is right", color=GREY, linestyle="--", linewidth=1.2),
        ]
        legend(figure, handles, bottom - LEGEND_IN + 0.02)
        save(figure, path)


def _panel(axes, record: dict, right: float, most: int) -> None:
    """Draw one condition; `right` is the end of the axis of scores, `most` the fullest bin of all panels."""
    axes.set_xlim(0, right)
    axes.set_ylim(0, 1.03)
    axes.set_xticks(np.linspace(0, 1, 6) if right < 1.6 else np.arange(0, right, 0.5))
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.tick_params(labelsize=9)
    axes.grid(color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.plot([0, right], [0, right], color=GREY, linestyle="--", linewidth=1.2, zorder=2)
    bins = [entry for entry in record["calibration"]["bins"] if entry["count"]]
    scores = np.array([entry["mean_score"] for entry in bins])
    similarities = np.array([entry["mean_similarity"] for entry in bins])
    if bins:
        axes.vlines(scores, similarities, scores, color=DETECTION, linewidth=2, zorder=3)
        axes.plot(scores, similarities, color=AP, linewidth=0.8, zorder=4)
        sizes = [8 + 50 * entry["count"] / most for entry in bins]
        axes.scatter(scores, similarities, s=sizes, color=AP, linewidths=0, zorder=5, clip_on=False)
    else:
        plain = {"ha": "center", "va": "center", "fontsize": 9.5, "color": GREY, "backgroundcolor": "white"}
        axes.text(right / 2, 0.5, "no keypoint to score", **plain)
    above = {"transform": axes.transAxes, "va": "center"}
    axes.text(0, 1.19, record["title"], fontsize=10.5, fontweight="bold", **above)
    axes.text(0, 1.075, _ece(record), fontsize=9, color=QUIET, **above)


def _ece(record: dict) -> str:
    """Return 'ECE 0.120 [0.112, 0.131], n = 25,310'; parts that are unknown are left out."""
    value = record["scores"]["detected"]["ece"]
    if not all_known(value["value"]):
        return f"ECE {DASH}"
    interval = ""
    if all_known(value["low"], value["high"]):
        interval = f" [{value['low']:.3f}, {value['high']:.3f}]"
    return f"ECE {value['value']:.3f}{interval}, n = {record['calibration']['keypoints']:,}"


# ------------------------------------------------------------------------------------------ confidence


def _mean_score(record: dict) -> float | None:
    """Return the mean score of the keypoints that the calibration counts; None without any."""
    bins = [entry for entry in record["calibration"]["bins"] if entry["count"]]
    count = sum(entry["count"] for entry in bins)
    return sum(entry["count"] * entry["mean_score"] for entry in bins) / count if count else None


def calibration_finding(records: list[dict], clean: dict) -> str | None:
    """Return how far keypoint scores are from similarity on clean images, and where that is worse."""
    score, ece, similarity = (
        _mean_score(clean),
        estimate(clean, "detected", "ece"),
        estimate(clean, "detected", "mean_similarity"),
    )
    if score is None or ece.value is None or similarity.value is None:
        return None
    text = (
        f"Keypoint scores on clean images: mean {number(score)}, similarity to the annotations "
        f"{figure_text(similarity)}, expected calibration error (ECE) {figure_text(ece)}."
    )
    changes = in_order((change_of(record, clean, "ece"), record) for record in records if record is not clean)
    sides = [change.side() for change, _ in changes]
    if not changes or None in sides:
        return text
    worse = [pair for pair in reversed(changes) if pair[0].side() == 1]
    told = listed(f"{name_of(record)} ({as_change(change)})" for change, record in worse[:2]) if worse else ""
    most = f", most in {told}" if told else ""
    return (
        f"{text} ECE is larger in {len(worse)} of {len(sides)} conditions{most}, and smaller in "
        f"{sides.count(-1)}."
    )


def confidence_finding(records: list[dict], clean: dict) -> str | None:
    """Return where confidence hides what similarity has lost."""
    gaps, blind, count = [], [], 0
    for record in records:
        if record is clean:
            continue
        sure, alike = (kept_share(record, clean, metric) for metric in ("mean_confidence", "mean_similarity"))
        gap = sure - alike
        if gap.side() is None:
            continue
        count += 1
        if gap.side() == 1:
            gaps.append((gap, f"{name_of(record)} ({100 * sure.value:.0f} % and {100 * alike.value:.0f} %)"))
        fell = change_of(record, clean, "mean_similarity").side() == -1
        if fell and change_of(record, clean, "mean_confidence").side() != -1:
            blind.append(name_of(record))
    if not count:
        return None
    share = "keeps more of its clean value than the similarity to the annotations does"
    if not gaps:
        return f"Confidence {share} in none of {count} conditions."
    worst = listed([text for _, text in by_size(gaps)][:2])
    unseen = f" In {len(blind)} it does not fall, though similarity does ({listed(blind)})." if blind else ""
    return f"Confidence misleads in {len(gaps)} of {count} conditions: it {share}, most in {worst}.{unseen}"


# ------------------------------------------------------------------- what report/pages.py asks for


def plot(run, path, title: str = "", notice: str | None = None) -> None:
    """Draw the figure as PNG."""
    plot_calibration(run.scores, path, title, notice)
