"""Sets of keypoints whose first 17 are COCO's, in COCO's order: names, mirror images and limbs.

Numbers are those of the data sets' own descriptions, as MMPose has them (configs/_base_/datasets).
"""

from dataclasses import dataclass

# What is scored: COCO's keypoints stand first in every set.
SCORED = 17

_COCO_PAIRS = ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16))

# As in the "skeleton" of person_keypoints_*.json, 0-based.
_COCO_LIMBS = (
    (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8),
    (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
)  # fmt: skip

_HALPE_PAIRS = (*_COCO_PAIRS, (20, 21), (22, 23), (24, 25))

_HALPE_LIMBS = (
    (15, 13), (13, 11), (11, 19), (16, 14), (14, 12), (12, 19), (17, 18), (18, 19), (18, 5), (5, 7),
    (7, 9), (18, 6), (6, 8), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
    (15, 20), (15, 22), (15, 24), (16, 21), (16, 23), (16, 25),
)  # fmt: skip

# Of the 68 points of a face, from its first point on: jaw, brows, nostrils, eyes, mouth.
_FACE_PAIRS = (
    *((i, 16 - i) for i in range(8)), *((17 + i, 26 - i) for i in range(5)), (31, 35), (32, 34),
    (36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46),
    (48, 54), (49, 53), (50, 52), (55, 59), (56, 58), (60, 64), (61, 63), (65, 67),
)  # fmt: skip

FACE, HAND = 68, 21


def _face_and_hands(first: int) -> tuple:
    """Return the mirrored pairs of a face and two hands whose points begin at `first`."""
    left = first + FACE
    return (
        *((first + a, first + b) for a, b in _FACE_PAIRS),
        *((left + i, left + HAND + i) for i in range(HAND)),
    )


def _fingers(first: int, wrist: int) -> tuple:
    """Return the limbs of a hand: five fingers of four points after its first, each from the wrist on."""
    ends = range(first + 1, first + HAND, 4)
    return tuple(limb for end in ends for limb in ((wrist, end), *((end + i, end + i + 1) for i in range(3))))


@dataclass(frozen=True)
class KeypointSet:
    """Keypoints of a pose network, COCO's 17 first."""

    title: str
    count: int
    pairs: tuple[tuple[int, int], ...]  # left and right of each other
    limbs: tuple[tuple[int, int], ...]  # lines that are drawn

    @property
    def mirrored(self) -> tuple[int, ...]:
        """The keypoints with left and right exchanged, as in MMPose's metainfo of the data set."""
        order = list(range(self.count))
        for one, other in self.pairs:
            order[one], order[other] = other, one
        return tuple(order)


# By their names in the config, models.pose.keypoints.
SETS = {
    "coco": KeypointSet("COCO", SCORED, _COCO_PAIRS, _COCO_LIMBS),
    "humanart21": KeypointSet(
        "Human-Art",
        21,
        (*_COCO_PAIRS, (17, 18), (19, 20)),
        (*_COCO_LIMBS, (15, 19), (16, 20), (9, 17), (10, 18)),
    ),
    "halpe26": KeypointSet("Halpe, body and feet", 26, _HALPE_PAIRS, _HALPE_LIMBS),
    "coco_wholebody": KeypointSet(
        "COCO-WholeBody",
        133,
        (*_COCO_PAIRS, (17, 20), (18, 21), (19, 22), *_face_and_hands(23)),
        (
            *_COCO_LIMBS,
            *((15, 17), (15, 18), (15, 19), (16, 20), (16, 21), (16, 22)),
            *_fingers(91, 91),
            *_fingers(112, 112),
        ),
    ),
    # Its fingers start at the wrists of the body.
    "halpe136": KeypointSet(
        "Halpe, whole body",
        136,
        (*_HALPE_PAIRS, *_face_and_hands(26)),
        (*_HALPE_LIMBS, *_fingers(94, 9), *_fingers(115, 10)),
    ),
}

COCO = SETS["coco"]


def of_count(count: int) -> KeypointSet | None:
    """Return the set with so many keypoints, or None."""
    return next((known for known in SETS.values() if known.count == count), None)
