"""How many cameras this machine serves: each artifact's pipeline as the one server of more and more streams.

A camera delivers the data set's images as JPEG, as USB and network cameras do; decoding is the server's work.
"""

import gc
import logging

import cv2
import numpy as np

from posegauge.backends.assemble import build_pipeline
from posegauge.data.annotations import read_annotations
from posegauge.data.coco import person_boxes
from posegauge.data.images import read_entry
from posegauge.errors import PoseGaugeError
from posegauge.measure.batches import WARMUP_ROUNDS
from posegauge.measure.streams import MAX_DROPPED, attempt_number, run_round, search
from posegauge.pipeline.pipeline import Pipeline
from posegauge.store.files import read_json
from posegauge.store.provenance import collect
from posegauge.store.record import attempt, make_record
from posegauge.study import ARTIFACTS

JPEG_QUALITY = 90


def measure_cameras(config: dict, files: dict, onnx: dict, threads: int) -> dict:
    """Measure how many cameras each artifact serves.

    Args:
        config: what the runtimes of `cameras.artifacts` need (study.Artifact.config_keys), cameras, seed,
            benchmark.boxes.
        files: {"images": folder, "person_images", "annotations": paths}.
        onnx: artifact -> {"detector", "pose": the run's ONNX files, or nothing where it runs none}.
        threads: CPU threads of inference.

    Returns:
        The record for results/<run>/cameras.json (cameras.schema.yaml), with every latency of every number of
        cameras that was tried. An artifact that this machine cannot run has its reason in it.
    """
    protocol, given = config["cameras"], config["benchmark"]["boxes"] == "annotated"
    entries = read_json(files["person_images"])["images"][: protocol["images"]]
    annotations = read_annotations(files["annotations"]) if given else None
    shown = [
        (
            as_jpeg(read_entry(files["images"], entry), entry["file_name"]),
            person_boxes(annotations, entry["id"]) if given else None,
        )
        for entry in entries
    ]
    artifacts = []
    for name in protocol["artifacts"]:
        artifact, tries, sessions, streams = ARTIFACTS[name], [], {}, None
        with attempt(name) as outcome:
            pipeline = build_pipeline(config, artifact, threads, onnx[name])
            pipeline.always_detect = True
            sessions = {"detector": pipeline.detector, "pose": pipeline.pose}
            for frame in shown * WARMUP_ROUNDS[artifact.device]:
                serve(pipeline, frame)
            streams, tries = most_cameras(pipeline, shown, protocol, config["seed"])
        artifacts.append(
            {
                "artifact": name,
                "runtime": artifact.runtime,
                "device": artifact.device,
                "precision": artifact.precision,
                "execution": artifact.execution,
                "images_on": artifact.images,
                **outcome.fields(),
                "streams": streams,
                "tries": tries,
                "backends": {role: session.provenance() for role, session in sessions.items()},
            }
        )
        # One pipeline at a time: what another holds, threads and memory, is not this one's.
        pipeline = sessions = None
        gc.collect()
    return make_record(
        "cameras",
        collect(config, {}, threads),
        device="cuda" if any(one["device"] == "cuda" and one["tries"] for one in artifacts) else "cpu",
        threads=threads,
        boxes="annotated" if given else "detected",
        fps=protocol["fps"],
        seconds=protocol["seconds"],
        rounds=protocol["rounds"],
        queue=protocol["queue"],
        max_dropped=MAX_DROPPED,
        pictures=[{key: entry[key] for key in ("file_name", "width", "height")} for entry in entries],
        artifacts=artifacts,
    )


def as_jpeg(image: np.ndarray, name: str) -> np.ndarray:
    """Return an image (uint8 [H, W, 3] BGR) as a camera delivers it, uint8 [bytes]."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise PoseGaugeError(f"{name}: cannot be written as JPEG, which cameras deliver")
    return data


def serve(pipeline: Pipeline, frame: tuple):
    """Decode a frame and find its persons. frame: (uint8 [bytes] JPEG, None or float32 [N, 4] boxes)."""
    data, bboxes = frame
    return pipeline(cv2.imdecode(data, cv2.IMREAD_COLOR), bboxes)


def most_cameras(pipeline: Pipeline, shown: list[tuple], protocol: dict, seed: int) -> tuple[int, list[dict]]:
    """Return the largest number of cameras that a pipeline serves, and all that were tried in their order."""
    tries, fps = [], protocol["fps"]

    def served(number: int) -> bool:
        def one(round_number: int) -> dict:
            how = (fps, protocol["seconds"], protocol["queue"], (seed, number, round_number))
            return run_round(lambda frame: serve(pipeline, frame), shown, number, *how)

        tries.append({"streams": number, **attempt_number(one, protocol["rounds"], fps)})
        logging.getLogger("posegauge").info("%d cameras: served %s", number, tries[-1]["served"])
        return tries[-1]["served"]

    return search(served, protocol["streams"], protocol["max_streams"]), tries
