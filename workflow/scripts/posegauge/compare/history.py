"""The same rows of one machine over several runs: table and figure."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from posegauge.compare import board
from posegauge.compare.board import Row
from posegauge.report import style
from posegauge.report.markdown import cell, markdown, ratio_text
from posegauge.score import intervals

COLUMNS = (
    "machine", "detector", "pose", "benchmark", "title", "threads", "run", "made_at",
    "git_revision", "samples", "ms_p50", "ms_p50_low", "ms_p50_high", "ms_p95", "ratio",
    "ratio_low", "ratio_high",
)  # fmt: skip
HEADING = "The same rows, run after run"
PANEL_IN = 2.05
LABEL_IN = 0.17  # from one line of a label to the next


def shared(rows: list[Row]) -> list[list[Row]]:
    """Return the rows that two or more runs of one machine share, each in the order it was measured."""
    return [group for group in board.series(rows) if len(group) > 1]


def table(rows: list[Row]) -> pd.DataFrame:
    """Return one line per row and run (COLUMNS); ratio: of the median to that of the first run."""
    lines = []
    for group in shared(rows):
        first = group[0]
        for row in group:
            line = {key: row.shown.get(key) for key in COLUMNS}
            found = intervals.ratio(first.samples, row.samples, (first.drawn, row.drawn))
            lines.append(
                line | {"ratio": found["ratio"], "ratio_low": found["low"], "ratio_high": found["high"]}
            )
    return pd.DataFrame(lines, columns=list(COLUMNS)).astype(dict.fromkeys(("threads", "samples"), "Int64"))


def text(table: pd.DataFrame) -> str:
    """Return the table of `table` as Markdown; empty where no row was measured twice."""
    if table.empty:
        return ""
    columns = dict.fromkeys(("Networks", "Row", "Run", "Measured", "Revision"), "left")
    columns |= dict.fromkeys(("P50 (ms)", "P95 (ms)", "Against the first"), "right")
    lines = []
    for row in table.to_dict("records"):
        low, high = (cell(row[f"ms_p50_{end}"]) for end in ("low", "high"))
        lines.append(
            {
                "Networks": f"{cell(row['detector'])} + {cell(row['pose'])}",
                "Row": cell(row["title"]),
                "Run": cell(row["run"]),
                "Measured": cell((row["made_at"] or "")[:16].replace("T", " ")),
                "Revision": cell((row["git_revision"] or "")[:12]),
                "P50 (ms)": f"{cell(row['ms_p50'])} [{low}, {high}]",
                "P95 (ms)": cell(row["ms_p95"]),
                "Against the first": ratio_text(row["ratio"], row["ratio_low"], row["ratio_high"]),
            }
        )
    return markdown(lines, columns)


def plot(rows: list[Row], path) -> None:
    """Draw the rows that several runs share as PNG, a panel per machine and networks."""
    panels: dict = {}
    for group in shared(rows):
        first = group[0].shown
        panels.setdefault((first["machine"], first["detector"], first["pose"]), []).append(group)
    with plt.rc_context(style.STYLE):
        if not panels:
            style.message(path, HEADING, "No row was measured by two runs of one machine.", None)
            return
        heights = [max(PANEL_IN, 0.9 + 2 * LABEL_IN * len(groups)) for groups in panels.values()]
        height = 0.95 + sum(heights) + 0.45 * len(heights)
        figure = plt.figure(figsize=(style.WIDTH_IN, height))
        machines = list(dict.fromkeys(machine for machine, *_ in panels))
        told = [*machines, "median per frame with its 95 % interval, which holds how processes differ"]
        _, top = style.dress(figure, HEADING, " · ".join(told), None)
        for (key, groups), panel in zip(panels.items(), heights, strict=True):
            top += 0.5
            box = (
                0.75 / style.WIDTH_IN,
                1 - (top + panel - 0.45) / height,
                5.9 / style.WIDTH_IN,
                (panel - 0.45) / height,
            )
            _panel(figure.add_axes(box), key, groups, len(machines) > 1)
            top += panel - 0.05
        style.save(figure, path)


def _panel(axes, key: tuple, groups: list[list[Row]], several: bool) -> None:
    """Draw the lines of one pair of networks on one machine, each with its name at its end."""
    machine, detector, pose = key
    names = list(dict.fromkeys(row.shown["run"] for group in groups for row in group))
    order = {name: place for place, name in enumerate(names)}
    axes.set_title(
        f"{detector} + {pose}" + (f" · {machine}" if several else ""), fontsize=10.5, fontweight="bold"
    )
    shown = [row.shown for group in groups for row in group]
    axes.set_yscale("log")
    axes.set_ylim(
        min(row["ms_p50_low"] for row in shown) / 1.12, max(row["ms_p50_high"] for row in shown) * 1.12
    )
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 2.5, 3, 4, 5, 6, 8), numticks=8))
    axes.yaxis.set_major_formatter(FuncFormatter(_plain))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="y", which="minor", length=0)
    axes.grid(axis="y", color=style.RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlim(-0.3, len(names) - 0.7)
    days = {row["run"]: (row["made_at"] or "")[:10] for row in shown}
    axes.set_xticks(range(len(names)), [f"{name}\n{days[name]}".strip() for name in names], fontsize=9)
    axes.set_ylabel("ms per frame", fontsize=9.5)
    ends = []
    for group in groups:
        line = [row.shown for row in group]
        colour = style.RUNTIME_COLOURS.get(line[0]["runtime"], style.GREY)
        places = [order[row["run"]] for row in line]
        middles = [row["ms_p50"] for row in line]
        below = [middle - row["ms_p50_low"] for row, middle in zip(line, middles, strict=True)]
        above = [row["ms_p50_high"] - middle for row, middle in zip(line, middles, strict=True)]
        axes.errorbar(
            places, middles, (below, above), color=colour, marker="o", markersize=5, linewidth=1.8, capsize=3
        )
        ends.append((middles[-1], f"{line[0]['title']}  {style.axis_number(middles[-1])}", colour))
    _end_labels(axes, ends)


def _end_labels(axes, ends: list[tuple[float, str, str]]) -> None:
    """Write the names at the right of the axes, moved apart where they would lie on each other."""
    height_in = axes.get_position().height * axes.figure.get_figheight()
    places = [
        axes.transAxes.inverted().transform(axes.transData.transform((0, value)))[1] for value, *_ in ends
    ]
    low = -1.0
    for index in sorted(range(len(ends)), key=places.__getitem__):
        _, name, colour = ends[index]
        at = max(places[index], low)
        low = at + LABEL_IN / height_in
        axes.annotate(
            name, (1, places[index]), xycoords="axes fraction", xytext=(1.03, at), textcoords="axes fraction",
            va="center", fontsize=9, color=colour, annotation_clip=False,
        )  # fmt: skip


def _plain(value: float, _position=None) -> str:
    return f"{value:g}"
