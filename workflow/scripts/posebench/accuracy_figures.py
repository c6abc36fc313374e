"""The figures of the scores: robustness, the loss of AP split in two, calibration, and the COCO-C heat map.

All but the heat map show the study's conditions. A missing score has a dash and no bar; a missing interval no
whisker. Tables are those of posebench.accuracy_tables.
"""

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patheffects import withStroke

from posebench.figures import (
    GREY,
    LEGEND_IN,
    QUIET,
    RULE,
    STYLE,
    WIDTH_IN,
    band,
    columns,
    dress,
    frame,
    headings,
    legend,
    message,
    number,
    save,
)
from posebench.study import COCO_C_CORRUPTIONS
from posebench.tables import DASH, cell, percent

# Okabe and Ito's colours, which colour-blind readers can tell apart; keypoint AP is blue in every figure.
DETECTION, AP, DETECTOR_LOSS, POSE_LOSS = "#56B4E9", "#0072B2", "#D55E00", "#F0C13C"
MARKER = {"marker": "D", "markerfacecolor": "white", "markeredgecolor": "black", "linestyle": "none"}
WHISKER = {"color": "#222222", "linewidth": 1.2, "marker": "|", "markersize": 6}
HALO = [withStroke(linewidth=3, foreground="white")]
SHADES = LinearSegmentedColormap.from_list("ap", ["#FFFFFF", "#5FA8D3", "#00558A"])
# The four kinds of corruption of Michaelis et al.
COCO_C_GROUPS = {
    "Noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "Blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "Weather": ("snow", "frost", "fog", "brightness"),
    "Digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
}
NO_CONDITION = "No image condition is configured."
NO_COCO_C = "The suite COCO-C is not part of this run."


def _known(*values) -> bool:
    return not any(value is None or pd.isna(value) for value in values)


def _rows(table: pd.DataFrame, suite: str) -> list[dict]:
    return table[table["suite"] == suite].to_dict("records")


def _images(rows: list[dict]) -> str:
    """Return '2693 images per condition' of rows that may have been scored on different numbers."""
    return f"{' / '.join(map(str, sorted({int(row['images']) for row in rows})))} images per condition"


def _whisker(axes, y: float, low, high) -> None:
    if _known(low, high):
        axes.plot([low, high], [y, y], path_effects=HALO, zorder=6, **WHISKER)


def _whisker_handle():
    return plt.Line2D([], [], label="95 % interval", **WHISKER)


def _block(colour: str, label: str, **style):
    return plt.Rectangle((0, 0), 1, 1, facecolor=colour, label=label, **style)


def _condition_axes(axes, rows: list[dict]) -> None:
    """Give each row its title at the left, first row on top."""
    axes.grid(axis="x", color=RULE, linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)
    axes.set_ylim(len(rows) - 0.45, -0.55)
    axes.set_yticks(range(len(rows)), [row["title"] for row in rows])
    axes.tick_params(axis="y", length=0)


# --------------------------------------------------------------------------------------------- robustness


def plot_robustness(table: pd.DataFrame, path, title: str = "", notice: str | None = None) -> None:
    """Draw detection rate and keypoint AP as bars, mean confidence as a marker, by condition, as PNG.

    table: accuracy_tables.robustness_table. An AP whose paired difference from clean may be chance has a ≈.
    """
    heading = "Detection rate and accuracy by image condition"
    rows = _rows(table, "study")
    bars = (
        ("detection_rate", DETECTION, -0.18, "detection rate"),
        ("ap", AP, 0.18, "keypoint AP (COCO)"),
    )
    with plt.rc_context(STYLE):
        if not rows:
            message(path, heading, NO_CONDITION, notice)
            return
        figure = plt.figure(figsize=(WIDTH_IN, 0.6 * len(rows) + 2.3))
        alike = {row["condition"] for row in rows if _is_like_clean(row)}
        told = [title, _images(rows)]
        if any(row["condition"] == "clean" for row in rows):
            told.append("dotted lines: value on clean images")
        if alike:
            told.append("≈: AP cannot be told from that on clean images")
        bottom, top = dress(figure, heading, " · ".join(filter(None, told)), notice)
        axes = frame(figure, bottom + LEGEND_IN, top + 0.3)
        for y, row in enumerate(rows):
            for key, colour, shift, _ in bars:
                if _known(row[key]):
                    axes.barh(y + shift, row[key], height=0.36, color=colour, zorder=2)
                    if row["condition"] == "clean":
                        axes.axvline(row[key], color=colour, linestyle=":", linewidth=1.3, zorder=1)
                _whisker(axes, y + shift, row[f"{key}_low"], row[f"{key}_high"])
            if _known(row["mean_confidence"]):
                _whisker(axes, y, row["mean_confidence_low"], row["mean_confidence_high"])
                axes.plot(row["mean_confidence"], y, markersize=6.5, zorder=7, clip_on=False, **MARKER)
            about = "≈" if row["condition"] in alike else ""
            ap = f"{about}{cell(row['ap'], 3)}"
            columns(axes, y, [percent(row["detection_rate"]), ap, cell(row["mean_confidence"], 3)])
        headings(axes, ["detected", "AP", "confid."])
        _condition_axes(axes, rows)
        # SimCC scores are no probabilities: a confidence above 1 must still be seen.
        confidences = [row["mean_confidence"] for row in rows if _known(row["mean_confidence"])]
        axes.set_xlim(0, max([1, *(1.05 * value for value in confidences if value > 1)]))
        axes.set_xticks(np.linspace(0, 1, 6))
        axes.set_xlabel("share of images, AP, or mean SimCC maximum (a confidence, not a probability)")
        handles = [_block(colour, name) for _, colour, _, name in bars]
        handles.append(plt.Line2D([], [], label="mean keypoint confidence", markersize=6.5, **MARKER))
        if any(_known(row[f"{key}_low"]) for row in rows for key, *_ in bars):
            handles.append(_whisker_handle())
        legend(figure, handles, bottom + 0.02, columnspacing=1.6, handlelength=1.6)
        save(figure, path)


def _is_like_clean(row: dict) -> bool:
    """Return whether the paired interval of the loss of AP holds zero; false where there is no interval."""
    told = row["ap_distinguishable"]
    return row["condition"] != "clean" and _known(told) and not told


# --------------------------------------------------------------------------------------------------- loss


def plot_loss(table: pd.DataFrame, path, title: str = "", notice: str | None = None) -> None:
    """Draw AP in detected boxes, and what detector and pose network lost of the AP on clean images, as PNG.

    table: accuracy_tables.loss_table. The losses end at the AP on clean images; a negative one, a gain, is
    hatched and leads back. The whisker of a loss stands at its end.
    """
    heading = "Where the loss of AP comes from"
    rows = _rows(table, "study")
    clean = next((row["ap_detected"] for row in rows if row["condition"] == "clean"), None)
    with plt.rc_context(STYLE):
        if not rows:
            message(path, heading, NO_CONDITION, notice)
            return
        figure = plt.figure(figsize=(WIDTH_IN, 0.6 * len(rows) + 2.75))
        told = [title, "dotted line: AP on clean images"] if _known(clean) else [title]
        losses = [row[f"{part}_loss"] for row in rows for part in ("detector", "pose")]
        if any(_known(loss) and loss < 0 for loss in losses):
            told.append("hatched: a gain, which leads back to the left")
        if any(_known(row["pose_loss_low"]) for row in rows):
            told.append("whiskers: 95 % interval of a loss, at its end")
        bottom, top = dress(figure, heading, " · ".join(filter(None, told)), notice)
        axes = frame(figure, bottom + LEGEND_IN, top + 0.5)
        for y, row in enumerate(rows):
            _loss_row(axes, y, row)
        if _known(clean):
            axes.axvline(clean, color=AP, linestyle=":", linewidth=1.3, zorder=1)
        headings(axes, ["AP", "lost by\ndetector", "lost by\npose"])
        _condition_axes(axes, rows)
        axes.set_xlim(min(0, axes.get_xlim()[0]), max(axes.get_xlim()[1], 0.1))
        axes.set_xlabel("keypoint AP (COCO)")
        handles = [
            _block(AP, "left, in detected boxes"),
            _block(DETECTOR_LOSS, "lost by the detector"),
            _block(POSE_LOSS, "lost by the pose network"),
            plt.Line2D([], [], label="AP in annotated boxes", markersize=6.5, **MARKER),
        ]
        legend(figure, handles, bottom + 0.02, columnspacing=1.4, handlelength=1.4)
        save(figure, path)


def _loss_row(axes, y: float, row: dict) -> None:
    left, middle = row["ap_detected"], row["ap_clean_boxes"]
    if _known(left):
        axes.barh(y, left, height=0.62, color=AP, zorder=2)
    if _known(row["ap_annotated"]):
        axes.plot(row["ap_annotated"], y, markersize=6.5, zorder=7, **MARKER)
    known = row["condition"] != "clean" and _known(left, middle, row["pose_loss"])
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
            if _known(low, high):
                _whisker(axes, y + shift, start + low, start + high)
    losses = [cell(row[key], 3) if known else "" for key in ("detector_loss", "pose_loss")]
    if row["condition"] != "clean" and not known:
        losses = [DASH, DASH]
    columns(axes, y, [cell(left, 3), *losses])


# -------------------------------------------------------------------------------------------- calibration


def plot_calibration(records: list[dict], path, title: str = "", notice: str | None = None) -> None:
    """Draw the reliability of the keypoint score, one panel per condition, as PNG.

    records: as read by accuracy_tables.read_scores. A dot is a bin of keypoints: mean score and mean OKS
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
        if any(_known(record["scores"]["detected"]["ece"]["low"]) for record in records):
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
    if not _known(value["value"]):
        return f"ECE {DASH}"
    interval = ""
    if _known(value["low"], value["high"]):
        interval = f" [{value['low']:.3f}, {value['high']:.3f}]"
    return f"ECE {value['value']:.3f}{interval}, n = {record['calibration']['keypoints']:,}"


# ------------------------------------------------------------------------------------------------- COCO-C


def plot_coco_c(
    table: pd.DataFrame, suites: pd.DataFrame, path, title: str = "", notice: str | None = None
) -> None:
    """Draw keypoint AP by corruption and severity as a heat map, as PNG.

    table: accuracy_tables.robustness_table. suites: accuracy_tables.suites_table. Without conditions of the
    suite coco_c the picture says so.
    """
    heading = "Keypoint AP under COCO-C's corruptions"
    rows = _rows(table, "coco_c")
    with plt.rc_context(STYLE):
        if not rows:
            message(path, heading, NO_COCO_C, notice)
            return
        severities = sorted({int(row["severity"]) for row in rows})
        chosen = {row["corruption"] for row in rows}
        groups = {name: [key for key in members if key in chosen] for name, members in COCO_C_GROUPS.items()}
        groups = {name: members for name, members in groups.items() if members}
        slots = len(chosen) + 0.62 * len(groups)
        clean = next((row["ap"] for row in table.to_dict("records") if row["condition"] == "clean"), None)
        figure = plt.figure(figsize=(WIDTH_IN, 0.5 * slots + 2.3))
        told = [title, _images(rows), *_suite(suites)]
        told.append("in a cell: AP" + (", and its share of the AP on clean images" if _known(clean) else ""))
        told.append("ms: to make the corrupted image")
        bottom, top = dress(figure, heading, " · ".join(filter(None, told)), notice)
        axes = frame(figure, bottom + 0.7, top + 0.3)
        axes.set_xlim(0, len(severities))
        axes.set_ylim(slots, 0)
        y = 0.0
        for group, members in groups.items():
            band(axes, y + 0.31, 0.27, group)
            y += 0.62
            for corruption in members:
                found = {int(row["severity"]): row for row in rows if row["corruption"] == corruption}
                _heat_row(axes, y + 0.5, corruption, [found.get(severity) for severity in severities], clean)
                y += 1
        headings(axes, ["mean AP", "of clean", "ms"])
        axes.spines["bottom"].set_visible(False)
        axes.set_yticks([])
        axes.set_xticks(np.arange(len(severities)) + 0.5, severities)
        axes.tick_params(axis="x", length=0)
        axes.set_xlabel("severity")
        save(figure, path)


def _suite(suites: pd.DataFrame) -> list[str]:
    """Return 'mPC 0.412 [0.405, 0.420], rPC 55.1 %' of COCO-C in detected boxes, or nothing."""
    chosen = suites[(suites["suite"] == "coco_c") & (suites["box_source"] == "detected")]
    for row in chosen.to_dict("records"):
        if _known(row["mpc"]):
            known = _known(row["mpc_low"], row["mpc_high"])
            interval = f" [{row['mpc_low']:.3f}, {row['mpc_high']:.3f}]" if known else ""
            share = f", of the clean AP (rPC) {percent(row['rpc'])}" if _known(row["rpc"]) else ""
            return [f"mean of all (mPC) {row['mpc']:.3f}{interval}{share}"]
    return []


def _heat_row(axes, y: float, corruption: str, rows: list[dict | None], clean) -> None:
    """Draw one corruption: a cell per severity (None: not run), then the means."""
    margin = axes.get_yaxis_transform()
    name = COCO_C_CORRUPTIONS[corruption]
    axes.text(-0.02, y, name, transform=margin, ha="right", va="center")
    relative = _known(clean) and clean > 0
    for x, row in enumerate(rows):
        ap = row["ap"] if row else None
        known = _known(ap)
        # White to dark: from nothing left to all of the AP on clean images; without that, from 0 to 1.
        share = min(max(ap / clean if relative else ap, 0), 1) if known else 0
        colour = SHADES(0.05 + 0.95 * share) if known else "#f6f6f6"
        box = plt.Rectangle((x + 0.015, y - 0.46), 0.97, 0.92, facecolor=colour, linewidth=0, zorder=2)
        axes.add_patch(box)
        ink = {"ha": "center", "va": "center", "zorder": 3}
        ink["color"] = GREY if not known else "white" if share > 0.62 else "black"
        axes.text(x + 0.5, y - (0.16 if known and relative else 0), cell(ap, 3), fontsize=10.5, **ink)
        if known and relative:
            axes.text(x + 0.5, y + 0.23, f"{100 * ap / clean:.0f} %", fontsize=8.5, **ink)
    aps = [row["ap"] if row else None for row in rows]
    mean = float(np.mean(aps)) if _known(*aps) else None
    share = f"{100 * mean / clean:.0f} %" if relative and _known(mean) else DASH
    costs = [row["corruption_ms_mean"] for row in rows if row and _known(row["corruption_ms_mean"])]
    columns(axes, y, [cell(mean, 3), share, number(float(np.mean(costs))) if costs else DASH])
