"""The pipeline beside other programs that run the same networks, on one device.

All ways take the same image, weights, boxes and threads, one call each in turn, round after round, in one
process: what drifts meets all alike. Poses are estimated in given boxes, so that every way has the same
number of persons; in the variant detect+pose the detector and NMS run before that, and what they find is
dropped.
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posegauge.backends.assemble import build_pipeline, network
from posegauge.backends.base import device_reason
from posegauge.data.annotations import read_annotations
from posegauge.data.coco import person_boxes
from posegauge.data.images import find_entry, read_entry
from posegauge.errors import PoseGaugeError, Unavailable
from posegauge.logs import progress
from posegauge.measure.peer_limits import OnnxThroughput, OpenVINOThroughput
from posegauge.measure.peer_programs import Bare, Inferencer, MMPose, Original, Ours, rtmlib_beside
from posegauge.score.intervals import paired_ratio
from posegauge.store.files import read_json
from posegauge.store.provenance import collect
from posegauge.store.record import Outcome, attempt, make_record
from posegauge.study import ROLES, Artifact

VARIANTS = ("detect+pose", "pose only")


DEVICE_NAMES = {"cpu": "the CPU", "cuda": "CUDA"}


OURS = "ours"


WARMUP = 1  # rounds before those that count


# The threads of ONNX Runtime and PyTorch go on spinning for some milliseconds after a call.
PAUSE_S = 0.03


SIDE_BY_SIDE_PX = 1.0  # boxes may lie so far outside of an image


@dataclass(frozen=True)
class Way:
    """One program, or one way to use it."""

    title: str
    runtime: str
    does: str  # what is different about it, for people


WAYS = {
    "bare": Way("Bare networks", "ONNX Runtime", "the two networks' calls on prepared inputs: the floor"),
    "onnx_limit": Way(
        "Throughput limit, ONNX Runtime",
        "ONNX Runtime",
        "the two networks on an image per thread, a session of one thread each: no latency",
    ),
    "openvino_limit": Way(
        "Throughput limit, OpenVINO",
        "OpenVINO",
        "the two networks with its hint THROUGHPUT, on as many images at a time as it likes: no latency",
    ),
    OURS: Way("posegauge", "ONNX Runtime", "this pipeline"),
    "openvino": Way("posegauge, OpenVINO", "OpenVINO", "this pipeline on OpenVINO"),
    "openvino_bf16": Way(
        "posegauge, OpenVINO BF16",
        "OpenVINO",
        "this pipeline on OpenVINO in bfloat16: what that costs in AP is its tier among the latencies",
    ),
    "rtmlib": Way(
        "rtmlib",
        "ONNX Runtime",
        "its RTMDet and RTMPose, one pose call per person; NMS is appended to the detector's graph, since it "
        "reads boxes after NMS; it gives the pose network blue for red, so keypoints are elsewhere",
    ),
    "original": Way(
        "The original's way",
        "ONNX Runtime",
        "this detector step, then one pose call per person on its box, stretched and divided by 255",
    ),
    "pytorch": Way("posegauge, PyTorch", "PyTorch", "this pipeline on PyTorch"),
    "mmpose": Way("MMPose functions", "PyTorch", "inference_detector and inference_topdown, no flip test"),
    "inferencer": Way(
        "MMPoseInferencer",
        "PyTorch",
        "no flip test; the given boxes take the place of its detections; it has no pose-only call on boxes",
    ),
}


CPU_ALONE = ("onnx_limit", "openvino_limit", "openvino", "openvino_bf16")


def given_boxes(annotations: dict, entries: list[dict], entry: dict, count: int) -> np.ndarray:
    """Return `count` boxes, float32 [count, 4] xyxy: the image's annotated ones, then those of others.

    annotations: of coco.read_annotations. entries: all of person_images.json; entry: that of the image.
    Of the others' boxes those that fit into the image are taken, in order; PoseGaugeError for too few.
    """
    found = [person_boxes(annotations, entry["id"])]
    limit = np.array([entry["width"], entry["height"]]) + SIDE_BY_SIDE_PX
    for other in entries:
        if other["id"] != entry["id"]:
            boxes = person_boxes(annotations, other["id"])
            found.append(boxes[(boxes[:, 2:] <= limit).all(1)])
        if sum(map(len, found)) >= count:
            return np.concatenate(found)[:count]
    raise PoseGaugeError(
        f"peers.persons: {count} boxes asked for, the images have {sum(map(len, found))} that fit into "
        f"{entry['file_name']}; ask for fewer"
    )


def measure_peers(config: dict, device: str, files: dict, threads: int) -> dict:
    """Time every way, and compare its keypoints with ours.

    Args:
        config: models, pipeline, peers, benchmark.image, seed, bootstrap.resamples, and what the artifacts of
            `beside` read.
        device: "cpu" or "cuda".
        files: {"detector", "pose": the run's ONNX files, "images": folder, "person_images", "annotations":
            paths}.
        threads: CPU threads.

    Returns:
        The record for results/<run>/peers/<device>.json (peers.schema.yaml). A way that this machine cannot
        go has its reason in it; without ours all have ours.
    """
    protocol = config["peers"]
    entries = read_json(files["person_images"])["images"]
    entry = find_entry(entries, config["benchmark"]["image"] or entries[0]["file_name"], "benchmark.image")
    image = read_entry(files["images"], entry)
    annotations = read_annotations(files["annotations"])
    boxes = {count: given_boxes(annotations, entries, entry, count) for count in protocol["persons"]}
    samples, agrees, sessions = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        ways, outcomes = load_ways(config, device, files, threads, Path(folder))
        if device == "cuda":
            ways = first_calls(ways, outcomes, image, boxes[max(boxes)])
        if OURS in ways:
            sessions = ways[OURS].pipeline.sessions
            samples = take_turns(ways, image, boxes, protocol["rounds"])
            agrees = agreement(ways, image, boxes[max(boxes)])
    return make_record(
        "peers",
        collect(config, sessions, threads),
        device=device,
        threads=threads,
        image={key: entry[key] for key in ("file_name", "width", "height")},
        persons=list(boxes),
        rounds=protocol["rounds"],
        ways=[
            {
                "way": name,
                "title": way.title,
                "runtime": way.runtime,
                "does": way.does,
                "provider": ways[name].provider if name in ways else None,
                **outcomes[name].fields(),
                "rows": [
                    {
                        "pipeline": variant,
                        "persons": persons,
                        "latency_ms": taken,
                        "ratio": paired_ratio(
                            samples[OURS, variant, persons],
                            taken,
                            config["bootstrap"]["resamples"],
                            config["seed"],
                        ),
                    }
                    for (of, variant, persons), taken in samples.items()
                    if of == name
                ],
                "agreement": agrees.get(name),
            }
            for name, way in WAYS.items()
        ],
    )


def beside(device: str) -> tuple[Artifact, Artifact]:
    """Return what our own ways run on a device: ONNX Runtime, and PyTorch."""
    return Artifact("onnxruntime", device), Artifact("pytorch", device)


def load_ways(config: dict, device: str, files: dict, threads: int, folder: Path) -> tuple[dict, dict]:
    """Return the WAYS that this machine can go on a device, loaded, and the outcome of each, both by name.

    Where ours on ONNX Runtime cannot, none can: all are measured against it. A way that another device runs
    than was asked for is none. folder: for a file that must last as long as the ways.
    """
    onnx, torch = beside(device)
    with attempt(WAYS[OURS].title) as outcome:
        pipeline = build_pipeline(config, onnx, threads, files, alone=True)
    if not outcome.ok:
        return {}, dict.fromkeys(WAYS, outcome)
    settings = pipeline.settings
    networks = [network(config["models"], role) for role in ROLES]

    def ours_on(artifact: Artifact) -> Ours:
        return Ours(build_pipeline(config, artifact, threads, files, alone=True))

    makers = {
        "bare": lambda: Bare(pipeline),
        "onnx_limit": lambda: OnnxThroughput(pipeline, threads),
        "openvino_limit": lambda: OpenVINOThroughput(pipeline, threads),
        OURS: lambda: Ours(pipeline),
        "openvino": lambda: ours_on(Artifact("openvino", "cpu")),
        "openvino_bf16": lambda: ours_on(Artifact("openvino", "cpu", "bf16")),
        "rtmlib": lambda: rtmlib_beside(pipeline, files, folder, threads, device),
        "original": lambda: Original(pipeline),
        "pytorch": lambda: ours_on(torch),
        "mmpose": lambda: MMPose(*networks, settings, device),
        "inferencer": lambda: Inferencer(*networks, settings, device),
    }
    ways, outcomes = {}, {}
    for name, make in makers.items():
        with attempt(WAYS[name].title) as outcomes[name]:
            if device != "cpu" and name in CPU_ALONE:
                raise Unavailable("runs on the CPU alone")
            way = make()
            if way.provider.startswith("CUDA") != (device == "cuda"):
                raise Unavailable(f"asked for {DEVICE_NAMES[device]}, ran on {way.provider}")
            ways[name] = way
    return ways, outcomes


def first_calls(ways: dict, outcomes: dict[str, Outcome], image: np.ndarray, bboxes: np.ndarray) -> dict:
    """Call every way once, and return those that a GPU can run; `outcomes` says why another one cannot.

    Without ours none is returned, and all have its reason.
    """
    runs = {}
    for name, way in ways.items():
        with attempt(WAYS[name].title) as outcomes[name]:
            try:
                way.detect_and_pose(image, bboxes)
            except Unavailable:
                raise
            except Exception as error:  # every program raises classes of its own
                reason = device_reason(ways[OURS].pipeline.pose.network, error)
                if reason is None:
                    raise
                raise Unavailable(reason) from error
            runs[name] = way
    if OURS not in runs:
        outcomes |= dict.fromkeys(WAYS, outcomes[OURS])
        return {}
    return runs


# ---------------------------------------------------------------------------------------------- measurement


def take_turns(ways: dict, image: np.ndarray, boxes: dict[int, np.ndarray], rounds: int) -> dict:
    """Call every way once per round, number of persons and variant.

    ways: by name; None as a method means that it has no such variant, `images` how many one call works on.
    boxes: float32 [N, 4] xyxy by N. Returns {(name, variant, persons): [rounds] milliseconds per image}. The
    ways change places from round to round.
    """
    names, samples = list(ways), {}
    for number in progress(range(-WARMUP, rounds), "rounds"):
        first = number % len(names)
        for persons, bboxes in boxes.items():
            for variant in VARIANTS:
                for name in names[first:] + names[:first]:
                    call = ways[name].pose_only if variant == "pose only" else ways[name].detect_and_pose
                    if call is None:
                        continue
                    time.sleep(PAUSE_S)
                    begin = time.perf_counter()
                    call(image, bboxes)
                    taken = (time.perf_counter() - begin) * 1e3 / getattr(ways[name], "images", 1)
                    if number >= 0:
                        samples.setdefault((name, variant, persons), []).append(taken)
    return samples


def agreement(ways: dict, image: np.ndarray, bboxes: np.ndarray) -> dict[str, dict]:
    """Return {name: {"keypoints", "px_p50", "px_p95", "px_max"}}: how far keypoints are from ours, in pixels.

    A way that returns no keypoints is absent; so is ours.
    """
    own = ways[OURS].pose_only(image, bboxes)
    found = {}
    for name, way in ways.items():
        theirs = None if name == OURS else (way.pose_only or way.detect_and_pose)(image, bboxes)
        if theirs is not None:
            distances = np.linalg.norm(own - theirs, axis=-1).reshape(-1)
            p50, p95, largest = np.percentile(distances, (50, 95, 100)).tolist()
            found[name] = {"keypoints": len(distances), "px_p50": p50, "px_p95": p95, "px_max": largest}
    return found
