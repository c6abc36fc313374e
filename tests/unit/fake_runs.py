"""Invented run folders for the tests of comparisons: no number here was measured."""

from pathlib import Path

import numpy as np
from fake_results import MACHINE, fake_latency, fake_parity, fake_scores, write_scores

from posegauge.store.files import read_json, sha256_file, sha256_json, write_json
from posegauge.store.machine import compare

NAMES = ("pytorch_full_cpu", "onnx_full_cpu", "onnx_pose_cpu")
CONDITIONS = ("clean", "noise_heavy", "occlusion")
PIPELINE = {
    "score_thr": 0.1,
    "bbox_thr": 0.3,
    "nms_thr": 0.6,
    "max_persons": 100,
    "person_thr": 0.5,
    "keypoint_thr": 0.2,
    "flip_test": False,
}
ARTIFACTS = {
    "detector": {"file": "detector.onnx", "sha256": "a" * 64},
    "pose": {"file": "pose.onnx", "sha256": "d" * 64},
}


def samples(median: float, runs: int = 200, processes: int = 1, seed: int = 0, spread: float = 0.0) -> list:
    """Return invented times in ms like those of a quiet machine: alike neighbours, a few slow runs.

    spread: standard deviation of the logarithm of a process's own median.
    """
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(processes):
        own = median * np.exp(generator.normal(0, spread))
        noise = generator.normal(0, 0.01, runs)
        for run in range(1, runs):
            noise[run] += 0.5 * noise[run - 1]
        slow = generator.random(runs) < 0.03
        found += (own * (1 + np.abs(noise) + 0.3 * slow)).tolist()
    return found


def latency(name: str, times: list | None = None, threads: int = 2, machine=None, **changes) -> dict:
    """Return an invented latency record with given times; its stages take shares of them."""
    record = fake_latency(name)
    if times is not None:
        before = np.median(record["latency_ms"])
        shares = {stage: np.median(ms) / before for stage, ms in record["stages_ms"].items()}
        record |= {"latency_ms": times, "runs": len(times)}
        record["stages_ms"] = {stage: [share * ms for ms in times] for stage, share in shares.items()}
    record["provenance"] |= {"threads": threads, "artifacts": ARTIFACTS, "machine": machine or MACHINE}
    return record | changes


def scores(name: str, **changes) -> dict:
    """Return an invented record of scores, predicted by ONNX Runtime on the CPU."""
    record = fake_scores(name, **changes)
    backend = {"runtime": "ONNX Runtime", "device": "cpu"}
    return record | {
        "provenance": {"machine": MACHINE, "versions": {}, "artifacts": ARTIFACTS, "backend": backend}
    }


def write_run(folder, rows=None, conditions=None, parity=None, config=None, settings=None, **changes) -> Path:
    """Write a whole run folder as the workflow leaves it; return it.

    rows, conditions, parity: records, by default one of each of NAMES and CONDITIONS and what they run.
    config: laid over the group `pipeline`. settings: further keys of the config. changes: keys of run.json.
    """
    folder = Path(folder)
    rows = [latency(name) for name in NAMES] if rows is None else rows
    conditions = [scores(name) for name in CONDITIONS] if conditions is None else conditions
    parity = [fake_parity("onnxruntime_cpu_fp32")] if parity is None else parity
    for record in rows:
        write_json(folder / "latency" / f"{record['benchmark']}.json", record, "latency.schema.yaml")
    for record in parity:
        write_json(folder / "parity" / f"{record['artifact']}.json", record, "parity.schema.yaml")
    (folder / "robustness").mkdir(parents=True, exist_ok=True)
    write_scores(folder / "robustness", conditions)
    close(folder, config, settings, **changes)
    return folder


def close(folder, config=None, settings=None, **changes) -> None:
    """Write run.json of what lies in a run folder."""
    folder = Path(folder)
    files = sorted(file for file in folder.glob("*/*") if file.is_file())
    model = {"input_size": [320, 320], "checkpoint_sha256": "e" * 64, "onnx_sha256": "a" * 64}
    settings = {"run": folder.name, "seed": 2017, "pipeline": PIPELINE | (config or {}), **(settings or {})}
    record = {
        "schema_version": 1,
        "kind": "run",
        "run": folder.name,
        "notice": None,
        "config": settings,
        "config_sha256": sha256_json(settings),
        "config_files": ["config/config.yaml"],
        "reproduce": "snakemake --cores all",
        "git_revision": "abc1234",
        "machine": MACHINE,
        "hardware": compare([read_json(file) for file in files if file.suffix == ".json"]),
        "versions": {"numpy": "1.26.4"},
        "models": {"detector": model, "pose": model},
        "dataset": {"name": "invented", "annotations_sha256": "f" * 64, "images": 100},
        "files": {file.relative_to(folder).as_posix(): sha256_file(file) for file in files},
        **changes,
    }
    write_json(folder / "run.json", record, "run.schema.yaml")
