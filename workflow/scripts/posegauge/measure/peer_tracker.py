"""rtmlib's PoseTracker with this run's networks: what others use to run the detector on every n-th frame."""

import contextlib
import io
from types import SimpleNamespace

import numpy as np

from posegauge.measure.peer_programs import Rtmlib
from posegauge.pipeline.keypoint_sets import SCORED
from posegauge.pipeline.pipeline import Persons

TITLE = "rtmlib PoseTracker"


class _Seen:
    """A detector of rtmlib that says whether it was called."""

    def __init__(self, detector):
        self.detector, self.det_mode = detector, detector.det_mode
        self.called = False

    def __call__(self, image):
        self.called = True
        return self.detector(image)


class RtmlibTracker:
    """PoseTracker, called like pipeline.tracking.DetectEvery.

    It has no box scores, so all are 1; where it holds nobody, it takes the whole image for a person.
    """

    builds = 0

    def __init__(self, programs: Rtmlib, interval: int, tracking: bool = False):
        """programs: its detector and pose network. interval: its det_frequency. tracking: its own switch."""
        import rtmlib

        self.detector = _Seen(programs.detector)
        solution = SimpleNamespace(det_model=self.detector, pose_model=programs.pose)
        with contextlib.redirect_stdout(io.StringIO()):  # it prints advice
            self.tracker = rtmlib.PoseTracker(lambda **_: solution, det_frequency=interval, tracking=tracking)
        self.detected = False
        self.lost = None  # it does not tell

    def reset(self) -> None:
        """Forget the film."""
        self.tracker.reset()

    def __call__(self, image):
        """Return its keypoints and their scores, as it does."""
        self.detector.called = False
        found = self.tracker(image)
        self.detected = self.detector.called
        return found


def persons_of(found) -> Persons:
    """Return what RtmlibTracker returned as persons: their boxes are those around all their keypoints."""
    keypoints, scores = (np.asarray(part, np.float32) for part in found)
    if not len(keypoints):
        keypoints, scores = np.empty((0, SCORED, 2), np.float32), np.empty((0, SCORED), np.float32)
    boxes = np.zeros((0, 4), np.float32)
    if len(keypoints):
        boxes = np.hstack([keypoints.min(1), keypoints.max(1)])
    return Persons(boxes, np.ones(len(boxes), np.float32), keypoints, scores)
