"""The latency table: its rows, and as Markdown."""

import math

import numpy as np
import pandas as pd

from posegauge.measure import roofline
from posegauge.report.energy import energy_columns
from posegauge.report.latency_figure import plot_latency
from posegauge.report.markdown import DASH, DEVICE_TITLES, cell, machines, markdown, page, span
from posegauge.report.parity import TIER_COLUMNS, TIERS_NOTE, counts, row_verdict
from posegauge.report.verdicts import baseline, no_baseline, plain_runtime, row_tier
from posegauge.score import tiers
from posegauge.score.steadiness import course, is_steady
from posegauge.study import BENCHMARKS, PIPELINE_TITLES, RUNTIME_TITLES, STAGES

# So many runs allow one above the 99th percentile at 99 % confidence: .99^n + n .01 .99^(n-1) < .01.
RUNS_FOR_P99 = 662

BENCHMARK_COLUMNS = (
    "benchmark", "title", "pipeline", "runtime", "device", "precision", "status", "reason",
    "runs", "persons", "latency_ms_mean", "latency_ms_std", "latency_ms_p5", "latency_ms_p50",
    "latency_ms_p95", "latency_ms_p99", "fps", "speedup", "speedup_against",
    "floor_ms", "times_floor", "floor_reason", "device_ms_mean", "host_overhead",
    *TIER_COLUMNS, "threads",
    *(f"stage_{stage}_ms" for stage in STAGES),
    "joules_per_frame", "joules_per_frame_total", "idle_watts", "power_source", "energy_without",
    "energy_reason",
)  # fmt: skip


def benchmark_table(records: list[dict], parity=(), measured_limits=None) -> pd.DataFrame:
    """Return one row per latency record (see BENCHMARK_COLUMNS; times in milliseconds).

    P99 is left out below RUNS_FOR_P99 samples. `measured_limits` (of read_limits) gives floor_ms, the least
    time of the networks' work on this machine, and times_floor, the mean divided by it. host_overhead is the
    share of the mean that is not the networks' time on the GPU (device_ms_mean).

    The speed-up is the mean of the PyTorch row divided by the mean of this row, always within one pipeline:
    the GPU row when it ran, else the row of the same device; `speedup_against` names it. Where a network is
    given as ONNX, ONNX Runtime's FP32 row takes its place. TIER_COLUMNS say how much of its source's AP the
    row's artifact keeps (`parity`: the records of read_parity). One that keeps too little computes something
    else: it has no speed-up, and is nobody's baseline. Nor has an INT8 row one that was not compared, and a
    row that is no result has no times at all.
    """
    parity = {record["artifact"]: record for record in parity}
    verdicts = {record["benchmark"]: row_tier(record, parity) for record in records}
    ran = {record["benchmark"]: record for record in records if record["status"] == "ok"}
    trusted = {name: record for name, record in ran.items() if counts(record | verdicts[name])}
    rows = []
    for record in records:
        name, verdict = record["benchmark"], verdicts[record["benchmark"]]
        row = {key: record[key] for key in (*BENCHMARK_COLUMNS[:8], "persons")} | verdict
        row |= energy_columns(record)
        if record["status"] == "ok":
            samples = np.asarray(record["latency_ms"], dtype=np.float64)
            mean = float(samples.mean())
            p5, p50, p95, p99 = (float(value) for value in np.percentile(samples, (5, 50, 95, 99)))
            if name in trusted:
                against = baseline(record, trusted)
                missing = None if against else no_baseline(record, ran, trusted)
            else:
                fails = verdict["tier"] == tiers.FAILS
                missing = f"fails: {verdict['tier_note']}" if fails else "INT8 counts where it was compared"
                against = None
            row |= {
                "runs": len(samples),
                "latency_ms_mean": mean,
                "latency_ms_std": float(samples.std()),
                "latency_ms_p5": p5,
                "latency_ms_p50": p50,
                "latency_ms_p95": p95,
                "latency_ms_p99": p99 if len(samples) >= RUNS_FOR_P99 else None,
                "fps": 1000 / mean,
                "speedup": float(np.mean(ran[against]["latency_ms"])) / mean if against else None,
                "speedup_against": against or missing,
                "threads": record["provenance"].get("threads"),
            }
            row |= _beside_the_limit(record, mean, (measured_limits or {}).get(record["device"]))
            row |= {f"stage_{name}_ms": float(np.mean(ms)) for name, ms in record["stages_ms"].items() if ms}
        rows.append(row)
    table = pd.DataFrame(rows, columns=list(BENCHMARK_COLUMNS))
    # A column without a single number would be one of objects.
    numbers = ("latency_ms_p99", "floor_ms", "times_floor", "device_ms_mean", "host_overhead")
    numbers += ("joules_per_frame", "joules_per_frame_total", "idle_watts")
    numbers += ("ap_share", "ap_share_low", "ap_share_high")
    return table.astype(
        dict.fromkeys(("runs", "persons", "threads"), "Int64") | dict.fromkeys(numbers, "float64")
    )


def _beside_the_limit(record: dict, mean: float, limit: dict | None) -> dict:
    """Return the columns from floor_ms to host_overhead of a row that ran."""
    roles = ("pose",) if record["pipeline"] == PIPELINE_TITLES["pose"] else ("detector", "pose")
    floor = roofline.floor_ms(limit, roles, record["persons"], record["precision"])
    samples = record.get("device_ms") or {}
    on_device = sum(float(np.mean(ms)) for ms in samples.values()) if samples else None
    return {
        "floor_ms": floor,
        "times_floor": mean / floor if floor else None,
        "floor_reason": roofline.reason_without(limit, record["precision"]),
        "device_ms_mean": on_device,
        "host_overhead": None if on_device is None else 1 - on_device / mean,
    }


def measured_text(records: list[dict]) -> str:
    """Say on which machine, on which image and with how many runs the latency rows were measured."""
    ran = [record for record in records if record["status"] == "ok"]
    if not ran:
        return "No row ran."
    images = dict.fromkeys(
        f"{r['image']['file_name']} ({r['image']['width']}×{r['image']['height']})" for r in ran
    )
    threads = sorted({t for r in ran if (t := r["provenance"].get("threads"))})
    runs = sorted({len(record["latency_ms"]) for record in ran})
    warmup = sorted({runs for record in ran for runs in _warm_up_runs(record)})
    parts = [
        f"Machine: {'; '.join(machines(ran)) or 'not recorded'}",
        f"threads: {span(threads)}" if threads else "",
        f"image: {', '.join(images)}",
        f"persons in it: {_persons(ran)}",
        f"timed runs: {span(runs)}, after {span(warmup)} for warm-up",
    ]
    return " · ".join(filter(None, parts))


def _warm_up_runs(record: dict) -> list[int]:
    """Return the warm-up runs of each process; files from before they were counted have those asked for."""
    return [state["warm_up"]["runs"] for state in record.get("measured_under") or []] or [record["warmup"]]


def _persons(ran: list[dict]) -> str:
    """Return '3', or '4 (detect+pose), 3 (pose only)' when the detector does not find what is annotated."""
    counts = {}
    for record in ran:
        counts.setdefault(record["pipeline"], set()).add(record["persons"])
    told = {pipeline: span(sorted(numbers)) for pipeline, numbers in counts.items()}
    if len(set(told.values())) == 1:
        return next(iter(told.values()))
    return ", ".join(f"{number} ({pipeline})" for pipeline, number in told.items())


def p99_note(table: pd.DataFrame) -> str | None:
    """Return why P99 is not shown in some rows, or None when every row has enough runs."""
    few = table.loc[table["runs"].fillna(RUNS_FOR_P99) < RUNS_FOR_P99, "runs"]
    if few.empty:
        return None
    counts = sorted({(int(runs), math.ceil(int(runs) * 0.01)) for runs in few})
    told = " and ".join(
        f"of {n} runs it would rest on the slowest {k if k > 1 else 'one'}" for n, k in counts
    )
    return f"P99 is shown from {RUNS_FOR_P99} runs on: {told}."


def unsteady_note(records: list[dict]) -> str:
    """Name the rows in whose course the machine changed its speed, and those that were timed again."""
    told, again = [], []
    for record in records:
        if record["status"] != "ok":
            continue
        title = BENCHMARKS[record["benchmark"]].title
        if not is_steady(record["latency_ms"]):
            medians = course(record["latency_ms"])
            told.append(f"{title} (medians of its tenths from {min(medians):.1f} to {max(medians):.1f} ms)")
        tries = [one for state in record.get("measured_under", ()) for one in state.get("unsteady", ())]
        if tries:
            again.append(f"{title} ({len(tries)}×)" if len(tries) > 1 else title)
    notes = []
    if told:
        notes.append(
            f"Unsteady: {', '.join(told)}. The machine went at more than one speed meanwhile, as a shared "
            "one does: trust neither the mean nor a speed-up with it, and measure the row again."
        )
    if again:
        notes.append(f"Timed again, since the machine changed its speed meanwhile: {', '.join(again)}.")
    return " ".join(notes)


def floor_note(table: pd.DataFrame) -> str:
    """Say what the floor is, and why rows that ran have none."""
    ran = table[table["status"] == "ok"]
    if ran.empty:
        return ""
    notes = []
    if ran["floor_ms"].notna().any():
        notes.append(
            "Floor: the least time in which this machine, at its best measured rates, does the networks' "
            "arithmetic or moves their weights, inputs and outputs; × floor: mean / floor."
        )
    if below := list(ran.loc[ran["times_floor"] < 0.995, "title"]):
        notes.append(
            f"Below it ({', '.join(below)}): the runtime needs less arithmetic than is counted (Winograd), "
            "or beats the matrix products by which the rate was measured, so the true floor lies lower."
        )
    notes += [
        f"No floor: {cell(reason)} ({', '.join(rows['title'])})."
        for reason, rows in ran.groupby("floor_reason", sort=False)
    ]
    return " ".join(notes)


def benchmark_markdown(
    table: pd.DataFrame, records: list[dict], title: str = "", notice: str | None = None
) -> str:
    """Return the latency table for people, with models, machine, runs, notice and footnote.

    title: what was measured, like 'RTMDet-m + RTMPose-m on COCO val2017'.
    """
    note = p99_note(table)
    columns = {"Configuration": "left", "Pipeline": "left", "Runtime / device": "left", "Mean (ms)": "right"}
    columns |= dict.fromkeys(("FPS", "P95 (ms)", "P99 (ms)", "Floor (ms)", "× floor"), "right")
    columns["Speed-up"] = "left"
    rows = []
    for row in table.to_dict("records"):
        precision = "" if row["precision"] == "fp32" else f" {row['precision'].upper()}"
        shown = {
            "Configuration": cell(row["title"]),
            "Pipeline": row["pipeline"],
            "Runtime / device": f"{DEVICE_TITLES[row['device']]} ({row['runtime']}{precision})",
        }
        if row["status"] == "ok":
            shown |= {
                "Mean (ms)": cell(row["latency_ms_mean"]),
                "FPS": cell(row["fps"]),
                "P95 (ms)": cell(row["latency_ms_p95"]),
                "P99 (ms)": f"{DASH} ¹" if row["runs"] < RUNS_FOR_P99 else cell(row["latency_ms_p99"]),
                "Floor (ms)": cell(row["floor_ms"], 2 if row["floor_ms"] >= 1 else 3),
                "× floor": cell(row["times_floor"], 1, "×"),
                "Speed-up": speedup_text(row),
            }
        else:
            shown["Speed-up"] = f"*{row['status']}: {cell(row['reason'])}*"
        rows.append(shown)
    if not rows:
        return page(["No benchmark row is configured."], notice)
    measured = " · ".join(filter(None, (title, measured_text(records))))
    plain = " or ".join(dict.fromkeys(RUNTIME_TITLES[plain_runtime(record)] for record in records))
    speedup = f"Speed-up: mean of the named {plain} row of the same pipeline / mean of this row."
    notes = [
        speedup,
        *tier_notes(table),
        unsteady_note(records),
        floor_note(table),
        f"¹ {note}" if note else "",
    ]
    return page([markdown(rows, columns), measured, *notes], notice)


def tier_notes(table: pd.DataFrame) -> list[str]:
    """Return what the tiers are, what is off in rows that are not exact, and which were not compared."""
    ran = table[table["status"] == "ok"]
    checked = ran[~ran["tier"].isin((tiers.SOURCE, tiers.NOT_CHECKED))].to_dict("records")
    # What fails has its note in the place of its speed-up.
    notes = [f"{row['title']}: {row['tier_note']}." for row in checked if row["tier"] in tiers.LEAST]
    if any(not row_verdict(row).told for row in checked):
        notes.append("A tier with a question mark needs more images (parity.images) to be told.")
    unchecked = ran[ran["tier"] == tiers.NOT_CHECKED]
    notes += [
        f"Tier not checked: {cell(reason)} ({', '.join(rows['title'])})."
        for reason, rows in unchecked.groupby("tier_note", sort=False)
    ]
    return [TIERS_NOTE if checked else "", " ".join(notes)]


def speedup_text(row: dict) -> str:
    """Return '1.87× · 99 % (vs PyTorch Full CPU)', or why there is no speed-up."""
    if row["tier"] == tiers.FAILS:
        return row["speedup_against"]
    if pd.isna(row["speedup"]):
        return f"{DASH} ({row['speedup_against']})"
    number = f"{row['speedup']:.{2 if row['speedup'] >= 0.1 else 3}f}×"
    if row["tier"] not in (tiers.SOURCE, tiers.NOT_CHECKED):
        number += f" · {row['tier']}{'' if row_verdict(row).told else '?'}"
    same = row["speedup_against"] == row["benchmark"]
    return f"{number} ({'baseline' if same else 'vs ' + BENCHMARKS[row['speedup_against']].title})"


# ------------------------------------------------------------------- what report/pages.py asks for


def table(run) -> pd.DataFrame:
    """Return the latency table. run: records.Run."""
    return benchmark_table(run.latency, run.parity, run.roofline)


def text(table: pd.DataFrame, run, title: str = "", notice: str | None = None) -> str:
    """Return the table of `table` as Markdown, with what explains it."""
    return benchmark_markdown(table, run.latency, title, notice)


def plot(run, path, title: str = "", notice: str | None = None) -> None:
    """Draw the figure as PNG."""
    parity = {record["artifact"]: record for record in run.parity}
    verdicts = {record["benchmark"]: row_verdict(row_tier(record, parity)) for record in run.latency}
    plot_latency(run.latency, path, title, notice, verdicts)
