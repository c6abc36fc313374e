"""Speed by persons and by batch: table, Markdown and figure."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from posegauge.report import lines_of_artifacts
from posegauge.report.lines_of_artifacts import LABEL_IN, LINES, MARKERS
from posegauge.report.markdown import cell, machines, markdown, page
from posegauge.report.parity import artifact_title, tiers_note, titled
from posegauge.report.style import GREY, QUIET, RUNTIME_COLOURS, STYLE, WIDTH_IN, dress, message, save
from posegauge.score import tiers
from posegauge.score.intervals import median_interval
from posegauge.study import RUNTIME_TITLES

BATCH_COLUMNS = (
    "artifact", "title", "status", "reason", "series", "images", "persons", "runs", "turn_ms_p50",
    "images_per_s", "images_per_s_low", "images_per_s_high", "persons_per_s", "tier",
)  # fmt: skip


TITLES = {
    "persons": "Images per second by persons in the image, one image at a time",
    "images": "Images per second by images in a batch, {} in each",
}


def batches_table(record: dict, parity=()) -> pd.DataFrame:
    """Return one row per point (see BATCH_COLUMNS), one in all for an artifact that was not run.

    record: of records.Run.batches. parity: of records.Run.parity; an artifact without a record has no tier.
    """
    known = {found["artifact"]: tiers.of_record(found).tier for found in parity}
    rows = []
    for entry in record["artifacts"]:
        same = {"artifact": entry["artifact"], "title": artifact_title(entry)}
        same["tier"] = known.get(entry["artifact"])
        for point in entry["points"] or [{"status": entry["status"], "reason": entry["reason"]}]:
            row = same | {key: point.get(key) for key in ("status", "reason", "series", "images", "persons")}
            if point["status"] == "ok":
                speed = 1e3 * point["images_per_turn"] / np.array(point["turn_ms"])
                low, high = median_interval(speed)
                row |= {
                    "runs": len(speed),
                    "turn_ms_p50": float(np.median(point["turn_ms"])),
                    "images_per_s": float(np.median(speed)),
                    "images_per_s_low": low,
                    "images_per_s_high": high,
                    "persons_per_s": float(np.median(speed)) * point["persons"],
                }
            rows.append(row)
    table = pd.DataFrame(rows, columns=list(BATCH_COLUMNS))
    return table.astype(dict.fromkeys(("images", "persons", "runs"), "Int64"))


def heading(series: str, record: dict) -> str:
    """Return what one of the series shows."""
    count = record["persons_per_image"]
    return TITLES[series].format(f"{count} person{'' if count == 1 else 's'}")


def _counts(table: pd.DataFrame, series: str) -> list[int]:
    return list(dict.fromkeys(int(value) for value in table.loc[table["series"] == series, series]))


def _speed(row: dict) -> str:
    if row["status"] != "ok":
        return "not run"
    shown = cell(row["images_per_s"], 1)
    if pd.isna(row["images_per_s_low"]):
        return shown
    return f"{shown} ({cell(row['images_per_s_low'], 1)} to {cell(row['images_per_s_high'], 1)})"


def batches_markdown(table: pd.DataFrame, record: dict, title: str = "", notice: str | None = None) -> str:
    """Return both series for people, with models, machine and notice."""
    parts = []
    for series in TITLES:
        counts = _counts(table, series)
        columns = {"Artifact": "left"} | {str(count): "right" for count in counts}
        rows = []
        for _, lines in table.groupby("artifact", sort=False):
            first = lines.iloc[0]
            row = {"Artifact": cell(titled(first))}
            found = lines[lines["series"] == series]
            row |= {str(line[series]): _speed(line) for line in found.to_dict("records")}
            if found.empty:
                row["Artifact"] += f": *not run: {cell(first['reason'])}*"
            rows.append(row)
        parts += [f"**{heading(series, record)}**", markdown(rows, columns)]
    reasons = [
        f"{row['title']}, {row['images']} images: {row['reason']}"
        for row in table[(table["status"] != "ok") & table["series"].notna()].to_dict("records")
    ]
    explained = (
        f"Detector and pose network, boxes given. Medians of {record['runs']} turns, taken in turn"
        + (" (95 % intervals)" if table["images_per_s_low"].notna().any() else "")
        + f". {record['threads']} CPU threads."
    )
    measured = " · ".join(
        filter(None, (title, f"Machine: {'; '.join(machines([record])) or 'not recorded'}"))
    )
    told = "; ".join(map(cell, reasons))
    return page([*parts, measured, explained, tiers_note(table), f"Not run: {told}." if told else ""], notice)


AXES = {"persons": "persons in the image (logarithmic)", "images": "images in a batch (logarithmic)"}


LEFT_IN, AXES_IN, PANEL_IN = 0.75, 5.6, 2.75  # left edge and width of the axes, height of a panel


def _panel(axes, lines: pd.DataFrame, series: str, styles: dict) -> None:
    """Draw one series: medians with their intervals, each line with its name at the right."""
    ends = []
    for name, points in lines.groupby("artifact", sort=False):
        points = points.sort_values(series)
        x, speed = points[series].to_numpy(float), points["images_per_s"].to_numpy(float)
        colour, line, marker = styles[name]
        axes.plot(x, speed, linestyle=line, marker=marker, color=colour, markersize=5, linewidth=1.6)
        low, high = (points[f"images_per_s_{end}"].astype(float) for end in ("low", "high"))
        axes.vlines(x, low.to_numpy(), high.to_numpy(), color=colour, linewidth=3.5, alpha=0.35)
        row = points.iloc[-1]
        ends.append((x[-1], speed[-1], titled(row), colour))
    counts = sorted({int(count) for count in lines[series]})
    bounds = lines[["images_per_s", "images_per_s_low", "images_per_s_high"]].astype(float)
    lines_of_artifacts.scale(axes, counts, counts, np.nanmin(bounds) / 1.25, np.nanmax(bounds) * 1.25)
    axes.set_xlabel(AXES[series], fontsize=10)
    lines_of_artifacts.name_ends(axes, ends)


def plot_batches(table: pd.DataFrame, record: dict, path, title: str = "", notice: str | None = None) -> None:
    """Draw both series as PNG: images per second, logarithmic both ways, one line per artifact.

    table, record: see batches_table. What was not run is named below.
    """
    name = "Speed by persons and by batch"
    ran = table[table["status"] == "ok"]
    missing = table[(table["status"] != "ok") & table["series"].isna()]
    reasons = [f"{row.title}: {row.reason}" for row in missing.itertuples()]
    with plt.rc_context(STYLE):
        if ran.empty:
            message(path, name, textwrap.fill("not run: " + "; ".join(reasons), 80), notice)
            return
        styles, seen = {}, {}
        runtimes = {entry["artifact"]: RUNTIME_TITLES[entry["runtime"]] for entry in record["artifacts"]}
        for artifact in dict.fromkeys(ran["artifact"]):
            runtime = runtimes[artifact]
            turn = seen[runtime] = seen.get(runtime, -1) + 1
            styles[artifact] = (
                RUNTIME_COLOURS[runtime], LINES[turn % len(LINES)], MARKERS[turn % len(MARKERS)]
            )  # fmt: skip
        panel = max(PANEL_IN, LABEL_IN * len(styles) + 0.2)
        below = textwrap.wrap("not run: " + "; ".join(reasons), 125) if reasons else []
        foot, head, between = 0.75 + 0.19 * len(below), 0.55, 1.05
        intervals = ran["images_per_s_low"].notna().any()
        told = [title, f"medians of {record['runs']} turns" + (" with 95 % intervals" if intervals else "")]
        told += machines([record])
        if tiers_note(ran):
            told.append("%: least share of its source's AP that it keeps")
        subtitle = " · ".join(filter(None, told))
        # The height must stand before the texts at the edges say how much of it is theirs.
        probe = plt.figure(figsize=(WIDTH_IN, 8))
        bottom, top = dress(probe, name, subtitle, notice)
        plt.close(probe)
        height = bottom + foot + 2 * panel + between + head + top
        figure = plt.figure(figsize=(WIDTH_IN, height))
        dress(figure, name, subtitle, notice)
        base = bottom + foot
        for index, series in enumerate(TITLES):
            low = base + (1 - index) * (panel + between)
            axes = figure.add_axes(
                (LEFT_IN / WIDTH_IN, low / height, AXES_IN / WIDTH_IN, panel / height)
            )  # fmt: skip
            axes.set_title(heading(series, record), fontsize=11, fontweight="bold", pad=8)
            lines = ran[ran["series"] == series]
            if lines.empty:
                axes.set_axis_off()
                axes.text(0.5, 0.5, "not run", ha="center", color=GREY, transform=axes.transAxes)
                continue
            _panel(axes, lines, series, styles)
        figure.text(
            0.15 / WIDTH_IN, (bottom + 0.06) / height, "\n".join(below), va="bottom", fontsize=9,
            color=QUIET, style="italic",
        )  # fmt: skip
        save(figure, path)


# ------------------------------------------------------------------- what report/pages.py asks for


def table(run) -> pd.DataFrame:
    """Return the table by persons and batch. run: records.Run."""
    return batches_table(run.batches, run.parity)


def text(table: pd.DataFrame, run, title: str = "", notice: str | None = None) -> str:
    """Return the table of `table` as Markdown, with what explains it."""
    return batches_markdown(table, run.batches, title, notice)


def plot(run, path, title: str = "", notice: str | None = None) -> None:
    """Draw the figure as PNG."""
    plot_batches(table(run), run.batches, path, title, notice)
