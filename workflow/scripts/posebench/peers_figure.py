"""The figure of the pipeline beside other programs."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from posebench.figures import GREY, RULE, RUNTIME_COLOURS, STYLE, WIDTH_IN, dress, legend, message, save
from posebench.peers_tables import OURS, peers_table
from posebench.tables import machines

MARKERS = ("o", "s", "^", "D", "v", "P")
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
LEFT_IN, RIGHT_IN, GAP_IN, ROW_IN = 2.1, 0.3, 0.25, 0.5


def plot_peers(record: dict, path, title: str = "", notice: str | None = None) -> None:
    """Draw as PNG how much longer each program takes than posebench, by number of persons, with intervals.

    record: as read by peers_tables.read_peers. One panel per pipeline; a program that did not run is named in
    grey with its reason.
    """
    heading = "The pipeline beside other programs"
    table = peers_table(record)
    with plt.rc_context(STYLE):
        if not (table["status"] == "ok").any():
            message(path, heading, "No program was timed.", notice)
            return
        ways = [way for way in record["ways"] if way["way"] != OURS]
        figure = plt.figure(figsize=(WIDTH_IN, ROW_IN * len(ways) + 2.5))
        told = [title, *machines([record]), f"{record['threads']} threads", f"{record['rounds']} rounds"]
        bottom, top = dress(figure, heading, " · ".join(filter(None, told)), notice)
        height = figure.get_figheight()
        width = (WIDTH_IN - LEFT_IN - RIGHT_IN - GAP_IN) / 2
        low, high = _limits(table)
        for panel, pipeline in enumerate(("detect+pose", "pose only")):
            left = LEFT_IN + panel * (width + GAP_IN)
            box = (left / WIDTH_IN, (bottom + 1.0) / height, width / WIDTH_IN)
            axes = figure.add_axes((*box, 1 - (bottom + top + 1.35) / height))
            axes.set_title(pipeline, fontsize=11, fontweight="bold")
            _panel(axes, table[table["pipeline"] == pipeline], ways, record["persons"], panel == 0)
            axes.set_xlim(low, high)
            axes.set_ylim(len(ways) - 0.5, -0.5)
        figure.text(
            0.5 + (LEFT_IN - RIGHT_IN) / 2 / WIDTH_IN, (bottom + 0.4) / height, ha="center",
            s="time of the program / time of posebench on ONNX Runtime (logarithmic; right of 1: slower)",
        )  # fmt: skip
        handles = [
            plt.Line2D([], [], color=GREY, marker=marker, linestyle="none", label=f"persons: {persons}")
            for marker, persons in zip(MARKERS, record["persons"], strict=False)
        ]
        handles += [
            plt.Line2D([], [], color=RUNTIME_COLOURS[name], linewidth=5, label=name)
            for name in dict.fromkeys(way["runtime"] for way in ways)
        ]
        legend(figure, handles, bottom + 0.02)
        save(figure, path)


def _limits(table: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of the logarithmic axis, so that all intervals and 1 fit."""
    values = 1 / table[["ratio", "ratio_low", "ratio_high"]].to_numpy(np.float64)
    return min(np.nanmin(values), 1) / 1.15, max(np.nanmax(values), 1) * 1.15


def _panel(axes, table: pd.DataFrame, ways: list[dict], persons: list[int], labelled: bool) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(TICKS))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(axis="x", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    margin = axes.get_yaxis_transform()
    for y, way in enumerate(ways):
        ran = way["status"] == "ok"
        if labelled:
            axes.text(
                -0.03, y, way["title"], transform=margin, ha="right", va="center",
                color="black" if ran else GREY,
            )  # fmt: skip
        rows = table[table["way"] == way["way"]]
        if rows.empty:
            reason = "has no such call" if ran else f"not run: {way['reason']}"
            axes.text(0.02, y, reason, transform=margin, va="center", color=GREY, fontsize=9, style="italic")
        for row in rows.to_dict("records"):
            place = persons.index(row["persons"])
            offset = (place - (len(persons) - 1) / 2) * 0.22
            colour = RUNTIME_COLOURS[row["runtime"]]
            if not pd.isna(row["ratio_low"]):
                ends = [1 / row["ratio_high"], 1 / row["ratio_low"]]
                axes.plot(ends, [y + offset] * 2, color=colour, linewidth=1.6)
            axes.plot(1 / row["ratio"], y + offset, MARKERS[place % len(MARKERS)], color=colour, markersize=6)
