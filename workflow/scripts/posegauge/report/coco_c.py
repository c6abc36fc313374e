"""Robustness over the suites of corruptions, COCO-C first: tables, Markdown, figure and sentences."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap

from posegauge.report.markdown import (
    DASH,
    cell,
    condition_title,
    input_note,
    interval_note,
    listed,
    markdown_table,
    measured_line,
    number,
    page,
    percent,
    rate,
    spread,
)
from posegauge.report.records import (
    as_table,
    by_suite,
    clean_record,
    estimate,
    interval_columns,
    robustness_table,
)
from posegauge.report.style import (
    GREY,
    NO_COCO_C,
    STYLE,
    WIDTH_IN,
    all_known,
    axis_number,
    band,
    columns,
    dress,
    frame,
    headings,
    images_text,
    message,
    rows_of,
    save,
)
from posegauge.report.wording import NAMED, as_change, as_percent, change_of, figure_text, in_order
from posegauge.score.estimate import Estimate, mean
from posegauge.study import BOX_SOURCES, COCO_C_CORRUPTIONS, SUITES

SHADES = LinearSegmentedColormap.from_list("ap", ["#FFFFFF", "#5FA8D3", "#00558A"])


# The four kinds of corruption of Michaelis et al.
COCO_C_GROUPS = {
    "Noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "Blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "Weather": ("snow", "frost", "fog", "brightness"),
    "Digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
}


# ------------------------------------------------------------------------------------------------- COCO-C


def plot_coco_c(
    table: pd.DataFrame, suites: pd.DataFrame, path, title: str = "", notice: str | None = None
) -> None:
    """Draw keypoint AP by corruption and severity as a heat map, as PNG.

    table: records.robustness_table. suites: coco_c.suites_table. Without conditions of the
    suite coco_c the picture says so.
    """
    heading = "Keypoint AP under COCO-C's corruptions"
    rows = rows_of(table, "coco_c")
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
        told = [title, images_text(rows), *_suite(suites)]
        told.append(
            "in a cell: AP" + (", and its share of the AP on clean images" if all_known(clean) else "")
        )
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
        if all_known(row["mpc"]):
            known = all_known(row["mpc_low"], row["mpc_high"])
            interval = f" [{row['mpc_low']:.3f}, {row['mpc_high']:.3f}]" if known else ""
            share = f", of the clean AP (rPC) {percent(row['rpc'])}" if all_known(row["rpc"]) else ""
            return [f"mean of all (mPC) {row['mpc']:.3f}{interval}{share}"]
    return []


def _heat_row(axes, y: float, corruption: str, rows: list[dict | None], clean) -> None:
    """Draw one corruption: a cell per severity (None: not run), then the means."""
    margin = axes.get_yaxis_transform()
    name = COCO_C_CORRUPTIONS[corruption]
    axes.text(-0.02, y, name, transform=margin, ha="right", va="center")
    relative = all_known(clean) and clean > 0
    for x, row in enumerate(rows):
        ap = row["ap"] if row else None
        known = all_known(ap)
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
    mean = float(np.mean(aps)) if all_known(*aps) else None
    share = f"{100 * mean / clean:.0f} %" if relative and all_known(mean) else DASH
    costs = [row["corruption_ms_mean"] for row in rows if row and all_known(row["corruption_ms_mean"])]
    columns(axes, y, [cell(mean, 3), share, axis_number(float(np.mean(costs))) if costs else DASH])


def coco_c_finding(records: list[dict], clean: dict | None) -> str | None:
    """Return the sentence on COCO-C: the worst conditions by name, the others counted."""
    found = by_suite(records).get("coco_c", [])
    changes = in_order((change_of(record, clean, "ap"), record) for record in found) if clean else []
    if not changes:
        return None
    worst = [
        f"{condition_title(record['condition'], 'coco_c')} ({as_change(change)})"
        for change, record in changes[:NAMED]
        if change.value < 0 and change.side() != 0
    ]
    text = f"COCO-C ({len(found)} conditions, against clean images): "
    text += f"the largest losses of AP are {listed(worst)}" if worst else "no loss of AP"
    sides = [change.side() for change, _ in changes]
    if None in sides:
        return f"{text}."
    above = f", higher in {sides.count(1)}" if 1 in sides else ""
    return f"{text}. AP is lower in {sides.count(-1)}{above}, and not distinguishable in {sides.count(0)}."


def mpc_finding(records: list[dict], clean: dict | None) -> str | None:
    """Return mPC and rPC of each suite."""
    parts = []
    for suite, found in by_suite(records).items():
        aps = {record["condition"]: estimate(record, "detected", "ap") for record in found}
        mpc = suite_mean(found, aps)
        if mpc.value is None:
            continue
        rpc = mpc / estimate(clean, "detected", "ap") if clean else Estimate(None)
        share = "" if rpc.value is None else f", rPC {as_percent(rpc)}"
        parts.append(f"{SUITES[suite]}: mPC {figure_text(mpc)}{share}")
    told = "; ".join(parts)
    return f"Mean AP under corruption (mPC) and its share of clean AP (rPC). {told}." if parts else None


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
    told = f"AP by corruption and severity.{against} ms / image: time to corrupt one image."
    return f"{markdown_table(shown)}\n\n{told}"


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
    notes = [measured_line(records, title), explained, interval_note(records), input_note(records)]
    return page([markdown_table(shown, ("Boxes",)), *notes], notice)


SUITE_COLUMNS = ("suite", "title", "box_source", "conditions", *interval_columns(("clean_ap", "mpc", "rpc")))


def suite_mean(records: list[dict], figures: dict[str, Estimate]) -> Estimate:
    """Return the mean over corruptions of the mean over severities (Michaelis et al., 2019).

    records: of one suite. figures: by condition.
    """
    groups = {}
    for record in records:
        groups.setdefault(record["corruption"], []).append(figures[record["condition"]])
    return mean(mean(group) for group in groups.values())


def suites_table(records: list[dict]) -> pd.DataFrame:
    """Return mPC, the mean AP under corruption, and rPC = mPC / clean AP, by suite and box source."""
    clean = clean_record(records)
    rows = []
    for suite, found in by_suite(records).items():
        for source in BOX_SOURCES:
            row = {"suite": suite, "title": SUITES[suite], "box_source": source, "conditions": len(found)}
            aps = {record["condition"]: estimate(record, source, "ap") for record in found}
            mpc = suite_mean(found, aps)
            row |= mpc.columns("mpc")
            if clean:
                before = estimate(clean, source, "ap")
                row |= before.columns("clean_ap") | (mpc / before).columns("rpc")
            rows.append(row)
    return as_table(rows, SUITE_COLUMNS)


# ------------------------------------------------------------------- what report/pages.py asks for


def table(run) -> pd.DataFrame:
    """Return the table of the suites. run: records.Run."""
    return suites_table(run.scores)


def text(table: pd.DataFrame, run, title: str = "", notice: str | None = None) -> str:
    """Return the table of `table` as Markdown, with what explains it."""
    return suites_markdown(table, run.scores, title, notice)


def plot(run, path, title: str = "", notice: str | None = None) -> None:
    """Draw the figure as PNG."""
    plot_coco_c(robustness_table(run.scores), table(run), path, title, notice)
