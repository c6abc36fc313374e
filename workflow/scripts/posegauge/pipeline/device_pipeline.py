"""The pipeline with every step on the device of the networks: an image goes there once, persons come back.

Same steps, numbers and methods as posegauge.pipeline.pipeline, in the torch operations of device_ops. The host waits
twice: for the number of persons, which is the batch size of the pose network, and for the keypoints.

The sessions must put their work on torch's current stream, or be done with it when run_device returns.
"""

import itertools
import time

import numpy as np
import torch

from posegauge.errors import PoseGaugeError, Unavailable
from posegauge.pipeline import device_steps as ops
from posegauge.pipeline.pipeline import Persons, Pipeline, StageClock
from posegauge.pipeline.steps import MAX_POSE_BATCH, Settings

NETWORKS = ("detect", "pose")


class Timeline:
    """Marks between stages. On a GPU they are CUDA events: nothing waits for a stage to end.

    The milliseconds of a stage are those on the device between two marks, waiting for the host's launches
    included; those of all stages sum up to the time from the first mark to the last.
    """

    def __init__(self, device: str):
        self.on_gpu = device == "cuda"
        self.marks = [(None, self._now())]

    def _now(self):
        if not self.on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def mark(self, stage: str) -> None:
        """End a stage, a name in study.STAGES, which began at the mark before."""
        self.marks.append((stage, self._now()))

    def add_to(self, clock: StageClock) -> None:
        """Wait for the last mark and add the stages to a clock; on a GPU also those of the networks."""
        if self.on_gpu:
            self.marks[-1][1].synchronize()
        for (_, begin), (stage, end) in itertools.pairwise(self.marks):
            milliseconds = begin.elapsed_time(end) if self.on_gpu else (end - begin) * 1e3
            clock.ms[stage] += milliseconds
            if self.on_gpu and stage in NETWORKS:
                clock.device_ms[stage] = clock.device_ms.get(stage, 0.0) + milliseconds


class DevicePipeline(Pipeline):
    """See posegauge.pipeline.pipeline.Pipeline; the sessions need run_device, see posegauge.backends.base.Session."""

    def __init__(self, detector, pose, detector_size, pose_size, settings: Settings, device: str):
        """`device`: cuda or cpu. Unavailable where torch cannot use a CUDA device."""
        super().__init__(detector, pose, detector_size, pose_size, settings)
        if device == "cuda" and not torch.cuda.is_available():
            raise Unavailable(
                f"torch {torch.__version__} cannot use the CUDA device: CPU build or old driver"
            )
        for session in (detector, pose):
            if session is not None and not hasattr(session, "run_device"):
                raise Unavailable(f"{type(session).__name__} takes no images that are on the device already")
        self.device = device
        self._constants = ops.Constants.on(device)
        self._pose_size = torch.tensor(self.pose_size, dtype=torch.float32, device=device)
        self._bytes = (torch.empty(0, dtype=torch.uint8),) * 2  # on the host, page-locked, and on the device
        self._letterboxes = {}  # (height, width) of an image -> ops.Letterbox
        self._inputs = {}  # number of images -> (the detector's input, the shapes of the images in it)

    # ------------------------------------------------------------------------------------------ steps

    def _upload(self, images: list[np.ndarray], timeline: Timeline) -> list[torch.Tensor]:
        """Copy images to the device in one piece; what was there before is overwritten."""
        total = sum(image.size for image in images)
        if len(self._bytes[0]) < total:
            self._bytes = (
                torch.empty(total, dtype=torch.uint8, pin_memory=self.device == "cuda"),
                torch.empty(total, dtype=torch.uint8, device=self.device),
            )
        host, there = self._bytes
        on_host, begin, tensors = host.numpy(), 0, []
        for image in images:
            end = begin + image.size
            on_host[begin:end].reshape(image.shape)[...] = image
            tensors.append(there[begin:end].view(image.shape))
            begin = end
        there[:total].copy_(host[:total], non_blocking=True)
        timeline.mark("copy")
        return tensors

    def _letterbox(self, image: torch.Tensor) -> ops.Letterbox:
        shape = tuple(image.shape[:2])
        if shape not in self._letterboxes:
            self._letterboxes[shape] = ops.Letterbox.of(shape, self.detector_size, self.device)
        return self._letterboxes[shape]

    def _detector_input(self, images: list[torch.Tensor]) -> torch.Tensor:
        """Return float32 [images, 3, height, width]; the memory is used again in the next call."""
        shapes = [tuple(image.shape) for image in images]
        batch, before = self._inputs.get(len(images), (None, None))
        if before != shapes:  # the padding is elsewhere
            blank = ops.blank_input(len(images), self.detector_size, self._constants)
            batch = blank if batch is None else batch.copy_(blank)
            self._inputs[len(images)] = batch, shapes
        for image, out in zip(images, batch, strict=True):
            ops.detector_input(image, self._letterbox(image), self._constants, out)
        return batch

    def _select(self, outputs: dict, index: int, scale: torch.Tensor, all_boxes: bool) -> torch.Tensor:
        """Return ops.pack of one image's boxes. all_boxes: do not stop at the first block; waits."""
        has_nms = "dets" in outputs
        if has_nms:
            bboxes, scores = outputs["dets"][index].float().split([4, 1], 1)
        else:
            bboxes, scores = outputs["boxes"][index].float(), outputs["scores"][index].float()
        limit, thr = self.settings.max_persons, self.settings.nms_thr
        bboxes, scores, good = ops.candidates(
            bboxes, scores[:, 0], scale, self.detector_size, self.settings.score_thr
        )
        if has_nms:
            return ops.pack(bboxes, scores, good, torch.ones_like(good[:1]).all(), limit)
        if all_boxes:
            keep = ops.greedy_nms(bboxes, good, thr, limit)
            return ops.pack(bboxes, scores, keep, torch.ones_like(good[:1]).all(), limit)
        block = slice(ops.NMS_BLOCK)
        _, keep, settled = ops.nms_block(bboxes[block], good[block], thr)
        # Boxes beyond the block matter unless it has filled the list.
        settled &= ~good[ops.NMS_BLOCK :].any() | (keep.sum() >= limit)
        return ops.pack(bboxes[block], scores[block], keep, settled, limit)

    def _detect(self, images: list[torch.Tensor], timeline: Timeline) -> list[tuple]:
        """Return for each image (boxes on the device, boxes, scores as arrays); see detect."""
        batch = self._detector_input(images)
        timeline.mark("preprocess")
        outputs = self.detector.run_device(batch)
        timeline.mark("detect")
        scales = [self._letterbox(image).scale for image in images]
        packed = [self._select(outputs, i, scale, all_boxes=False) for i, scale in enumerate(scales)]
        timeline.mark("nms")
        on_host = torch.stack(packed).cpu().numpy()
        timeline.mark("copy")
        found = []
        for i, rows in enumerate(on_host):
            if len(rows) and not rows[0, 6]:
                packed[i] = self._select(outputs, i, scales[i], all_boxes=True)
                rows = packed[i].cpu().numpy()
                timeline.mark("nms")
            count = int(rows[:, 5].sum())
            found.append((packed[i][:, :4], rows[:count, :4].copy(), rows[:count, 4].copy()))
        return found

    def _estimate(self, images, bboxes: list[torch.Tensor], timeline: Timeline, flip: bool | None):
        """Return (float32 [P, 17, 2], float32 [P, 17]) of all images' boxes, one image after another."""
        flip = self.settings.flip_test if flip is None else flip
        ends = list(itertools.accumulate(len(boxes) for boxes in bboxes))
        if not ends or ends[-1] == 0:
            return np.empty((0, 17, 2), np.float32), np.empty((0, 17), np.float32)
        centers, sizes = ops.padded_box(torch.cat(bboxes), self.pose_size)
        decoded = []
        for first in range(0, ends[-1], MAX_POSE_BATCH):
            last = min(first + MAX_POSE_BATCH, ends[-1])
            crops = []
            for image, begin, end in zip(images, [0, *ends], ends, strict=False):
                part = slice(max(first, begin), min(last, end))
                if part.start < part.stop:
                    crops.append(
                        ops.pose_input(image, centers[part], sizes[part], self.pose_size, self._constants)
                    )
            crops = crops[0] if len(crops) == 1 else torch.cat(crops)
            mirrored = crops.flip(3) if flip else None
            timeline.mark("crop")
            outputs = self.pose.run_device(crops)
            simcc = outputs["simcc_x"], outputs["simcc_y"]
            if flip:
                simcc = tuple(axis.clone() for axis in simcc)  # the next run may use their memory
                outputs = self.pose.run_device(mirrored)
            timeline.mark("pose")
            if flip:
                simcc = ops.mean_of_mirrored(simcc, (outputs["simcc_x"], outputs["simcc_y"]), self._constants)
            points, scores = ops.decode_simcc(*simcc)
            center, size = centers[first:last, None], sizes[first:last, None]
            points = points / self._pose_size * size + center - 0.5 * size
            decoded.append(torch.cat([points, scores[..., None]], 2))
            timeline.mark("decode")
        decoded = torch.cat(decoded).cpu().numpy()
        timeline.mark("copy")
        return decoded[..., :2].copy(), decoded[..., 2].copy()

    def _to_device(self, bboxes: np.ndarray, timeline: Timeline) -> torch.Tensor:
        moved = torch.from_numpy(np.ascontiguousarray(bboxes, np.float32).reshape(-1, 4)).to(self.device)
        timeline.mark("copy")
        return moved

    # ---------------------------------------------------------------------------------------- methods

    @torch.inference_mode()
    def detect(self, image: np.ndarray, clock: StageClock | None = None):
        """See Pipeline.detect."""
        timeline = Timeline(self.device)
        ((_, bboxes, scores),) = self._detect(self._upload([image], timeline), timeline)
        timeline.add_to(clock or StageClock())
        return bboxes, scores

    @torch.inference_mode()
    def estimate(self, image, bboxes, clock: StageClock | None = None, flip: bool | None = None):
        """See Pipeline.estimate."""
        timeline = Timeline(self.device)
        images = self._upload([image], timeline)
        found = self._estimate(images, [self._to_device(bboxes, timeline)], timeline, flip)
        timeline.add_to(clock or StageClock())
        return found

    @torch.inference_mode()
    def __call__(self, image: np.ndarray, bboxes: np.ndarray | None = None) -> Persons:
        """See Pipeline.__call__."""
        timeline, clock = Timeline(self.device), StageClock()
        images = self._upload([image], timeline)
        if bboxes is not None and self.always_detect:
            self._detect(images, timeline)
        if bboxes is None:
            if self.detector is None:
                raise PoseGaugeError("this pipeline has no detector: give it boxes")
            ((there, bboxes, bbox_scores),) = self._detect(images, timeline)
            used = int((bbox_scores > self.settings.bbox_thr).sum())  # best first
            there, bboxes, bbox_scores = there[:used], bboxes[:used], bbox_scores[:used]
        else:
            there, bbox_scores = self._to_device(bboxes, timeline), np.ones(len(bboxes), np.float32)
        keypoints, keypoint_scores = self._estimate(images, [there], timeline, None)
        timeline.add_to(clock)
        return Persons(bboxes, bbox_scores, keypoints, keypoint_scores, clock.ms, clock.device_ms)

    @torch.inference_mode()
    def run_batch(self, images: list[np.ndarray], bboxes: list[np.ndarray]) -> list[tuple]:
        """Run the detector on all images at once and the pose network on all their boxes.

        Args:
            images: uint8 [H, W, 3] BGR each.
            bboxes: float32 [N, 4] xyxy of each image, used in place of the detector's, which are made too.

        Returns:
            Per image (float32 [N, 17, 2] keypoints, float32 [N, 17] scores).
        """
        timeline = Timeline(self.device)
        tensors = self._upload(images, timeline)
        self._detect(tensors, timeline)
        joined = self._to_device(np.concatenate(bboxes), timeline)
        counts = [len(boxes) for boxes in bboxes]
        found = self._estimate(tensors, list(joined.split(counts)), timeline, None)
        cuts = np.cumsum(counts)[:-1]
        return list(zip(*(np.split(array, cuts) for array in found), strict=True))
