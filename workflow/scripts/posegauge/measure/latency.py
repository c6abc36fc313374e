"""Latency of the pipeline: warm-up until stable, then single runs, every sample kept; processes as one row.

The clock is the wall's, around the whole call. Where the networks run on a GPU their own time there, between
two CUDA events, is kept beside it (Persons.device_ms).
"""

import time
from collections.abc import Callable

import numpy as np

from posegauge.backends.assemble import build_pipeline
from posegauge.data.annotations import read_annotations
from posegauge.data.coco import person_boxes
from posegauge.data.images import find_entry, read_entry
from posegauge.errors import PoseGaugeError
from posegauge.logs import progress
from posegauge.measure import gpu_monitor, power
from posegauge.pipeline.pipeline import Pipeline, builds, detector_work
from posegauge.score.steadiness import course, is_steady
from posegauge.store import machine as store_machine
from posegauge.store.files import read_json
from posegauge.store.provenance import collect
from posegauge.store.record import attempt, make_record
from posegauge.study import BENCHMARKS, PIPELINE_TITLES, ROLES, RUNTIME_TITLES, STAGES, sources

# Warm enough: the medians of two windows of runs, one after the other, differ by less than this share.
WINDOW = 10


STABLE_SHARE = 0.03


# No warm-up goes on for longer, except for the runs that the config asks for at least.
MAX_WARMUP_S = 60.0


def measure_row(config: dict, name: str, files: dict, threads: int) -> dict:
    """Measure one row of the latency table.

    Args:
        config: what its runtime needs (study.Artifact.config_keys), energy, and benchmark: image, boxes,
            warmup, max_warmup, runs, tries.
        name: of the row, a key of study.BENCHMARKS.
        files: {"detector", "pose": the run's ONNX files, or nothing where the row runs none, "images":
            folder, "person_images", "annotations": paths}.
        threads: CPU threads.

    Returns:
        The record for results/<run>/latency/<name>.json (latency.schema.yaml), with every sample, or with the
        reason why this machine cannot run the row, or why the samples are no result: nobody was found.

    Raises:
        PoseGaugeError: poses are to be estimated in annotated boxes, and the image has none.
    """
    row, protocol = BENCHMARKS[name], config["benchmark"]
    entries = read_json(files["person_images"])["images"]
    entry = find_entry(entries, protocol["image"] or entries[0]["file_name"], "benchmark.image")
    image = read_entry(files["images"], entry)
    pose_only = row.pipeline == "pose"
    given_boxes, bboxes = pose_only or protocol["boxes"] == "annotated", None
    if given_boxes:
        bboxes = person_boxes(read_annotations(files["annotations"]), entry["id"])
        if len(bboxes) == 0:
            raise PoseGaugeError(
                f"{entry['file_name']} has no annotated box to estimate poses in; set benchmark.image"
            )
    roles = ("pose",) if pose_only else ROLES
    sessions, steps, detector = {}, None, None
    measured = {"persons": None, "latency_ms": [], "stages_ms": {}, "device_ms": {}, "measured_under": []}
    energy = config["energy"]
    with attempt(name) as outcome, power.meter(energy["source"], row.artifact.device) as meter:
        # Before the networks are loaded: the memory in use and the power drawn then are not theirs.
        monitor = gpu_monitor.watch(row.artifact.device)
        meter.idle(energy["idle_seconds"])
        pipeline = build_pipeline(config, row.artifact, threads, files, pose_only, alone=True)
        sessions = pipeline.sessions
        detector = None if pose_only else detector_work(pipeline, image)
        pipeline.always_detect = not pose_only
        measured = measure(pipeline, image, bboxes, protocol, monitor, meter)
        steps = pipeline.steps.provenance()
        if measured["persons"] == 0:
            outcome.status, outcome.reason = "no result", f"finds no person in {entry['file_name']}"
    boxes = "annotated" if given_boxes else "detected"
    return make_record(
        "latency",
        collect(config, sessions, threads, steps=steps) | {"boxes": boxes, "detector": detector},
        outcome,
        benchmark=name,
        title=row.title,
        pipeline=PIPELINE_TITLES[row.pipeline],
        runtime=RUNTIME_TITLES[row.artifact.runtime],
        device=row.artifact.device,
        precision=row.artifact.precision,
        execution=row.artifact.execution,
        images_on=row.artifact.images,
        source={role: of.runtime for role, of in sources(config["models"]).items() if role in roles},
        warmup=protocol["warmup"],
        runs=len(measured["latency_ms"]),
        image={key: entry[key] for key in ("file_name", "width", "height")},
        **measured,
    )


def measure(
    pipeline: Pipeline,
    image: np.ndarray,
    bboxes: np.ndarray | None,
    protocol: dict,
    monitor: gpu_monitor.Monitor | None = None,
    meter: power.Meter | None = None,
) -> dict:
    """Warm the pipeline up, then time it on one image.

    Args:
        pipeline: detect+pose, or pose only when `bboxes` is given.
        image: uint8 BGR [H, W, 3].
        bboxes: None or float32 [N, 4] xyxy.
        protocol: warmup (runs at least), max_warmup (at most), runs, tries: of the config's `benchmark`.
        monitor: looks at the GPU between runs.
        meter: counts the joules of the timed runs, and of further ones where these are over too soon.

    Returns:
        {"persons": N of the last run, "latency_ms": [runs] wall clock around the whole call,
        "stages_ms": {stage: [runs]},
        "device_ms": {"detect", "pose": [runs]} of the networks on the GPU, {} on the CPU,
        "measured_under": [{"warm_up", "unsteady", "host", "memory", "gpu", "energy"}] as in
        latency.schema.yaml}. All are of the first try in whose course the machine kept its speed, or of the
        last one.
    """
    meter = meter or power.Meter([], "no meter was given")
    before = store_machine.state()

    def run() -> tuple[float, dict, dict, int]:
        if monitor:
            monitor.sample()
        meter.look()
        begin = time.perf_counter()
        persons = pipeline(image, bboxes)
        latency_ms = (time.perf_counter() - begin) * 1e3
        # Not the persons themselves: arrays that are kept could not be used again by the next run.
        return latency_ms, persons.stages_ms, persons.device_ms, len(persons)

    warmed = warm_up(lambda: run()[0], protocol["warmup"], protocol["max_warmup"])
    built, unsteady = builds(pipeline), []
    while True:
        meter.start()
        done = [run() for _ in progress(range(protocol["runs"]), "runs")]
        latency_ms = [ms for ms, *_ in done]
        if is_steady(latency_ms) or len(unsteady) + 1 >= protocol["tries"]:
            break
        unsteady.append(course(latency_ms))
    meter.stop(len(done), run)
    if builds(pipeline) != built:
        raise PoseGaugeError(
            "a network was compiled, captured or tuned for a new batch size during the timed runs, or a step "
            "ran otherwise than as a CUDA graph from before them: set benchmark.warmup higher"
        )
    if monitor:
        monitor.sample(force=True)
    on_device = dict.fromkeys(name for _, _, device_ms, _ in done for name in device_ms)
    return {
        "persons": done[-1][-1],
        "latency_ms": latency_ms,
        "stages_ms": {stage: [stages_ms[stage] for _, stages_ms, *_ in done] for stage in STAGES},
        "device_ms": {name: [device_ms.get(name, 0.0) for *_, device_ms, _ in done] for name in on_device},
        "measured_under": [
            {
                "warm_up": warmed,
                "unsteady": unsteady,
                "host": {"before": before, "after": store_machine.state()},
                "memory": _memory(monitor),
                "gpu": monitor.record() if monitor else None,
                "energy": meter.record(),
            }
        ],
    }


def warm_up(run: Callable[[], float], least: int, most: int) -> dict:
    """Run until the times are stable.

    Args:
        run: makes one run and returns its milliseconds.
        least: runs that are made in any case.
        most: no more than these, or `least` where that is more; nor for longer than MAX_WARMUP_S after the
            first `least`, in which networks may be compiled.

    Returns:
        {"runs": made, "stable": whether the last two windows agree, "window": WINDOW, "share": STABLE_SHARE,
        "latency_ms": [runs]}.
    """
    times = [run() for _ in range(least)]
    begin = time.perf_counter()
    while not (stable := is_stable(times)) and len(times) < most:
        if time.perf_counter() - begin > MAX_WARMUP_S:
            break
        times += [run() for _ in range(min(WINDOW, most - len(times)))]
    return {
        "runs": len(times),
        "stable": stable,
        "window": WINDOW,
        "share": STABLE_SHARE,
        "latency_ms": times,
    }


def is_stable(times: list[float]) -> bool:
    """Say whether the medians of the last WINDOW runs and of those before are within STABLE_SHARE."""
    if len(times) < 2 * WINDOW:
        return False
    last, former = np.median(times[-WINDOW:]), np.median(times[-2 * WINDOW : -WINDOW])
    return bool(abs(last - former) < STABLE_SHARE * former)


def _memory(monitor: gpu_monitor.Monitor | None) -> dict:
    peak, source = monitor.memory_peak() if monitor else (None, None)
    return {
        "host_peak_mib": store_machine.memory_peak_mib(),
        "gpu_peak_mib": peak,
        "gpu_peak_of": source,
        "torch_peak_mib": gpu_monitor.torch_memory_peak(),
    }


def merge(parts: list[dict]) -> dict:
    """Return the latency record of a row from those of its processes, of the same row and the same runs.

    `latency_ms`, `stages_ms` and `device_ms` hold the samples of the first process, then of the second:
    `processes` parts of equal length. `measured_under` has one entry for each. When one did not run, the row
    did not. The provenance is that of the first, with the state of the machine in each under `processes`,
    and all `machines` where they differ. Raises PoseGaugeError when they did not do the same.
    """
    failed = next((part for part in parts if part["status"] != "ok"), None)
    if failed:
        return failed
    first = parts[0]
    hint = "delete latency/processes/ of the run and run again"
    for key in ("benchmark", "image", "persons", "runs", "warmup"):
        if any(part[key] != first[key] for part in parts):
            found = ", ".join(str(part[key]) for part in parts)
            raise PoseGaugeError(f"{first['benchmark']}: {key} differs between processes ({found}); {hint}")
    artifacts = [part["provenance"].get("artifacts") for part in parts]
    if any(used != artifacts[0] for used in artifacts):
        raise PoseGaugeError(f"{first['benchmark']}: the processes ran different artifacts; {hint}")
    merged = first | {
        "processes": len(parts),
        "runs": sum(part["runs"] for part in parts),
        "latency_ms": [ms for part in parts for ms in part["latency_ms"]],
        "stages_ms": _joined(parts, "stages_ms"),
        "device_ms": _joined(parts, "device_ms"),
        "measured_under": [state for part in parts for state in part.get("measured_under", [])],
    }
    machines = [part["provenance"]["machine"] for part in parts]
    provenance = first["provenance"] | {"processes": [_state(machine) for machine in machines]}
    if any(store_machine.identity(machine) != store_machine.identity(machines[0]) for machine in machines):
        provenance["machines"] = machines
    return merged | {"provenance": provenance}


def _joined(parts: list[dict], key: str) -> dict[str, list[float]]:
    """Return the samples of every part, by the names that the first one has."""
    return {name: [ms for part in parts for ms in part[key][name]] for name in parts[0].get(key, {})}


def _state(machine: dict) -> dict:
    """Return what of a machine's fingerprint changes from hour to hour."""
    keys = ("sm_clock_mhz", "temperature_c", "power_w")
    return {
        "load_average": machine.get("load_average"),
        "frequency_mhz": (machine.get("cpu") or {}).get("frequency_mhz"),
        "gpus": [{key: gpu.get(key) for key in keys} for gpu in machine.get("gpus") or []],
    }
