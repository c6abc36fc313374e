"""Scores of predictions against COCO annotations, and the study's detection figures, for weighted images.

pycocotools matches predictions to annotations once. The scores are then computed for any number of rows of
weights, which say how often each image counts: ones for the data set itself, the draws of a resample for a
bootstrap.
"""

import contextlib
import io
from collections import Counter
from dataclasses import dataclass

import numpy as np
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy.sparse import csr_array

from posegauge.data.annotations import PERSON
from posegauge.data.keypoint_names import KEYPOINTS
from posegauge.errors import PoseGaugeError
from posegauge.score import calibration
from posegauge.score.truth import Truth
from posegauge.store.image_ids import ids_in_order

KEYPOINT_METRICS = ("ap", "ap50", "ap75", "ap_medium", "ap_large", "ar")


# Rows of weights that are worked on at a time: their arrays then stay in the processor's cache.
CHUNK = 40


# ----------------------------------------------------------------------------------------- the predictions


@dataclass(frozen=True)
class Predictions:
    """COCO results of one prediction set, and what the scores need of them as arrays in the same order."""

    results: list[dict]
    column: np.ndarray  # int [N], position of the image
    box_score: np.ndarray  # float64 [N]
    keypoints: np.ndarray  # float64 [N, 17, 3]: x, y in pixels, score


def check_images(annotations: Truth, image_ids: list, name) -> None:
    """Raise PoseGaugeError unless the images occur once each, and in the annotations.

    name: the file that lists them, for messages.
    """
    if not image_ids:
        raise PoseGaugeError(f"{name}: lists no image; delete it and run again")
    twice = [image for image, count in Counter(image_ids).items() if count > 1]
    if twice:
        raise PoseGaugeError(f"{name}: lists image {twice[0]} more than once; delete it and run again")
    unknown = set(image_ids) - set(annotations.numbers)
    if unknown:
        raise PoseGaugeError(
            f"{name}: lists {len(unknown)} images that the annotations lack, the first is "
            f"{ids_in_order(unknown)[0]}: predict again, with this annotation file"
        )


def read_predictions(results: list[dict], image_ids: list, name) -> Predictions:
    """Check one prediction set and return it.

    Args:
        results: COCO results with box_score.
        image_ids: the images that count, with or without results.
        name: where the results come from, for messages.

    Raises PoseGaugeError for results of other images, and for NaN: pycocotools would sort it anywhere.
    """
    column_of = {image: column for column, image in enumerate(image_ids)}
    unknown = {result["image_id"] for result in results} - set(column_of)
    if unknown:
        raise PoseGaugeError(
            f"{name}: holds {len(unknown)} images that the data set lacks, the first is "
            f"{ids_in_order(unknown)[0]}: delete it and predict again"
        )
    for result in results:
        if len(result["keypoints"]) != 3 * KEYPOINTS or len(result["bbox"]) != 4:
            raise PoseGaugeError(
                f"{name}: image {result['image_id']}: expected {3 * KEYPOINTS} numbers under 'keypoints' and "
                f"4 under 'bbox', found {len(result['keypoints'])} and {len(result['bbox'])}"
            )
    arrays = {
        key: np.array([result[key] for result in results], np.float64)
        for key in ("score", "box_score", "bbox", "keypoints")
    }
    for key, values in arrays.items():
        bad = np.flatnonzero(~np.isfinite(values.reshape(len(results), -1)).all(1)) if results else []
        if len(bad):
            raise PoseGaugeError(
                f"{name}: image {results[bad[0]]['image_id']}: '{key}' holds something that is no number, in "
                f"{len(bad)} of {len(results)} results; expected finite numbers: is the model damaged?"
            )
    return Predictions(
        results,
        np.array([column_of[result["image_id"]] for result in results], np.intp),
        arrays["box_score"],
        arrays["keypoints"].reshape(-1, KEYPOINTS, 3),
    )


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


# ------------------------------------------------------------------------------------- matching, once


class _Evaluation(COCOeval):
    """COCOeval with the OKS of all detections of an image at once: the same numbers, sooner."""

    def computeOks(self, imgId, catId):
        """See COCOeval.computeOks, of which this keeps every step and name."""
        p = self.params
        gts, dts = self._gts[imgId, catId], self._dts[imgId, catId]
        if not gts or not dts:
            return []
        inds = np.argsort([-d["score"] for d in dts], kind="mergesort")[: p.maxDets[-1]]
        points = np.array([dts[i]["keypoints"] for i in inds])
        xd, yd = points[:, 0::3], points[:, 1::3]
        ious = np.zeros((len(inds), len(gts)))
        variances = (p.kpt_oks_sigmas * 2) ** 2
        for j, gt in enumerate(gts):
            xg, yg, vg = np.reshape(gt["keypoints"], (-1, 3)).T
            labelled = np.flatnonzero(vg > 0)
            if len(labelled):
                dx, dy = xd - xg, yd - yg
            else:
                # Distance to the person's box, widened by its own width and height on every side.
                x, y, width, height = gt["bbox"]
                dx = np.maximum(0, x - width - xd) + np.maximum(0, xd - (x + width * 2))
                dy = np.maximum(0, y - height - yd) + np.maximum(0, yd - (y + height * 2))
            e = (dx**2 + dy**2) / variances / (gt["area"] + np.spacing(1)) / 2
            if len(labelled):
                e = e.take(labelled, axis=1)
            ious[:, j] = np.exp(-e).sum(1) / e.shape[1]
        return ious


def evaluate(annotations: Truth, results: list[dict], image_ids: list, iou_type: str, areas) -> COCOeval:
    """Match results to annotations with COCOeval.evaluate.

    Args:
        annotations: the ground truth. Crowds, and for keypoints persons without any, are ignored as in COCO.
        results: COCO results for the images, fresh dicts: pycocotools writes into them.
        image_ids: the images that count, with or without results.
        iou_type: "keypoints" (OKS, at most 20 persons per image) or "bbox" (IoU, at most 100).
        areas: names of COCO's area ranges.
    """
    for result in results:
        result["image_id"] = annotations.numbers[result["image_id"]]
    with contextlib.redirect_stdout(io.StringIO()):
        found = annotations.loadRes(results) if results else _nothing(annotations)
        evaluation = _Evaluation(annotations, found, iou_type)
        params = evaluation.params
        ranges = dict(zip(params.areaRngLbl, params.areaRng, strict=True))
        params.areaRngLbl, params.areaRng = list(areas), [ranges[area] for area in areas]
        params.imgIds, params.catIds = [annotations.numbers[image] for image in image_ids], [PERSON]
        evaluation.evaluate()
    return evaluation


def _nothing(annotations: COCO) -> COCO:
    """Empty results, which loadRes cannot make."""
    found = COCO()
    found.dataset = {**annotations.dataset, "annotations": []}
    found.createIndex()
    return found


@dataclass(frozen=True)
class _Ranking:
    """Matches of one area range over all images, best score first: D detections at T thresholds."""

    persons: np.ndarray  # float64 [images], annotated persons to be found
    column: np.ndarray  # int [D], position of the image
    hit: np.ndarray  # bool [T, D], matched to a person to be found
    counted: np.ndarray  # bool [T, D], not ignored


def _rank(evaluation: COCOeval, area: str, image_ids: list) -> _Ranking:
    """Put the matches of evalImgs in the order of COCOeval.accumulate."""
    params = evaluation.params
    start = params.areaRngLbl.index(area) * len(params.imgIds)
    entries = [entry for entry in evaluation.evalImgs[start : start + len(params.imgIds)] if entry]
    column_of = {evaluation.cocoGt.numbers[image]: column for column, image in enumerate(image_ids)}
    columns = [column_of[entry["image_id"]] for entry in entries]
    persons = np.zeros(len(image_ids))
    persons[columns] = [np.count_nonzero(entry["gtIgnore"] == 0) for entry in entries]

    none = np.empty((len(params.iouThrs), 0), bool)
    scores = np.concatenate([np.empty(0), *(entry["dtScores"] for entry in entries)])
    # Ties stay in the order of the image ids and of the results, which takes a stable sort.
    order = np.argsort(-scores, kind="mergesort")
    matched = np.concatenate([none, *(entry["dtMatches"] != 0 for entry in entries)], axis=1)[:, order]
    ignored = np.concatenate([none, *(entry["dtIgnore"] for entry in entries)], axis=1)[:, order]
    column = np.repeat(np.array(columns, np.intp), [len(entry["dtIds"]) for entry in entries])[order]
    return _Ranking(persons, column, matched & ~ignored, ~ignored)


# ------------------------------------------------------------------------------ weighted accumulation


def _accumulate(ranking: _Ranking, weights: np.ndarray, levels: np.ndarray):
    """COCOeval.accumulate for images that count `weights` times, int [rows, images].

    A detection of weight w stands for w copies of it one after the other; the precision curve only needs the
    last of them. levels: the recalls at which the precision is read.

    Returns (mean precision, recall), float64 [rows, T] each; NaN where a row has no person to be found.
    """
    weights = weights.astype(np.int32)  # whole numbers stay exact, and half as many bytes are moved
    persons = weights @ ranking.persons
    shape = len(weights), len(ranking.hit)
    precision, recall = np.zeros(shape), np.zeros(shape)
    for threshold, (hit, counted) in enumerate(zip(ranking.hit, ranking.counted, strict=True)):
        hits, counted = np.flatnonzero(hit), np.flatnonzero(counted)
        if not len(hits):
            continue
        # Recall grows and precision peaks at hits only. Row k sums what counts after hit k - 1 up to hit k.
        ends = np.concatenate([[0], np.searchsorted(counted, hits, side="right")])
        columns = ranking.column[counted[: ends[-1]]]
        ones = np.ones(ends[-1], weights.dtype)
        between = csr_array((ones, columns, ends), shape=(len(hits), weights.shape[1]))
        for start in range(0, len(weights), CHUNK):
            chunk = slice(start, start + CHUNK)
            found = weights[chunk].take(ranking.column[hits], axis=1).cumsum(1, dtype=weights.dtype)
            counts = (between @ weights[chunk].T).T
            counts = np.ascontiguousarray(counts).cumsum(1, dtype=weights.dtype)
            recall[chunk, threshold], precision[chunk, threshold] = _curves(
                found, counts, persons[chunk], levels
            )
    nobody = persons == 0
    precision[nobody] = recall[nobody] = np.nan
    return precision, recall


def _curves(found: np.ndarray, counts: np.ndarray, persons: np.ndarray, levels: np.ndarray):
    """Return the last recall and the mean precision over `levels`, float64 [rows] each.

    found, counts: int [rows, hits], persons found and detections counted up to each hit.
    """
    recalls = found / np.maximum(persons, 1)[:, None]
    precisions = found / (counts + np.spacing(1))
    means = np.zeros(len(found))
    for row, (recall, precision) in enumerate(zip(recalls, precisions, strict=True)):
        first = np.searchsorted(recall, levels)  # the first hit that reaches each level
        first = first[first < len(recall)]
        # The best precision from each level to the next, then from each level on; 0 at levels never reached.
        best = np.maximum.reduceat(precision, first)
        means[row] = np.maximum.accumulate(best[::-1]).sum() / len(levels)
    return recalls[:, -1], means


def average_precision(evaluation: COCOeval, image_ids: list, weights: np.ndarray) -> dict:
    """Return the figures of COCOeval.summarize for the areas that were evaluated, float64 [rows] each.

    {"ap", "ap50", "ap75", "ar"} for the area "all", "ap_<area>" for others. NaN in rows without a person to
    be found. weights: int [rows, images], how often each image counts. Ones give summarize's numbers, other
    weights those of a data set with copies of the images, each right after its image. Only ties within one
    image differ: here all copies of a detection come before those of the next, there they alternate.
    """
    params = evaluation.params
    figures = {}
    for area in params.areaRngLbl:
        ranking = _rank(evaluation, area, image_ids)
        precision, recall = _accumulate(ranking, weights, params.recThrs)
        if area == "all":
            at = {name: int(np.argmin(abs(params.iouThrs - value))) for name, value in _AT.items()}
            figures |= {"ap": precision.mean(1), "ar": recall.mean(1)}
            figures |= {name: precision[:, index] for name, index in at.items()}
        else:
            figures[f"ap_{area}"] = precision.mean(1)
    return figures


_AT = {"ap50": 0.5, "ap75": 0.75}


def keypoint_scores(
    annotations: Truth,
    predictions: list[dict],
    image_ids: list,
    weights: np.ndarray | None = None,
    areas=("all", "medium", "large"),
) -> dict[str, np.ndarray]:
    """Return KEYPOINT_METRICS (those of `areas`), float64 [rows] each; see average_precision.

    weights: int [rows, images]; None for one row in which each image counts once.
    """
    if weights is None:
        weights = np.ones((1, len(image_ids)), np.int64)
    evaluation = evaluate(annotations, keypoint_results(predictions), image_ids, "keypoints", areas)
    return average_precision(evaluation, image_ids, weights)


# ------------------------------------------------------------------------------------- persons and boxes


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide; NaN where there is nothing to divide by."""
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator != 0)


def detection_scores(predictions: Predictions, person_thr: float, weights: np.ndarray):
    """The study's figures: who was detected, and how sure the pose network says it is.

    A person counts when its box score is at least `person_thr`; an image is detected when it has one. Mean
    confidence is the mean over all such persons of the mean of their 17 keypoint scores (SimCC maxima, not
    probabilities).

    Returns ({"detection_rate", "mean_confidence", "persons_per_image"}: float64 [rows], NaN where there is
    nothing to divide by; {"images_detected", "persons"}: counts in the images themselves).
    """
    used = predictions.box_score >= person_thr
    column, size = predictions.column[used], weights.shape[1]
    persons = np.bincount(column, minlength=size)
    confidence = np.bincount(column, predictions.keypoints[used, :, 2].mean(1), minlength=size)
    images = weights.sum(1)
    scores = {
        "detection_rate": _ratio(weights @ (persons > 0), images),
        "mean_confidence": _ratio(weights @ confidence, weights @ persons),
        "persons_per_image": _ratio(weights @ persons, images),
    }
    return scores, {"images_detected": np.count_nonzero(persons), "persons": persons.sum()}


def box_scores(
    annotations: Truth, predictions: Predictions, image_ids: list[int], person_thr: float, weights: np.ndarray
):
    """Scores of the boxes, and the calibration of the keypoints in them.

    Returns ({"box_ap", "person_recall", "false_positives_per_image", "missed_person_rate", "mean_similarity",
    "ece"}: float64 [rows], NaN where there is nothing to divide by; {"bins": calibration.table, "keypoints":
    their number}).
    """
    results = box_results(predictions.results)
    evaluation = evaluate(annotations, results, image_ids, "bbox", ("all",))
    # Annotation matched to each box at the first threshold, IoU .5; 0 for none. Boxes are matched best first,
    # so those below person_thr take no person from those above: leaving them out now is the same as before.
    matched = np.full(len(results), -1)  # stays at boxes past the 100 of an image, which count nowhere
    for entry in filter(None, evaluation.evalImgs):
        matched[np.array(entry["dtIds"], np.intp) - 1] = entry["dtMatches"][0]
    used = np.flatnonzero((predictions.box_score >= person_thr) & (matched >= 0))
    column, matches = predictions.column[used], [annotations.anns.get(match) for match in matched[used]]

    hit = np.array([match is not None and not match["iscrowd"] for match in matches], bool)
    size = weights.shape[1]
    found = np.bincount(column[hit], minlength=size)
    false = np.bincount(column[matched[used] == 0], minlength=size)
    persons = _rank(evaluation, "all", image_ids).persons
    samples = calibration.collect(column, predictions.keypoints[used], matches)
    scores = {
        "box_ap": average_precision(evaluation, image_ids, weights)["ap"],
        "person_recall": _ratio(weights @ found, weights @ persons),
        "false_positives_per_image": _ratio(weights @ false, weights.sum(1)),
        "missed_person_rate": _ratio(weights @ (found < persons), weights @ (persons > 0)),
        **calibration.figures(samples, weights),
    }
    return scores, {"bins": calibration.table(samples), "keypoints": len(samples.score)}


def score_sets(
    annotations: Truth,
    sets: dict[str, Predictions],
    image_ids: list,
    fallback: np.ndarray,
    person_thrs: dict[str, float],
    weights: np.ndarray,
):
    """All scores of one condition.

    Args:
        annotations: the ground truth.
        sets: one per name of study.PREDICTION_SETS.
        image_ids: the images, in the order of the columns of `weights`.
        fallback: bool [images], where the study's protocol found no box and took the whole image.
        person_thrs: for the sets "detected" and "original", the box score from which a person counts.
        weights: int [rows, images], how often each image counts.

    Returns:
        ({set: {metric: float64 [rows]}}, NaN where there is nothing to measure; counts; calibration).
    """
    scores, counts = {}, {}
    for name in ("detected", "original"):
        scores[name], counts[name] = detection_scores(sets[name], person_thrs[name], weights)
    boxes, reliability = box_scores(
        annotations, sets["detected"], image_ids, person_thrs["detected"], weights
    )
    for name in ("detected", "clean", "annotated"):
        keypoints = keypoint_scores(annotations, sets[name].results, image_ids, weights)
        scores[name] = {**scores.get(name, {}), **keypoints}
    scores["detected"] |= boxes
    study = keypoint_scores(annotations, sets["original"].results, image_ids, weights, ("all",))
    scores["original"] |= {"ap": study["ap"], "fallback_rate": _ratio(weights @ fallback, weights.sum(1))}
    counts["original"]["fallback_images"] = np.count_nonzero(fallback)
    return scores, counts, reliability


# Two boxes that overlap less than this are not the same person's.
MATCH_IOU = 0.5


def match_boxes(ours: np.ndarray, theirs: np.ndarray, iou_thr: float = MATCH_IOU) -> np.ndarray:
    """Pair boxes of the same person: the pair of the largest IoU first, each box once.

    float32 [N, 4] and [M, 4] xyxy -> int [K, 2]: indices into `ours` and `theirs`, IoU of iou_thr or more.
    """
    pairs = np.empty((0, 2), np.intp)
    if len(ours) == 0 or len(theirs) == 0:
        return pairs
    # pycocotools takes float64 x, y, width, height.
    xywh = [
        np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]).astype(np.float64) for boxes in (ours, theirs)
    ]
    iou = np.array(mask.iou(*xywh, [0] * len(theirs)))
    while iou.max() >= iou_thr:
        pair = np.unravel_index(iou.argmax(), iou.shape)
        pairs = np.vstack([pairs, pair])
        iou[pair[0], :] = iou[:, pair[1]] = -1
    return pairs
