"""What INT8 and BF16 give: each of TRIES on each network, its speed and its accuracy beside FP32.

One network is as tried, the other stays FP32, so that a loss can be told apart. Accuracy is on parity's
images; the ranges are set by those that the run's INT8 files are calibrated on.
"""

import queue
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from posegauge.backends import assemble, load
from posegauge.errors import PoseGaugeError, Unavailable
from posegauge.logs import progress
from posegauge.measure.parity import chosen_images, read_images
from posegauge.models.int8 import INT8, Batches, Int8, convert_int8
from posegauge.pipeline.conventions import Conventions
from posegauge.pipeline.pipeline import Persons, Pipeline
from posegauge.pipeline.steps import Settings, padded_box, pose_input
from posegauge.predict.predictions import coco_results
from posegauge.score import metrics
from posegauge.score.truth import read_truth
from posegauge.store.files import sha256_file
from posegauge.store.provenance import collect
from posegauge.store.record import attempt, make_record
from posegauge.study import GIVEN, ROLES, Artifact

# Timed runs of each network, in turn with that of FP32, and those before the clock starts.
ROUNDS, WARMUP = 20, 3


@dataclass(frozen=True)
class Try:
    """One way: the file that is made (None: the FP32 file), and the precision that OpenVINO is told."""

    name: str
    how: Int8 | None
    runtimes: dict[str, str]  # {runtime: precision of its artifact}
    searched: bool = False  # whether the convolutions that lose most stay, as in the rows' own files


# Sessions of a try at a time, however many cores: each of OpenVINO's compiles the network for every size of
# batch, at up to 150 MiB.
MOST_WORKERS = 4

# The pose network is timed on so many persons of one image at most.
MOST_PERSONS = 16

BOTH, MIXED = {"onnxruntime": "int8", "openvino": "int8"}, {"openvino": "int8_bf16"}


def _inputs(last: bool = False, depthwise: bool = False, **others) -> Int8:
    return replace(INT8["int8_openvino"], last=last, depthwise=depthwise, **others)


TRIES = (
    Try("BF16", None, {"openvino": "bf16"}),
    Try("INT8, one scale per tensor", Int8(per_channel=False), BOTH),
    Try("INT8, first 4, last and depthwise convolutions FP32", INT8["int8"], BOTH),
    Try(
        "INT8, ONNX Runtime's row: as before, and those that lose most FP32",
        INT8["int8"],
        {"onnxruntime": "int8"},
        searched=True,
    ),
    Try("INT8, percentile ranges", Int8(ranges="Percentile"), BOTH),
    Try("INT8, first convolution, last and depthwise FP32", Int8(first=1), BOTH),
    Try("INT8, first 8 convolutions, last and depthwise FP32", Int8(first=8), BOTH),
    Try("INT8, every convolution", Int8(first=0, last=True, depthwise=True), BOTH),
    Try("INT8, symmetric, first convolution, last and depthwise FP32", Int8(first=1, symmetric=True), BOTH),
    Try(
        "INT8, symmetric, first convolution, last and depthwise BF16, as is the rest",
        Int8(first=1, symmetric=True),
        MIXED,
    ),
    Try("INT8, first convolution, last and depthwise BF16, as is the rest", Int8(first=1), MIXED),
    Try("INT8, symmetric, every convolution, the rest BF16", Int8(0, True, True, symmetric=True), MIXED),
    Try("INT8, ranges of inputs alone, last and depthwise FP32", INT8["int8_openvino"], {"openvino": "int8"}),
    Try(
        "INT8, ranges of inputs alone, last and depthwise BF16, as is the rest", INT8["int8_openvino"], MIXED
    ),
    Try(
        "INT8, OpenVINO's rows: as before, and those that lose most FP32",
        INT8["int8_openvino"],
        {"openvino": "int8"},
        searched=True,
    ),
    Try(
        "INT8, OpenVINO's rows: as before, and those that lose most BF16, as is the rest",
        INT8["int8_openvino"],
        MIXED,
        searched=True,
    ),
    Try("INT8, ranges of inputs alone, last BF16, as is the rest", _inputs(depthwise=True), MIXED),
    Try("INT8, ranges of inputs alone, depthwise BF16, as is the rest", _inputs(last=True), MIXED),
    Try("INT8, ranges of inputs alone, every convolution, the rest BF16", _inputs(True, True), MIXED),
    Try("INT8, ranges of inputs alone, symmetric, last and depthwise BF16", _inputs(symmetric=True), MIXED),
    Try("INT8, ranges of inputs alone, percentile", _inputs(ranges="Percentile"), MIXED),
)


def measure(config: dict, files: dict, calibration: dict, folder, threads: int, workers: int = 1) -> dict:
    """Make and measure every try.

    Args:
        config: models, pipeline, parity.images, dataset.unreadable, precision.int8_error.
        files: {"detector", "pose": the run's FP32 ONNX files, "images": folder, "person_images",
            "annotations": paths}.
        calibration: {"images": folder, "entries": of person_images.json, "annotations": as read,
            "from": a key of study.CALIBRATION_TITLES, "scored": how many of them are scored here, too}.
        folder: where the files are made.
        threads: CPU threads of a session, while it is timed and while its images are scored.
        workers: so many parts of the images are scored side by side. Nothing runs beside what is timed.

    Returns:
        The record of quantisation.schema.yaml. A try that this machine or a runtime cannot run says why.
    """
    images = [*read_images(files["images"], chosen_images(config, files), config["dataset"]["unreadable"])]
    truth, models, found = read_truth(files["annotations"]), config["models"], []

    def session(role, runtime, precision, path):
        return load(assemble.network(models, role, str(path)), Artifact(runtime, "cpu", precision), threads)

    def each_worker(role, runtime, precision, path):
        try:
            return [session(role, runtime, precision, path) for _ in range(workers)]
        except (PoseGaugeError, Unavailable) as error:
            # A file that was made here, and is gone when this is read.
            raise Unavailable(str(error).replace(f"{path}: ", "")) from error

    base = {role: session(role, GIVEN.runtime, "fp32", files[role]) for role in ROLES}
    # ONNX Runtime's sessions are used by all workers at once, what is tried has one for each.
    reference = _score(config, [base] * workers, images, truth)
    for role in ROLES:
        batch = _timed_batch(config, role, base, images)
        fp32 = {runtime: session(role, runtime, "fp32", files[role]) for runtime in BOTH}
        for place, one in enumerate(progress(TRIES, f"ways for the {role}")):
            path = Path(folder) / f"{role}_{place}.onnx"
            for runtime, precision in one.runtimes.items():
                row = {
                    "role": role,
                    "name": one.name,
                    "runtime": runtime,
                    "how": one.how and asdict(one.how) | {"searched": one.searched},
                }
                values = dict.fromkeys(("ap", "persons", "ms", "fp32_ms", "instructions"))
                with attempt(f"{role}, {one.name}") as outcome:
                    if one.how and not path.exists():
                        _convert(config, role, files[role], path, calibration, one)
                    tried = each_worker(role, runtime, precision, path if one.how else files[role])
                    values["ms"], values["fp32_ms"] = in_turns((tried[0], fp32[runtime]), batch)
                    values |= _score(config, [{**base, role: its} for its in tried], images, truth)
                    values["instructions"] = tried[0].provenance().get("kernels")
                found.append({**row, **outcome.fields(), **values})
    return make_record(
        "quantisation",
        collect(config, base, threads),
        images=len(images),
        reference=reference,
        calibration={
            "from": calibration["from"],
            "images": len(calibration["entries"]),
            "scored": calibration["scored"],
        },
        persons_timed=len(batch),
        tries=found,
        sources={role: sha256_file(files[role]) for role in ROLES},
    )


def _convert(config: dict, role: str, source, path, calibration: dict, one: Try) -> None:
    entry, conventions = config["models"][role], Conventions.of(config["models"])
    batches = Batches(
        role,
        entry["input_size"],
        calibration["images"],
        calibration["entries"],
        calibration["annotations"],
        getattr(conventions, role),
    )
    try:
        max_error = config["precision"]["int8_error"] if one.searched else None
        convert_int8(source, path, batches, how=one.how, max_error=max_error)
    except PoseGaugeError:
        raise
    except Exception as error:  # the quantiser and the checker raise errors of their own
        raise Unavailable(f"no such file can be made: {str(error).splitlines()[0][:150]}") from error


def _pipeline(config: dict, sessions: dict) -> Pipeline:
    sizes = [config["models"][role]["input_size"] for role in ROLES]
    conventions = Conventions.of(config["models"])
    settings = Settings.of(config["pipeline"])
    return Pipeline(sessions["detector"], sessions["pose"], *sizes, settings, conventions=conventions)


def _score(config: dict, sessions: list[dict], images: list, truth) -> dict:
    """Return {"ap": keypoint AP, "persons": boxes that get a pose in use} on the images.

    sessions: {"detector", "pose"} of each worker.
    """
    idle = queue.SimpleQueue()
    for pair in sessions:
        idle.put(_pipeline(config, pair))

    def find(given: tuple) -> tuple[list, int]:
        image_id, image = given
        pipeline = idle.get()
        try:
            boxes, scores = (np.array(values) for values in pipeline.detect(image))
            keypoints, keypoint_scores = pipeline.estimate(image, boxes)
        finally:
            idle.put(pipeline)
        # As in parity: a score that is no number stands for the worst one.
        persons = Persons(boxes, scores, keypoints, np.nan_to_num(keypoint_scores, posinf=0, neginf=0))
        settings = pipeline.settings
        used = int((scores > settings.bbox_thr).sum())
        return coco_results(persons, image_id, settings.keypoint_thr, "detected"), used

    with ThreadPoolExecutor(len(sessions)) as pool:
        # In the order of the images, which decides between equal scores.
        found = list(pool.map(find, images))
    results = [pose for poses, _ in found for pose in poses]
    ids = [image_id for image_id, _ in images]
    ap = metrics.keypoint_scores(truth, results, ids, np.ones((1, len(ids))), ("all",))["ap"][0]
    return {"ap": float(ap), "persons": sum(used for _, used in found)}


def _timed_batch(config: dict, role: str, base: dict, images: list) -> np.ndarray:
    """Return the input that a network is timed on: of the first image in which FP32 finds persons."""
    pipeline = _pipeline(config, base)
    for _, image in images:
        boxes, scores = pipeline.detect(image)
        boxes = boxes[scores > pipeline.settings.bbox_thr]
        if len(boxes):
            break
    else:
        raise PoseGaugeError(f"FP32 finds no person in the {len(images)} images that are to be scored")
    if role == "detector":
        return pipeline.detector_input(image)[0].copy()
    size = config["models"]["pose"]["input_size"]
    center, extent = padded_box(boxes[:MOST_PERSONS], size)
    return pose_input(image, center, extent, size, pipeline.conventions.pose).copy()


def in_turns(sessions, batch: np.ndarray) -> list[float]:
    """Return the median milliseconds of each session's run on `batch`, one after the other in every round."""
    spent = [[] for _ in sessions]
    for turn in range(WARMUP + ROUNDS):
        for session, times in zip(sessions, spent, strict=True):
            start = time.perf_counter()
            session.run(batch)
            if turn >= WARMUP:
                times.append((time.perf_counter() - start) * 1e3)
    return [float(np.median(times)) for times in spent]
