"""What the prediction files hold: COCO results, boxes and a record; and how those of shards become one."""

import numpy as np

from posegauge.data.annotations import PERSON
from posegauge.data.coco import person_boxes
from posegauge.errors import PoseGaugeError
from posegauge.pipeline.keypoint_sets import SCORED
from posegauge.pipeline.pipeline import Persons, instance_scores
from posegauge.store.files import read_json
from posegauge.store.machine import identity

SCHEMA_VERSION = 2  # of record.json


# Digits kept in the prediction files: a hundredth of a pixel, a millionth of a score.
PIXEL_DIGITS, SCORE_DIGITS = 2, 6


def coco_results(persons: Persons, image_id: int | str, keypoint_thr: float, box_source: str) -> list[dict]:
    """Write the persons of one image as COCO results.

    Besides COCO's own keys each has `box_score` (the detector's) and `box_source`, and `more_keypoints` where
    the network gives more than COCO's 17: the others, in the same form.
    """
    scores = instance_scores(persons, keypoint_thr)
    results = []
    for person in range(len(persons)):
        x1, y1, x2, y2 = persons.bboxes[person].tolist()
        keypoints = []
        for (x, y), score in zip(
            persons.keypoints[person].tolist(), persons.keypoint_scores[person].tolist(), strict=True
        ):
            keypoints += [round(x, PIXEL_DIGITS), round(y, PIXEL_DIGITS), round(score, SCORE_DIGITS)]
        results.append(
            {
                "image_id": image_id,
                "category_id": PERSON,
                "bbox": [round(value, PIXEL_DIGITS) for value in (x1, y1, x2 - x1, y2 - y1)],
                "keypoints": keypoints[: 3 * SCORED],
                "score": round(float(scores[person]), SCORE_DIGITS),
                "box_score": round(float(persons.bbox_scores[person]), SCORE_DIGITS),
                "box_source": box_source,
            }
        )
        if keypoints[3 * SCORED :]:
            results[-1]["more_keypoints"] = keypoints[3 * SCORED :]
    return results


def shard_of(images: list, shard: int, shards: int) -> list:
    """Return the images of one of `shards` (0 to shards - 1): contiguous, in order, as even as can be."""
    return images[len(images) * shard // shards : len(images) * (shard + 1) // shards]


def annotated_boxes(data: dict) -> dict[int | str, np.ndarray]:
    """Return {image id: boxes}, float32 [N, 4] xyxy, of coco.person_boxes for every image with an annotation.

    data: what annotations.read_annotations returned.
    """
    by_image = {}
    for annotation in data["annotations"]:
        by_image.setdefault(annotation["image_id"], []).append(annotation)
    return {
        image_id: person_boxes({"annotations": annotations}, image_id)
        for image_id, annotations in by_image.items()
    }


def box_arrays(boxes: dict) -> dict[str, np.ndarray]:
    """Turn boxes.json into {image id as text: float32 [N, 5] xyxy and score}: the bits are kept."""
    return {str(image_id): np.array(found, np.float32).reshape(-1, 5) for image_id, found in boxes.items()}


def merge_results(paths: list) -> list[dict]:
    """Join the COCO results of shards, in order: written again, these are the bytes of one pass over all."""
    return [result for path in paths for result in read_json(path)]


def merge_boxes(paths: list) -> dict:
    """Join the boxes.json of shards, in order, as they were written."""
    return {image_id: boxes for path in paths for image_id, boxes in read_json(path).items()}


def check_some_read(record: dict) -> None:
    """Raise PoseGaugeError when a record holds no image at all."""
    unreadable = record["unreadable"]
    if not record["images"]:
        raise PoseGaugeError(f"none of the {len(unreadable)} images could be read: {unreadable[:3]}")


def merge_records(paths: list) -> dict:
    """Make one record of those of the shards, in order.

    Times are added up. Raises PoseGaugeError where shards were not made from the same artifacts with the same
    settings, or hold no image at all. Where the machines differ, provenance.machines lists them.
    """
    records = [read_json(path) for path in paths]
    first = records[0]
    for path, record in zip(paths, records, strict=True):
        for what, value in _must_agree(record).items():
            if value != _must_agree(first)[what]:
                raise PoseGaugeError(
                    f"{path} and {paths[0]} differ in {what}: they are of different runs. Delete both and "
                    "run again"
                )
    images = [entry for record in records for entry in record["images"]]
    unreadable = [name for record in records for name in record["unreadable"]]
    merged = {
        **first,
        "images": images,
        "unreadable": unreadable,
        "wall_s": sum(record["wall_s"] for record in records),
        "inference_s": sum(record["inference_s"] for record in records),
    }
    check_some_read(merged)
    machines = [record["provenance"]["machine"] for record in records]
    if any(identity(machine) != identity(machines[0]) for machine in machines):
        merged["provenance"] = {**first["provenance"], "machines": machines}
    return merged


def _must_agree(record: dict) -> dict:
    artifacts = record["provenance"]["artifacts"]
    return {
        **{key: record[key] for key in ("condition", "seed", "annotations_sha256", "settings")},
        "artifacts": {role: artifact["sha256"] for role, artifact in artifacts.items()},
    }


def latency_figures(measured: list[dict]) -> dict:
    """Mean and median latency over images in ms, and FPS = 1000 / mean, of a record's images."""
    latency_ms = np.array([entry["latency_ms"] for entry in measured])
    return {
        "latency_ms_mean": float(latency_ms.mean()),
        "latency_ms_p50": float(np.median(latency_ms)),
        "fps": float(1000 / latency_ms.mean()),
    }
