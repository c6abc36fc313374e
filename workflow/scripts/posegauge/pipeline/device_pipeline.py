"""The pipeline with every step on the device of the networks: an image goes there once, persons come back.

Same steps, numbers and methods as pipeline.py, in the torch operations of device_steps. The host waits
twice: for the number of persons, which is the batch size of the pose network, and for the keypoints.

The sessions must put their work on torch's current stream, or be done with it when run_device returns.
Where the networks run as CUDA graphs, so do the steps: see captured.py. All that waits lies between them.
"""

import contextlib
import itertools
import time

import numpy as np
import torch

from posegauge.errors import Unavailable
from posegauge.pipeline import device_steps as ops
from posegauge.pipeline.captured import Captured
from posegauge.pipeline.conventions import DEFAULT, Conventions
from posegauge.pipeline.pipeline import Pipeline, StageClock
from posegauge.pipeline.steps import Settings

NETWORKS = ("detect", "pose")

# The steps that can be CUDA graphs, and whether what one returns must outlive its next call: boxes are the
# caller's, and the poses of one block of persons wait for those of the others.
STEPS = {"letterbox": False, "nms": True, "padded_box": False, "crops": False, "decode": True}


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

    @contextlib.contextmanager
    def stage(self, name: str):
        """As StageClock.stage: what lies between the mark before and the end of the block."""
        yield
        self.mark(name)

    def add_to(self, clock: StageClock) -> None:
        """Wait for the last mark and add the stages to a clock; on a GPU also those of the networks."""
        if self.on_gpu:
            self.marks[-1][1].synchronize()
        for (_, begin), (stage, end) in itertools.pairwise(self.marks):
            milliseconds = begin.elapsed_time(end) if self.on_gpu else (end - begin) * 1e3
            clock.ms[stage] += milliseconds
            if self.on_gpu and stage in NETWORKS:
                clock.device_ms[stage] = clock.device_ms.get(stage, 0.0) + milliseconds


class DeviceSteps:
    """As pipeline.HostSteps, in torch operations on a device.

    What a method returns is valid until the next call of the same method; that of `select` and `decode` for
    as long as it is held.
    """

    def __init__(
        self,
        detector_size,
        pose_size,
        device: str,
        conventions: Conventions = DEFAULT,
        captured: bool = False,
    ):
        """`captured`: whether the steps are kept as CUDA graphs, one step a method that calls _step."""
        self.detector_size = detector_size
        self.pose_size = pose_size
        self.device = device
        self._constants = ops.Constants.on(device, conventions)
        self._pose_size = torch.tensor(pose_size, dtype=torch.float32, device=device)
        self._bytes = (torch.empty(0, dtype=torch.uint8),) * 2  # on the host, page-locked, and on the device
        self._letterboxes = {}  # (height, width) of an image -> ops.Letterbox
        self._inputs = {}  # number of images -> (the detector's input, the shapes of the images in it)
        self._captured = {name: Captured(name, keep) for name, keep in STEPS.items()} if captured else {}

    @property
    def builds(self) -> int:
        """Steps that ran otherwise than by a replay, where they are captured; see backends.base.Session."""
        return sum(step.captures + step.plain_calls for step in self._captured.values())

    def provenance(self) -> dict:
        """See HostSteps."""
        graphs = {name: step.provenance() for name, step in self._captured.items()}
        return {"device": self.device, "cuda_graphs": graphs or None}

    def _step(self, step: str, function, *tensors: torch.Tensor, **options) -> tuple:
        """Return function(*tensors, **options), replayed as a CUDA graph where the steps are captured."""
        if not self._captured:
            return function(*tensors, **options)
        return self._captured[step](function, *tensors, **options)

    @contextlib.contextmanager
    def timed(self, clock: StageClock):
        """See HostSteps.timed. At the end it waits for the device."""
        with torch.inference_mode():
            timeline = Timeline(self.device)
            yield timeline
            timeline.add_to(clock)

    def put_images(self, images: list[np.ndarray], clock: Timeline) -> list[torch.Tensor]:
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
        clock.mark("copy")
        return tensors

    def put_boxes(self, bboxes: list[np.ndarray], clock: Timeline) -> list[torch.Tensor]:
        """See HostSteps."""
        joined = np.ascontiguousarray(np.concatenate(bboxes), np.float32).reshape(-1, 4)
        moved = torch.from_numpy(joined).to(self.device)
        clock.mark("copy")
        return list(moved.split([len(boxes) for boxes in bboxes]))

    def _letterbox(self, image: torch.Tensor) -> ops.Letterbox:
        shape = tuple(image.shape[:2])
        if shape not in self._letterboxes:
            self._letterboxes[shape] = ops.Letterbox.of(shape, self.detector_size, self.device)
        return self._letterboxes[shape]

    def detector_input(self, images: list[torch.Tensor]):
        """See HostSteps; the memory of the input is used again in the next call."""
        shapes = [tuple(image.shape) for image in images]
        batch, before = self._inputs.get(len(images), (None, None))
        if before != shapes:  # the padding is elsewhere
            blank = ops.blank_input(len(images), self.detector_size, self._constants)
            batch = blank if batch is None else batch.copy_(blank)
            self._inputs[len(images)] = batch, shapes
        letterboxes = [self._letterbox(image) for image in images]
        resized = self._step("letterbox", self._resized, *images)
        for image, how, out in zip(resized, letterboxes, batch, strict=True):
            width, height = how.size
            out[:, :height, :width] = image  # the padding stays
        return batch, [how.to_image for how in letterboxes]

    def _resized(self, *images: torch.Tensor) -> tuple:
        return tuple(ops.detector_input(image, self._letterbox(image), self._constants) for image in images)

    def run(self, stage: str, session, batches: list[torch.Tensor], clock: Timeline) -> list[dict]:
        """See HostSteps."""
        outputs = []
        with clock.stage(stage):
            for batch in batches:
                if outputs:  # the next run may use their memory
                    outputs[-1] = {name: output.clone() for name, output in outputs[-1].items()}
                outputs.append(session.run_device(batch))
        return outputs

    def _select(
        self, outputs: list[torch.Tensor], to_image: torch.Tensor, settings: Settings, all_boxes: bool = False
    ) -> torch.Tensor:
        """Return ops.pack of one image's boxes.

        outputs: dets [K, 5], or boxes [A, 4] and scores [A, 1]. all_boxes: do not stop at the first block;
        waits.
        """
        has_nms = len(outputs) == 1
        bboxes, scores = (output.float() for output in (outputs[0].split([4, 1], 1) if has_nms else outputs))
        limit, thr = settings.max_persons, settings.nms_thr
        bboxes, scores, good = ops.candidates(
            bboxes, scores[:, 0], to_image, self.detector_size, settings.score_thr
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

    def _selected(self, *tensors: torch.Tensor, images: int, settings: Settings) -> tuple:
        """The detector's outputs [images, ...], then to_image of each -> _select of all, [images, K, 7]."""
        outputs, scales = tensors[:-images], tensors[-images:]
        packed = [self._select([o[i] for o in outputs], scales[i], settings) for i in range(images)]
        return (torch.stack(packed),)

    def select(self, outputs: dict, scales, settings: Settings, clock: Timeline) -> list[tuple]:
        """See HostSteps."""
        boxes = [outputs["dets"]] if "dets" in outputs else [outputs["boxes"], outputs["scores"]]
        with clock.stage("nms"):
            (packed,) = self._step(
                "nms", self._selected, *boxes, *scales, images=len(scales), settings=settings
            )
        with clock.stage("copy"):
            on_host = packed.cpu().numpy()
        found = []
        for i, (there, rows) in enumerate(zip(packed, on_host, strict=True)):
            if len(rows) and not rows[0, 6]:
                with clock.stage("nms"):  # this waits: never part of a graph
                    there = self._select([o[i] for o in boxes], scales[i], settings, all_boxes=True)
                    rows = there.cpu().numpy()
            count = int(rows[:, 5].sum())
            found.append((there[:, :4], rows[:count, :4].copy(), rows[:count, 4].copy()))
        return found

    def padded_box(self, bboxes: list[torch.Tensor]):
        """See HostSteps."""
        return self._step("padded_box", self._padded_box, torch.cat(bboxes))

    def _padded_box(self, bboxes: torch.Tensor) -> tuple:
        return ops.padded_box(bboxes, self.pose_size)

    def crops(self, parts: list[tuple], mirrored: bool) -> list[torch.Tensor]:
        """See HostSteps."""
        tensors = itertools.chain.from_iterable(parts)
        return list(self._step("crops", self._crops, *tensors, mirrored=mirrored))

    def _crops(self, *tensors: torch.Tensor, mirrored: bool) -> tuple:
        """Image, centers and sizes of each part, in turn -> float32 [P, 3, height, width]; mirrored, too."""
        crops = [
            ops.pose_input(*part, self.pose_size, self._constants)
            for part in zip(tensors[::3], tensors[1::3], tensors[2::3], strict=True)
        ]
        crops = crops[0] if len(crops) == 1 else torch.cat(crops)
        return (crops, crops.flip(3)) if mirrored else (crops,)

    def decode(self, outputs: list[dict], center: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
        """See HostSteps; float32 [P, K, 3], the scores last."""
        simcc = [output[name] for output in outputs for name in ("simcc_x", "simcc_y")]
        (poses,) = self._step("decode", self._decoded, center, size, *simcc)
        return poses

    def _decoded(self, center: torch.Tensor, size: torch.Tensor, *simcc: torch.Tensor) -> tuple:
        """simcc: x and y, and with the flip test those of the mirrored crops."""
        if len(simcc) == 4:
            simcc = ops.mean_of_mirrored(simcc[:2], simcc[2:], self._constants)
        points, scores = ops.decode_simcc(*simcc, self.pose_size)
        center, size = center[:, None], size[:, None]
        points = points / self._pose_size * size + center - 0.5 * size
        return (torch.cat([points, scores[..., None]], 2),)

    def poses(self, decoded: list[torch.Tensor], clock: Timeline):
        """See HostSteps."""
        with clock.stage("copy"):
            decoded = torch.cat(decoded).cpu().numpy()
        return decoded[..., :2].copy(), decoded[..., 2].copy()


class DevicePipeline(Pipeline):
    """See pipeline.Pipeline; the sessions need run_device, see backends.base.Session."""

    def __init__(
        self,
        detector,
        pose,
        detector_size,
        pose_size,
        settings: Settings,
        device: str,
        conventions: Conventions = DEFAULT,
        captured: bool = False,
    ):
        """`device`: cuda or cpu; `captured`: see DeviceSteps.

        Unavailable where torch cannot use a CUDA device.
        """
        if device == "cuda" and not torch.cuda.is_available():
            raise Unavailable(
                f"torch {torch.__version__} cannot use the CUDA device: CPU build or old driver"
            )
        for session in (detector, pose):
            if session is not None and not hasattr(session, "run_device"):
                raise Unavailable(f"{type(session).__name__} takes no images that are on the device already")
        steps = DeviceSteps(detector_size, pose_size, device, conventions, captured)
        super().__init__(detector, pose, detector_size, pose_size, settings, steps, conventions)
