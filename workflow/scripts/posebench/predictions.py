"""Run the pipeline over a data set in one condition, and read its predictions back."""

import logging

import numpy as np

from posebench import corruptions
from posebench.coco import PERSON, read_entry
from posebench.errors import PoseBenchError
from posebench.logs import progress
from posebench.pipeline import Persons, Pipeline, instance_scores

# Digits kept in the prediction files: a hundredth of a pixel, a millionth of a score.
PIXEL_DIGITS, SCORE_DIGITS = 2, 6
WARMUP_IMAGES = 3


def coco_results(persons: Persons, image_id: int, keypoint_thr: float, box_source: str) -> list[dict]:
    """Write the persons of one image as COCO results.

    Besides COCO's own keys each has `box_score` (the detector's) and `box_source` ("detected").
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
                "keypoints": keypoints,
                "score": round(float(scores[person]), SCORE_DIGITS),
                "box_score": round(float(persons.bbox_scores[person]), SCORE_DIGITS),
                "box_source": box_source,
            }
        )
    return results


def predict_condition(
    pipeline: Pipeline, images: list[dict], images_dir, condition: str, seed: int, unreadable: str
):
    """Predict every image of a data set in one condition.

    Args:
        pipeline: with a detector.
        images: the entries of person_images.json: id, file_name, width, height.
        images_dir: folder of the images.
        condition: name in posebench.study.CONDITIONS.
        seed: global seed of the conditions.
        unreadable: "error" raises PoseBenchError at the first image that cannot be read; "skip" leaves it
            out of the predictions and lists it.

    Returns:
        (COCO results, {"images": per image id, persons, latency_ms and stages_ms, "unreadable": file names}).
        The latency is that of the pipeline in use (boxes above bbox_thr): reading and corrupting the image
        and the poses that only the AP curve needs are not in it.
    """
    results, measured, missing = [], [], []
    log = logging.getLogger("posebench")
    warm = False
    for entry in progress(images, condition):
        try:
            image = read_entry(images_dir, entry)
        except PoseBenchError as error:
            if unreadable == "error":
                raise PoseBenchError(
                    f"{error}. Mend the file, or set dataset.unreadable: skip to count such images and go on"
                ) from error
            log.warning("left out: %s", error)
            missing.append(entry["file_name"])
            continue
        image = corruptions.apply(condition, image, seed, entry["id"])
        if not warm:
            for _ in range(WARMUP_IMAGES):
                pipeline.evaluate(image)
            warm = True
        persons = pipeline.evaluate(image)
        results += coco_results(persons, entry["id"], pipeline.settings.keypoint_thr, "detected")
        measured.append(
            {
                "image_id": entry["id"],
                "persons": int((persons.bbox_scores > pipeline.settings.bbox_thr).sum()),
                "latency_ms": round(sum(persons.stages_ms.values()), 4),
                "stages_ms": {stage: round(ms, 4) for stage, ms in persons.stages_ms.items()},
            }
        )
    if not measured:
        raise PoseBenchError(f"{images_dir}: none of the {len(images)} images could be read")
    return results, {"images": measured, "unreadable": missing}


def latency_figures(measured: list[dict]) -> dict:
    """Mean and median latency over images in ms, and FPS = 1000 / mean, of predict_condition's record."""
    latency_ms = np.array([entry["latency_ms"] for entry in measured])
    return {
        "latency_ms_mean": float(latency_ms.mean()),
        "latency_ms_p50": float(np.median(latency_ms)),
        "fps": float(1000 / latency_ms.mean()),
    }
