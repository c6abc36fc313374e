"""From an image to persons: the same steps for every runtime.

Each step gives MMDetection's and MMPose's own numbers (RTMDet and RTMPose test pipelines): keep-ratio
letterbox, box clipping, NMS, 1.25-padded 3:4 affine crop, mean and standard deviation, SimCC maximum, and
if asked for the flip test.
Nothing here knows which runtime computes the two networks; see posegauge.backends.
"""

import contextlib
import time
from dataclasses import dataclass, field

import numpy as np

from posegauge.errors import PoseGaugeError
from posegauge.pipeline.steps import (
    MAX_POSE_BATCH,
    Settings,
    decode_simcc,
    detector_input,
    mean_of_mirrored,
    padded_box,
    pose_input,
    select_boxes,
)
from posegauge.study import STAGES


@dataclass
class Persons:
    """What the pipeline found in one image; N persons, best box first."""

    bboxes: np.ndarray  # float32 [N, 4] xyxy, pixels of the image
    bbox_scores: np.ndarray  # float32 [N]
    keypoints: np.ndarray  # float32 [N, 17, 2], pixels of the image
    keypoint_scores: np.ndarray  # float32 [N, 17], SimCC maxima: not probabilities
    stages_ms: dict = field(default_factory=dict)  # milliseconds per stage, keys of study.STAGES
    device_ms: dict = field(
        default_factory=dict
    )  # of the networks on a GPU: {"detect", "pose"}, see StageClock

    def __len__(self) -> int:
        return len(self.bboxes)


class StageClock:
    """Adds up wall-clock milliseconds per stage."""

    def __init__(self):
        self.ms = dict.fromkeys(STAGES, 0.0)
        self.device_ms = {}  # stage of a network: milliseconds between CUDA events, where there is a GPU

    @contextlib.contextmanager
    def stage(self, name: str):
        begin = time.perf_counter()
        yield
        self.ms[name] += (time.perf_counter() - begin) * 1e3

    def run(self, name: str, session, batch) -> dict:
        """Run a session as stage `name`; its copies between host and device count as the stage "copy"."""
        with self.stage(name):
            outputs = session.run(batch)
        # A session that is wrapped, or runs on the CPU, has neither.
        copy_ms, device_ms = getattr(session, "copy_ms", 0.0), getattr(session, "device_ms", None)
        self.ms[name] -= copy_ms
        self.ms["copy"] += copy_ms
        if device_ms is not None:
            self.device_ms[name] = self.device_ms.get(name, 0.0) + device_ms
        return outputs


class Pipeline:
    """Detector, NMS, crops, pose network, decoding. Without a detector: pose only, boxes are given.

    With `always_detect` the detector and NMS run, and take their time, where boxes are given, too; what they
    find is dropped.
    """

    always_detect = False

    def __init__(self, detector, pose, detector_size, pose_size, settings: Settings):
        """`detector` (or None) and `pose` are sessions of posegauge.backends; sizes are (width, height)."""
        self.detector = detector
        self.pose = pose
        self.detector_size = tuple(detector_size) if detector_size else None
        self.pose_size = tuple(pose_size)
        self.settings = settings

    def detect(self, image: np.ndarray, clock: StageClock | None = None):
        """Find persons. uint8 [H, W, 3] BGR -> (float32 [N, 4] xyxy, float32 [N] scores)."""
        clock = clock or StageClock()
        with clock.stage("preprocess"):
            batch, scale = detector_input(image, self.detector_size)
        outputs = clock.run("detect", self.detector, batch)
        with clock.stage("nms"):
            return select_boxes(outputs, scale, self.detector_size, self.settings)

    def estimate(
        self,
        image: np.ndarray,
        bboxes: np.ndarray,
        clock: StageClock | None = None,
        flip: bool | None = None,
    ):
        """Estimate poses in given boxes.

        Args:
            image: uint8 [H, W, 3] BGR.
            bboxes: float32 [N, 4] xyxy, pixels.
            clock: takes the stage times.
            flip: whether to run the flip test; None: as settings.flip_test says.

        Returns:
            (float32 [N, 17, 2] keypoints in image pixels, float32 [N, 17] scores).
        """
        clock = clock or StageClock()
        flip = self.settings.flip_test if flip is None else flip
        keypoints, keypoint_scores = [], []
        for first in range(0, len(bboxes), MAX_POSE_BATCH):
            with clock.stage("crop"):
                center, size = padded_box(bboxes[first : first + MAX_POSE_BATCH], self.pose_size)
                batches = [pose_input(image, center, size, self.pose_size)]
                if flip:
                    batches.append(np.ascontiguousarray(batches[0][..., ::-1]))
            outputs = [clock.run("pose", self.pose, batch) for batch in batches]
            with clock.stage("decode"):
                simcc = [(output["simcc_x"], output["simcc_y"]) for output in outputs]
                simcc = mean_of_mirrored(*simcc) if flip else simcc[0]
                points, scores = decode_simcc(*simcc)
                points = points / np.array(self.pose_size, np.float32) * size[:, None]
                keypoints.append(points + center[:, None] - np.float32(0.5) * size[:, None])
                keypoint_scores.append(scores)
        if not keypoints:
            return np.empty((0, 17, 2), np.float32), np.empty((0, 17), np.float32)
        return np.concatenate(keypoints).astype(np.float32), np.concatenate(keypoint_scores)

    def __call__(self, image: np.ndarray, bboxes: np.ndarray | None = None) -> Persons:
        """Run the pipeline as it is used on one image, uint8 [H, W, 3] BGR: boxes above bbox_thr get a pose.

        With `bboxes` (float32 [N, 4] xyxy) box scores are 1, the detector runs with always_detect only.
        """
        clock = StageClock()
        if bboxes is not None and self.always_detect:
            self.detect(image, clock)
        if bboxes is None:
            if self.detector is None:
                raise PoseGaugeError("this pipeline has no detector: give it boxes")
            bboxes, bbox_scores = self.detect(image, clock)
            used = bbox_scores > self.settings.bbox_thr
            bboxes, bbox_scores = bboxes[used], bbox_scores[used]
        else:
            bbox_scores = np.ones(len(bboxes), np.float32)
        keypoints, keypoint_scores = self.estimate(image, bboxes, clock)
        return Persons(bboxes, bbox_scores, keypoints, keypoint_scores, clock.ms, clock.device_ms)


def detector_work(pipeline: Pipeline, image: np.ndarray) -> dict:
    """Return what NMS does on an image: {"candidates": boxes above score_thr, "kept": boxes after NMS}."""
    batch, _ = detector_input(image, pipeline.detector_size)
    outputs = pipeline.detector.run(batch)
    scores = outputs["dets"][0, :, 4] if "dets" in outputs else outputs["scores"][0, :, 0]
    candidates = int(np.count_nonzero(scores > pipeline.settings.score_thr))
    return {"candidates": candidates, "kept": len(pipeline.detect(image)[0])}


def instance_scores(persons: Persons, keypoint_thr: float) -> np.ndarray:
    """Score by which COCO ranks a person: box score times the mean of its keypoint scores > keypoint_thr.

    float32 [N]. MMPose's CocoMetric(score_mode="bbox_keypoint", keypoint_score_thr=.2); where no keypoint
    passes, the mean is 0.
    """
    valid = persons.keypoint_scores > keypoint_thr
    total = np.where(valid, persons.keypoint_scores, 0).sum(1)
    return persons.bbox_scores * total / np.maximum(valid.sum(1), 1)
