"""How the speed depends on the persons in an image, and on the images in a batch.

In every turn the detector runs on the images and the pose network on boxes that are given, in place of the
detector's own: so the number of persons is what it should be, with any weights. All artifacts and points have
a turn in every round, so that a change of the machine's pace meets all.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from posegauge.backends.assemble import build_pipeline
from posegauge.data.annotations import read_annotations
from posegauge.data.coco import person_boxes
from posegauge.data.images import find_entry, read_entry
from posegauge.errors import PoseGaugeError, Unavailable
from posegauge.logs import progress
from posegauge.pipeline.pipeline import Persons, Pipeline
from posegauge.store.files import read_json
from posegauge.store.provenance import collect
from posegauge.store.record import attempt, make_record
from posegauge.study import ARTIFACTS

# Rounds that do not count. On a GPU torch.compile needs three runs of every shape: it compiles, records its
# CUDA graph, and replays it.
WARMUP_ROUNDS = {"cpu": 1, "cuda": 3}


# Boxes that are made up lie off an annotated one by at most this share of its size, in x and y.
JITTER = 0.1


def measure_batches(config: dict, files: dict, onnx: dict, threads: int) -> dict:
    """Measure the speed against the persons in an image and against the images in a batch.

    Args:
        config: what the runtimes of `batches.artifacts` need (study.Artifact.config_keys), batches, seed,
            benchmark.image.
        files: {"images": folder, "person_images", "annotations": paths}.
        onnx: artifact -> {"detector", "pose": the run's ONNX files, or nothing where it runs none}.
        threads: CPU threads of inference.

    Returns:
        The record for results/<run>/batches.json (batches.schema.yaml). An artifact that this machine cannot
        run has its reason in it.
    """
    protocol = config["batches"]
    entries = read_json(files["person_images"])["images"]
    first = find_entry(entries, config["benchmark"]["image"] or entries[0]["file_name"], "benchmark.image")
    others = [entry for entry in entries if entry != first]
    entries = [first, *others[: max(protocol["images"]) - 1]]
    annotations = read_annotations(files["annotations"])
    pictures = [
        Picture(read_entry(files["images"], entry), person_boxes(annotations, entry["id"]))
        for entry in entries
    ]
    pipelines, outcomes = {}, {}
    for name in protocol["artifacts"]:
        with attempt(name) as outcomes[name]:
            pipelines[name] = build_pipeline(config, ARTIFACTS[name], threads, onnx[name], alone=True)
    devices = {name: ARTIFACTS[name].device for name in pipelines}
    measured = measure(
        {name: (pipelines[name], devices[name]) for name in pipelines}, pictures, protocol, config["seed"]
    )
    artifacts = []
    for name in protocol["artifacts"]:
        artifact, pipeline = ARTIFACTS[name], pipelines.get(name)
        artifacts.append(
            {
                "artifact": name,
                **artifact.fields(),
                **outcomes[name].fields(),
                "points": measured.get(name, []),
                "backends": pipeline.provenance() if pipeline else {},
            }
        )
    return make_record(
        "batches",
        collect(config, {}, threads),
        device="cuda" if "cuda" in devices.values() else "cpu",
        threads=threads,
        runs=protocol["runs"],
        persons_per_image=protocol["persons_per_image"],
        pictures=[{key: entry[key] for key in ("file_name", "width", "height")} for entry in entries],
        artifacts=artifacts,
    )


@dataclass(frozen=True)
class Point:
    """One point of a series."""

    series: str  # "persons": one image at a time; "images": a fixed number of persons in each
    images: int  # in a batch
    persons: int  # in each image


def points(protocol: dict) -> list[Point]:
    """Return the points of both series; `protocol` is the group `batches` of the config."""
    persons = [Point("persons", 1, count) for count in protocol["persons"]]
    return persons + [Point("images", count, protocol["persons_per_image"]) for count in protocol["images"]]


def boxes_of(annotated: np.ndarray, count: int, size: tuple[int, int], seed: int) -> np.ndarray:
    """Return `count` boxes of an image: the annotated ones, then those again and again, moved a little.

    Args:
        annotated: float32 [N, 4] xyxy, pixels; with none the whole image stands for one.
        count: boxes wanted.
        size: (width, height) of the image, to which boxes are clipped.
        seed: of how far they are moved.

    Returns:
        float32 [count, 4]; more boxes begin with those of fewer.
    """
    if len(annotated) == 0:
        annotated = np.array([[0, 0, *size]], np.float32)
    boxes = annotated[np.arange(count) % len(annotated)].astype(np.float64)
    moves = np.random.default_rng(seed).uniform(-JITTER, JITTER, (count, 2))
    moves[: len(annotated)] = 0
    boxes += np.tile(moves * (boxes[:, 2:] - boxes[:, :2]), 2)
    return np.clip(boxes, 0, [*size, *size]).astype(np.float32)


def run_batch(pipeline: Pipeline, images: list[np.ndarray], bboxes: list[np.ndarray]) -> list[Persons]:
    """Run the detector on all images at once, the pose network on all the given boxes; see Pipeline.run."""
    return pipeline.run(images, bboxes, always_detect=True)


@dataclass(frozen=True)
class Picture:
    """An image and its annotated boxes."""

    image: np.ndarray  # uint8 [H, W, 3] BGR
    annotated: np.ndarray  # float32 [N, 4] xyxy


def turn(pictures: list[Picture], point: Point, seed: int, largest: int) -> list[tuple]:
    """Return the batches of one turn: [(images, boxes of each), ...].

    Of the series over persons that is the first picture; of the other the first `largest` pictures, in as
    many batches as they fill, so that all its points see the same images.
    """
    if point.series == "persons":
        chosen = pictures[:1]
    else:
        chosen = [pictures[i % len(pictures)] for i in range(largest // point.images * point.images)]
    boxes = [
        boxes_of(picture.annotated, point.persons, picture.image.shape[1::-1], seed + i)
        for i, picture in enumerate(chosen)
    ]
    images = [picture.image for picture in chosen]
    return [
        (images[first : first + point.images], boxes[first : first + point.images])
        for first in range(0, len(images), point.images)
    ]


def measure(
    pipelines: dict[str, tuple[Pipeline, str]],
    pictures: list[Picture],
    protocol: dict,
    seed: int,
    run: Callable = run_batch,
) -> dict[str, list[dict]]:
    """Time every point of every artifact.

    Args:
        pipelines: artifact -> (its pipeline, its device: cpu or cuda).
        pictures: the images; the first one is that of the series over persons.
        protocol: the group `batches` of the config.
        seed: of the boxes, and of the order in every round.
        run: what is timed; called with (pipeline, images, boxes).

    Returns:
        artifact -> one record per point: {"series", "images", "persons", "status", "reason",
        "images_per_turn", "turn_ms": [runs] wall clock of a turn}. A batch of images that a network does not
        take has its reason.
    """
    largest = max(protocol["images"])
    work = {point: turn(pictures, point, seed, largest) for point in points(protocol)}
    records = {
        name: {
            point: {
                "series": point.series,
                "images": point.images,
                "persons": point.persons,
                "status": "ok",
                "reason": None,
                "images_per_turn": sum(len(images) for images, _ in work[point]),
                "turn_ms": [],
            }
            for point in work
        }
        for name in pipelines
    }
    turns = []
    for name, (pipeline, device) in pipelines.items():
        for point, batches in work.items():
            with attempt(f"{name}, {point}") as outcome:
                try:
                    for images, boxes in batches * WARMUP_ROUNDS[device]:
                        run(pipeline, images, boxes)
                except (PoseGaugeError, Unavailable):
                    raise
                except Exception as error:
                    # Each runtime has its own exception for an input of another shape than its file allows.
                    if point.images == 1:
                        raise
                    told = str(error).splitlines() or [type(error).__name__]
                    raise Unavailable(f"cannot run {point.images} images in a batch: {told[0]}") from error
                turns.append((name, point))
            records[name][point] |= outcome.fields()
    for number in progress(range(protocol["runs"]), "rounds"):
        # In another order in every round, so that none always follows the same.
        for index in np.random.default_rng([seed, number]).permutation(len(turns)):
            name, point = turns[index]
            begin = time.perf_counter()
            for images, boxes in work[point]:
                run(pipelines[name][0], images, boxes)
            records[name][point]["turn_ms"].append((time.perf_counter() - begin) * 1e3)
    return {name: list(by_point.values()) for name, by_point in records.items()}
