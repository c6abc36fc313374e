"""What the latency rows were measured under: warm-up, host overhead, memory, state of GPU and host."""

import numpy as np
import pandas as pd

from posegauge.measure.gpu_monitor import HARMLESS
from posegauge.measure.latency import STABLE_SHARE
from posegauge.report import latency
from posegauge.report.markdown import DASH, cell, markdown, page, percent

MACHINE_COLUMNS = (
    "benchmark", "title", "device", "status", "reason", "processes", "warmup_runs", "warmup_stable",
    "latency_ms_mean", "device_ms_mean", "host_overhead",
    "host_peak_mib", "gpu_peak_mib", "gpu_peak_of", "torch_peak_mib",
    "gpu_samples", "gpu_reason", "sm_clock_mhz_min", "sm_clock_mhz_median", "sm_clock_max_mhz",
    "memory_clock_mhz_median", "temperature_c_max", "power_w_median", "power_w_max", "power_limit_w",
    "throttle", "load_before", "load_after", "frequency_mhz_before", "frequency_mhz_after",
)  # fmt: skip


def machine_table(records: list[dict], benchmark: pd.DataFrame) -> pd.DataFrame:
    """Return one row per latency record (see MACHINE_COLUMNS), over all its processes.

    records: of records.read_latency. benchmark: latency.benchmark_table of them. Peaks are the largest of all
    processes, loads and clock rates of the host the first and the last that were seen.
    """
    known = benchmark.set_index("benchmark")
    rows = []
    for record in records:
        row = {key: record[key] for key in ("benchmark", "title", "device", "status", "reason")}
        row |= known.loc[
            record["benchmark"], ["latency_ms_mean", "device_ms_mean", "host_overhead"]
        ].to_dict()
        if states := record.get("measured_under"):
            row |= _host(states) | _gpu([state["gpu"] for state in states if state["gpu"]])
            for key in ("host_peak_mib", "gpu_peak_mib", "torch_peak_mib"):
                row[key] = _extreme(max, [state["memory"][key] for state in states])
            row["gpu_peak_of"] = states[0]["memory"]["gpu_peak_of"]
        rows.append(row)
    return pd.DataFrame(rows, columns=list(MACHINE_COLUMNS)).astype(
        dict.fromkeys(("processes", "warmup_runs", "gpu_samples"), "Int64")
    )


def _extreme(which, values):
    """Return the largest or smallest of the values that are not None; None without any."""
    return which((value for value in values if value is not None), default=None)


def _median(values) -> float | None:
    found = [value for value in values if value is not None]
    return float(np.median(found)) if found else None


def _host(states: list[dict]) -> dict:
    before, after = states[0]["host"]["before"], states[-1]["host"]["after"]
    return {
        "processes": len(states),
        "warmup_runs": max(state["warm_up"]["runs"] for state in states),
        "warmup_stable": all(state["warm_up"]["stable"] for state in states),
        "load_before": before["load_average"][0],
        "load_after": after["load_average"][0],
        "frequency_mhz_before": before["frequency_mhz"],
        "frequency_mhz_after": after["frequency_mhz"],
    }


def _gpu(gpus: list[dict]) -> dict:
    """Return the columns of the GPU from its samples in all processes; nothing without a GPU."""
    if not gpus:
        return {}
    samples = [sample for gpu in gpus for sample in gpu["samples"]]
    of = {key: [sample[key] for sample in samples] for key in (samples[0] if samples else ())}
    braked = {reason for reasons in of.get("throttle", []) if reasons for reason in reasons}
    return {
        "gpu_samples": len(samples),
        "gpu_reason": gpus[0]["reason"],
        "sm_clock_mhz_min": _extreme(min, of.get("sm_clock_mhz", [])),
        "sm_clock_mhz_median": _median(of.get("sm_clock_mhz", [])),
        "sm_clock_max_mhz": gpus[0].get("sm_clock_max_mhz"),
        "memory_clock_mhz_median": _median(of.get("memory_clock_mhz", [])),
        "temperature_c_max": _extreme(max, of.get("temperature_c", [])),
        "power_w_median": _median(of.get("power_w", [])),
        "power_w_max": _extreme(max, of.get("power_w", [])),
        "power_limit_w": gpus[0].get("power_limit_w"),
        # Empty: looked, and nothing held the clocks back.
        "throttle": ", ".join(sorted(braked - set(HARMLESS))) if of.get("throttle") else None,
    }


def machine_markdown(
    table: pd.DataFrame, records: list[dict], title: str = "", notice: str | None = None
) -> str:
    """Return the table for people: rows that ran, columns of the GPU only where one was used."""
    ran = table[table["status"] == "ok"]
    if ran.empty:
        return page(["No row of the latency table ran."], notice)
    on_gpu = bool((ran["device"] == "cuda").any())
    columns = {"Configuration": "left", "Warm-up runs": "right", "Host memory (MiB)": "right"}
    columns |= {"Load before / after": "right"}
    if on_gpu:
        columns |= {"Host overhead": "right", "GPU memory (MiB)": "right", "SM clock (MHz)": "right"}
        columns |= {"GPU (°C)": "right", "Power (W)": "right", "Throttled": "left"}
    rows = [_shown(row) for row in ran.to_dict("records")]
    notes = [title, _warm_up_note(ran), *(_gpu_notes(ran) if on_gpu else [])]
    return page([markdown(rows, columns), *notes], notice)


def _shown(row: dict) -> dict[str, str]:
    runs, stable = row["warmup_runs"], row["warmup_stable"]
    clocks = [cell(row[key], 0) for key in ("sm_clock_mhz_median", "sm_clock_max_mhz")]
    shown = {
        "Configuration": cell(row["title"]),
        "Warm-up runs": DASH if pd.isna(runs) else f"{runs}{'' if stable else ' ¹'}",
        "Host memory (MiB)": cell(row["host_peak_mib"], 0),
        "Load before / after": f"{cell(row['load_before'])} / {cell(row['load_after'])}",
    }
    if row["device"] == "cuda":
        seen = not pd.isna(row["gpu_samples"]) and row["gpu_samples"] > 0
        shown |= {
            "Host overhead": percent(row["host_overhead"]),
            "GPU memory (MiB)": cell(row["gpu_peak_mib"], 0),
            "SM clock (MHz)": f"{clocks[0]} of {clocks[1]}" if seen else DASH,
            "GPU (°C)": cell(row["temperature_c_max"], 0),
            "Power (W)": cell(row["power_w_median"], 0),
            "Throttled": (cell(row["throttle"]) or "no") if seen else DASH,
        }
    return shown


def _warm_up_note(ran: pd.DataFrame) -> str:
    unstable = ran.loc[ran["warmup_stable"] == False, "title"]  # noqa: E712 (None: not known)
    if unstable.empty:
        return ""
    share = f"{100 * STABLE_SHARE:g} %"
    return f"¹ Not stable after these warm-up runs: no two windows in turn had medians within {share}."


def _gpu_notes(ran: pd.DataFrame) -> list[str]:
    notes = [
        "Host overhead: the share of the mean latency that is not the networks' own time on the GPU. SM "
        "clock: median of the samples taken between runs, and the highest that the GPU has. Throttled: "
        "whatever held the clocks back in any sample."
    ]
    grown = ran.loc[ran["gpu_peak_of"] == "growth", "title"]
    if not grown.empty:
        notes.append(
            "GPU memory is the growth of all memory in use there, as NVML does not show this process."
        )
    missing = ran[ran["gpu_reason"].notna()]
    notes += [
        f"No state of the GPU: {cell(reason)} ({', '.join(rows['title'])})."
        for reason, rows in missing.groupby("gpu_reason", sort=False)
    ]
    return notes


# ------------------------------------------------------------------- what report/pages.py asks for


def table(run) -> pd.DataFrame:
    """Return what the latency rows were measured under. run: records.Run."""
    return machine_table(run.latency, latency.table(run))


def text(table: pd.DataFrame, run, title: str = "", notice: str | None = None) -> str:
    """Return the table of `table` as Markdown, with what explains it."""
    return machine_markdown(table, run.latency, title, notice)
