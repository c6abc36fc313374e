"""Calibration of keypoint scores: does a score say how near the keypoint is to the annotated one?

Nearness is the keypoint's term of OKS, its similarity in [0, 1]. The error is the expected calibration error
of Naeini et al. (2015) with bins of equal count (Nguyen and O'Connor, 2015).
"""

from dataclasses import dataclass

import numpy as np
from pycocotools.cocoeval import Params

BINS = 10


_SIGMAS = Params("keypoints").kpt_oks_sigmas


def similarity(keypoints: np.ndarray, annotation: dict) -> np.ndarray:
    """Return exp(-d^2 / (2 s^2 k^2)) of each keypoint: float64 [17], as COCOeval.computeOks has it.

    keypoints: float [17, >= 2] in pixels. s^2 is the annotated area, k = 2 sigma with COCO's sigmas.
    """
    annotated = np.reshape(annotation["keypoints"], (-1, 3))
    squared = np.square(keypoints[:, :2] - annotated[:, :2]).sum(1)
    return np.exp(-squared / (2 * (annotation["area"] + np.spacing(1)) * np.square(2 * _SIGMAS)))


@dataclass(frozen=True)
class Samples:
    """Keypoints whose score can be compared with what they are worth."""

    column: np.ndarray  # int [N], position of the image
    score: np.ndarray  # float64 [N]
    similarity: np.ndarray  # float64 [N]


def collect(column: np.ndarray, keypoints: np.ndarray, matches: list[dict | None]) -> Samples:
    """Return the samples of persons, [N] of them.

    Args:
        column: int [N], position of each person's image.
        keypoints: float64 [N, 17, 3]: x, y in pixels, score.
        matches: the annotation that each person's box was matched to, or None. One matched gives its labelled
            keypoints, none when it is a crowd; one matched to nobody gives all, with similarity 0.
    """
    columns, scores, similarities = [], [], []
    for image, points, annotation in zip(column, keypoints, matches, strict=True):
        if annotation is None:
            worth, used = np.zeros(len(points)), slice(None)
        elif annotation["iscrowd"]:
            continue
        else:
            worth, used = similarity(points, annotation), np.array(annotation["keypoints"][2::3]) > 0
        scores.append(points[used, 2])
        similarities.append(worth[used])
        columns.append(np.full(len(scores[-1]), image))
    return Samples(
        np.concatenate([np.empty(0, np.intp), *columns]),
        np.concatenate([np.empty(0), *scores]),
        np.concatenate([np.empty(0), *similarities]),
    )


def bin_numbers(scores: np.ndarray) -> np.ndarray:
    """Return the bin of each score, int [N] from 0 on: up to BINS bins of equal count, lowest scores first.

    Equal scores share a bin, so the counts differ where scores are tied, and there may be fewer bins.
    """
    if not len(scores):
        return np.empty(0, np.intp)
    ordered = np.sort(scores)
    # The first score of each bin but the lowest.
    edges = np.unique(ordered[np.arange(1, BINS) * len(scores) // BINS])
    return np.searchsorted(edges[edges > ordered[0]], scores, side="right")


def table(samples: Samples) -> list[dict]:
    """Return the bins of the reliability diagram: their bounds, count, and mean score and similarity."""
    numbers = bin_numbers(samples.score)
    rows = []
    for number in np.unique(numbers):
        score, worth = samples.score[numbers == number], samples.similarity[numbers == number]
        rows.append(
            {
                "score_low": float(score.min()),
                "score_high": float(score.max()),
                "count": len(score),
                "mean_score": float(score.mean()),
                "mean_similarity": float(worth.mean()),
            }
        )
    return rows


def figures(samples: Samples, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Return {"mean_similarity", "ece"}: float64 [rows], NaN in rows without a sample.

    weights: [rows, images], how often each image counts. The bins are those of the samples counted once, so
    that all rows mean the same by a bin. ECE: the mean over samples of their bin's |mean score - mean
    similarity|.
    """
    bins = bin_numbers(samples.score)
    shape = weights.shape[1], BINS
    place = np.ravel_multi_index((samples.column, bins), shape)

    def sums(values):
        """Weighted sums of each bin, [rows, BINS]."""
        return weights @ np.bincount(place, values, minlength=shape[0] * shape[1]).reshape(shape)

    similarities, scores, counts = sums(samples.similarity), sums(samples.score), sums(None)
    total = counts.sum(1)
    with np.errstate(invalid="ignore"):
        # count share x |difference of means| = |difference of sums| / total
        return {
            "mean_similarity": similarities.sum(1) / total,
            "ece": np.abs(scores - similarities).sum(1) / total,
        }
