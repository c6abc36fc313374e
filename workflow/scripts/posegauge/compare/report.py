"""A comparison of two runs as Markdown, as a table, as a few lines, and as a figure."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from posegauge.report import style
from posegauge.report.latency import RUNS_FOR_P99
from posegauge.report.markdown import DASH, cell, markdown, page, ratio_text
from posegauge.score import tiers
from posegauge.score.intervals import MINIMUM_EFFECT
from posegauge.study import STAGES

SIDES = ("baseline", "candidate")


SCORE_TITLES = {"detection_rate": "Detection rate", "ap": "AP", "mean_confidence": "Mean confidence"}


FIGURES = ("mean", "median", "p95", "p99")


COLUMNS = (
    "kind", "name", "title", "group", "status", "verdict", "set", "paired",
    "baseline", "candidate", "ratio", "difference", "low", "high", "p", "p_holm", "ratio_of_means",
    *(f"{side}_{key}" for side in SIDES for key in ("tier", "samples", "processes")),
    *(f"{side}_{name}{end}" for name in FIGURES for side in SIDES
      for end in (("",) if name == "mean" else ("", "_low", "_high"))),
    *(f"stage_{stage}_ratio" for stage in STAGES), "test", "notes",
)  # fmt: skip


# The verdicts' colours (Okabe and Ito); what is neither better nor worse is grey.
COLOURS = {
    "slower": "#D55E00",
    "lower": "#D55E00",
    "faster": "#009E73",
    "higher": "#009E73",
    "same": "#0072B2",
}


SCORE_MARKS = {"ap": "o", "detection_rate": "s", "mean_confidence": "D"}


# --------------------------------------------------------------------------------------------- the table


def table(comparison: dict) -> pd.DataFrame:
    """Return one line per benchmark row and per score of a condition (COLUMNS), the geometric mean last.

    kind: latency (times in milliseconds; ratio), score (difference) or geometric mean. baseline and
    candidate: the medians, or the scores.
    """
    lines = []
    for row in comparison["rows"]:
        line = {key: row.get(key) for key in COLUMNS if key in row and key not in SIDES}
        line |= {"kind": "latency", "name": row["benchmark"], "group": row["pipeline"]}
        line["notes"] = "; ".join((*row["reasons"], *row["notes"]))
        for side in SIDES:
            line |= {f"{side}_{key}": value for key, value in row[side].items() if key != "kind"}
            line[side] = row[side].get("median")
        line |= {f"stage_{stage}_ratio": ratio for stage, ratio in row["stages"].items()}
        lines.append(line)
    for row in comparison["conditions"]:
        for metric, found in row["scores"].items():
            line = {key: row[key] for key in ("title", "status", "verdict", "set", "paired")}
            line |= {"kind": "score", "name": f"{row['condition']}.{metric}", "group": row["suite"], **found}
            line["notes"] = "; ".join((*row["reasons"], *filter(None, [row["pairing"]])))
            lines.append(line)
    if mean := comparison["geometric_mean"]:
        ends = {key: mean[key] for key in ("ratio", "low", "high")}
        lines.append({"kind": "geometric mean", "name": "latency", "title": f"{mean['rows']} rows", **ends})
    return pd.DataFrame(lines, columns=list(COLUMNS))


# ------------------------------------------------------------------------------------------------ as text


def _range(low: float | None, high: float | None, digits: int, sign: str = "") -> str:
    return "" if low is None else f" [{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]"


def _ms(figures: dict, name: str) -> str:
    """Return '12.3 [12.1, 12.5]', or a dash for what is unknown or withheld."""
    value = figures.get(name)
    if value is None:
        return DASH
    digits = 1 if value >= 100 else 2
    return f"{value:.{digits}f}{_range(figures.get(f'{name}_low'), figures.get(f'{name}_high'), digits)}"


def _ratio(row: dict) -> str:
    if "ratio" not in row:
        mean = row.get("ratio_of_means")
        return DASH if mean is None else f"{ratio_text(mean, digits=3)} (means)"
    return ratio_text(row["ratio"], row["low"], row["high"], digits=3)


def _verdict(row: dict) -> str:
    """Return the verdict of a row, in bold when it is a difference, with what belongs to it."""
    word = row["verdict"]
    shown = f"**{word}**" if word in ("faster", "slower", "higher", "lower") else word
    shown += _tiers(row)
    return f"{shown}: {cell('; '.join(row['reasons']))}" if row["reasons"] else shown


def _tiers(row: dict) -> str:
    """Return ' · 99 %' of a row that is not the model itself, ' · exact / 99 %' where they differ."""
    if row["status"] != "comparable" or "benchmark" not in row:
        return ""
    told = list(dict.fromkeys(row[side]["tier"] for side in SIDES))
    return f" · {' / '.join(told)}" if len(told) > 1 or set(told) & set(tiers.LEAST) else ""


def _side(comparison: dict, side: str) -> str:
    """Return '`t4` (published, NVIDIA Tesla T4, revision 1234567)'."""
    about = comparison[side]
    revision = f", revision {about['git_revision'][:12]}" if about["git_revision"] else ""
    word = "**published, not measured here**: " if about["kind"] == "published" else ""
    return f"`{about['run']}` ({word}{cell(about['machine'])}{revision})"


def report(comparison: dict) -> str:
    """Return compare.md: the verdict, what differs, the rows, the stages, the conditions, the mean."""
    names = [comparison[side]["run"] for side in SIDES]
    notices = dict.fromkeys(filter(None, (comparison[side]["notice"] for side in SIDES)))
    parts = [
        f"# {names[1]} against {names[0]}",
        f"**{comparison['verdict'].capitalize()}** (exit code {comparison['exit_code']}).",
        "\n".join(f"- {cell(reason)}" for reason in comparison["reasons"]),
        f"Baseline: {_side(comparison, 'baseline')}.\nCandidate: {_side(comparison, 'candidate')}.",
        "Ratios are candidate / baseline of times: above 1 is slower. Differences are candidate − baseline. "
        "Brackets are 95 % intervals.",
        "## What differs",
        _differences(comparison),
        "## May they be compared?",
        _gate(comparison),
        "## Latency",
        *_latency(comparison),
        "## Accuracy and detection",
        *_conditions(comparison),
        "## Over all rows",
        _mean(comparison),
    ]
    return page(parts, " ".join(notices) or None)


def _differences(comparison: dict) -> str:
    lines = comparison["differences"]
    if not lines:
        published = any(comparison[side]["kind"] == "published" for side in SIDES)
        return "The published run recorded nothing to compare." if published else "Nothing that was recorded."
    ran = {row["benchmark"] for row in comparison["rows"] if "median" in row["baseline"]}
    shown = []
    for line in lines:
        rows = line["rows"]
        where = "" if rows is None else "all rows" if set(rows) >= ran else ", ".join(rows)
        values = {side.capitalize(): DASH if line[side] is None else cell(line[side]) for side in SIDES}
        shown.append({"What": line["group"], "Key": cell(line["key"]), **values, "Where": where})
    return markdown(shown, dict.fromkeys(("What", "Key", "Baseline", "Candidate", "Where"), "left"))


def _gate(comparison: dict) -> str:
    """Say what the gate let through; each row tells its own reason where it stands."""
    found = []
    for kind in ("rows", "conditions"):
        every = comparison[kind]
        counts = {}
        for row in every:
            counts[row["status"]] = counts.get(row["status"], 0) + 1
        told = ", ".join(f"{count} {status}" for status, count in counts.items()) or "none in both runs"
        found.append(f"{'Benchmark rows' if kind == 'rows' else 'Image conditions'}: {told}.")
    for side in SIDES:
        if only := comparison["only_in"][side]:
            found.append(f"Only in `{comparison[side]['run']}`: {', '.join(only)}.")
    lines = "\n".join(f"- {cell(fault)}" for fault in comparison["faults"])
    told = " ".join(found)
    return f"Nothing may be compared:\n\n{lines}\n\n{told}" if lines else told


def _latency(comparison: dict) -> list[str]:
    rows = comparison["rows"]
    names = [comparison[side]["run"] for side in SIDES]
    # The same name twice would be one column.
    heads = [f"{name} ({side})" for name, side in zip(names, SIDES, strict=True)]
    measured = any("median" in row[side] for row in rows for side in SIDES)
    parts = []
    for figure in ("median", "p95", "p99") if measured else ():
        if figure == "p99" and not any(row[side].get("p99") for row in rows for side in SIDES):
            continue
        title = {"median": "Median", "p95": "P95", "p99": "P99"}[figure]
        columns = {f"{title} (ms)": "left", heads[0]: "right", heads[1]: "right"}
        if figure == "median":
            columns |= {"Ratio": "right", "Verdict": "left"}
        lines = []
        for row in rows:
            values = [_ms(row[side], figure) for side in SIDES]
            if figure != "median" and values == [DASH, DASH]:
                continue
            line = {f"{title} (ms)": row["title"], heads[0]: values[0], heads[1]: values[1]}
            lines.append(line | {"Ratio": _ratio(row), "Verdict": _verdict(row)})
        parts.append(markdown(lines, columns))
    if any(row[side]["kind"] == "published" for row in rows for side in SIDES):
        columns = {"Mean (ms)": "left", heads[0]: "right", heads[1]: "right", "Ratio": "right"}
        columns |= {} if measured else {"Verdict": "left"}
        lines = []
        for row in rows:
            values = {head: _ms(row[side], "mean") for head, side in zip(heads, SIDES, strict=True)}
            mean = row["ratio_of_means"]
            ratio = DASH if mean is None else f"{mean:.3f}"
            lines.append({"Mean (ms)": row["title"], **values, "Ratio": ratio, "Verdict": _verdict(row)})
        parts.append(markdown(lines, columns))
    if (
        measured
        and min(row[side].get("samples", RUNS_FOR_P99) for row in rows for side in SIDES) < RUNS_FOR_P99
    ):
        parts.append(
            f"P99 is withheld where a row has fewer than {RUNS_FOR_P99} samples: it would rest on a few."
        )
    notes = []
    for note in dict.fromkeys(note for row in rows for note in row["notes"]):
        titles = [row["title"] for row in rows if note in row["notes"]]
        notes.append(f"- {', '.join(titles)}: {cell(note)}.")
    parts.append("\n".join(notes))
    if staged := [row for row in rows if row["stages"]]:
        columns = {"Stage": "left"} | dict.fromkeys((row["title"] for row in staged), "right")
        stages = [name for name in STAGES if any(name in row["stages"] for row in staged)]
        lines = [
            {"Stage": name, **{row["title"]: cell(row["stages"].get(name), 3) for row in staged}}
            for name in stages
        ]
        parts.append(f"Ratio of the median time of each stage:\n\n{markdown(lines, columns)}")
    return parts


def _difference(found: dict) -> str:
    if found["difference"] is None:
        return DASH
    return f"{found['difference']:+.4f}{_range(found.get('low'), found.get('high'), 4, '+')}"


def _conditions(comparison: dict) -> list[str]:
    conditions = comparison["conditions"]
    if not conditions:
        return ["No image condition is in both runs."]
    parts = []
    if conditions[0]["set"] == "original":
        parts.append("By the study's own protocol (prediction set `original`): no other was published.")
    metrics = list(conditions[0]["scores"])
    columns = {"Condition": "left"}
    for metric in metrics:
        columns |= {f"{SCORE_TITLES[metric]}": "right", f"Δ {SCORE_TITLES[metric]}": "right"}
    columns |= {"Verdict": "left"}
    lines = []
    for row in conditions:
        line = {"Condition": row["title"], "Verdict": _verdict(row)}
        for metric, found in row["scores"].items():
            line[SCORE_TITLES[metric]] = " / ".join(cell(found[side], 3) for side in SIDES)
            line[f"Δ {SCORE_TITLES[metric]}"] = _difference(found)
        lines.append(line)
    parts.append(markdown(lines, columns))
    fair = [row for row in conditions if row["status"] == "comparable"]
    paired = [row for row in fair if row["paired"]]
    if paired:
        parts.append(
            f"Paired, resample by resample on the same images: {len(paired)} of {len(fair)} conditions."
        )
    for reason in dict.fromkeys(row["pairing"] for row in fair if row["pairing"]):
        hit = [row["title"] for row in fair if row["pairing"] == reason]
        parts.append(f"{cell(reason).capitalize()}: {', '.join(hit)}.")
    return parts


def _mean(comparison: dict) -> str:
    mean = comparison["geometric_mean"]
    if not mean:
        return "No row is comparable, so there is no mean."
    number = f"{mean['ratio']:.3f}{_range(mean['low'], mean['high'], 3)}"
    return f"Geometric mean of the ratios of {mean['rows']} rows: {number}. It weighs every row alike."


def summary(comparison: dict) -> str:
    """Return the comparison in a few lines for a terminal."""
    names = [comparison[side]["run"] for side in SIDES]
    lines = [f"{names[1]} against {names[0]}: {comparison['verdict']} (exit code {comparison['exit_code']})"]
    lines += [f"  {reason}" for reason in comparison["reasons"]]
    width = max((len(row["title"]) for row in comparison["rows"]), default=0)
    for row in comparison["rows"]:
        if row["status"] != "not measured":
            lines.append(f"  {row['title']:{width}}  {row['verdict']:14}  {_ratio(row)}{_tiers(row)}")
    counts = {}
    for row in comparison["conditions"]:
        counts[row["verdict"]] = counts.get(row["verdict"], 0) + 1
    if counts:
        told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        lines.append(f"  image conditions: {told}")
    if comparison["geometric_mean"]:
        lines.append(f"  {_mean(comparison)}")
    return "\n".join(lines)


# --------------------------------------------------------------------------------------------- the figure


def plot(comparison: dict, path) -> None:
    """Draw the ratios of all comparable rows and the differences of all comparable conditions as PNG."""
    names = [comparison[side]["run"] for side in SIDES]
    title = f"{names[1]} against {names[0]}: {comparison['verdict']}"
    notice = " ".join(dict.fromkeys(filter(None, (comparison[side]["notice"] for side in SIDES)))) or None
    rows = [row for row in comparison["rows"] if row["status"] == "comparable"]
    conditions = [row for row in comparison["conditions"] if row["status"] == "comparable"]
    with plt.rc_context(style.STYLE):
        if not rows and not conditions:
            style.message(
                path, title, "Nothing of the two runs may be compared; compare.md says why.", notice
            )
            return
        # Heights in inches: a row, and the heading and axis of each part.
        parts = [(_draw_ratios, rows, 0.36), (_draw_differences, conditions, 0.3)]
        parts = [(draw, shown, len(shown) * slot) for draw, shown, slot in parts if shown]
        height = 0.95 + 0.17 * bool(notice) + sum(1.15 + part for *_, part in parts)
        figure = plt.figure(figsize=(style.WIDTH_IN, height))
        machines = " · ".join(f"{comparison[side]['run']}: {comparison[side]['machine']}" for side in SIDES)
        _, top = style.dress(figure, title, machines, notice)
        for draw, shown, part in parts:
            top += 0.45
            axes = style.frame(figure, height - top - part, top)
            draw(axes, shown)
            top += part + 0.7
        style.save(figure, path)


def _rows(axes, titles: list[str]) -> None:
    axes.set_ylim(len(titles) - 0.4, -0.6)
    # The longest, of COCO-C, would not fit.
    axes.set_yticks(range(len(titles)), titles, fontsize=8.5 if max(map(len, titles)) > 22 else None)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=style.RULE, linewidth=0.8)
    axes.set_axisbelow(True)


def _draw_ratios(axes, rows: list[dict]) -> None:
    least = 1 + MINIMUM_EFFECT
    axes.axvspan(1 / least, least, color="#f1f1f1", zorder=0)
    axes.axvline(1, color=style.GREY, linewidth=1)
    for y, row in enumerate(rows):
        colour = COLOURS.get(row["verdict"], style.GREY)
        axes.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=2.2)
        axes.plot(row["ratio"], y, "o", color=colour, markersize=6)
        texts = [f"{row['ratio']:.3f}", "", row["verdict"]]
        style.columns(axes, y, texts, color=colour if row["verdict"] in COLOURS else style.QUIET)
    _rows(axes, ["\n".join(filter(None, (row["title"], _tiers(row)[3:]))) for row in rows])
    ends = [value for row in rows for value in (row["low"], row["high"])]
    axes.set_xscale("log")
    axes.set_xlim(min(0.9, *ends) / 1.02, max(1.1, *ends) * 1.02)
    low, high = axes.get_xlim()
    # Round steps have no tick below 1 on a wide axis.
    wide = LogLocator(subs=(1, 2, 5), numticks=20)
    axes.xaxis.set_major_locator(wide if high / low > 4 else MaxNLocator(7, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(_plain))
    axes.xaxis.set_minor_locator(NullLocator())
    band = f"less than {100 * MINIMUM_EFFECT:g} %"
    axes.set_xlabel(f"ratio of medians, candidate / baseline (right: slower); band: {band}")


def _draw_differences(axes, conditions: list[dict]) -> None:
    axes.axvline(0, color=style.GREY, linewidth=1)
    for y, row in enumerate(conditions):
        known = [
            (metric, found) for metric, found in row["scores"].items() if found["difference"] is not None
        ]
        for number, (metric, found) in enumerate(known):
            place = y + 0.3 * (number - (len(known) - 1) / 2)
            colour = COLOURS.get(found.get("verdict"), style.GREY)
            if found["low"] is not None:
                axes.plot([found["low"], found["high"]], [place, place], color=colour, linewidth=1.8)
            axes.plot(found["difference"], place, SCORE_MARKS[metric], color=colour, markersize=5)
        ap = row["scores"]["ap"]["difference"]
        texts = [DASH if ap is None else f"{ap:+.3f}", "", row["verdict"]]
        style.columns(axes, y, texts, color=COLOURS.get(row["verdict"], style.QUIET))
    _rows(axes, [row["title"] for row in conditions])
    axes.set_xlabel("candidate − baseline: AP (dots, number), detection rate (squares)")


def _plain(value: float, _position=None) -> str:
    return f"{value:g}"
