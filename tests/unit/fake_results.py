"""Invented result files for the tests of tables, figures and README: no number here was measured."""

import numpy as np

from posebench.study import BENCHMARKS, CONDITIONS, PIPELINE_TITLES, RUNTIME_TITLES

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
    samples = CENTRES_MS[name] * (1 + np.abs(generator.normal(0, 0.04, runs))) if ran else np.array([])
    shares = {"preprocess": 0.05, "detect": 0.7, "nms": 0.01, "crop": 0.02, "pose": 0.2, "decode": 0.02}
    if row.pipeline == "pose":
        shares = {"crop": 0.1, "pose": 0.85, "decode": 0.05}
    return {
        "schema_version": 1,
        "kind": "latency",
        "benchmark": name,
        "title": row.title,
        "pipeline": PIPELINE_TITLES[row.pipeline],
        "runtime": RUNTIME_TITLES[row.runtime],
        "device": row.device,
        "precision": row.precision,
        "status": "ok" if ran else "not run",
        "reason": None if ran else "no CUDA device",
        "warmup": 10,
        "runs": runs,
        "image": {"file_name": "fake.jpg", "width": 640, "height": 426} if ran else None,
        "persons": 3 if ran else None,
        "latency_ms": samples.tolist(),
        "stages_ms": {key: (samples * share).tolist() for key, share in shares.items()} if ran else {},
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


SCORES = {  # detection rate, AP, mean confidence: invented
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


def fake_robustness(name: str, images: int = 100, **changes) -> dict:
    """Return an invented robustness record that fits the schema."""
    rate, ap, confidence = SCORES[name]
    return {
        "schema_version": 1,
        "kind": "robustness",
        "condition": name,
        "title": CONDITIONS[name].title,
        "images": images,
        "images_detected": round(rate * images),
        "detection_rate": rate,
        "mean_confidence": confidence,
        "persons": 2 * images,
        "persons_per_image": 2.0,
        "latency_ms_mean": 31.0,
        "latency_ms_p50": 30.0,
        "fps": 1000 / 31.0,
        "ap": ap,
        "ap50": min(ap * 1.3, 1),
        "ar": min(ap * 1.1, 1),
        "box_ap": ap * 0.8,
        "unreadable": [],
        "person_thr": 0.5,
        "score_thr": 0.1,
        "nms_thr": 0.6,
        "provenance": {"machine": MACHINE, "versions": {}},
        **changes,
    }
