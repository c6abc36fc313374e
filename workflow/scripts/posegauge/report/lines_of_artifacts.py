"""Lines of several artifacts in one figure, logarithmic both ways, each with its name at its end."""

import textwrap

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from posegauge.report.style import RULE

LINES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))  # artifacts of one runtime


MARKERS = ("o", "s", "^", "D")


LABEL_IN = 0.33  # least distance of two labels of two lines


def scale(axes, counts: list[int], ticks: list[int], low: float, high: float) -> None:
    """Scale the axes: x over `counts`, ascending, with `ticks`; y from low to high, with a grid."""
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlim(counts[0] / 1.12, counts[-1] * 1.12)
    axes.set_ylim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(_plain))
    wide = high / low > 30
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 3) if wide else (1, 2, 3, 5, 7), numticks=20))
    axes.yaxis.set_major_formatter(FuncFormatter(_plain))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(color=RULE, linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)


def name_ends(axes, ends: list[tuple]) -> None:
    """Write the name of each line at the right of the axes. ends: (x, y, name, colour) of its last points."""
    low, high = axes.get_ylim()
    height = axes.get_window_extent().height / axes.figure.dpi
    where = [np.log(value / low) / np.log(high / low) * height for _, value, _, _ in ends]
    for y, (x, value, name, colour) in zip(spread(where, LABEL_IN), ends, strict=True):
        axes.annotate(
            "\n".join(textwrap.wrap(name, 34)), xy=(x, value), xycoords="data",
            xytext=(1.04, y / height), textcoords="axes fraction", va="center", fontsize=9, color=colour,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "alpha": 0.6, "shrinkB": 4},
        )  # fmt: skip


def spread(values: list[float], gap: float) -> list[float]:
    """Move values apart until neighbours lie at least `gap` from each other; in the order given.

    The mean of two ways that both keep the gap: everything moved up only, and everything moved down only.
    """
    order = np.argsort(values, kind="stable")
    steps = gap * np.arange(len(values))
    standing = np.asarray(values, np.float64)[order] - steps
    up = np.maximum.accumulate(standing)
    down = np.minimum.accumulate(standing[::-1])[::-1]
    moved = np.empty(len(values))
    moved[order] = (up + down) / 2 + steps
    return moved.tolist()


def _plain(value: float, _position=None) -> str:
    return f"{value:g}"
