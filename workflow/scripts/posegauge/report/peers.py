"""The pipeline beside other programs: table, Markdown, figure and sentence."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from posegauge.report.markdown import cell, machines, markdown, page, ratio_text
from posegauge.report.style import GREY, RULE, RUNTIME_COLOURS, STYLE, WIDTH_IN, dress, legend, message, save
from posegauge.study import NOTICE

PEERS_COLUMNS = (
    "way", "title", "runtime", "pipeline", "persons", "status", "reason", "rounds", "latency_ms_p50",
    "ratio", "ratio_low", "ratio_high", "keypoint_px_p50", "keypoint_px_p95", "keypoint_px_max",
)  # fmt: skip


OURS = "ours"


def peers_table(record: dict) -> pd.DataFrame:
    """Return one row per way, pipeline and number of persons (see PEERS_COLUMNS; times in milliseconds).

    `ratio` is the median of this pipeline / the median of the way. A way that was not run has one row.
    """
    rows = []
    for way in record["ways"]:
        about = {key: way[key] for key in ("way", "title", "runtime", "status", "reason")}
        near = way["agreement"] or {}
        about |= {f"keypoint_{name}": near.get(name) for name in ("px_p50", "px_p95", "px_max")}
        rows += [
            about
            | {
                "pipeline": row["pipeline"],
                "persons": row["persons"],
                "rounds": len(row["latency_ms"]),
                "latency_ms_p50": float(np.median(row["latency_ms"])),
                "ratio": row["ratio"]["value"],
                "ratio_low": row["ratio"]["low"],
                "ratio_high": row["ratio"]["high"],
            }
            for row in way["rows"]
        ] or [about]
    table = pd.DataFrame(rows, columns=list(PEERS_COLUMNS))
    return table.astype(dict.fromkeys(("persons", "rounds"), "Int64"))


def peers_markdown(table: pd.DataFrame, record: dict, title: str = "", notice: str | None = None) -> str:
    """Return the table for people: one line per way and pipeline, columns by number of persons."""
    counts = {number: f"{number} person{'' if number == 1 else 's'}" for number in record["persons"]}
    columns = {"Program": "left", "Pipeline": "left", **dict.fromkeys(counts.values(), "right")}
    columns |= {"Keypoints P50 / P95 (px)": "right"}
    rows = []
    for (way, pipeline), part in table.groupby(["way", "pipeline"], sort=False, dropna=False):
        first = part.iloc[0]
        shown = {"Program": cell(f"{first['title']} ({first['runtime']})")}
        if first["status"] != "ok":
            rows.append(shown | {"Pipeline": f"*not run: {cell(first['reason'])}*"})
            continue
        shown["Pipeline"] = pipeline
        for row in part.to_dict("records"):
            against = (
                "" if way == OURS else f", {ratio_text(row['ratio'], row['ratio_low'], row['ratio_high'])}"
            )
            shown[counts[row["persons"]]] = f"{row['latency_ms_p50']:.1f} ms{against}"
        if way != OURS and not pd.isna(first["keypoint_px_p50"]):
            shown["Keypoints P50 / P95 (px)"] = (
                f"{cell(first['keypoint_px_p50'])} / {cell(first['keypoint_px_p95'])}"
            )
        rows.append(shown)
    # The two pipelines apart, each in the order of the ways.
    order = {"detect+pose": 0, "pose only": 1}
    rows.sort(key=lambda row: order.get(row["Pipeline"], 2))
    image = record["image"]
    measured = [
        title,
        f"Machine: {'; '.join(machines([record])) or 'not recorded'}",
        f"CPU, threads: {record['threads']}",
        f"image: {image['file_name']} ({image['width']}×{image['height']})",
        f"{record['rounds']} rounds",
    ]
    explained = (
        "Median of the rounds; ×: median of posegauge on ONNX Runtime / median of this program, so below 1 "
        "posegauge is faster; the 95 % interval is a bootstrap over the rounds. All programs ran in one "
        "process, in turn, with the same weights, boxes and number of threads. In detect+pose detector and "
        "NMS run, and the given boxes take the place of what they find. Keypoints: distance from those of "
        "posegauge in the same boxes."
    )
    if record["provenance"].get("weights") == NOTICE:
        explained += " With random weights it only says whether the networks got the same input."
    told = [f"- {cell(way['title'])}: {cell(way['does'])}" for way in record["ways"]]
    return page(
        [markdown(rows, columns), " · ".join(filter(None, measured)), explained, "\n".join(told)], notice
    )


def peers_finding(record: dict) -> str | None:
    """Return in one sentence how posegauge stands to the others in detect+pose; None if nothing ran."""
    table = peers_table(record)
    table = table[(table["status"] == "ok") & (table["pipeline"] == "detect+pose") & (table["way"] != OURS)]
    told = []
    for _, part in table.groupby("way", sort=False):
        ratios = [
            f"{ratio_text(row['ratio'], row['ratio_low'], row['ratio_high'])} ({row['persons']})"
            for row in part.to_dict("records")
        ]
        told.append(f"{part.iloc[0]['title']} {', '.join(ratios)}")
    if not told:
        return None
    return (
        "Detect+pose of posegauge on ONNX Runtime on the CPU takes, as a part of the time of other programs "
        f"with the same weights, by number of persons (in brackets): {'; '.join(told)}."
    )


MARKERS = ("o", "s", "^", "D", "v", "P")


TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


LEFT_IN, RIGHT_IN, GAP_IN, ROW_IN = 2.1, 0.3, 0.25, 0.5


def plot_peers(record: dict, path, title: str = "", notice: str | None = None) -> None:
    """Draw as PNG how much longer each program takes than posegauge, by number of persons, with intervals.

    record: records.Run.peers. One panel per pipeline; a program that did not run is named in
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
            s="time of the program / time of posegauge on ONNX Runtime (logarithmic; right of 1: slower)",
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


# ------------------------------------------------------------------- what report/pages.py asks for


def table(run) -> pd.DataFrame:
    """Return the table of other programs. run: records.Run."""
    return peers_table(run.peers)


def text(table: pd.DataFrame, run, title: str = "", notice: str | None = None) -> str:
    """Return the table of `table` as Markdown, with what explains it."""
    return peers_markdown(table, run.peers, title, notice)


def plot(run, path, title: str = "", notice: str | None = None) -> None:
    """Draw the figure as PNG."""
    plot_peers(run.peers, path, title, notice)
