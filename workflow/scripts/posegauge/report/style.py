"""What all figures share: size, style, text at their edges, and the marks of scores."""

import textwrap

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.patheffects import withStroke

from posegauge.score import tiers
from posegauge.store import files

matplotlib.use("Agg")


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


LEGEND_IN = 0.95  # height of the label of the axis and the legend


def save(figure, path) -> None:
    """Save as PNG with no version or date inside: the same data give the same bytes."""
    with files.atomic_path(path) as temporary:
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


# Of each tier its shape; what others are compared with has that of what is the same.
TIER_SHAPES = {"source": "o", "exact": "o", "99.9 %": "s", "99 %": "^", "not checked": "_", "fails": "X"}


TIER_LEGEND_IN = 0.25  # height of its line


def tier_mark(verdict: tiers.Verdict) -> dict:
    """Return the style of the mark of a tier: filled, or hollow where there are too few images to tell it."""
    colour = GREY if verdict.tier in (tiers.NOT_CHECKED, tiers.FAILS) else "black"
    return {
        "marker": TIER_SHAPES[verdict.tier], "color": colour, "linestyle": "none", "markersize": 6,
        "markerfacecolor": colour if verdict.told else "white",
    }  # fmt: skip


def tier_legend(figure, verdicts: list[tiers.Verdict], y_in: float) -> None:
    """Draw a legend of one line of the tiers that are shown, best first."""
    shown = {}
    for verdict in sorted(verdicts, key=lambda one: (tiers.rank(one.tier), not one.told)):
        name = verdict.tier + ("" if verdict.told else "?")
        shown[name] = plt.Line2D([], [], label=name, **tier_mark(verdict))
    if shown.get("source") and shown.get("exact"):
        shown["exact"].set_label("source, exact")
        del shown["source"]
    words = ["Share of AP kept:"] + ["(?: too few images to tell)"] * any(
        name.endswith("?") for name in shown
    )
    head, *tail = (plt.Line2D([], [], linestyle="none", label=text) for text in words)
    legend(
        figure, [head, *shown.values(), *tail], y_in, columnspacing=1.4, handlelength=1.2, handletextpad=0.5
    )


def axis_number(value: float) -> str:
    """Return three digits of a number, all digits before the point."""
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}" if value < 100 else f"{value:.1f}"


# Okabe and Ito's colours, which colour-blind readers can tell apart; keypoint AP is blue in every figure.
DETECTION, AP, DETECTOR_LOSS, POSE_LOSS = "#56B4E9", "#0072B2", "#D55E00", "#F0C13C"


MARKER = {"marker": "D", "markerfacecolor": "white", "markeredgecolor": "black", "linestyle": "none"}


WHISKER = {"color": "#222222", "linewidth": 1.2, "marker": "|", "markersize": 6}


HALO = [withStroke(linewidth=3, foreground="white")]


NO_CONDITION = "No image condition is configured."


NO_COCO_C = "The suite COCO-C is not part of this run."


def all_known(*values) -> bool:
    return not any(value is None or pd.isna(value) for value in values)


def rows_of(table: pd.DataFrame, suite: str) -> list[dict]:
    return table[table["suite"] == suite].to_dict("records")


def images_text(rows: list[dict]) -> str:
    """Return '2693 images with persons per condition' of rows of one or more numbers."""
    counts = sorted({int(row["images"]) for row in rows})
    return f"{' / '.join(map(str, counts))} images with persons per condition"


def draw_whisker(axes, y: float, low, high) -> None:
    if all_known(low, high):
        axes.plot([low, high], [y, y], path_effects=HALO, zorder=6, **WHISKER)


def whisker_handle():
    return plt.Line2D([], [], label="95 % interval", **WHISKER)


def legend_block(colour: str, label: str, **style):
    return plt.Rectangle((0, 0), 1, 1, facecolor=colour, label=label, **style)


def dress_conditions(axes, rows: list[dict]) -> None:
    """Give each row its title at the left, first row on top."""
    axes.grid(axis="x", color=RULE, linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)
    axes.set_ylim(len(rows) - 0.45, -0.55)
    axes.set_yticks(range(len(rows)), [row["title"] for row in rows])
    axes.tick_params(axis="y", length=0)
