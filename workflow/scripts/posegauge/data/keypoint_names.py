"""COCO's 17 keypoints by name, as tools spell them, and whether keypoints can be in COCO's order at all."""

import math
import re
from dataclasses import dataclass

import numpy as np

PARTS = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")


NAMES = ("nose", *(f"{side}_{part}" for part in PARTS for side in ("left", "right")))


KEYPOINTS = len(NAMES)


# COCO's skeleton, from 0 on: the face, from ear to shoulder, the rest.
FACE = ((1, 2), (0, 1), (0, 2), (1, 3), (2, 4))


SKELETON = (
    *(
        (15, 13),
        (13, 11),
        (16, 14),
        (14, 12),
        (11, 12),
        (5, 11),
        (6, 12),
        (5, 6),
        (5, 7),
        (6, 8),
        (7, 9),
        (8, 10),
    ),
    *FACE,
    *((3, 5), (4, 6)),
)


BODY = SKELETON[:12]


# Proportions up to which an order is surely COCO's, and above which surely not. The medians of 72 persons of
# COCO val2017 are .52 and .18; of the same keypoints in six other orders one is above .68 or .45.
SURE, NOT = (0.62, 0.3), (0.68, 0.45)


# A person needs so many labelled keypoints to tell.
TELLING = 6


def canonical(name) -> str | None:
    """Return COCO's name of a keypoint: left_eye for 'Left Eye', 'l-eye', 'eyeLeft'; None for another."""
    if not isinstance(name, str):
        return None
    # 'leftEye' is two words.
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name.strip())
    joined = re.sub(r"[\W_]+", "", words).casefold()
    if joined == "nose":
        return "nose"
    for side in ("left", "right"):
        for part in PARTS:
            if joined in (f"{side}{part}", f"{part}{side}", f"{side[0]}{part}", f"{part}{side[0]}"):
                return f"{side}_{part}"
    return None


def order(names: list) -> list[int] | None:
    """Return where COCO's 17 stand among `names`, in COCO's order; None unless each is there exactly once."""
    found = [canonical(name) for name in names]
    if any(found.count(name) != 1 for name in NAMES):
        return None
    return [found.index(name) for name in NAMES]


def unnamed(names: list) -> bool:
    """Say whether the names tell nothing: none, or only numbers like '0', 'k1', 'keypoint_17'."""
    return all(
        isinstance(name, int) or re.fullmatch(r"(?i)\s*([a-z]+[\s_-]*)?\d+\s*", str(name)) for name in names
    )


@dataclass(frozen=True)
class Proportions:
    """Medians over persons of mean lengths between labelled keypoints; NaN where none can tell."""

    bones: float  # bones of the skeleton over all pairs
    face: float  # those of the face over those of the body

    def sure(self) -> bool:
        """Say whether the keypoints are surely in COCO's order."""
        return self.bones <= SURE[0] and self.face <= SURE[1]

    def doubtful(self) -> bool:
        """Say whether they are surely not."""
        return self.bones > NOT[0] or self.face > NOT[1]


def proportions(keypoints: np.ndarray) -> Proportions:
    """Return what keypoints show of their order. Left and right look alike.

    keypoints: float [N, 17, 3] x, y, visibility as if in COCO's order.
    """
    labelled = keypoints[:, :, 2] > 0
    telling = labelled.sum(1) >= TELLING
    points, labelled = keypoints[telling, :, :2], labelled[telling]

    def mean_length(pairs):
        one, other = np.transpose(pairs)
        both = labelled[:, one] & labelled[:, other]
        lengths = np.where(both, np.linalg.norm(points[:, one] - points[:, other], axis=2), 0)
        return lengths.sum(1) / np.maximum(both.sum(1), 1), both.sum(1)

    bones, pairs = mean_length(SKELETON), mean_length(np.transpose(np.triu_indices(KEYPOINTS, 1)))
    face, body = mean_length(FACE), mean_length(BODY)
    return Proportions(_median_ratio(bones, pairs, 3), _median_ratio(face, body, 2))


def _median_ratio(one, other, least: int) -> float:
    usable = (one[1] > 0) & (other[1] >= least) & (other[0] > 0)
    return float(np.median(one[0][usable] / other[0][usable])) if usable.any() else math.nan
