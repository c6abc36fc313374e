"""Latency of the pipeline: warm-up, then single runs, every sample kept; several processes as one row."""

import time

import numpy as np

from posebench.errors import PoseBenchError
from posebench.logs import progress
from posebench.pipeline import Pipeline
from posebench.study import STAGES


def measure(pipeline: Pipeline, image: np.ndarray, bboxes: np.ndarray | None, warmup: int, runs: int) -> dict:
    """Run the pipeline `warmup` + `runs` times on one image and keep the times of the last `runs`.

    Args:
        pipeline: detect+pose, or pose only when `bboxes` is given.
        image: uint8 BGR [H, W, 3].
        bboxes: None or float32 [N, 4] xyxy.

    Returns:
        {"persons": N of the last run, "latency_ms": [runs] wall clock around the whole call,
        "stages_ms": {stage: [runs]}}.
    """
    for _ in range(warmup):
        pipeline(image, bboxes)
    latency_ms = []
    stages_ms = {stage: [] for stage in STAGES}
    persons = None
    for _ in progress(range(runs), "runs"):
        begin = time.perf_counter()
        persons = pipeline(image, bboxes)
        latency_ms.append((time.perf_counter() - begin) * 1e3)
        for stage in STAGES:
            stages_ms[stage].append(persons.stages_ms[stage])
    return {"persons": len(persons), "latency_ms": latency_ms, "stages_ms": stages_ms}


def merge(parts: list[dict]) -> dict:
    """Return the latency record of a row from those of its processes, of the same row and the same runs.

    `latency_ms` and `stages_ms` hold the samples of the first process, then of the second: `processes` parts
    of equal length. When one did not run, the row did not. The provenance is that of the first, with the
    state of the machine in each under `processes`. Raises PoseBenchError when they did not do the same.
    """
    failed = next((part for part in parts if part["status"] != "ok"), None)
    if failed:
        return failed
    first = parts[0]
    hint = "delete latency/processes/ of the run and run again"
    for key in ("benchmark", "image", "persons", "runs", "warmup"):
        if any(part[key] != first[key] for part in parts):
            found = ", ".join(str(part[key]) for part in parts)
            raise PoseBenchError(f"{first['benchmark']}: {key} differs between processes ({found}); {hint}")
    artifacts = [part["provenance"].get("artifacts") for part in parts]
    if any(used != artifacts[0] for used in artifacts):
        raise PoseBenchError(f"{first['benchmark']}: the processes ran different artifacts; {hint}")
    merged = first | {
        "processes": len(parts),
        "runs": sum(part["runs"] for part in parts),
        "latency_ms": [ms for part in parts for ms in part["latency_ms"]],
        "stages_ms": {
            stage: [ms for part in parts for ms in part["stages_ms"][stage]] for stage in first["stages_ms"]
        },
    }
    states = [_state(part["provenance"].get("machine") or {}) for part in parts]
    return merged | {"provenance": first["provenance"] | {"processes": states}}


def _state(machine: dict) -> dict:
    """Return what of a machine's fingerprint changes from hour to hour."""
    keys = ("sm_clock_mhz", "temperature_c", "power_w")
    return {
        "load_average": machine.get("load_average"),
        "frequency_mhz": (machine.get("cpu") or {}).get("frequency_mhz"),
        "gpus": [{key: gpu.get(key) for key in keys} for gpu in machine.get("gpus") or []],
    }
