"""The detector on every n-th frame of a film: between, the boxes come from the last keypoints.

So real-time systems run: RTMPose's own pipelines with n = 5 by default (MMPose, projects/rtmpose), rtmlib's
PoseTracker as its det_frequency says. A person is lost when the keypoints no longer hold, and the detector
then runs on the next frame; one who comes into view is found when the detector runs next.
"""

import numpy as np

from posegauge.pipeline.keypoint_sets import SCORED
from posegauge.pipeline.pipeline import Persons, Pipeline

# The box of the next frame, in sizes of the rectangle around the keypoints: what lies beyond them (crown,
# hands, feet) and the way to the next frame. MMPose's and rtmlib's value.
KEYPOINT_PADDING = 1.25

# With fewer keypoints above keypoint_thr a person is lost: two of them may be one eye and one ear.
MIN_KEYPOINTS = 4


def boxes_from_keypoints(
    keypoints: np.ndarray, scores: np.ndarray, size: tuple[int, int], keypoint_thr: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes in which the persons of one frame are looked for in the next.

    A person's box is the rectangle around those of COCO's 17 keypoints with a score above keypoint_thr, made
    KEYPOINT_PADDING times as wide and high around its middle, and clipped to the image.

    Args:
        keypoints: float32 [N, K, 2], pixels; COCO's 17 first.
        scores: float32 [N, K].
        size: (width, height) of the image.
        keypoint_thr: see Settings.

    Returns:
        (float32 [N, 4] xyxy; bool [N], whether the person is held). One is lost with fewer than MIN_KEYPOINTS
        such keypoints, with a mean score of all 17 up to keypoint_thr, or where no box is left in the image.
    """
    points, scores = keypoints[:, :SCORED], scores[:, :SCORED]
    seen = (scores > keypoint_thr)[..., None] & np.isfinite(points)
    low = np.where(seen, points, np.inf).min(1)
    high = np.where(seen, points, -np.inf).max(1)
    held = (np.count_nonzero(seen.all(-1), axis=1) >= MIN_KEYPOINTS) & (scores.mean(1) > keypoint_thr)
    low[~held] = high[~held] = 0
    more = (high - low) * np.float32((KEYPOINT_PADDING - 1) / 2)
    boxes = np.clip(np.hstack([low - more, high + more]), 0, [*size, *size]).astype(np.float32)
    held &= (boxes[:, 2:] > boxes[:, :2]).all(1)
    return boxes, held


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

    def reset(self) -> None:
        """Forget the film: the next frame is the first of another."""
        self.boxes = self.box_scores = None
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
            persons = self._hold(persons, image.shape[1::-1])
        return persons

    def _hold(self, persons: Persons, size: tuple[int, int]) -> Persons:
        """Set the boxes of the next frame; return the persons without those who are lost."""
        settings = self.settings
        boxes, held = boxes_from_keypoints(
            persons.keypoints, persons.keypoint_scores, size, settings.keypoint_thr
        )
        sure = persons.bbox_scores * persons.keypoint_scores[:, :SCORED].mean(1)
        held[held] = ~twice(boxes[held], sure[held], settings.nms_thr)
        self.boxes, self.box_scores = boxes[held], persons.bbox_scores[held]
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
