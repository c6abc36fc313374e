"""How many cameras this machine serves: each artifact's pipelines as the servers of more and more streams.

A camera delivers the data set's images as JPEG, as USB and network cameras do; decoding is the server's work.
"""

import contextlib
import gc
import logging
from dataclasses import dataclass

import cv2
import numpy as np

from posegauge.backends.assemble import build_pipeline
from posegauge.data.annotations import read_annotations
from posegauge.data.coco import person_boxes
from posegauge.data.images import read_entry
from posegauge.errors import PoseGaugeError
from posegauge.measure.batches import WARMUP_ROUNDS
from posegauge.measure.streams import MAX_DROPPED, Server, attempt_number, run_round, search
from posegauge.pipeline.pipeline import Pipeline
from posegauge.store.files import read_json
from posegauge.store.provenance import collect
from posegauge.store.record import attempt, make_record
from posegauge.study import ARTIFACTS

JPEG_QUALITY = 90
# So many threads of a server make its frames sooner done; more of them are better in a further server.
THREADS_PER_SERVER = 4


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
        artifact, tries, ran, streams = ARTIFACTS[name], [], {}, None
        count = server_count(protocol["servers"], artifact.device, threads)
        cv2.setNumThreads(threads // count)

        def load(artifact=artifact, paths=onnx[name], share=threads // count) -> Worker:
            worker = Worker(build_pipeline(config, artifact, share, paths, alone=True))
            worker.pipeline.always_detect = True
            for frame in shown * WARMUP_ROUNDS[artifact.device]:
                worker(frame)
            return worker

        with attempt(name) as outcome, contextlib.ExitStack() as open_servers:
            servers = [open_servers.enter_context(Server(load)) for _ in range(count)]
            streams, tries = most_cameras(servers, shown, protocol, config["seed"])
            ran = servers[0].call(servers[0].work.provenance)
        artifacts.append(
            {
                "artifact": name,
                **artifact.fields(),
                **outcome.fields(),
                "servers": count,
                "streams": streams,
                "tries": tries,
                "backends": ran,
            }
        )
        # One artifact at a time: what another holds, threads and memory, is not this one's.
        servers = open_servers = None
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


def server_count(configured, device: str, threads: int) -> int:
    """Return how many servers share the threads: cameras.servers; auto: one on a GPU, else by threads.

    PoseGaugeError when there would be more servers than threads.
    """
    if configured == "auto":
        return 1 if device == "cuda" else max(1, threads // THREADS_PER_SERVER)
    if configured > threads:
        raise PoseGaugeError(
            f"config key cameras.servers: {configured} asked for, the job has {threads} threads; say "
            f"{threads} or less, or auto"
        )
    return configured


@dataclass
class Worker:
    """A pipeline that takes frames as cameras deliver them."""

    pipeline: Pipeline

    def __call__(self, frame: tuple):
        """Decode a frame, (uint8 [bytes] JPEG, None or float32 [N, 4] boxes), and find its persons."""
        data, bboxes = frame
        return self.pipeline(cv2.imdecode(data, cv2.IMREAD_COLOR), bboxes)

    def provenance(self) -> dict:
        """Return what really runs each network."""
        return self.pipeline.provenance()


def most_cameras(servers: list[Server], shown: list, protocol: dict, seed: int) -> tuple[int, list[dict]]:
    """Return the largest number of cameras that the servers serve, and all that were tried in their order."""
    tries, fps = [], protocol["fps"]

    def served(number: int) -> bool:
        def one(round_number: int) -> dict:
            how = (fps, protocol["seconds"], protocol["queue"], (seed, number, round_number))
            return run_round(servers, shown, number, *how)

        tries.append({"streams": number, **attempt_number(one, protocol["rounds"], fps)})
        logging.getLogger("posegauge").info("%d cameras: served %s", number, tries[-1]["served"])
        return tries[-1]["served"]

    return search(served, protocol["streams"], protocol["max_streams"]), tries
