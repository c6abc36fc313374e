"""Invented result files for the tests of tables, figures and README: no number here was measured."""

import zlib
from pathlib import Path

import numpy as np

from posegauge.score import bootstrap
from posegauge.store.files import sha256_json, write_json
from posegauge.study import (
    ARTIFACTS,
    BENCHMARKS,
    COCO_C_CORRUPTIONS,
    CONDITIONS,
    PIPELINE_TITLES,
    RUNTIME_TITLES,
)

MACHINE = {"cpu": {"model": "Fake 3000", "usable_cores": 2}, "memory_bytes": 8 * 2**30, "gpus": []}
CENTRES_MS = {
    "pytorch_full_gpu": 46.0,
    "pytorch_full_cpu": 870.0,
    "onnx_full_gpu": 30.0,
    "onnx_full_cpu": 600.0,
    "pytorch_pose_gpu": 9.0,
    "pytorch_pose_cpu": 150.0,
    "onnx_pose_gpu": 4.5,
    "onnx_pose_cpu": 60.0,
    "tensorrt_full_fp16": 18.0,
    "tensorrt_pose_fp16": 2.1,
}


def fake_latency(name: str, ran: bool = True, runs: int = 200, **changes) -> dict:
    """Return an invented latency record that fits the schema."""
    row = BENCHMARKS[name]
    generator = np.random.default_rng(list(BENCHMARKS).index(name))
    centre = CENTRES_MS.get(name, 5.0 + list(BENCHMARKS).index(name))
    samples = centre * (1 + np.abs(generator.normal(0, 0.04, runs))) if ran else np.array([])
    shares = {"preprocess": 0.05, "detect": 0.7, "nms": 0.01, "crop": 0.02, "pose": 0.2, "decode": 0.02}
    if row.pipeline == "pose":
        shares = {"crop": 0.1, "pose": 0.85, "decode": 0.05}
    return {
        "schema_version": 1,
        "kind": "latency",
        "benchmark": name,
        "title": row.title,
        "pipeline": PIPELINE_TITLES[row.pipeline],
        "runtime": RUNTIME_TITLES[row.artifact.runtime],
        "device": row.artifact.device,
        "precision": row.artifact.precision,
        "execution": row.artifact.execution,
        "images_on": row.artifact.images,
        "status": "ok" if ran else "not run",
        "reason": None if ran else "no CUDA device",
        "warmup": 10,
        "runs": runs,
        "image": {"file_name": "fake.jpg", "width": 640, "height": 426} if ran else None,
        "persons": 3 if ran else None,
        "latency_ms": samples.tolist(),
        "stages_ms": {key: (samples * share).tolist() for key, share in shares.items()} if ran else {},
        "device_ms": _on_device(samples, shares) if ran and row.artifact.device == "cuda" else {},
        "measured_under": [fake_state(row.artifact.device)] if ran else [],
        "provenance": {
            "machine": MACHINE,
            "versions": {"python": "3.11", "numpy": "1.26.4"},
            "threads": 2 if ran else None,
            "config_sha256": "c" * 64,
            "git_revision": "abc1234",
            "artifacts": {"pose": {"file": "pose.onnx", "sha256": "d" * 64}},
        },
        **changes,
    }


def _on_device(samples: np.ndarray, shares: dict) -> dict:
    """The networks' own time on the GPU: nine tenths of their stages."""
    return {key: (0.9 * samples * shares[key]).tolist() for key in ("detect", "pose") if key in shares}


def fake_state(device: str, **changes) -> dict:
    """Return what a process of a latency row was measured under; changes: of its GPU."""
    host = {"load_average": [0.1, 0.2, 0.3], "frequency_mhz": 2700}
    sample = {
        "after_s": 1.0,
        "sm_clock_mhz": 1590,
        "memory_clock_mhz": 5001,
        "temperature_c": 61,
        "power_w": 55.5,
        "throttle": ["idle"],
        "memory_used_mib": 900.0,
        "process_memory_mib": 700.0,
    }
    gpu = {
        "reason": None,
        "name": "Fake T5",
        "sm_clock_max_mhz": 1600,
        "memory_clock_max_mhz": 5001,
        "power_limit_w": 70.0,
        "memory_used_before_mib": 200.0,
        "samples": [sample, sample | {"sm_clock_mhz": 1500, "power_w": 65.5}],
    }
    on_gpu = device == "cuda"
    return {
        "warm_up": {"runs": 20, "stable": True, "window": 10, "share": 0.03, "latency_ms": [5.0] * 20},
        "host": {"before": host, "after": host | {"load_average": [1.1, 0.4, 0.3]}},
        "memory": {
            "host_peak_mib": 512.5,
            "gpu_peak_mib": 700.0 if on_gpu else None,
            "gpu_peak_of": "process" if on_gpu else None,
            "torch_peak_mib": None,
        },
        "gpu": (gpu | changes) if on_gpu else None,
    }


def fake_limits(device: str = "cpu", reason: str | None = None, **rates) -> dict:
    """Return an invented limits record that fits the schema; rates: FLOP/s by precision, and copy in bytes/s.

    The detector asks for 1 GFLOP, the pose network for 0.5 GFLOP per person.
    """

    def rate(per_s: float) -> dict:
        return {
            "library": "Fake 1.0",
            "slower": {},
            "size": 2048,
            "work": 1000,
            "repeats": 1,
            "rounds_ms": [1.0, 1.1],
            "best_per_s": per_s,
            "median_per_s": per_s / 1.1,
        }

    def network(flops: int, weights: int) -> dict:
        work = {"batch": 1, "macs": flops // 2, "flops": flops}
        work |= {"numbers_minimum": weights + 1000, "numbers_moved": 3 * weights}
        return {
            "name": "Fake-m",
            "sha256": "d" * 64,
            "status": "ok",
            "reason": None,
            "weights": weights,
            "weights_read": weights,
            "batches": [work],
            "not_counted": [],
        }

    rates = rates or {"fp32": 1e11, "copy": 1e10} | ({"fp16": 4e11} if device == "cuda" else {})
    matrix = {name: rate(per_s) for name, per_s in rates.items() if name != "copy"}
    return {
        "schema_version": 1,
        "kind": "roofline",
        "device": device,
        "status": "not run" if reason else "ok",
        "reason": reason,
        "threads": 2,
        "cache_bytes": None,
        "rates": None if reason else {"matrix": matrix, "copy": rate(rates["copy"])},
        "pose_calls": 1,
        "networks": {"detector": network(10**9, 10**6), "pose": network(5 * 10**8, 2 * 10**6)},
        "provenance": {"machine": MACHINE, "versions": {}},
    }


# Detection rate, AP, mean confidence: invented.
SCORES = {
    "clean": (0.95, 0.74, 0.56),
    "motion_blur_light": (0.80, 0.45, 0.50),
    "motion_blur_heavy": (0.66, 0.20, 0.39),
    "low_light_moderate": (0.93, 0.71, 0.55),
    "low_light_severe": (0.92, 0.50, 0.53),
    "overexposure": (0.91, 0.63, 0.55),
    "noise_moderate": (0.84, 0.52, 0.51),
    "noise_heavy": (0.67, 0.26, 0.42),
    "occlusion": (0.90, 0.50, 0.53),
}
RESAMPLES = 200
UNBOUNDED = ("mean_confidence", "persons_per_image", "false_positives_per_image")


def _invent(name: str) -> tuple[float, float, float]:
    """Return detection rate, AP and confidence of a condition; in COCO-C they fall with the severity."""
    if name in SCORES:
        return SCORES[name]
    rate, ap, confidence = SCORES["clean"]
    condition = CONDITIONS[name]
    loss = condition.severity * (1 + list(COCO_C_CORRUPTIONS).index(condition.corruption)) / 100
    return rate * (1 - loss), ap * (1 - loss), confidence * (1 - loss / 3)


def _values(name: str) -> dict[str, dict[str, float]]:
    """Return invented scores by set: of the loss of AP, 60 % are the detector's."""
    rate, ap, confidence = _invent(name)
    ap_posed = ap + 0.6 * (SCORES["clean"][1] - ap)

    def keypoints(value):
        shares = {"ap": 1, "ap50": 1.3, "ap75": 1.05, "ap_medium": 0.9, "ap_large": 1.1, "ar": 1.1}
        return {metric: min(value * share, 1.0) for metric, share in shares.items()}

    return {
        "detected": {
            "detection_rate": rate,
            "mean_confidence": confidence,
            "persons_per_image": 2.0,
            **keypoints(ap),
            "box_ap": ap * 0.8,
            "person_recall": rate * 0.9,
            "false_positives_per_image": 0.1,
            "missed_person_rate": 1 - rate * 0.9,
            "mean_similarity": min(ap * 1.2, 1.0),
            "ece": abs(confidence - ap) / 2,
        },
        "clean": keypoints(ap_posed),
        "annotated": keypoints(ap_posed + 0.02),
        "original": {
            "detection_rate": min(rate + 0.03, 1.0),
            "mean_confidence": confidence + 0.02,
            "persons_per_image": 2.1,
            "ap": max(ap - 0.02, 0.0),
            "fallback_rate": min(0.04, 1 - rate),
        },
    }


def _replicates(name: str, box_set: str, metric: str, value: float | None) -> np.ndarray:
    """Return invented replicates of one score, float64 [RESAMPLES]; NaN where there is nothing to measure.

    Most of the spread is common to all scores, as when each replicate draws the same images for all.
    """
    if value is None:
        return np.full(RESAMPLES, np.nan)
    if (name, box_set) == ("clean", "clean"):
        box_set = "detected"  # the same boxes on the same image
    common = np.random.default_rng(0).normal(0, 0.02, RESAMPLES)
    own = np.random.default_rng(zlib.crc32(f"{name}.{box_set}.{metric}".encode()))
    replicates = value * (1 + common + own.normal(0, 0.005, RESAMPLES))
    return np.clip(replicates, 0, None if metric in UNBOUNDED else 1)


def fake_scores(name: str, images: int = 100, **changes) -> dict:
    """Return an invented record of scores that fits the schema, with its replicates as read_scores adds them.

    changes: of a prediction set, like detected={"ap": None}, scores; of any other name, keys of the record.
    """
    condition = CONDITIONS[name]
    values = _values(name)
    for box_set in values:
        values[box_set] |= changes.pop(box_set, {})
    few = bootstrap.note(images)
    scores, replicates = {}, {}
    for box_set, known in values.items():
        scores[box_set] = {}
        for metric, value in known.items():
            low = high = None
            if not few:
                drawn = replicates[f"{box_set}.{metric}"] = _replicates(name, box_set, metric, value)
                if value is not None:
                    low, high = np.percentile(drawn, (2.5, 97.5)).tolist()
            scores[box_set][metric] = {"value": value, "low": low, "high": high}
    rate, study = (values[key]["detection_rate"] for key in ("detected", "original"))
    bins = [
        {
            "score_low": number / 10,
            "score_high": (number + 1) / 10,
            "count": 3 * images,
            "mean_score": number / 10 + 0.05,
            "mean_similarity": number / 12,
        }
        for number in range(10)
    ]
    return {
        "schema_version": 2,
        "kind": "robustness",
        "condition": name,
        "title": condition.title,
        "suite": condition.suite,
        "corruption": condition.corruption,
        "severity": condition.severity,
        "images": images,
        "images_sha256": sha256_json(list(range(1, images + 1))),
        "unreadable": [],
        "scores": scores,
        "counts": {
            "detected": {"images_detected": round((rate or 0) * images), "persons": 2 * images},
            "original": {
                "images_detected": round((study or 0) * images),
                "persons": 2 * images,
                "fallback_images": round((values["original"]["fallback_rate"] or 0) * images),
            },
        },
        "calibration": {"bins": bins, "keypoints": 30 * images},
        "interval": {
            "level": 0.95,
            "resamples": 0 if few else RESAMPLES,
            "seed": 2017,
            "note": few,
        },
        "latency_ms_mean": 31.0,
        "latency_ms_p50": 30.0,
        "fps": 1000 / 31.0,
        "corruption_ms_mean": 4.0,
        "inference_share": 0.8,
        "person_thr": 0.5,
        "score_thr": 0.1,
        "nms_thr": 0.6,
        "provenance": {"machine": MACHINE, "versions": {}},
        "replicates": replicates,
        **changes,
    }


def write_scores(folder, records: list[dict]) -> list[str]:
    """Write records of fake_scores as the workflow does, .json and .npz; return the .json paths."""
    paths = []
    for record in records:
        path = Path(folder) / f"{record['condition']}.json"
        known = {key: value for key, value in record.items() if key != "replicates"}
        write_json(path, known, "robustness.schema.yaml")
        images = np.arange(1, record["images"] + 1, dtype=np.int64)
        np.savez(path.with_suffix(".npz"), images=images, **record["replicates"])
        paths.append(str(path))
    return paths


GATES = {"max_ap_diff": 0.002, "max_keypoint_p95_px": 0.5, "max_box_p95_px": 0.5}
# What takes the place of the figures of a good artifact when one of its gates is passed over.
FAULTS = {
    "max_ap_diff": {
        "ap_artifact": {"value": 0.709, "low": 0.68, "high": 0.74},
        "ap_diff": {"value": -0.031, "low": -0.042, "high": -0.019},
        "ap_share": {"value": 0.709 / 0.74, "low": 0.943, "high": 0.974},
    },
    "max_keypoint_p95_px": {"keypoint_px_p95": 4.2},
    "max_box_p95_px": {"box_px_p95": 7.25},
}


def fake_parity(artifact: str, failed=(), reason: str | None = None, **changes) -> dict:
    """Return an invented parity record that fits the schema.

    failed: names of gates that are passed over. reason: why nothing was compared.
    """
    kind = ARTIFACTS[artifact]
    figures = {
        "images": 200,
        "persons": 900,
        "ap_source": {"value": 0.74, "low": 0.71, "high": 0.77},
        "ap_artifact": {"value": 0.7401, "low": 0.7101, "high": 0.7701},
        "ap_diff": {"value": 0.0001, "low": -0.0002, "high": 0.0003},
        "ap_share": {"value": 0.7401 / 0.74, "low": 0.9997, "high": 1.0004},
        "keypoints": 15300,
        "keypoint_px_p95": 0.12,
        "keypoint_px_max": 80.5,
        "boxes": 899,
        "box_px_p95": 0.01,
        "box_px_max": 0.3,
        "box_score_diff_max": 1e-5,
        "unmatched_boxes": 2,
        "raw": {"max_box_diff_px": 1e-3, "max_score_diff": 1e-6, "max_simcc_diff": 1e-5},
    }
    for gate in failed:
        figures |= FAULTS[gate]
    return {
        "schema_version": 1,
        "kind": "parity",
        "artifact": artifact,
        "runtime": kind.runtime,
        "device": kind.device,
        "precision": kind.precision,
        "execution": kind.execution,
        "images_on": kind.images,
        "status": "not run" if reason else "ok",
        "reason": reason,
        **(dict.fromkeys(figures) if reason else figures),
        "gates": GATES,
        "passes": None if reason else not failed,
        "failed": list(failed),
        "provenance": {"machine": MACHINE, "versions": {}, "source": {}},
        **changes,
    }
