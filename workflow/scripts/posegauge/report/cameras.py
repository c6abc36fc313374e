"""How many cameras are served: table, Markdown, figure and sentence."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from posegauge.report import lines_of_artifacts
from posegauge.report.lines_of_artifacts import LINES, MARKERS
from posegauge.report.markdown import cell, listed, machines, markdown, page, percent
from posegauge.report.parity import artifact_title, tiers_note, titled
from posegauge.report.style import GREY, QUIET, RUNTIME_COLOURS, STYLE, WIDTH_IN, dress, message, save
from posegauge.score import tiers
from posegauge.study import RUNTIME_TITLES

CAMERAS_COLUMNS = (
    "artifact", "title", "status", "reason", "servers", "streams_served", "all_served", "streams", "served",
    "rounds", "rounds_served", "frames", "dropped", "dropped_share", "latency_ms_p50", "latency_ms_p95",
    "latency_ms_p95_low", "latency_ms_p95_high", "waiting_most", "tier",
)  # fmt: skip


def cameras_table(record: dict, parity=()) -> pd.DataFrame:
    """Return one row per number of cameras that was tried (see CAMERAS_COLUMNS), one for what was not run.

    record: of records.Run.cameras. parity: of records.Run.parity. streams_served is the artifact's
    result; all_served: none that was tried was too many, so more may be served. Latencies are of the frames
    that were served in all rounds; low and high are the smallest and the largest P95 of a round.
    """
    known = {found["artifact"]: tiers.of_record(found).tier for found in parity}
    rows = []
    for entry in record["artifacts"]:
        same = {key: entry[key] for key in ("artifact", "status", "reason", "servers")}
        same |= {"title": artifact_title(entry), "streams_served": entry["streams"]}
        same["tier"] = known.get(entry["artifact"])
        if entry["tries"]:
            same["all_served"] = all(one["served"] for one in entry["tries"])
        for one in sorted(entry["tries"], key=_streams) or [{}]:
            rows.append(same | (_tried(one) if one else {}))
    table = pd.DataFrame(rows, columns=list(CAMERAS_COLUMNS))
    whole = (
        "servers",
        "streams_served",
        "streams",
        "rounds",
        "rounds_served",
        "frames",
        "dropped",
        "waiting_most",
    )
    numbers = ("dropped_share", *(name for name in CAMERAS_COLUMNS if name.startswith("latency_ms")))
    kinds = dict.fromkeys(whole, "Int64") | dict.fromkeys(numbers, "float64")
    return table.astype(kinds | dict.fromkeys(("served", "all_served"), "boolean"))


def _streams(one: dict) -> int:
    return one["streams"]


def _tried(one: dict) -> dict:
    """Return the columns of one number of cameras, over its rounds."""
    rounds = one["rounds"]
    samples = [one_round["latency_ms"] for one_round in rounds if one_round["latency_ms"]]
    p95 = [float(np.percentile(ms, 95)) for ms in samples]
    frames, dropped = (sum(one_round[key] for one_round in rounds) for key in ("frames", "dropped"))
    row = {
        "streams": one["streams"],
        "served": one["served"],
        "rounds": len(rounds),
        "rounds_served": sum(one_round["served"] for one_round in rounds),
        "frames": frames,
        "dropped": dropped,
        "dropped_share": dropped / frames,
        "waiting_most": max(one_round["waiting_most"] for one_round in rounds),
    }
    if samples:
        p50, p95_of_all = np.percentile(np.concatenate(samples), (50, 95))
        row |= {
            "latency_ms_p50": float(p50),
            "latency_ms_p95": float(p95_of_all),
            "latency_ms_p95_low": min(p95),
            "latency_ms_p95_high": max(p95),
        }
    return row


def frame_ms(record: dict) -> float:
    """Return the milliseconds of one frame."""
    return 1e3 / record["fps"]


def answer(rows: list[dict]) -> str:
    """Return how many cameras an artifact serves: '4', '64 or more', '0 (one has P95 480 ms)'. rows: its."""
    count, first = rows[0]["streams_served"], rows[0]
    if count == 0:
        if first["streams"] > 1:
            return f"fewer than {first['streams']}, which have {_p95(first)}"
        return f"0 (one has {_p95(first)})"
    if first["all_served"]:
        return f"{count} or more"
    refused = min(row["streams"] for row in rows if not row["served"])
    return f"{count}" if refused == count + 1 else f"{count} ({refused} were not)"


def _p95(row: dict) -> str:
    lost = f", {percent(row['dropped_share'])} lost" if row["dropped"] else ""
    return f"P95 {row['latency_ms_p95']:.3g} ms{lost}"


def _by_artifact(table: pd.DataFrame) -> list[list[dict]]:
    return [part.to_dict("records") for _, part in table.groupby("artifact", sort=False)]


def cameras_markdown(table: pd.DataFrame, record: dict, title: str = "", notice: str | None = None) -> str:
    """Return how many cameras each artifact serves, and every number that was tried, for people."""
    summary, every = [], []
    for rows in _by_artifact(table):
        first = rows[0]
        name = cell(titled(first))
        if first["status"] != "ok":
            summary.append({"Artifact": name, "Cameras served": f"*not run: {cell(first['reason'])}*"})
            continue
        shown = {"Artifact": name, "Cameras served": answer(rows)}
        best = next((row for row in rows if row["streams"] == row["streams_served"]), None)
        over = next((row for row in rows if not row["served"]), None)
        shown |= {"P95 then": f"{best['latency_ms_p95']:.3g} ms"} if best else {}
        shown |= {"The next tried": f"{over['streams']}: {_p95(over)}"} if best and over else {}
        summary.append(shown)
        every += [_shown(name, row) for row in rows]
    columns = {"Artifact": "left", "Cameras served": "left", "P95 then": "right", "The next tried": "left"}
    parts = [markdown(summary, columns)]
    if every:
        columns = {"Artifact": "left", "Cameras": "right", "P50 (ms)": "right", "P95 (ms)": "right"}
        columns |= {"P95 of the rounds": "right", "Lost": "right", "Served": "left"}
        parts += ["**Every number that was tried**", markdown(every, columns)]
    measured = [
        title,
        f"Machine: {'; '.join(machines([record])) or 'not recorded'}",
        f"CPU threads: {record['threads']}",
        _rounds(record),
        f"images: {len(record['pictures'])}, boxes: {record['boxes']}",
    ]
    explained = (
        f"Cameras of {record['fps']:g} frames a second at the same time; {_servers(record)}, in the order in "
        "which they came. Served: in every round P95 from a frame's arrival to its persons, waiting and JPEG "
        f"decoding included, is below {frame_ms(record):.1f} ms, and at most "
        f"{percent(record['max_dropped'])} of the frames are lost. Of a camera {record['queue']} frames may "
        "wait; a further one takes the place of the oldest."
    )
    return page([*parts, " · ".join(filter(None, measured)), explained, tiers_note(table)], notice)


def _rounds(record: dict) -> str:
    return f"{record['rounds']} round{'' if record['rounds'] == 1 else 's'} of {record['seconds']:g} s"


def _servers(record: dict) -> str:
    """Return 'one pipeline takes one frame after the other', or how many do."""
    counts = sorted({entry["servers"] for entry in record["artifacts"] if entry["status"] == "ok"})
    if counts in ([], [1]):
        return "one pipeline takes one frame after the other"
    return f"{' or '.join(map(str, counts))} pipelines side by side take one frame after the other"


def _shown(name: str, row: dict) -> dict[str, str]:
    ends = [cell(row[f"latency_ms_p95_{end}"], 1) for end in ("low", "high")]
    rounds = f"{row['rounds_served']} of {row['rounds']} rounds"
    return {
        "Artifact": name,
        "Cameras": str(row["streams"]),
        "P50 (ms)": cell(row["latency_ms_p50"], 1),
        "P95 (ms)": cell(row["latency_ms_p95"], 1),
        "P95 of the rounds": " to ".join(dict.fromkeys(ends)),
        "Lost": percent(row["dropped_share"]),
        "Served": "yes" if row["served"] else f"no ({rounds})" if row["rounds_served"] else "no",
    }


def cameras_finding(record: dict, parity=()) -> str | None:
    """Return in one sentence how many cameras each artifact serves; None if none ran."""
    ran = [rows for rows in _by_artifact(cameras_table(record, parity)) if rows[0]["status"] == "ok"]
    ran = [rows for rows in ran if rows[0]["tier"] != tiers.FAILS]
    ran.sort(key=lambda rows: -rows[0]["streams_served"])
    told = [f"{titled(rows[0]).replace(',', '').replace(' · ', ' at ')} {answer(rows)}" for rows in ran]
    if not told:
        return None
    return (
        f"Cameras of {record['fps']:g} frames a second that this machine serves with P95 below "
        f"{frame_ms(record):.1f} ms: {listed(told, len(told))}."
    )


LEFT_IN, AXES_IN, PANEL_IN = 0.75, 5.6, 3.4  # left edge, width and height of the axes


def plot_cameras(table: pd.DataFrame, record: dict, path, title: str = "", notice: str | None = None) -> None:
    """Draw P95 against the number of cameras as PNG, both logarithmic, with the time of a frame as a line.

    table, record: see cameras_table. Hollow: not served. What was not run is named below.
    """
    name = f"Cameras of {record['fps']:g} frames a second"
    ran = table[(table["status"] == "ok") & table["latency_ms_p95"].notna()]
    missing = table[table["status"] != "ok"]
    reasons = [f"{row.title}: {row.reason}" for row in missing.itertuples()]
    with plt.rc_context(STYLE):
        if ran.empty:
            message(path, name, textwrap.fill("not run: " + "; ".join(reasons), 80), notice)
            return
        below = textwrap.wrap("not run: " + "; ".join(reasons), 125) if reasons else []
        told = [title, _rounds(record), *machines([record])]
        told += ["filled: served; bars: smallest to largest of the rounds"]
        if tiers_note(ran):
            told.append("%: least share of its source's AP that it keeps")
        subtitle = " · ".join(filter(None, told))
        # The height must stand before the texts at the edges say how much of it is theirs.
        probe = plt.figure(figsize=(WIDTH_IN, 8))
        bottom, top = dress(probe, name, subtitle, notice)
        plt.close(probe)
        foot = 0.75 + 0.19 * len(below)
        height = bottom + foot + PANEL_IN + top + 0.2
        figure = plt.figure(figsize=(WIDTH_IN, height))
        dress(figure, name, subtitle, notice)
        axes = figure.add_axes(
            (LEFT_IN / WIDTH_IN, (bottom + foot) / height, AXES_IN / WIDTH_IN, PANEL_IN / height)
        )
        runtimes = {entry["artifact"]: RUNTIME_TITLES[entry["runtime"]] for entry in record["artifacts"]}
        _panel(axes, ran, runtimes, frame_ms(record))
        figure.text(
            0.15 / WIDTH_IN, (bottom + 0.06) / height, "\n".join(below), va="bottom", fontsize=9,
            color=QUIET, style="italic",
        )  # fmt: skip
        save(figure, path)


def _panel(axes, ran: pd.DataFrame, runtimes: dict[str, str], limit_ms: float) -> None:
    counts = sorted({int(count) for count in ran["streams"]})
    bounds = ran[["latency_ms_p95_low", "latency_ms_p95_high"]].to_numpy(float)
    low, high = min(np.nanmin(bounds), limit_ms) / 1.3, max(np.nanmax(bounds), limit_ms) * 1.3
    # Neighbours of a large number would write over each other.
    ticks = [count for i, count in enumerate(counts) if i == 0 or count / counts[i - 1] > 1.15]
    lines_of_artifacts.scale(axes, counts, ticks, low, high)
    axes.set_xlabel("cameras at the same time (logarithmic)", fontsize=10)
    axes.set_ylabel("P95 in milliseconds", fontsize=10)
    axes.axhline(limit_ms, color="black", linewidth=1.2)
    axes.annotate(
        f"one frame, {limit_ms:.1f} ms", (0.01, limit_ms), xycoords=("axes fraction", "data"), xytext=(0, 3),
        textcoords="offset points", fontsize=9, color=GREY,
    )  # fmt: skip
    seen, ends = {}, []
    for name, points in ran.groupby("artifact", sort=False):
        runtime = runtimes[name]
        turn = seen[runtime] = seen.get(runtime, -1) + 1
        colour, marker = RUNTIME_COLOURS[runtime], MARKERS[turn % len(MARKERS)]
        x, p95 = points["streams"].to_numpy(float), points["latency_ms_p95"].to_numpy(float)
        axes.plot(x, p95, linestyle=LINES[turn % len(LINES)], color=colour, linewidth=1.6)
        ranges = [points[f"latency_ms_p95_{end}"].to_numpy(float) for end in ("low", "high")]
        axes.vlines(x, *ranges, color=colour, linewidth=3.5, alpha=0.35)
        for at, ms, served in zip(x, p95, points["served"], strict=True):
            axes.plot(
                at, ms, marker, color=colour, markersize=6, markerfacecolor=colour if served else "white"
            )
        row = points.iloc[-1]
        ends.append((x[-1], p95[-1], titled(row), colour))
    lines_of_artifacts.name_ends(axes, ends)


# ------------------------------------------------------------------- what report/pages.py asks for


def table(run) -> pd.DataFrame:
    """Return the table of cameras. run: records.Run."""
    return cameras_table(run.cameras, run.parity)


def text(table: pd.DataFrame, run, title: str = "", notice: str | None = None) -> str:
    """Return the table of `table` as Markdown, with what explains it."""
    return cameras_markdown(table, run.cameras, title, notice)


def plot(run, path, title: str = "", notice: str | None = None) -> None:
    """Draw the figure as PNG."""
    plot_cameras(table(run), run.cameras, path, title, notice)
