"""The detector on every n-th frame of a film: table, Markdown, figure and sentence."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from posegauge.report.markdown import cell, machines, markdown, number, page, ratio_text, spread
from posegauge.report.parity import artifact_title
from posegauge.report.records import interval_columns
from posegauge.report.style import (
    GREY,
    QUIET,
    RULE,
    RUNTIME_COLOURS,
    STYLE,
    WIDTH_IN,
    dress,
    legend,
    message,
    save,
)
from posegauge.score.intervals import MIN_ROUNDS, pass_means
from posegauge.study import RUNTIME_TITLES

HEADING = "The detector on every n-th frame"


OURS, PEER_TITLE = "ours", "rtmlib PoseTracker"


COLUMNS = (
    "artifact", "way", "title", "runtime", "device", "precision", "detect_every", "status", "reason",
    "frames", "rounds", "latency_ms_mean", "latency_ms_p50", "latency_ms_p95", "fps", "detector_frames",
    "detector_ms_p50", "detector_ms_p95", "other_ms_p50", "other_ms_p95", "persons_per_frame", "lost",
    *interval_columns(("speedup", "ap", "ap50", "ar", "ap_change", "time_ratio", "ap_difference")),
)  # fmt: skip


TOLD = 5  # the interval that a sentence tells: that of RTMPose's own pipelines


def detect_every_table(records: list[dict]) -> pd.DataFrame:
    """Return one row per artifact, way and interval (see COLUMNS; times in milliseconds).

    latency_ms_mean is the mean over the frames of a pass, the median over the passes; P50 and P95 are over
    all timed frames, those of the detector's frames and of the others apart. time_ratio and ap_difference are
    posegauge against the program of the row.
    """
    rows = []
    for record in records:
        about = {key: record[key] for key in ("artifact", "device", "precision", "rounds")}
        about |= {"runtime": RUNTIME_TITLES[record["runtime"]], "frames": record["film"]["frames"]}
        for way in record["ways"]:
            title = artifact_title(record) if way["way"] == OURS else PEER_TITLE
            one = about | {
                "way": way["way"],
                "title": title,
                "status": way["status"],
                "reason": way["reason"],
            }
            rows += [one | _row(row) for row in way["rows"]] or [one]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    whole = ("detect_every", "frames", "rounds", "detector_frames", "lost")
    return table.astype(dict.fromkeys(whole, "Int64"))


def _row(row: dict) -> dict:
    taken, detected = np.array(row["latency_ms"]), np.array(row["detected"])
    mean = float(np.median(pass_means(taken)))
    found = {
        "detect_every": row["detect_every"],
        "latency_ms_mean": mean,
        "fps": 1e3 / mean,
        **_percentiles("latency_ms", taken),
        "detector_frames": int(detected.sum()),
        **_percentiles("detector_ms", taken[:, detected]),
        **_percentiles("other_ms", taken[:, ~detected]),
        "persons_per_frame": float(np.mean(row["persons"])),
        "lost": None if row["lost"] is None else sum(row["lost"]),
    }
    ours, scores = row["ours"] or {}, row["scores"] or {}
    estimates = {
        "speedup": row["speedup"],
        **{name: scores.get(name) for name in ("ap", "ap50", "ar")},
        "ap_change": row["ap_change"],
        "time_ratio": ours.get("time_ratio"),
        "ap_difference": ours.get("ap_difference"),
    }
    for name, estimate in estimates.items():
        for end, key in (("", "value"), ("_low", "low"), ("_high", "high")):
            found[name + end] = (estimate or {}).get(key)
    return found


def _percentiles(name: str, taken: np.ndarray) -> dict:
    if not taken.size:
        return {f"{name}_p50": None, f"{name}_p95": None}
    p50, p95 = np.percentile(taken, (50, 95)).tolist()
    return {f"{name}_p50": p50, f"{name}_p95": p95}


def _ratio(row: dict, name: str) -> str:
    if pd.isna(row[name]):
        return cell(None)
    return ratio_text(row[name], row[f"{name}_low"], row[f"{name}_high"])


def _both(row: dict, name: str) -> str:
    if pd.isna(row[f"{name}_p50"]):
        return cell(None)
    return f"{cell(row[f'{name}_p50'])} / {cell(row[f'{name}_p95'])}"


def detect_every_markdown(
    table: pd.DataFrame, records: list[dict], title: str = "", notice: str | None = None
) -> str:
    """Return the table for people, with the film, the machine and what explains it."""
    scored = table["ap"].notna().any()
    columns = {"Program": "left", "n": "right", "ms per frame": "right", "P95 (ms)": "right"}
    columns |= {"With the detector P50 / P95 (ms)": "right", "Without P50 / P95 (ms)": "right"}
    columns |= {"Detector ran": "right", "Speed-up": "right"}
    columns |= {"AP": "right", "AP change": "right"} if scored else {}
    rows = []
    for row in table.to_dict("records"):
        shown = {"Program": cell(row["title"])}
        if row["status"] != "ok":
            rows.append(shown | {"n": f"*not run: {cell(row['reason'])}*"})
            continue
        first = row["detect_every"] == 1
        rows.append(
            shown
            | {
                "n": str(row["detect_every"]),
                "ms per frame": cell(row["latency_ms_mean"]),
                "P95 (ms)": cell(row["latency_ms_p95"]),
                "With the detector P50 / P95 (ms)": _both(row, "detector_ms"),
                "Without P50 / P95 (ms)": _both(row, "other_ms"),
                "Detector ran": f"{row['detector_frames']} of {row['frames']}",
                "Speed-up": cell(None) if first else _ratio(row, "speedup"),
                "AP": spread(row, "ap"),
                "AP change": cell(None) if first else spread(row, "ap_change", signed=True),
            }
        )
    parts = [markdown(rows, columns)]
    against = [
        f"n = {row['detect_every']}: {_ratio(row, 'time_ratio')} of its time"
        + ("" if pd.isna(row["ap_difference"]) else f", AP {spread(row, 'ap_difference', signed=True)}")
        for row in table.to_dict("records")
        if not pd.isna(row["time_ratio"])
    ]
    if against:
        parts.append(f"posegauge against {PEER_TITLE}, same weights, film and n: {'; '.join(against)}.")
    record = records[0]
    parts.append(" · ".join(filter(None, (title, film_text(record), _measured(records)))))
    return page([*parts, _explained(record, bool(against))], notice)


def film_text(record: dict) -> str:
    """Return what the film is."""
    film = record["film"]
    scored = (
        f"{film['annotated_persons']} persons annotated in {film['annotated_frames']} of them"
        if film["annotated_frames"]
        else "not annotated, so timed and not scored"
    )
    titled = f", {film['title']}" if film["title"] else ""
    return (
        f"film: {film['file_name']}{titled} ({film['width']}×{film['height']}, {film['frames']} frames at "
        f"{film['frame_rate']:.3g} a second; {scored})"
    )


def _measured(records: list[dict]) -> str:
    machine = f"Machine: {'; '.join(machines(records)) or 'not recorded'}"
    return f"{machine} · threads: {records[0]['threads']} · rounds: {records[0]['rounds']}"


def _explained(record: dict, beside: bool) -> str:
    about = record["interval"]
    text = (
        "The detector runs on every n-th frame, and on the frame after one in which a person is lost; "
        "between, a person's box is made of the keypoints of the frames before. ms per frame: the mean over "
        "the frames, since a median would leave the detector out. Speed-up and AP change: against n = 1 "
        "of the same program."
    )
    if about["note"] and record["film"]["annotated_frames"]:
        text += f" {about['note'][0].upper()}{about['note'][1:]}."
    elif record["film"]["annotated_frames"]:
        text += (
            f" In brackets: {100 * about['level']:.0f} % intervals; of AP from {about['resamples']} paired "
            f"resamples in blocks of {about['block_frames']} frames: the chance of these frames alone."
        )
    if record["rounds"] < MIN_ROUNDS:
        text += f" Times have no intervals: {record['rounds']} of {MIN_ROUNDS} rounds."
    else:
        text += " Intervals of times are from resamples of the passes."
    if beside:
        text += (
            f" {PEER_TITLE}: det_frequency n, tracking=False; it looks for nobody anew between its "
            "detections, ranks persons by their keypoints alone, and gives the pose network blue for red."
        )
    return text


def detect_every_finding(records: list[dict]) -> str | None:
    """Return in one sentence what detection on every TOLD-th frame, or the least above 1, costs and gives."""
    if not records:
        return None
    table = detect_every_table(records)
    table = table[(table["status"] == "ok") & (table["detect_every"] > 1)]
    if table.empty:
        return None
    intervals = sorted(set(table["detect_every"]))
    n = TOLD if TOLD in intervals else int(intervals[0])
    told = []
    rows = table[table["detect_every"] == n].to_dict("records")
    for row in (row for row in rows if row["way"] == OURS):
        text = f"{row['title']} {row['latency_ms_mean']:.2f} ms per frame, {_ratio(row, 'speedup')} the speed"
        text += f" of detection on every frame (P95 {row['latency_ms_p95']:.2f} ms)"
        if not pd.isna(row["ap"]):
            text += f", AP {number(row['ap'])}, changed by {spread(row, 'ap_change', signed=True)}"
        told.append(text)
    for row in (row for row in rows if row["way"] != OURS):
        text = f"posegauge takes {_ratio(row, 'time_ratio')} of the time of {row['title']}"
        if not pd.isna(row["ap_difference"]):
            text += f", its AP differs by {spread(row, 'ap_difference', signed=True)}"
        told.append(text)
    name = records[0]["film"]["file_name"]
    return f"With the detector on every {n}{_ending(n)} frame of {name}: {'; '.join(told)}."


def _ending(number: int) -> str:
    if number % 100 in (11, 12, 13):
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")


# --------------------------------------------------------------------------------------------- the figure


PANEL_IN, LEFT_IN, GAP_IN, RIGHT_IN = 3.0, 0.75, 0.9, 0.25


MARKERS = ("o", "s", "^", "D", "v", "P")


def plot_detect_every(
    table: pd.DataFrame, records: list[dict], path, title: str = "", notice: str | None = None
) -> None:
    """Draw as PNG milliseconds per frame and, where the film is annotated, AP by interval.

    Left the mean with P95, and the medians of the frames with and without the detector; right AP.
    """
    ran = table[table["status"] == "ok"]
    with plt.rc_context(STYLE):
        if ran.empty:
            reasons = "; ".join(f"{row.title}: {row.reason}" for row in table.itertuples()) or "no film"
            message(path, HEADING, f"not run: {reasons}", notice)
            return
        scored = ran["ap"].notna().any()
        names = list(dict.fromkeys(zip(ran["artifact"], ran["way"], strict=True)))
        figure = plt.figure(figsize=(WIDTH_IN, PANEL_IN + 2.6))
        told = [title, film_text(records[0]), *machines(records), f"rounds: {records[0]['rounds']}"]
        bottom, top = dress(figure, HEADING, " · ".join(filter(None, told)), notice)
        height = figure.get_figheight()
        width = (WIDTH_IN - LEFT_IN - RIGHT_IN - GAP_IN) / 2
        low, foot = bottom + 1.25, height - top - 0.4
        intervals = sorted(set(map(int, ran["detect_every"])))
        panels = [_times] + ([_scores] if scored else [])
        handles = []
        for place, draw in enumerate(panels):
            left = LEFT_IN + place * (width + GAP_IN)
            box = (left / WIDTH_IN, low / height, width / WIDTH_IN, (foot - low) / height)
            axes = figure.add_axes(box)
            axes.grid(axis="y", color=RULE, linewidth=0.8)
            axes.set_axisbelow(True)
            for index, (artifact, way) in enumerate(names):
                rows = ran[(ran["artifact"] == artifact) & (ran["way"] == way)].sort_values("detect_every")
                x = np.array([intervals.index(n) for n in rows["detect_every"]], float)
                x += (index - (len(names) - 1) / 2) * 0.14
                colour, marker = _colour(rows), MARKERS[index % len(MARKERS)]
                draw(axes, x, rows, colour, marker)
                if place == 0:
                    label = rows["title"].iloc[0]
                    handles.append(plt.Line2D([], [], color=colour, marker=marker, label=label))
            if draw is _times:
                axes.set_ylim(bottom=0)
            axes.set_xticks(range(len(intervals)), [str(n) for n in intervals])
            axes.set_xlim(-0.5, len(intervals) - 0.5)
            axes.set_xlabel("n: the detector runs on every n-th frame")
        marks = {"_": "P95", "2": "P50 with the detector", "1": "P50 without"}
        explained = [
            plt.Line2D([], [], color=QUIET, marker=mark, linestyle="none", label=label)
            for mark, label in marks.items()
        ]
        legend(figure, handles, bottom + 0.24)
        legend(figure, explained, bottom + 0.02)
        save(figure, path)


def _colour(rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    return RUNTIME_COLOURS[first["runtime"]] if first["way"] == OURS else GREY


def _times(axes, x, rows, colour, marker) -> None:
    values = {name: rows[name].to_numpy(float) for name in ("latency_ms_mean", "latency_ms_p95")}
    axes.plot(x, values["latency_ms_mean"], color=colour, marker=marker, linewidth=1.4, markersize=6)
    axes.vlines(x, values["latency_ms_mean"], values["latency_ms_p95"], color=colour, linewidth=1, alpha=0.6)
    axes.plot(x, values["latency_ms_p95"], color=colour, marker="_", linestyle="none", markersize=9)
    for name, sign in (("detector_ms_p50", "2"), ("other_ms_p50", "1")):
        axes.plot(x, rows[name].to_numpy(float), sign, color=colour, markersize=8, alpha=0.8)
    axes.set_title("Milliseconds per frame (mean)", fontsize=11, fontweight="bold")


def _scores(axes, x, rows, colour, marker) -> None:
    axes.plot(x, rows["ap"].to_numpy(float), color=colour, marker=marker, linewidth=1.4, markersize=6)
    axes.vlines(x, rows["ap_low"].to_numpy(float), rows["ap_high"].to_numpy(float), color=colour, linewidth=1)
    axes.set_title("Keypoint AP, 95 % intervals", fontsize=11, fontweight="bold")


# ------------------------------------------------------------------- what report/pages.py asks for


def table(run) -> pd.DataFrame:
    """Return the table by artifact, way and interval. run: records.Run."""
    return detect_every_table(run.detect_every)


def text(table: pd.DataFrame, run, title: str = "", notice: str | None = None) -> str:
    """Return the table of `table` as Markdown, with what explains it."""
    return detect_every_markdown(table, run.detect_every, title, notice)


def plot(run, path, title: str = "", notice: str | None = None) -> None:
    """Draw the figure as PNG."""
    plot_detect_every(table(run), run.detect_every, path, title, notice)
