"""The detector on every n-th frame of a film: between, the boxes come from the last keypoints.

So real-time systems run: RTMPose's own pipelines with n = 5 by default (MMPose, projects/rtmpose), rtmlib's
PoseTracker as its det_frequency says. A person is lost when the keypoints no longer hold, and the detector
then runs on the next frame; one who comes into view is found when the detector runs next.

A box for the next frame is the rectangle around the sure keypoints, padded on each side as the detector's
box of this person was when it last ran, and moved on by the way that the person went since the frame before.
A fixed padding (MMPose's and rtmlib's 1.25) fits no two data sets alike, and a box that lags behind by one
frame costs more than all else: docs/tracking.md has what was tried.
"""

import numpy as np

from posegauge.pipeline.keypoint_sets import SCORED
from posegauge.pipeline.pipeline import Persons, Pipeline, builds

# With fewer keypoints above keypoint_thr a person is lost: two of them may be one eye and one ear.
MIN_KEYPOINTS = 4

# A side of the detector's box may lie so far from the keypoints, in widths or heights of their rectangle:
# more comes from a person of whom only a part was sure.
MAX_MARGIN = 0.4

# A person whom the detector finds is one of the frame before if the keypoints lie so near, by their median,
# in longer sides of their rectangle.
SAME_PERSON = 0.15


def rectangles(keypoints: np.ndarray, scores: np.ndarray, keypoint_thr: float):
    """Return the rectangles around the keypoints with a score above keypoint_thr, and who is held by them.

    Args:
        keypoints: float32 [N, 17, 2], pixels.
        scores: float32 [N, 17].
        keypoint_thr: see Settings.

    Returns:
        (float32 [N, 4] xyxy, zeros where the person is lost; bool [N], held). A person is lost with fewer
        than MIN_KEYPOINTS such keypoints, and with a mean score of all 17 up to keypoint_thr.
    """
    seen = (scores > keypoint_thr) & np.isfinite(keypoints).all(-1)
    held = (np.count_nonzero(seen, axis=1) >= MIN_KEYPOINTS) & (scores.mean(1) > keypoint_thr)
    low = np.where(seen[..., None], keypoints, np.inf).min(1)
    high = np.where(seen[..., None], keypoints, -np.inf).max(1)
    found = np.hstack([low, high])
    found[~held] = 0
    return found.astype(np.float32), held


def margins(boxes: np.ndarray, around: np.ndarray) -> np.ndarray:
    """Return what boxes have around the rectangles of the same persons: float32 [N, 4], 0 to MAX_MARGIN.

    boxes, around: float32 [N, 4] xyxy. In the order of the sides, in widths or heights of the rectangles.
    """
    return np.clip((boxes - around) * (-1, -1, 1, 1) / _sizes(around), 0, MAX_MARGIN).astype(np.float32)


def _sizes(boxes: np.ndarray) -> np.ndarray:
    """Return width, height, width, height, one pixel at least: float32 [N, 4]."""
    sizes = np.maximum(boxes[:, 2:] - boxes[:, :2], 1)
    return np.hstack([sizes, sizes])


def ways(keypoints, scores, before, scores_before, keypoint_thr: float) -> np.ndarray:
    """Return how far each person went: float32 [N, 2], the median over the keypoints sure in both frames.

    keypoints, before: float32 [N, 17, 2] of the same persons; scores and scores_before: float32 [N, 17]. Zero
    where no keypoint is.
    """
    both = (scores > keypoint_thr) & (scores_before > keypoint_thr)
    went = np.where(both[..., None], keypoints - before, np.float32(np.inf))
    went.sort(axis=1)  # those that count come first; one sort for all is sooner done than a median for each
    count, persons = both.sum(1), np.arange(len(both))
    median = (went[persons, (count - 1) // 2] + went[persons, count // 2]) * np.float32(0.5)
    return np.where(np.isfinite(median), median, np.float32(0))


def same_persons(keypoints: np.ndarray, before: np.ndarray, around: np.ndarray) -> np.ndarray:
    """Return for each person the nearest one of the frame before, -1 where none is near: int [N].

    keypoints: float32 [N, 17, 2]. before: float32 [M, 17, 2]. around: float32 [N, 4], see rectangles.
    """
    if not len(keypoints) or not len(before):
        return np.full(len(keypoints), -1)
    distances = np.median(np.linalg.norm(keypoints[:, None] - before[None], axis=-1), axis=-1)
    nearest = distances.argmin(1)
    near = distances[np.arange(len(keypoints)), nearest] < SAME_PERSON * _sizes(around).max(1)
    return np.where(near, nearest, -1)


def next_boxes(around: np.ndarray, margin: np.ndarray, way: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return where to look for persons in the next frame: float32 [N, 4] xyxy, clipped to the image.

    around: see rectangles. margin: see margins. way: see ways. size: (width, height) of the image.
    """
    boxes = around + margin * _sizes(around) * (-1, -1, 1, 1) + np.hstack([way, way])
    return np.clip(boxes, 0, (*size, *size)).astype(np.float32)


def twice(boxes: np.ndarray, scores: np.ndarray, nms_thr: float) -> np.ndarray:
    """Say which boxes have come to lie on another person's: bool [N].

    boxes: float32 [N, 4] xyxy. scores: float32 [N]; of two boxes with an IoU above nms_thr the lesser one is.
    """
    double = np.zeros(len(boxes), bool)
    if len(boxes) < 2:
        return double
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    over = shared > nms_thr * (areas[:, None] + areas[None, :] - shared)
    order = np.argsort(-scores, kind="stable")
    for place, one in enumerate(order):
        double[one] = (over[one, order[:place]] & ~double[order[:place]]).any()
    return double


class DetectEvery:
    """A pipeline on the frames of one film, its detector on every n-th: call it with one after the other.

    With an interval of 1 it is the pipeline, whatever was before. A person whom the detector found and whose
    keypoints do not hold in that very frame is shown there and not followed, so that a doubtful box does not
    call the detector at every frame.
    """

    def __init__(self, pipeline: Pipeline, interval: int):
        """interval: frames from one run of the detector to the next, where nobody is lost."""
        self.pipeline = pipeline
        self.interval = interval
        self.reset()

    @property
    def settings(self):
        """The thresholds of the pipeline."""
        return self.pipeline.settings

    @property
    def builds(self) -> int:
        """What the pipeline's networks and steps have built so far, see posegauge.backends.base.Session."""
        return builds(self.pipeline)

    def reset(self) -> None:
        """Forget the film: the next frame is the first of another."""
        self.keypoints = np.empty((0, SCORED, 2), np.float32)  # of those who are held, and so on below
        self.keypoint_scores = np.empty((0, SCORED), np.float32)
        self.box_scores = np.empty(0, np.float32)
        self.boxes = self.margins = np.empty((0, 4), np.float32)
        self.wait = 0  # frames until the detector's turn
        self.detected = False  # whether the detector ran on the last frame
        self.lost = 0  # persons lost in it

    def __call__(self, image: np.ndarray) -> Persons:
        """Return the persons of the next frame, uint8 [H, W, 3] BGR.

        Where the detector did not run, their boxes are those that the poses were estimated in, and their box
        scores those of the detector when it last ran. Who is lost is left out.
        """
        self.detected = self.wait == 0
        if self.detected:
            persons = self.pipeline(image)
            self.wait = self.interval
        else:
            persons = self.pipeline.run([image], [self.boxes])[0]
            persons.bbox_scores = self.box_scores
        self.wait -= 1
        self.lost = 0
        if self.interval > 1:
            persons = self._follow(persons, image.shape[1::-1])
        return persons

    def _follow(self, persons: Persons, size: tuple[int, int]) -> Persons:
        """Set the boxes of the next frame; return the persons without those who are lost."""
        settings = self.settings
        points, scores = persons.keypoints[:, :SCORED], persons.keypoint_scores[:, :SCORED]
        around, held = rectangles(points, scores, settings.keypoint_thr)
        if self.detected:
            known = same_persons(points, self.keypoints, around)
            way = np.zeros((len(points), 2), np.float32)
            again, old = known >= 0, known[known >= 0]
            before = self.keypoints[old], self.keypoint_scores[old]
            way[again] = ways(points[again], scores[again], *before, settings.keypoint_thr)
            margin = margins(persons.bboxes, around)
        else:
            way = ways(points, scores, self.keypoints, self.keypoint_scores, settings.keypoint_thr)
            margin = self.margins
        boxes = next_boxes(around, margin, way, size)
        held &= (boxes[:, 2:] > boxes[:, :2]).all(1)
        sure = persons.bbox_scores * scores.mean(1)
        held[held] = ~twice(boxes[held], sure[held], settings.nms_thr)
        self.boxes, self.margins, self.box_scores = boxes[held], margin[held], persons.bbox_scores[held]
        self.keypoints, self.keypoint_scores = points[held], scores[held]
        if self.detected or held.all():
            return persons
        self.lost, self.wait = int(np.count_nonzero(~held)), 0
        return Persons(
            persons.bboxes[held],
            persons.bbox_scores[held],
            persons.keypoints[held],
            persons.keypoint_scores[held],
            persons.stages_ms,
            persons.device_ms,
        )
