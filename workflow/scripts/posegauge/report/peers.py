"""The pipeline beside other programs: table, Markdown, figure and sentence."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from posegauge.report.markdown import DEVICE_TITLES, cell, machines, markdown, page, ratio_text
from posegauge.report.style import GREY, RULE, RUNTIME_COLOURS, STYLE, WIDTH_IN, dress, legend, message, save
from posegauge.study import NOTICE

PEERS_COLUMNS = (
    "device", "way", "title", "runtime", "provider", "pipeline", "persons", "status", "reason", "rounds",
    "latency_ms_p50", "ratio", "ratio_low", "ratio_high", "keypoint_px_p50", "keypoint_px_p95",
    "keypoint_px_max",
)  # fmt: skip


OURS = "ours"


def peers_table(records: list[dict]) -> pd.DataFrame:
    """Return one row per device, way, pipeline and number of persons (see PEERS_COLUMNS; times in ms).

    `ratio` is the median of this pipeline / the median of the way. A way that was not run has one row.
    """
    rows = []
    for device, way in ((record["device"], way) for record in records for way in record["ways"]):
        about = {key: way[key] for key in ("way", "title", "runtime", "provider", "status", "reason")}
        about |= {"device": device}
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


def peers_markdown(
    table: pd.DataFrame, records: list[dict], title: str = "", notice: str | None = None
) -> str:
    """Return the tables for people, one a device, and what they mean; in one line where nothing ran."""
    parts = []
    for record in records:
        of_device = table[table["device"] == record["device"]]
        if reason := _why_none(record):
            parts.append(f"{DEVICE_TITLES[record['device']]}: *not run: {cell(reason)}*")
        else:
            parts += _device_markdown(of_device, record, title)
    explained = (
        "Median of the rounds; ×: median of posegauge on ONNX Runtime / median of this program, so below 1 "
        "posegauge is faster; the 95 % interval is a bootstrap over the rounds. All programs of a device ran "
        "in one process, in turn, with the same weights, boxes and number of threads, in FP32 without TF32 "
        "where they do not say BF16. "
        "In detect+pose detector and NMS run, and the given boxes take the place of what they find. "
        "Keypoints: distance from those of posegauge in the same boxes."
    )
    if records[0]["provenance"].get("weights") == NOTICE:
        explained += " With random weights it only says whether the networks got the same input."
    told = [f"- {cell(way['title'])}: {cell(way['does'])}" for way in records[0]["ways"]]
    return page([*parts, explained, "\n".join(told)], notice)


def _why_none(record: dict) -> str | None:
    """Return why nothing was run, where that has one reason; else None."""
    reasons = {way["reason"] for way in record["ways"]}
    return reasons.pop() if len(reasons) == 1 and record["ways"][0]["status"] != "ok" else None


def _device_markdown(table: pd.DataFrame, record: dict, title: str) -> list[str]:
    """Return the table of one device, one line per way and pipeline, and what it was measured with."""
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
    providers = dict.fromkeys(filter(None, (way["provider"] for way in record["ways"])))
    measured = [
        title,
        f"Machine: {'; '.join(machines([record])) or 'not recorded'}",
        f"{DEVICE_TITLES[record['device']]} ({', '.join(providers)}), threads: {record['threads']}",
        f"image: {image['file_name']} ({image['width']}×{image['height']})",
        f"{record['rounds']} rounds",
    ]
    return [markdown(rows, columns), " · ".join(filter(None, measured))]


def peers_finding(records: list[dict]) -> str | None:
    """Return how posegauge stands to the others in detect+pose, a sentence a device; None if nothing ran."""
    return " ".join(filter(None, map(_device_finding, records))) or None


def _device_finding(record: dict) -> str | None:
    table = peers_table([record])
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
        f"Detect+pose of posegauge on ONNX Runtime on the {DEVICE_TITLES[record['device']]} takes, as a part "
        "of the time of other programs with the same weights, by number of persons (in brackets): "
        f"{'; '.join(told)}."
    )


MARKERS = ("o", "s", "^", "D", "v", "P")


TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


LEFT_IN, RIGHT_IN, GAP_IN, ROW_IN = 2.1, 0.3, 0.25, 0.5


LABEL_LETTERS, REASON_LETTERS = 22, 46  # so many fit beside a panel, and into one


def plot_peers(records: list[dict], path, title: str = "", notice: str | None = None) -> None:
    """Draw as PNG how much longer each program takes than posegauge, by number of persons, with intervals.

    records: records.Run.peers. One panel per pipeline, the devices one below the other; a program that did
    not run is named in grey with its reason, a device on which none did not at all.
    """
    heading = "The pipeline beside other programs"
    table = peers_table(records)
    with plt.rc_context(STYLE):
        if not (table["status"] == "ok").any():
            message(path, heading, "No program was timed.", notice)
            return
        records = [record for record in records if not _why_none(record)]
        several = len(records) > 1
        ways = [
            way
            | {
                "device": record["device"],
                "label": way["title"] + (f", {DEVICE_TITLES[record['device']]}" if several else ""),
            }
            for record in records
            for way in record["ways"]
            if way["way"] != OURS
        ]
        record = records[0]
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
                -0.03, y, textwrap.fill(way["label"], LABEL_LETTERS), transform=margin,
                ha="right", va="center", color="black" if ran else GREY,
            )  # fmt: skip
        rows = table[(table["way"] == way["way"]) & (table["device"] == way["device"])]
        if rows.empty:
            reason = "has no such call" if ran else f"not run: {way['reason']}"
            axes.text(
                0.02, y, textwrap.fill(reason, REASON_LETTERS), transform=margin, va="center",
                color=GREY, fontsize=9, style="italic",
            )  # fmt: skip
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
