"""The latency figure: samples, median and P95 of every row."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from posegauge.report.markdown import machines
from posegauge.report.style import (
    GREY,
    LEGEND_IN,
    QUIET,
    RULE,
    RUNTIME_COLOURS,
    STYLE,
    TIER_LEGEND_IN,
    WIDTH_IN,
    axis_number,
    band,
    columns,
    dress,
    frame,
    legend,
    message,
    save,
    tier_legend,
    tier_mark,
)
from posegauge.study import PIPELINE_TITLES

LABEL_LETTERS = 21  # of a row's title in one line at the left
NOT_RUN_LETTERS = 84  # of a line that names rows without a result
LINE_SLOTS = 0.45  # its height, in rows


def _latency_row(axes, y: float, record: dict) -> None:
    """Draw the samples of one row: dots, the box of the quartiles, the median and P95."""
    samples = np.asarray(record["latency_ms"], dtype=np.float64)
    colour = RUNTIME_COLOURS[record["runtime"]]
    p25, p50, p75, p95 = np.percentile(samples, (25, 50, 75, 95))
    # A fixed scatter (golden ratio) instead of a random one: the same data give the same picture.
    scatter = (np.arange(len(samples)) * 0.618034 % 1 - 0.5) * 0.56
    axes.scatter(samples, y + scatter, s=5, color=colour, alpha=0.28, linewidths=0, zorder=2)
    axes.fill_betweenx([y - 0.3, y + 0.3], p25, p75, color=colour, alpha=0.35, linewidth=0, zorder=3)
    axes.plot([p50, p50], [y - 0.36, y + 0.36], color=colour, linewidth=2.4, zorder=4)
    axes.plot(p95, y, marker="D", markersize=5, markerfacecolor="white", markeredgecolor="black", zorder=5)
    columns(axes, y, [axis_number(value) for value in (p50, p95, 1000 / samples.mean())])


def _ticks(value: float, _position=None) -> str:
    return f"{value:g}"


def _latency_axis(axes, records: list[dict]) -> None:
    """Set the logarithmic axis so that all samples fit and at least two ticks have a label."""
    samples = np.concatenate([np.asarray(record["latency_ms"], dtype=np.float64) for record in records])
    low, high = samples.min() / 1.3, samples.max() * 1.3
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    wide = high / low > 30
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3) if wide else (1, 2, 3, 5, 7), numticks=20))
    axes.xaxis.set_major_formatter(FuncFormatter(_ticks))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", color=RULE, linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)


def _without_result(rows: list[dict]) -> list[tuple[str, str, int]]:
    """Return (label, text, lines) of the rows that did not run, those of one reason together."""
    reasons = {}
    for record in rows:
        if record["status"] != "ok":
            reason = textwrap.shorten(f"{record['status']}: {record['reason']}", 95, placeholder=" …")
            reasons.setdefault(reason, []).append(record["title"])
    shown = []
    for reason, titles in reasons.items():
        if len(titles) == 1:
            shown.append((textwrap.fill(titles[0], LABEL_LETTERS), reason, 1))
        else:
            # A line ends with a dot and breaks no title.
            names = "\u00a0· ".join(title.replace(" ", "\u00a0") for title in titles)
            lines = [reason, *textwrap.wrap(names, NOT_RUN_LETTERS)]
            shown.append((f"{len(titles)} rows", "\n".join(lines), len(lines)))
    return shown


def plot_latency(
    records: list[dict], path, title: str = "", notice: str | None = None, verdicts: dict | None = None
) -> None:
    """Draw the latency figure as PNG: one row per benchmark, grouped by pipeline.

    records: as read by records.read_latency. Rows without a result stand in grey below the others, by reason.
    verdicts: {benchmark: tiers.Verdict}; the shape beside a row's title shows its tier.
    """
    verdicts = verdicts or {}
    heading = "Latency per image"
    ran = [record for record in records if record["status"] == "ok"]
    with plt.rc_context(STYLE):
        if not records:
            message(path, heading, "No benchmark row is configured.", notice)
            return
        groups = [(name, [r for r in records if r["pipeline"] == name]) for name in PIPELINE_TITLES.values()]
        groups = [(name, rows, _without_result(rows)) for name, rows in groups if rows]
        # Rows of the figure: a band and the rows of each group.
        slots = len(groups) + len(ran)
        slots += sum(_slots(lines) for _, _, without in groups for _, _, lines in without)
        marked = [verdicts[name] for record in ran if (name := record["benchmark"]) in verdicts]
        legend_in = LEGEND_IN + (TIER_LEGEND_IN if marked else 0)
        height = 0.43 * slots + 1.15 + legend_in
        figure = plt.figure(figsize=(WIDTH_IN, height))
        runs = sorted({len(record["latency_ms"]) for record in ran})
        told = [title, f"{' / '.join(map(str, runs))} runs each" if runs else "no row ran", *machines(ran)]
        bottom, top = dress(figure, heading, " · ".join(filter(None, told)), notice)
        axes = frame(figure, bottom + legend_in, top + 0.15)
        axes.set_ylim(slots - 0.45, -0.55)
        if ran:
            _latency_axis(axes, ran)
        else:
            axes.set_xticks([])
            axes.spines["bottom"].set_visible(False)
        y, margin = 0.0, axes.get_yaxis_transform()
        for pipeline, rows, without in groups:
            band(axes, y, 0.4, pipeline)
            y += 1
            for record in rows:
                if record["status"] == "ok":
                    if record["benchmark"] in verdicts:
                        mark = tier_mark(verdicts[record["benchmark"]])
                        axes.plot(-0.022, y, transform=margin, clip_on=False, **mark)
                    _label(axes, y, textwrap.fill(record["title"], LABEL_LETTERS), "black")
                    _latency_row(axes, y, record)
                    y += 1
            for label, text, lines in without:
                middle = y + (_slots(lines) - 1) / 2
                _label(axes, middle, label, GREY)
                quiet = {"color": GREY, "fontsize": 10, "style": "italic", "linespacing": 1.35}
                ground = {"facecolor": "white", "edgecolor": "none", "pad": 2}
                axes.text(0.015, middle, text, transform=margin, va="center", bbox=ground, **quiet)
                y += _slots(lines)
        axes.set_yticks([])
        if ran:
            columns(axes, 0, ["median", "P95", "FPS"], fontsize=9.5, color=QUIET)
            axes.set_xlabel("milliseconds per image (logarithmic)")
            _latency_legend(figure, ran, bottom + legend_in - LEGEND_IN + 0.02)
        if marked:
            tier_legend(figure, marked, bottom + 0.02)
        save(figure, path)


def _slots(lines: int) -> float:
    """Return how many rows of the figure a text of so many lines needs."""
    return max(1.0, lines * LINE_SLOTS + 0.25)


def _label(axes, y: float, text: str, colour: str) -> None:
    size = {"fontsize": 9 if "\n" in text else None, "linespacing": 1}
    axes.text(
        -0.045, y, text, transform=axes.get_yaxis_transform(), ha="right", va="center", color=colour, **size
    )


def _latency_legend(figure, ran: list[dict], y_in: float) -> None:
    handles = [
        plt.Line2D([], [], color=colour, linewidth=5, alpha=0.8, label=name)
        for name, colour in RUNTIME_COLOURS.items()
        if any(record["runtime"] == name for record in ran)
    ]
    plain = {"linestyle": "none", "color": QUIET}
    markers = {
        "median": {"marker": "|", "markersize": 11, "markeredgewidth": 2.4},
        "middle half": {"marker": "s", "markersize": 9, "alpha": 0.4},
        "P95": {"marker": "D", "markersize": 5, "markerfacecolor": "white", "markeredgecolor": "black"},
        "one run": {"marker": ".", "markersize": 5, "alpha": 0.6},
    }
    handles += [plt.Line2D([], [], label=name, **plain, **style) for name, style in markers.items()]
    legend(figure, handles, y_in, columnspacing=1.4, handlelength=1.2, handletextpad=0.5)
