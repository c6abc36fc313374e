"""Invented runs for the tests of the board, pairs of networks: no number here was measured."""

from pathlib import Path

from fake_results import MACHINE, fake_parity
from fake_runs import latency, samples, scores, write_run

from conftest import ROOT
from posegauge.compare import board

FACTS = ROOT / "config/published_pairs.yaml"
ROWS = {"pytorch_full_cpu": 1.0, "onnx_full_cpu": 0.62, "openvino_full_cpu": 0.5}
DETECTORS = {
    "nano": ("RTMDet-nano", "rtmdet_nano_320-8xb32_coco-person", 25.0),
    "m": ("RTMDet-m", "rtmdet_m_640-8xb32_coco-person", 520.0),
}
POSES = {"t": 20.0, "s": 32.0, "m": 75.0, "l": 150.0}
PAIRS = ("nano-t", "nano-s", "nano-m", "nano-l", "m-m", "m-l")
SETTINGS = {"max_ms": None, "min_ap": None, "price_per_hour": None, "currency": None, "published": False}
GPU = MACHINE | {"gpus": [{"name": "Fake T5", "memory_mib": 16000, "driver_version": "535"}]}


def read(*folders, **settings) -> list:
    """Return the board's rows of run folders."""
    return board.read(folders, FACTS, SETTINGS | settings)[1]


def models(pair: str, random: bool) -> dict:
    """Return the group `models` of the config of a pair."""
    detector, pose = pair.split("-")
    name, config, _ = DETECTORS[detector]
    pose_config = (
        f"mmpose::configs/body_2d_keypoint/rtmpose/coco/rtmpose-{pose}_8xb256-420e_aic-coco-256x192.py"
    )
    return {
        "detector": {"name": name, "config": f"mmpose::demo/mmdetection_cfg/{config}.py", "random": random},
        "pose": {"name": f"RTMPose-{pose}", "config": pose_config, "random": random},
    }


def write_pair(
    folder,
    pair="nano-t",
    ap=None,
    rows=None,
    factor=1.0,
    seed=0,
    machine=None,
    day=26,
    parity=None,
    **changes,
) -> Path:
    """Write a finished run of a pair; return its folder.

    ap: of its clean images; None for random weights, which are timed alone. rows: {benchmark: share of the
    pair's time}. factor: all times are multiplied with it. day: of November, on which it was measured.
    """
    detector, pose = pair.split("-")
    base = DETECTORS[detector][2] + POSES[pose]
    records = []
    for number, (name, share) in enumerate((rows or ROWS).items()):
        times = samples(base * share * factor, 60, seed=100 * seed + number)
        record = latency(name, times, machine=machine)
        record["provenance"]["made_at"] = f"2026-11-{day:02d}T08:00:0{number}Z"
        records.append(record)
    hashes = {"detector": detector * 64, "pose": pose * 64}
    size = {"detector": [320, 320] if detector == "nano" else [640, 640], "pose": [192, 256]}
    known = {
        role: {
            "input_size": size[role],
            "checkpoint_sha256": hashes[role][:64],
            "onnx_sha256": hashes[role][:64],
        }
        for role in hashes
    }
    if parity is None:
        parity = [fake_parity(name) for name in ("onnxruntime_cpu_fp32", "openvino_cpu_fp32")]
        if ap is None:
            parity = [fake_parity(record["artifact"], reason="random weights") for record in parity]
    clean = [] if ap is None else [scores("clean", detected={"ap": ap})]
    return write_run(
        folder,
        records,
        clean,
        parity,
        settings={"models": models(pair, ap is None)},
        **({"models": known} | changes),
    )
