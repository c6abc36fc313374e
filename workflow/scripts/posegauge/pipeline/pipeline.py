"""From an image to persons: the same steps for every runtime.

Each step gives MMDetection's and MMPose's own numbers (RTMDet and RTMPose test pipelines): keep-ratio
letterbox, box clipping, NMS, 1.25-padded 3:4 affine crop, mean and standard deviation, SimCC maximum, and
if asked for the flip test.
Nothing here knows which runtime computes the two networks; see posegauge.backends.
"""

import contextlib
import itertools
import time
from dataclasses import dataclass, field

import numpy as np

from posegauge.errors import PoseGaugeError
from posegauge.pipeline.conventions import DEFAULT, Conventions
from posegauge.pipeline.keypoint_sets import SCORED
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
    keypoints: np.ndarray  # float32 [N, K, 2], pixels of the image; COCO's 17 first
    keypoint_scores: np.ndarray  # float32 [N, K], SimCC maxima: not probabilities
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


class HostSteps:
    """The steps on the host, on arrays, with OpenCV: what Pipeline asks of a set of steps.

    device_pipeline.DeviceSteps are those on a device. "There" is where a set of steps has its images and
    boxes: here the host itself.
    """

    def __init__(self, detector_size, pose_size, conventions: Conventions = DEFAULT):
        """Sizes are (width, height) of the networks' inputs; `detector_size` is None without a detector."""
        self.detector_size = detector_size
        self.pose_size = pose_size
        self.conventions = conventions

    def provenance(self) -> dict | None:
        """Say how the steps ran: {"device", "cuda_graphs": {step: graphs and calls} or None}.

        None on the host.
        """
        return None

    def timed(self, clock: StageClock):
        """Return a context for all steps of one call; as its target a clock with `stage`, for the steps."""
        return contextlib.nullcontext(clock)

    def put_images(self, images: list[np.ndarray], clock) -> list:
        """Bring images, uint8 [H, W, 3] BGR, there."""
        return images

    def put_boxes(self, bboxes: list[np.ndarray], clock) -> list:
        """Bring the boxes of each image, float32 [N, 4] xyxy, there."""
        return bboxes

    def detector_input(self, images: list):
        """Return (float32 [images, 3, height, width] there, the scale of each image) for the detector."""
        found = (detector_input(image, self.detector_size, self.conventions.detector) for image in images)
        inputs, scales = zip(*found, strict=True)
        return _joined(inputs), scales

    def run(self, stage: str, session, batches: list, clock) -> list[dict]:
        """Run a session on each batch; return the outputs of all."""
        return [clock.run(stage, session, batch) for batch in batches]

    def select(self, outputs: dict, scales, settings: Settings, clock) -> list[tuple]:
        """Return for each image (boxes there, boxes, scores as arrays): select_boxes on its outputs."""
        found = []
        with clock.stage("nms"):
            for i, scale in enumerate(scales):
                one = {name: array[i : i + 1] for name, array in outputs.items()}
                bboxes, scores = select_boxes(one, scale, self.detector_size, settings)
                found.append((bboxes, bboxes, scores))
        return found

    def padded_box(self, bboxes: list):
        """Return padded_box of the boxes of all images, one image after another."""
        return padded_box(_joined(bboxes), self.pose_size)

    def crops(self, parts: list[tuple], mirrored: bool) -> list:
        """Return the batches of the pose network: the crops of all parts; if asked for, those mirrored, too.

        parts: (image, centers, sizes) each.
        """
        pixels = self.conventions.pose
        crops = _joined([pose_input(*part, self.pose_size, pixels) for part in parts])
        return [crops, np.ascontiguousarray(crops[..., ::-1])] if mirrored else [crops]

    def decode(self, outputs: list[dict], center, size):
        """Return the poses, in image pixels, of the outputs for a batch of crops (and the mirrored ones)."""
        simcc = [(output["simcc_x"], output["simcc_y"]) for output in outputs]
        if len(simcc) == 2:
            simcc = [mean_of_mirrored(*simcc, self.conventions.keypoints)]
        points, scores = decode_simcc(*simcc[0], self.pose_size)
        points = points / np.array(self.pose_size, np.float32) * size[:, None]
        return points + center[:, None] - np.float32(0.5) * size[:, None], scores

    def poses(self, decoded: list, clock):
        """Join what decode returned: (float32 [P, K, 2] keypoints, float32 [P, K] scores), as arrays."""
        points, scores = zip(*decoded, strict=True)
        return _joined(points).astype(np.float32, copy=False), _joined(scores)


def _joined(arrays) -> np.ndarray:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


class Pipeline:
    """From images to persons: detector, NMS, crops, pose network, decoding.

    The order of the steps, the batches and the clock are here, for whoever computes the steps (HostSteps).
    Without a detector: pose only, boxes are given. With `always_detect` the detector and NMS run, and take
    their time, where boxes are given, too; what they find is dropped.
    """

    always_detect = False

    def __init__(
        self,
        detector,
        pose,
        detector_size,
        pose_size,
        settings: Settings,
        steps=None,
        conventions: Conventions = DEFAULT,
    ):
        """`detector` (or None) and `pose` are sessions of posegauge.backends; sizes are (width, height).

        steps: see HostSteps, which they are by default. conventions: the networks' pixels and keypoints.
        """
        self.detector = detector
        self.pose = pose
        self.detector_size = tuple(detector_size) if detector_size else None
        self.pose_size = tuple(pose_size)
        self.settings = settings
        self.conventions = conventions
        self.steps = steps or HostSteps(self.detector_size, self.pose_size, conventions)

    @property
    def sessions(self) -> dict:
        """The session of each network, by role; None for a detector that is left out."""
        return {"detector": self.detector, "pose": self.pose}

    def provenance(self) -> dict:
        """Return what runs each network, by role, and under `steps` how those on a device ran."""
        steps = self.steps.provenance()
        networks = {role: session.provenance() for role, session in self.sessions.items() if session}
        return networks | ({"steps": steps} if steps else {})

    def on_host(self, detector, pose) -> "Pipeline":
        """Return a pipeline like this one with other sessions of its networks, and its steps on the host."""
        sizes = self.detector_size, self.pose_size
        return Pipeline(detector, pose, *sizes, self.settings, conventions=self.conventions)

    def detector_input(self, image: np.ndarray):
        """Return steps.detector_input of uint8 [H, W, 3] BGR for this pipeline's detector."""
        return detector_input(image, self.detector_size, self.conventions.detector)

    # -------------------------------------------------------------------------- images and boxes are there

    def find(self, batch, scales, clock):
        """Find persons from the detector's input on.

        Args:
            batch: float32 [images, 3, height, width] there.
            scales: of each image, see HostSteps.detector_input.
            clock: see HostSteps.timed.

        Returns:
            (the detector's outputs, [(boxes there, boxes, scores)] of each image, see select_boxes).
        """
        (outputs,) = self.steps.run("detect", self.detector, [batch], clock)
        return outputs, self.steps.select(outputs, scales, self.settings, clock)

    def _detect(self, images: list, clock) -> list[tuple]:
        with clock.stage("preprocess"):
            batch, scales = self.steps.detector_input(images)
        return self.find(batch, scales, clock)[1]

    def _estimate(self, images: list, bboxes: list, clock, flip: bool):
        """Return the poses in the boxes of all images, one after another, MAX_POSE_BATCH at a time."""
        steps = self.steps
        ends = [0, *itertools.accumulate(map(len, bboxes))]
        if ends[-1] == 0:
            count = self.conventions.keypoints.count
            return np.empty((0, count, 2), np.float32), np.empty((0, count), np.float32)
        decoded = []
        with clock.stage("crop"):
            centers, sizes = steps.padded_box(bboxes)
        for first in range(0, ends[-1], MAX_POSE_BATCH):
            block = slice(first, min(first + MAX_POSE_BATCH, ends[-1]))
            with clock.stage("crop"):
                parts = []
                for image, (begin, end) in zip(images, itertools.pairwise(ends), strict=True):
                    part = slice(max(block.start, begin), min(block.stop, end))
                    if part.start < part.stop:
                        parts.append((image, centers[part], sizes[part]))
                batches = steps.crops(parts, flip)
            outputs = steps.run("pose", self.pose, batches, clock)
            with clock.stage("decode"):
                decoded.append(steps.decode(outputs, centers[block], sizes[block]))
        return steps.poses(decoded, clock)

    # -------------------------------------------------------------------------------------- what is called

    def run(
        self,
        images: list[np.ndarray],
        bboxes: list[np.ndarray] | None = None,
        always_detect: bool = False,
    ) -> list[Persons]:
        """Run the detector on all images at once and the pose network on all their boxes.

        Args:
            images: uint8 [H, W, 3] BGR each.
            bboxes: float32 [N, 4] xyxy of each image, with box scores of 1; None: those of the detector with
                a score above bbox_thr.
            always_detect: run the detector where boxes are given, too; what it finds is dropped.

        Returns:
            The persons of each image; the stage times are those of all images together.
        """
        if bboxes is None and self.detector is None:
            raise PoseGaugeError("this pipeline has no detector: give it boxes")
        whole = StageClock()
        with self.steps.timed(whole) as clock:
            there = self.steps.put_images(images, clock)
            if bboxes is None or always_detect:
                found = self._detect(there, clock)
            if bboxes is None:
                # Boxes come best first, so the used ones are the head of the list.
                used = [int((scores > self.settings.bbox_thr).sum()) for _, _, scores in found]
                found = [[part[:count] for part in one] for one, count in zip(found, used, strict=True)]
                boxes_there, bboxes, bbox_scores = zip(*found, strict=True)
            else:
                boxes_there = self.steps.put_boxes(bboxes, clock)
                bbox_scores = [np.ones(len(boxes), np.float32) for boxes in bboxes]
            poses = self._estimate(there, boxes_there, clock, self.settings.flip_test)
        persons, begin = [], 0
        for boxes, scores in zip(bboxes, bbox_scores, strict=True):
            part = slice(begin, begin := begin + len(boxes))
            persons.append(Persons(boxes, scores, poses[0][part], poses[1][part], whole.ms, whole.device_ms))
        return persons

    def __call__(self, image: np.ndarray, bboxes: np.ndarray | None = None) -> Persons:
        """Run the pipeline as it is used on one image, with or without given boxes; see run."""
        return self.run([image], None if bboxes is None else [bboxes], self.always_detect)[0]

    def detect(self, image: np.ndarray, clock: StageClock | None = None):
        """Find persons. uint8 [H, W, 3] BGR -> (float32 [N, 4] xyxy, float32 [N] scores)."""
        with self.steps.timed(clock or StageClock()) as clock:
            ((_, bboxes, scores),) = self._detect(self.steps.put_images([image], clock), clock)
        return bboxes, scores

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
            (float32 [N, K, 2] keypoints in image pixels, float32 [N, K] scores).
        """
        flip = self.settings.flip_test if flip is None else flip
        with self.steps.timed(clock or StageClock()) as clock:
            images = self.steps.put_images([image], clock)
            return self._estimate(images, self.steps.put_boxes([bboxes], clock), clock, flip)


def builds(pipeline: Pipeline) -> int:
    """Count what its networks and steps have built so far, see posegauge.backends.base.Session."""
    parts = (getattr(pipeline, part, None) for part in ("detector", "pose", "steps"))
    return sum(getattr(part, "builds", 0) for part in parts)


def detector_work(pipeline: Pipeline, image: np.ndarray) -> dict:
    """Return what NMS does on an image: {"candidates": boxes above score_thr, "kept": boxes after NMS}."""
    batch, _ = pipeline.detector_input(image)
    outputs = pipeline.detector.run(batch)
    scores = outputs["dets"][0, :, 4] if "dets" in outputs else outputs["scores"][0, :, 0]
    candidates = int(np.count_nonzero(scores > pipeline.settings.score_thr))
    return {"candidates": candidates, "kept": len(pipeline.detect(image)[0])}


def instance_scores(persons: Persons, keypoint_thr: float) -> np.ndarray:
    """Score by which COCO ranks a person: box score times the mean of its keypoint scores > keypoint_thr.

    float32 [N]. MMPose's CocoMetric(score_mode="bbox_keypoint", keypoint_score_thr=.2), over COCO's 17; where
    no keypoint passes, the mean is 0.
    """
    scores = persons.keypoint_scores[:, :SCORED]
    valid = scores > keypoint_thr
    total = np.where(valid, scores, 0).sum(1)
    return persons.bbox_scores * total / np.maximum(valid.sum(1), 1)
