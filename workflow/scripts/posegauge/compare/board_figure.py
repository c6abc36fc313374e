"""The board's figure: AP against milliseconds per frame, the Pareto front, labels where there is room."""

import itertools
from math import hypot

import matplotlib.pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from posegauge.compare.board import PUBLISHED, Row
from posegauge.compare.front import answer
from posegauge.report import style

# Okabe and Ito's colours, which colour-blind readers can tell apart; more machines begin anew.
MACHINE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# What was not checked has a mark that may be hollow.
MARKS = style.TIER_SHAPES | {"not checked": "D"}
MARK_TITLES = {"o": "source or exact", "s": "99.9 %", "^": "99 %", "D": "not checked", "X": "fails"}
SIZE, SMALL = 7.5, 5.5
STRIP_IN = 0.6  # of the rows without AP
LINE_IN = 0.2  # of the legend
# Where a label may stand: right, up, and how its text is aligned to that. What names no networks stays near.
_SIDES = ((-1, 1), (0, 1), (1, 1), (0, -1), (1, -1), (-1, -1), (1, 0), (-1, 0))
_NEAR = ((0, 1), (0, -1), (1, 1), (1, -1), (-1, -1))
_FAR = (8, 15, 24)  # points; from the second on a thin line leads to the label
_LEADER = {"arrowstyle": "-", "color": style.GREY, "linewidth": 0.6, "shrinkA": 0, "shrinkB": SIZE / 2 + 1}
_ACROSS = {1: "left", 0: "center", -1: "right"}
_UP = {1: "bottom", 0: "center", -1: "top"}


def plot(rows: list[Row], published: list[dict], settings: dict, path, notice: str | None = None) -> None:
    """Draw the board as PNG.

    rows: of board.read. published: rows of published_pairs.rows, or none. settings: the group `board` of the
    config, whose budget is drawn. Rows that a later run has, too, are left to the history.
    """
    ran = [row for row in rows if row.shown["status"] == "ok" and row.shown["measured_again_in"] is None]
    placed = [row for row in ran if row.shown["ap"] is not None]
    bare = [row for row in ran if row.shown["ap"] is None]
    told = [row for row in published if row["ap"] is not None]
    told_bare = [row for row in published if row["ap"] is None]
    machines = dict.fromkeys(row.shown["machine"] for row in ran)
    colours = dict(zip(machines, itertools.cycle(MACHINE_COLOURS), strict=False))
    strip_in = STRIP_IN if bare or told_bare else 0
    with plt.rc_context(style.STYLE):
        height = 7.4 + strip_in + LINE_IN * len(machines)
        figure = plt.figure(figsize=(style.WIDTH_IN, height))
        lines = [_what(placed), "whisker to P95", "steps: the Pareto front, which no row beats in both"]
        bottom, top = style.dress(
            figure, "AP against milliseconds per frame", " · ".join(filter(None, lines)), notice
        )
        low = bottom + 0.95 + LINE_IN * len(machines) + strip_in
        axes = _frame(figure, low, height - low - top - 0.15)
        _limits(axes, ran, placed, published, settings)
        _budget(axes, settings, placed)
        taken = _fronts(axes, placed, colours)
        for row in placed:
            taken += _point(axes, row.shown, colours[row.shown["machine"]])
        labels = _labels(placed)
        named = [label for label in labels if len(label[1]) > 1]
        for *_, shown in named:
            taken += _ap_interval(axes, shown, colours[shown["machine"]])
        _place(axes, [label[:3] for label in named] + _draw_published(axes, told, taken), taken, _SIDES)
        marks = [(row.shown["ms_p50"], row.shown["ap"]) for row in placed]
        _place(axes, [label[:3] for label in labels if label not in named], taken, _NEAR, marks)
        axes.set_ylabel("keypoint AP")
        foot = axes
        if strip_in:
            axes.tick_params(axis="x", labelbottom=False)
            foot = _frame(figure, low - strip_in, strip_in - 0.12, sharex=axes)
            _strip(foot, bare, told_bare, colours)
        foot.set_xlabel("milliseconds per frame (P50, logarithmic)")
        _legend(figure, ran, published, colours, bottom + 0.02)
        style.save(figure, path)


def _frame(figure, bottom_in: float, height_in: float, **more):
    """Return axes over the whole width, its place in inches."""
    height = figure.get_figheight()
    # Room for ticks of three decimals and the title of the axis.
    left, width = 0.95 / style.WIDTH_IN, 8.4 / style.WIDTH_IN
    return figure.add_axes((left, bottom_in / height, width, height_in / height), **more)


def _what(placed: list[Row]) -> str:
    kinds = {row.shown["ap_kind"] for row in placed}
    if kinds == {PUBLISHED}:
        return "hollow: AP as published, not measured here"
    if PUBLISHED in kinds:
        return "filled: AP measured, hollow: as published"
    return "AP measured" if kinds else ""


def _limits(axes, ran: list[Row], placed: list[Row], published: list[dict], settings: dict) -> None:
    """Set both axes so that every row, and the budget, is on them."""
    times = [row.shown[key] for row in ran for key in ("ms_p50", "ms_p95")]
    times += [row["ms"] for row in published] + ([settings["max_ms"]] if settings["max_ms"] else [])
    low, high = min(times), max(times)
    room = 1.1 * (high / low) ** 0.12  # at the left more, for the labels
    axes.set_xscale("log")
    axes.set_xlim(low / room**2.2, high * room)
    wide = high / low > 30
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if wide else (1, 1.5, 2, 3, 5, 7), numticks=20))
    axes.xaxis.set_major_formatter(FuncFormatter(_plain))
    axes.xaxis.set_minor_formatter(NullFormatter())
    values = [row.shown[key] for row in placed for key in ("ap", "ap_low", "ap_high")]
    values += [row["ap"] for row in published] + [settings["min_ap"]]
    values = [value for value in values if value is not None] or [0.0, 1.0]
    margin = max(0.12 * (max(values) - min(values)), 0.01)
    axes.set_ylim(max(min(values) - margin, -0.02), min(max(values) + margin, 1.02))
    axes.grid(color=style.RULE, linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)


def _plain(value: float, _position=None) -> str:
    return f"{value:g}"


def _budget(axes, settings: dict, placed: list[Row]) -> None:
    """Draw what the budget leaves out in grey, and a ring around what is best within it."""
    right, bottom = axes.get_xlim()[1], axes.get_ylim()[0]
    max_ms, min_ap = settings["max_ms"], settings["min_ap"]
    line = {"color": style.GREY, "linewidth": 1, "linestyle": (0, (4, 3)), "zorder": 1}
    quiet = {"color": style.GREY, "fontsize": 8.5, "style": "italic", "va": "top"}
    quiet |= {"xytext": (3, -3), "textcoords": "offset points"}
    if max_ms is not None:
        axes.axvspan(max_ms, right, color="#f3f3f3", zorder=0)
        axes.axvline(max_ms, **line)
        axes.annotate(f"max_ms {max_ms:g} (P95)", (max_ms, 1), xycoords=("data", "axes fraction"), **quiet)
    if min_ap is not None:
        axes.axhspan(bottom, min_ap, color="#f3f3f3", zorder=0)
        axes.axhline(min_ap, **line)
        axes.annotate(f"min_ap {min_ap:g}", (0, min_ap), xycoords=("axes fraction", "data"), **quiet)
    usable = [row.shown for row in placed if row.counts]
    kinds = dict.fromkeys(row["ap_kind"] for row in usable)
    for kind in kinds if max_ms is not None or min_ap is not None else ():
        best = answer([row for row in usable if row["ap_kind"] == kind], max_ms, min_ap)["best"]
        if best:
            ring = {"marker": "o", "markersize": 17, "markerfacecolor": "none", "markeredgecolor": "black"}
            axes.plot(best["ms_p50"], best["ap"], linestyle="none", zorder=4, **ring)


def _fronts(axes, placed: list[Row], colours: dict) -> list[Bbox]:
    """Draw the front of every machine as steps; return what labels must not lie on."""
    groups: dict = {}
    for row in placed:
        if row.shown["front_of_machine"]:
            groups.setdefault((row.shown["machine"], row.shown["ap_kind"]), []).append(row.shown)
    taken, (right, bottom) = [], (axes.get_xlim()[1], axes.get_ylim()[0])
    for (machine, kind), shown in groups.items():
        shown.sort(key=_time)
        points = [(shown[0]["ms_p50"], bottom)]
        for row in shown:
            points += [(row["ms_p50"], points[-1][1]), (row["ms_p50"], row["ap"])]
        points.append((right, points[-1][1]))
        dashes = (0, (5, 2)) if kind == PUBLISHED else "-"
        look = {"color": colours[machine], "linewidth": 1.6, "alpha": 0.45, "zorder": 2}
        axes.plot(*zip(*points, strict=True), linestyle=dashes, **look)
        corners = axes.transData.transform(points)
        taken += [_box(one, other) for one, other in itertools.pairwise(corners)]
    return taken


def _time(shown: dict) -> float:
    return shown["ms_p50"]


def _point(axes, shown: dict, colour: str) -> list[Bbox]:
    """Draw one row; return what labels must not lie on."""
    ms, ap, p95 = shown["ms_p50"], shown["ap"], shown["ms_p95"]
    axes.plot([ms, p95], [ap, ap], color=colour, linewidth=1.3, alpha=0.8, zorder=3)
    axes.plot(p95, ap, marker="|", markersize=6, color=colour, zorder=3)
    hollow = shown["ap_kind"] == PUBLISHED
    axes.plot(
        ms, ap, marker=MARKS[shown["tier"]], markersize=SIZE, linestyle="none", zorder=5,
        markerfacecolor="white" if hollow else colour, markeredgecolor=colour if hollow else "white",
        markeredgewidth=1.8 if hollow else 0.8,
    )  # fmt: skip
    start, end = axes.transData.transform([(ms, ap), (p95, ap)])
    return [_around(axes, ms, ap, SIZE + 2), _box(start, end)]


def _ap_interval(axes, shown: dict, colour: str) -> list[Bbox]:
    """Draw the interval of AP, which all rows of a run share; return what labels must not lie on."""
    if shown["ap_low"] is None:
        return []
    ends = [(shown["ms_p50"], shown["ap_low"]), (shown["ms_p50"], shown["ap_high"])]
    axes.plot(*zip(*ends, strict=True), color=colour, linewidth=1, alpha=0.5, zorder=2, marker="_")
    return [_box(*axes.transData.transform(ends))]


def _box(one, other) -> Bbox:
    (x0, x1), (y0, y1) = sorted((one[0], other[0])), sorted((one[1], other[1]))
    return Bbox.from_extents(x0 - 1, y0 - 1, x1 + 1, y1 + 1)


def _around(axes, x: float, y: float, size: float) -> Bbox:
    """Return the place of a marker of so many points, in pixels."""
    at, half = axes.transData.transform((x, y)), size / 2 * style.DPI / 72
    return Bbox.from_extents(at[0] - half, at[1] - half, at[0] + half, at[1] + half)


def _labels(placed: list[Row]) -> list[tuple]:
    """Return (places, texts, style, row) of every row, those first that should have a place.

    Each pair of networks is named once per machine, at its fastest row, and wherever it is on the front; the
    others say what runs them.
    """
    named, first, rest = set(), [], []
    for row in sorted(placed, key=_order):
        shown = row.shown
        key = shown["machine"], shown["detector"], shown["pose"], shown["ap_kind"]
        at = [(shown["ms_p50"], shown["ap"])]
        if key not in named or shown["front_of_machine"]:
            named.add(key)
            texts = f"{shown['detector']} + {shown['pose']}\n{_runs_on(shown)}", _runs_on(shown)
            first.append((at, texts, {"color": "black", "fontsize": 8, "linespacing": 1.1}, shown))
        else:
            rest.append((at, (_runs_on(shown),), {"color": style.QUIET, "fontsize": 7}, shown))
    return first + rest


def _runs_on(shown: dict) -> str:
    """Return 'OpenVINO' or 'TensorRT FP16'."""
    precision = "" if shown["precision"] == "fp32" else f" {shown['precision'].upper()}"
    return f"{shown['runtime']}{precision}"


def _order(row: Row) -> tuple:
    return not row.shown["front_of_machine"], row.shown["ms_p50"]


def _draw_published(axes, told: list[dict], taken: list[Bbox]) -> list[tuple]:
    """Draw the published rows hollow and grey, a thin line per machine; return a label for each machine."""
    groups: dict = {}
    for row in told:
        groups.setdefault(row["short"], []).append(row)
    labels = []
    for short, rows in groups.items():
        rows = sorted(rows, key=_ap)
        ms, ap = [row["ms"] for row in rows], [row["ap"] for row in rows]
        look = {"color": style.GREY, "markerfacecolor": "white", "markersize": SMALL, "zorder": 1.5}
        axes.plot(ms, ap, marker="o", linewidth=0.8, linestyle=":", **look)
        taken += [_around(axes, *at, SMALL + 1) for at in zip(ms, ap, strict=True)]
        every = f"\ndetector every {rows[-1]['interval']}th frame" if rows[-1]["interval"] > 1 else ""
        quiet = {"color": style.GREY, "fontsize": 7.5, "style": "italic", "linespacing": 1.1}
        labels.append((list(zip(ms, ap, strict=True))[::-1], (f"published: {short}{every}",), quiet))
    return labels


def _ap(row: dict) -> float:
    return row["ap"]


def _ms(row: dict) -> float:
    return row["ms"]


def _p50(row: Row) -> float:
    return row.shown["ms_p50"]


def _place(axes, labels: list[tuple], taken: list[Bbox], sides: tuple, marks=()) -> None:
    """Write each label (its points, texts, style) at the first of these where it lies on nothing, if any.

    texts: what it may say, the best first; a later one is tried where those before it fit nowhere. marks:
    points to none of which a label may be nearer than to its own.
    """
    renderer = axes.figure.canvas.get_renderer()
    inside = axes.get_window_extent(renderer)
    for points, texts, look in labels:
        for text, at, far, (right, up) in itertools.product(texts, points, _FAR, sides):
            note = axes.annotate(
                text, at, xytext=(right * far, up * far), textcoords="offset points", ha=_ACROSS[right],
                va=_UP[up], multialignment=_ACROSS[right], path_effects=style.HALO, zorder=6,
                arrowprops=None if far == _FAR[0] else _LEADER, **look,
            )  # fmt: skip
            note.update_positions(renderer)
            box = Text.get_window_extent(note, renderer).padded(1)  # without the leader
            across = inside.x0 <= box.x0 and box.x1 <= inside.x1
            upright = inside.y0 <= box.y0 and box.y1 <= inside.y1
            free = across and upright and not any(box.overlaps(other) for other in taken)
            own = _distance(axes, box, at)
            if free and all(own <= _distance(axes, box, mark) for mark in marks):
                taken.append(box)
                break
            note.remove()


def _distance(axes, box: Bbox, at: tuple) -> float:
    """Return how far a box in pixels is from a point of the axes."""
    x, y = axes.transData.transform(at)
    return hypot(max(box.x0 - x, x - box.x1, 0), max(box.y0 - y, y - box.y1, 0))


def _strip(axes, bare: list[Row], told: list[dict], colours: dict) -> None:
    """Draw the rows whose AP is not known, below the others on the same times."""
    axes.set_ylim(-1, 1)
    axes.set_yticks([])
    axes.set_facecolor("#fafafa")
    taken, labels = [], []
    for row in sorted(bare, key=_p50):
        shown = row.shown
        look = {"marker": MARKS[shown["tier"]], "markersize": SIZE, "markeredgecolor": "white"}
        axes.plot(shown["ms_p50"], -0.45, linestyle="none", color=colours[shown["machine"]], **look)
        taken.append(_around(axes, shown["ms_p50"], -0.45, SIZE))
        look = {"color": style.QUIET, "fontsize": 7}
        labels.append(([(shown["ms_p50"], -0.45)], (_runs_on(shown),), look))
    for row in sorted(told, key=_ms):
        look = {"markerfacecolor": "white", "markeredgecolor": style.GREY, "markersize": SMALL}
        axes.plot(row["ms"], -0.45, marker="o", linestyle="none", **look)
        taken.append(_around(axes, row["ms"], -0.45, SMALL))
        quiet = {"color": style.GREY, "fontsize": 7, "style": "italic"}
        text = f"{row['short']}, {row['runtime'].rpartition(' ')[0]}"
        labels.append(([(row["ms"], -0.45)], (text,), quiet))
    head = axes.text(0.005, 0.9, "AP not known", transform=axes.transAxes, fontsize=8, va="top")
    head.set_color(style.QUIET)
    taken.append(head.get_window_extent(axes.figure.canvas.get_renderer()))
    _place(axes, labels, taken, _SIDES, [at for (at,), *_ in labels])


def _legend(figure, ran: list[Row], published: list[dict], colours: dict, bottom: float) -> None:
    """Explain colours and shapes below the axes: the machines, one a line, then the tiers that there are."""
    none = {"linestyle": "none"}
    handles = [
        Line2D([], [], marker="o", color=colour, markersize=8, label=machine, **none)
        for machine, colour in colours.items()
    ]
    seen = {MARKS[row.shown["tier"]] for row in ran}
    tiers = [
        Line2D([], [], marker=mark, color=style.QUIET, markersize=7, label=title, **none)
        for mark, title in MARK_TITLES.items()
        if mark in seen
    ]
    if published:
        small = {"markerfacecolor": "white", "color": style.GREY, "markersize": SMALL}
        tiers.append(Line2D([], [], marker="o", label="published time: not like for like", **small, **none))
    height = figure.get_figheight()
    for lines, y_in, most in ((handles, LINE_IN + 0.02, 1), (tiers, 0, len(tiers))):
        figure.legend(
            handles=lines, loc="lower left", bbox_to_anchor=(0.07, (bottom + y_in) / height), frameon=False,
            fontsize=9, ncols=most, labelspacing=0.3, handletextpad=0.3, columnspacing=1.4,
        )  # fmt: skip
