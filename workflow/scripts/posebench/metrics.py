"""Scores of predictions against COCO annotations, and the study's detection figures."""

import contextlib
import copy
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from posebench.coco import PERSON
from posebench.errors import PoseBenchError


def load_annotations(path) -> COCO:
    """Read a COCO annotation file without pycocotools' chatter."""
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def average_precision(annotations: COCO, results: list[dict], image_ids: list[int], iou_type: str) -> dict:
    """Evaluate with pycocotools' COCOeval.

    Args:
        annotations: the ground truth. Crowds and persons without keypoints are ignored as COCO does.
        results: COCO results for the images; `keypoints` or `bbox` by `iou_type`, and `score`.
        image_ids: the images that count, with or without results.
        iou_type: "keypoints" (OKS) or "bbox" (IoU).

    Returns:
        {"ap", "ap50", "ar"}: AP over thresholds .50:.05:.95, AP at .50, AR over the same thresholds
        (at most 20 persons per image for keypoints, 100 for boxes). 0 without any result; None without
        anything to find (only crowds, say).
    """
    if not results:
        return {"ap": 0.0, "ap50": 0.0, "ar": 0.0}
    unknown = {result["image_id"] for result in results} - set(image_ids)
    if unknown:
        raise PoseBenchError(
            f"predictions hold {len(unknown)} images that the data set lacks, the first is {min(unknown)}"
        )
    with contextlib.redirect_stdout(io.StringIO()):
        # loadRes writes into the entries it is given.
        evaluation = COCOeval(annotations, annotations.loadRes(copy.deepcopy(results)), iou_type)
        evaluation.params.imgIds = sorted(image_ids)
        evaluation.params.catIds = [PERSON]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    stats = evaluation.stats
    # summarize() orders its figures differently for the two kinds; AR over all thresholds is 5 or 8.
    recall = stats[5] if iou_type == "keypoints" else stats[8]
    figures = {"ap": stats[0], "ap50": stats[1], "ar": recall}
    # pycocotools says -1 where there is nothing to find.
    return {name: float(value) if value >= 0 else None for name, value in figures.items()}


def keypoint_results(predictions: list[dict]) -> list[dict]:
    """COCO keypoint results without boxes: pycocotools would take the person's area from the box."""
    keys = ("image_id", "category_id", "keypoints", "score")
    return [{key: prediction[key] for key in keys} for prediction in predictions]


def box_results(predictions: list[dict]) -> list[dict]:
    """COCO box results, ranked by the detector's own score."""
    return [
        {
            "image_id": prediction["image_id"],
            "category_id": prediction["category_id"],
            "bbox": prediction["bbox"],
            "score": prediction["box_score"],
        }
        for prediction in predictions
    ]


def detection_figures(predictions: list[dict], image_ids: list[int], person_thr: float) -> dict:
    """The study's figures: who was detected, and how sure the pose network says it is.

    A person counts when its box score is at least `person_thr`; an image is detected when it has one.
    Mean confidence is the mean over all such persons of the mean of their 17 keypoint scores (SimCC
    maxima, not probabilities); None without a person.
    """
    persons = [prediction for prediction in predictions if prediction["box_score"] >= person_thr]
    confidences = [np.mean(person["keypoints"][2::3]) for person in persons]
    detected = len({person["image_id"] for person in persons})
    return {
        "images": len(image_ids),
        "images_detected": detected,
        "detection_rate": detected / len(image_ids),
        "mean_confidence": float(np.mean(confidences)) if confidences else None,
        "persons": len(persons),
        "persons_per_image": len(persons) / len(image_ids),
    }


def score_condition(annotations: COCO, predictions: list[dict], image_ids: list[int], person_thr: float):
    """All figures of one condition: detection_figures, keypoint AP / AP50 / AR, person box AP."""
    keypoints = average_precision(annotations, keypoint_results(predictions), image_ids, "keypoints")
    boxes = average_precision(annotations, box_results(predictions), image_ids, "bbox")
    return {
        **detection_figures(predictions, image_ids, person_thr),
        **keypoints,
        "box_ap": boxes["ap"],
    }
