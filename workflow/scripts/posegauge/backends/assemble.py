"""From the config's `models:` to networks, and from networks to a pipeline in a runtime."""

from dataclasses import replace
from pathlib import Path

import cv2

from posegauge import backends
from posegauge.backends.base import Options
from posegauge.errors import PoseGaugeError
from posegauge.models.network import Network
from posegauge.pipeline.conventions import Conventions, pixels_of
from posegauge.pipeline.pipeline import Pipeline
from posegauge.pipeline.steps import Settings
from posegauge.store import machine
from posegauge.study import ROLES, Artifact


def network(models: dict, role: str, onnx: str | None = None) -> Network:
    """Return one network of the config; `onnx` is the file in the run folder, if it is made already."""
    entry = models[role]
    return Network(
        role=role,
        name=entry["name"],
        input_size=tuple(entry["input_size"]),
        onnx=str(onnx or entry["onnx"]) if (onnx or entry["onnx"]) else None,
        config=entry["config"],
        checkpoint=entry["checkpoint"],
        pixels=pixels_of(entry, role),
        keypoints=entry.get("keypoints", "coco"),
        person_label=entry.get("person_label", 0),
        random=entry.get("random", False),
    )


def thread_count(configured, available: int, key: str = "threads") -> int:
    """Return the CPU threads of a job: what the config says under `key`, or all that the job has.

    OpenCV is set to the same number. PoseGaugeError when the config asks for more than the job has.
    """
    threads = available if configured == "auto" else int(configured)
    if threads > available:
        raise PoseGaugeError(
            f"config key {key}: {threads} asked for, the job has {available}; give --cores {threads} or more"
        )
    cv2.setNumThreads(threads)
    return threads


def prediction_threads(config: dict, available: int) -> int:
    """Return the CPU threads of a job that times nothing: robustness.threads, else as thread_count says."""
    configured = config["robustness"]["threads"]
    if configured == "auto":
        return thread_count(config["threads"], available)
    return thread_count(configured, available, "robustness.threads")


def backend_options(config: dict, artifact: Artifact, onnx) -> Options:
    """Return what the config says of an artifact's runtime.

    config: it has artifact.config_keys. onnx: a path in the run's folder models/, or nothing.
    """
    engines = str(Path(onnx).parents[1] / "engines") if onnx else None
    if artifact.runtime == "tensorrt":
        engine = config["engine"]
        return Options(
            engines=engines,
            library=engine["library"],
            pose_batches=tuple(engine["pose_batches"]),
            optimization_level=engine["optimization_level"],
            compute_capability=engine["compute_capability"],
        )
    if artifact.runtime == "onnxruntime" and artifact.device != "cpu":
        return Options(
            allow_fallback=config["execution"]["allow_fallback"],
            engines=engines,
            pose_batches=tuple(config["engine"]["pose_batches"]),
        )
    return Options()


def pinned(threads: int) -> bool:
    """Say whether the threads of a network that runs alone on the machine are given cores: where it has all.

    Where there are more cores than threads Linux finds a free one; where others run, pinned threads would
    wait for each other on one core while another is free.
    """
    return 1 < threads == len(machine.cores_by_number())


def build_pipeline(
    config: dict, artifact: Artifact, threads: int, onnx: dict, pose_only: bool = False, alone: bool = False
) -> Pipeline:
    """Load the networks of a config as an artifact.

    Args:
        config: it has artifact.config_keys.
        artifact: runtime, device, precision, and how they are used.
        threads: CPU threads.
        onnx: {"detector": path, "pose": path} of the run's ONNX files in the artifact's precision; a path may
            be empty where the artifact runs none. TensorRT engines lie in the folder engines/ beside theirs.
        pose_only: leave the detector out.
        alone: whether nothing else runs on the machine meanwhile, as where time is measured.

    Raises:
        Unavailable: see posegauge.backends.load.
    """
    options = replace(backend_options(config, artifact, onnx["pose"]), pinned=alone and pinned(threads))
    sessions = {
        role: backends.load(network(config["models"], role, onnx[role]), artifact, threads, options)
        for role in ROLES
        if role == "pose" or not pose_only
    }
    parts = (
        sessions.get("detector"),
        sessions["pose"],
        config["models"]["detector"]["input_size"],
        config["models"]["pose"]["input_size"],
        Settings.of(config["pipeline"]),
    )
    conventions = Conventions.of(config["models"])
    if artifact.images == "device":
        # Needs torch, which the other artifacts of a runtime do not.
        from posegauge.pipeline.device_pipeline import DevicePipeline

        return DevicePipeline(*parts, artifact.device, conventions, artifact.captured)
    return Pipeline(*parts, conventions=conventions)
