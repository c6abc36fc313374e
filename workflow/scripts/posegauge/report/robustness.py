"""Scores by image condition: table, Markdown, figure and sentences."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from posegauge.report.coco_c import coco_c_markdown
from posegauge.report.markdown import (
    DASH,
    NOTHING,
    SIMCC,
    cell,
    condition_title,
    input_note,
    interval_note,
    listed,
    markdown_table,
    measured_line,
    page,
    percent,
    person_note,
    rate,
    rows_by_suite,
    spread,
)
from posegauge.report.records import estimate, robustness_table
from posegauge.report.style import (
    AP,
    DETECTION,
    LEGEND_IN,
    MARKER,
    NO_CONDITION,
    STYLE,
    WIDTH_IN,
    all_known,
    columns,
    draw_whisker,
    dress,
    dress_conditions,
    frame,
    headings,
    images_text,
    legend,
    legend_block,
    message,
    rows_of,
    save,
    whisker_handle,
)
from posegauge.report.wording import (
    HOLDS_FROM,
    METRICS,
    NAMED,
    by_size,
    change_of,
    in_order,
    kept_share,
    name_of,
)
from posegauge.score.estimate import Estimate
from posegauge.study import SUITES

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
    return markdown_table(shown, ("AP not distinguishable from",))


def robustness_markdown(
    table: pd.DataFrame, records: list[dict], title: str = "", notice: str | None = None
) -> str:
    """Return the robustness table by suite; of COCO-C a table by severity, and the conditions folded away."""
    suites = rows_by_suite(table)
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
        f"{person_note(records)} Detection rate: images with such a person / all images. AP: COCO keypoints; "
        f"AP change: against clean images. Box AP: COCO boxes of persons. {SIMCC} ECE: expected calibration "
        "error, the mean distance of a keypoint's score from its similarity to the annotation."
    )
    same = "≈ clean, ≈: the interval of the AP change includes 0." if told else ""
    notes = [measured_line(records, title), explained, interval_note(records), same, input_note(records)]
    return page([*parts, *notes], notice)


# --------------------------------------------------------------------------------------------- robustness


def plot_robustness(table: pd.DataFrame, path, title: str = "", notice: str | None = None) -> None:
    """Draw detection rate and keypoint AP as bars, mean confidence as a marker, by condition, as PNG.

    table: records.robustness_table. An AP whose paired difference from clean may be chance has a ≈.
    """
    heading = "Detection rate and accuracy by image condition"
    rows = rows_of(table, "study")
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
        told = [title, images_text(rows)]
        if any(row["condition"] == "clean" for row in rows):
            told.append("dotted lines: value on clean images")
        if alike:
            told.append("≈: AP cannot be told from that on clean images")
        bottom, top = dress(figure, heading, " · ".join(filter(None, told)), notice)
        axes = frame(figure, bottom + LEGEND_IN, top + 0.3)
        for y, row in enumerate(rows):
            for key, colour, shift, _ in bars:
                if all_known(row[key]):
                    axes.barh(y + shift, row[key], height=0.36, color=colour, zorder=2)
                    if row["condition"] == "clean":
                        axes.axvline(row[key], color=colour, linestyle=":", linewidth=1.3, zorder=1)
                draw_whisker(axes, y + shift, row[f"{key}_low"], row[f"{key}_high"])
            if all_known(row["mean_confidence"]):
                draw_whisker(axes, y, row["mean_confidence_low"], row["mean_confidence_high"])
                axes.plot(row["mean_confidence"], y, markersize=6.5, zorder=7, clip_on=False, **MARKER)
            about = "≈" if row["condition"] in alike else ""
            ap = f"{about}{cell(row['ap'], 3)}"
            columns(axes, y, [percent(row["detection_rate"]), ap, cell(row["mean_confidence"], 3)])
        headings(axes, ["detected", "AP", "confid."])
        dress_conditions(axes, rows)
        # SimCC scores are no probabilities: a confidence above 1 must still be seen.
        confidences = [row["mean_confidence"] for row in rows if all_known(row["mean_confidence"])]
        axes.set_xlim(0, max([1, *(1.05 * value for value in confidences if value > 1)]))
        axes.set_xticks(np.linspace(0, 1, 6))
        axes.set_xlabel("share of images, AP, or mean SimCC maximum (a confidence, not a probability)")
        handles = [legend_block(colour, name) for _, colour, _, name in bars]
        handles.append(plt.Line2D([], [], label="mean keypoint confidence", markersize=6.5, **MARKER))
        if any(all_known(row[f"{key}_low"]) for row in rows for key, *_ in bars):
            handles.append(whisker_handle())
        legend(figure, handles, bottom + 0.02, columnspacing=1.6, handlelength=1.6)
        save(figure, path)


def _is_like_clean(row: dict) -> bool:
    """Return whether the paired interval of the loss of AP holds zero; false where there is no interval."""
    told = row["ap_distinguishable"]
    return row["condition"] != "clean" and all_known(told) and not told


DISAGREE_FROM = 0.2  # difference of the kept shares from which detection rate and AP disagree


FAMILIES = {
    "light": ("Lighting", ("low_light", "overexposure")),
    "blur": ("Motion blur", ("motion_blur",)),
    "noise": ("Noise", ("noise",)),
    "occlusion": ("Occlusion", ("occlusion",)),
}


def scores_text(record: dict, clean: dict | None) -> str:
    """Return 'detection rate 80.0 % (-15.0 points [...]), AP ...', the changes against `clean` if given."""
    parts = []
    for metric, (name, text, change_text) in METRICS.items():
        figure = estimate(record, "detected", metric)
        if figure.value is None:
            continue
        change = change_of(record, clean, metric) if clean else Estimate(None)
        if change.value is None:
            parts.append(f"{name} {text(figure)}")
        else:
            same = ", not distinguishable" if change.side() == 0 else ""
            alone = text(Estimate(figure.value))
            parts.append(f"{name} {alone} ({change_text(change)}{same})")
    return ", ".join(parts) or "no score"


def family_finding(title: str, corruptions: tuple, records: list[dict], clean: dict | None) -> str | None:
    """Return the sentence on one family of the study's conditions, against clean images."""
    parts = []
    for record in records:
        if record["suite"] == "study" and record["corruption"] in corruptions:
            name = "" if name_of(record) == title else f"{name_of(record)} "
            parts.append(name + scores_text(record, clean))
    against = " (against clean images)" if clean else ""
    return f"{title}{against}: {'; '.join(parts)}." if parts else None


def worst_finding(records: list[dict], clean: dict | None) -> str | None:
    """Return which conditions lose most AP, or most detection rate where no AP is known."""
    for metric in ("ap", "detection_rate"):
        name, _, text = METRICS[metric]
        degraded = [record for record in records if record is not clean]
        drops = in_order((change_of(record, clean, metric), record) for record in degraded) if clean else []
        if not drops:
            continue
        if drops[0][0].value >= 0:
            return f"No condition lowers {name} below that of clean images."
        lost = [pair for pair in drops if pair[0].side() in (-1, None) and pair[0].value < 0]
        if not lost:
            return f"No loss of {name} against clean images can be told from 0."
        worst = [f"{name_of(record)} ({text(drop)})" for drop, record in lost[:2]]
        measured = "measured " if lost[0][0].side() is None else ""
        return f"The largest {measured}loss of {name} against clean images: {listed(worst)}."
    return None


def holds_finding(records: list[dict], clean: dict | None) -> str | None:
    """Return which degraded conditions keep a detection rate above HOLDS_FROM, by their intervals."""
    held, open_, count = [], [], 0
    for record in records:
        rate = estimate(record, "detected", "detection_rate")
        if record is clean or rate.value is None:
            continue
        count += 1
        bounds = rate.interval()
        low, high = (rate.value if bounds[end] is None else bounds[end] for end in ("low", "high"))
        if low > HOLDS_FROM:
            held.append(name_of(record))
        elif high > HOLDS_FROM:
            open_.append(name_of(record))
    if not count:
        return None
    share = f"a detection rate above {100 * HOLDS_FROM:.0f} %"
    names = f" ({listed(held)})" if held else ""
    more = f"; by their intervals {len(open_)} more may ({listed(open_)})" if open_ else ""
    return f"Degraded conditions that keep {share}: {len(held)} of {count}{names}{more}."


def disagreement_finding(records: list[dict], clean: dict | None) -> str | None:
    """Return where persons are still found but their poses are lost, or the other way round."""
    gaps = []
    for record in records if clean else ():
        if record is clean:
            continue
        found, posed = (kept_share(record, clean, metric) for metric in METRICS)
        if (found - posed).side() is not None:
            rate, ap = (f"{100 * share.value:.0f} %" for share in (found, posed))
            gaps.append((found - posed, f"{name_of(record)} keeps {rate} of the rate but {ap} of AP"))
    if not gaps:
        return None
    limit = f"{100 * DISAGREE_FROM:.0f} points"
    large = [text for gap, text in by_size(gaps) if abs(gap.value) >= DISAGREE_FROM and gap.side()]
    if not large:
        return (
            "Detection rate and AP agree: what they keep of their clean values differs by less than "
            f"{limit}, or by no more than chance."
        )
    more = f"; {len(large) - NAMED} more conditions do" if len(large) > NAMED else ""
    told = "; ".join(large[:NAMED])
    return f"Detection rate and AP disagree, by {limit} or more of their clean values: {told}{more}."


def same_finding(records: list[dict], clean: dict | None) -> str | None:
    """Return what AP cannot tell apart: conditions from clean, and the study's from each other."""
    degraded = [record for record in records if record is not clean]
    parts = []
    if clean and degraded:
        sides = [(change_of(record, clean, "ap").side(), record) for record in degraded]
        if any(side is not None for side, _ in sides):
            same = [name_of(record) for side, record in sides if side == 0]
            names = f" ({listed(same)})" if same else ""
            parts.append(f"{len(same)} of {len(degraded)} conditions from clean images{names}")
    study = [record for record in degraded if record["suite"] == "study"]
    pairs = list(itertools.combinations(study, 2))
    sides = [change_of(one, two, "ap").side() for one, two in pairs]
    if any(side is not None for side in sides):
        same = [
            f"{name_of(one)} from {name_of(two)}"
            for (one, two), side in zip(pairs, sides, strict=True)
            if side == 0
        ]
        names = f" ({listed(same)})" if same else ""
        parts.append(f"{len(same)} of {len(pairs)} pairs of the study's conditions{names}")
    return f"AP does not tell apart: {'; '.join(parts)}." if parts else None


# ------------------------------------------------------------------- what report/pages.py asks for


def table(run) -> pd.DataFrame:
    """Return the robustness table. run: records.Run."""
    return robustness_table(run.scores)


def text(table: pd.DataFrame, run, title: str = "", notice: str | None = None) -> str:
    """Return the table of `table` as Markdown, with what explains it."""
    return robustness_markdown(table, run.scores, title, notice)


def plot(run, path, title: str = "", notice: str | None = None) -> None:
    """Draw the figure as PNG."""
    plot_robustness(table(run), path, title, notice)
