"""The latency figure, and what all figures share: size, style, and text at their edges.

The figures of the scores are in accuracy_figures.py.
"""

import textwrap

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from posebench import results
from posebench.study import PIPELINE_TITLES
from posebench.tables import machines

WIDTH_IN, DPI = 9.6, 150  # 1440 px: sharp at the width of a README
STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so the picture is the same everywhere
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#777777",
    "axes.titlelocation": "left",
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "text.parse_math": False,  # a $ in a reason or a title is a $
}
# Okabe and Ito's colours, which colour-blind readers can tell apart.
RUNTIME_COLOURS = {
    "PyTorch": "#D55E00",
    "ONNX Runtime": "#0072B2",
    "OpenVINO": "#CC79A7",
    "TensorRT": "#009E73",
}
GREY, QUIET, RULE = "#757575", "#555555", "#e4e4e4"
COLUMNS = (1.12, 1.25, 1.38)  # right edges of the three columns of numbers, in widths of the axes
LEFT_IN, AXES_IN = 2.15, 5.15
LABEL_LETTERS = 22  # of a row's title in one line at the left
LEGEND_IN = 0.95  # height of the label of the axis and the legend


def save(figure, path) -> None:
    """Save as PNG with no version or date inside: the same data give the same bytes."""
    with results.atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
    plt.close(figure)


def dress(figure, title: str, subtitle: str, notice: str | None) -> tuple[float, float]:
    """Write title, subtitle and notice at the edges; return the free height (bottom, top) in inches."""
    height = figure.get_figheight()
    left = 0.15 / WIDTH_IN
    # The no-break space keeps a dot at the end of its line; it is not one that textwrap breaks at.
    lines = textwrap.wrap(subtitle.replace(" · ", "\N{NO-BREAK SPACE}· "), 115)
    figure.text(left, 1 - 0.12 / height, title, va="top", fontsize=14, fontweight="bold")
    figure.text(left, 1 - 0.45 / height, "\n".join(lines), va="top", fontsize=9.5, color=QUIET)
    small = textwrap.wrap(notice or "", 130)
    quiet = {"va": "bottom", "fontsize": 8.5, "color": QUIET, "style": "italic"}
    figure.text(left, 0.1 / height, "\n".join(small), **quiet)
    return 0.1 + 0.17 * len(small), 0.45 + 0.2 * len(lines)


def message(path, title: str, text: str, notice: str | None) -> None:
    """Draw a valid picture that says why there is nothing to show."""
    figure = plt.figure(figsize=(WIDTH_IN, 2.2))
    dress(figure, title, "", notice)
    figure.text(0.5, 0.45, text, ha="center", va="center", fontsize=12, color=GREY)
    save(figure, path)


def frame(figure, bottom: float, top: float):
    """Return the axes between the labels of the rows and the columns; `bottom` and `top` in inches."""
    height = figure.get_figheight()
    box = (LEFT_IN / WIDTH_IN, bottom / height, AXES_IN / WIDTH_IN, 1 - (bottom + top) / height)
    axes = figure.add_axes(box)
    axes.spines["left"].set_visible(False)
    return axes


def columns(axes, y: float, texts: list[str], **style) -> None:
    """Write the three numbers of a row at the right of the axes."""
    for x, text in zip(COLUMNS, texts, strict=True):
        axes.text(x, y, text, transform=axes.get_yaxis_transform(), ha="right", va="center", **style)


def headings(axes, texts: list[str]) -> None:
    """Write what the three columns hold above the axes."""
    for x, text in zip(COLUMNS, texts, strict=True):
        axes.annotate(
            text, (x, 1), xycoords="axes fraction", xytext=(0, 4.5), textcoords="offset points",
            ha="right", va="bottom", fontsize=9.5, color=QUIET,
        )  # fmt: skip


def band(axes, y: float, half: float, text: str) -> None:
    """Lay a grey band with the name of a group across labels, axes and columns, `half` rows up and down."""
    left, right, margin = -2.05 / AXES_IN, COLUMNS[-1] + 0.02, axes.get_yaxis_transform()
    strip = plt.Rectangle((left, y - half), right - left, 2 * half, transform=margin, color="#f1f1f1")
    axes.add_patch(strip).set_clip_on(False)
    axes.text(left + 0.015, y, text, transform=margin, va="center", fontweight="bold")


def legend(figure, handles: list, y_in: float, **style) -> None:
    """Draw a legend of one line, its foot `y_in` inches above the edge."""
    figure.legend(
        handles=handles, loc="lower center", bbox_to_anchor=(0.5, y_in / figure.get_figheight()),
        ncols=len(handles), frameon=False, fontsize=9.5, **style,
    )  # fmt: skip


def number(value: float) -> str:
    """Return three digits of a number, all digits before the point."""
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}" if value < 100 else f"{value:.1f}"


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
    columns(axes, y, [number(value) for value in (p50, p95, 1000 / samples.mean())])


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


def plot_latency(
    records: list[dict], path, title: str = "", notice: str | None = None, failing: tuple | set = ()
) -> None:
    """Draw the latency figure as PNG: one row per benchmark, grouped by pipeline.

    records: as read by tables.read_latency. A row that did not run is listed in grey with its reason.
    failing: the benchmarks whose artifact fails parity; they are marked.
    """
    heading = "Latency per image"
    ran = [record for record in records if record["status"] == "ok"]
    with plt.rc_context(STYLE):
        if not records:
            message(path, heading, "No benchmark row is configured.", notice)
            return
        groups = [(name, [r for r in records if r["pipeline"] == name]) for name in PIPELINE_TITLES.values()]
        groups = [(name, rows) for name, rows in groups if rows]
        slots = len(records) + len(groups)
        height = 0.43 * slots + 2.1
        figure = plt.figure(figsize=(WIDTH_IN, height))
        runs = sorted({len(record["latency_ms"]) for record in ran})
        told = [title, f"{' / '.join(map(str, runs))} runs each" if runs else "no row ran", *machines(ran)]
        if any(record["benchmark"] in failing for record in ran):
            told.append("†: fails parity: other results than PyTorch's")
        bottom, top = dress(figure, heading, " · ".join(filter(None, told)), notice)
        axes = frame(figure, bottom + LEGEND_IN, top + 0.15)
        axes.set_ylim(slots - 0.45, -0.55)
        if ran:
            _latency_axis(axes, ran)
        else:
            axes.set_xticks([])
            axes.spines["bottom"].set_visible(False)
        y, margin = 0.0, axes.get_yaxis_transform()
        for pipeline, rows in groups:
            band(axes, y, 0.4, pipeline)
            for record in rows:
                y += 1
                works = record["status"] == "ok"
                mark = " †" if works and record["benchmark"] in failing else ""
                name = textwrap.fill(record["title"] + mark, LABEL_LETTERS)
                axes.text(
                    -0.02, y, name, transform=margin, ha="right", va="center",
                    color="black" if works else GREY, fontsize=9 if "\n" in name else None, linespacing=1,
                )  # fmt: skip
                if works:
                    _latency_row(axes, y, record)
                else:
                    reason = textwrap.shorten(f"not run: {record['reason']}", 95, placeholder=" …")
                    quiet = {"color": GREY, "fontsize": 10, "style": "italic"}
                    ground = {"facecolor": "white", "edgecolor": "none", "pad": 2}
                    axes.text(0.015, y, reason, transform=margin, va="center", bbox=ground, **quiet)
            y += 1
        axes.set_yticks([])
        if ran:
            columns(axes, 0, ["median", "P95", "FPS"], fontsize=9.5, color=QUIET)
            axes.set_xlabel("milliseconds per image (logarithmic)")
            _latency_legend(figure, ran, bottom + 0.02)
        save(figure, path)


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
