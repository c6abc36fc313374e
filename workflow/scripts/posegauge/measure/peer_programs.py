"""Other programs that run the same networks, and other ways to use this one: each with the same two calls.

detect_and_pose and pose_only take an image, uint8 BGR [H, W, 3], and boxes, float32 [N, 4] xyxy, and return
the keypoints in these boxes, float32 [N, K, 2]. pose_only is None where a program has no such call.
`provider` says what really runs the networks: "CPUExecutionProvider", "CUDA (NVIDIA H100)", ...
"""

import contextlib
import io
from pathlib import Path

import cv2
import numpy as np

from posegauge.backends.assemble import pinned
from posegauge.backends.base import Session
from posegauge.backends.device import require_torch_cuda
from posegauge.backends.onnx_checks import CPU, CUDA
from posegauge.backends.onnx_pinned import pinned_session
from posegauge.backends.torch import fix_numerics
from posegauge.errors import Unavailable
from posegauge.models.network import Network
from posegauge.pipeline.conventions import Conventions, Pixels
from posegauge.pipeline.pipeline import Pipeline
from posegauge.pipeline.steps import Settings, decode_simcc, padded_box, pose_input
from posegauge.study import ROLES


def provider_of(pipeline: Pipeline) -> str:
    """Return what runs the networks of a pipeline, as its sessions say."""
    return pipeline.pose.provenance()["provider"]


class Ours:
    """posegauge.pipeline.pipeline with any sessions."""

    def __init__(self, pipeline: Pipeline):
        self.pipeline = pipeline
        self.provider = provider_of(pipeline)

    def detect_and_pose(self, image, bboxes):
        """Return the keypoints, float32 [N, K, 2], of uint8 BGR [H, W, 3] in float32 [N, 4] xyxy."""
        return self.pipeline.run([image], [bboxes], always_detect=True)[0].keypoints

    def pose_only(self, image, bboxes):
        """As detect_and_pose, without the detector."""
        return self.pipeline.estimate(image, bboxes)[0]


class Networks:
    """The two networks alone: inputs are prepared at the first call, outputs are not looked at.

    Who inherits says in `run` how a network (role "detector" or "pose") takes a batch, float32 [N, 3, height,
    width].
    """

    def __init__(self, pipeline: Pipeline):
        """`pipeline` is ours, on ONNX Runtime: its sessions name the files, it prepares the inputs."""
        self.pipeline = pipeline
        self.provider = provider_of(pipeline)
        self.prepared = {}

    def detect_and_pose(self, image, bboxes):
        """Run both networks; return None."""
        for role, batch in zip(ROLES, self._inputs(image, bboxes), strict=True):
            self.run(role, batch)

    def pose_only(self, image, bboxes):
        """Run the pose network; return None."""
        self.run("pose", self._inputs(image, bboxes)[1])

    def _inputs(self, image, bboxes):
        key = (id(image), len(bboxes))
        if key not in self.prepared:
            size = self.pipeline.pose_size
            self.prepared[key] = (
                self.pipeline.detector_input(image)[0],
                pose_input(image, *padded_box(bboxes, size), size, self.pipeline.conventions.pose),
            )
        return self.prepared[key]


class Bare(Networks):
    """One image at a time, on the sessions of the pipeline."""

    def __init__(self, pipeline: Pipeline):
        super().__init__(pipeline)
        self.calls = {role: network_call(getattr(pipeline, role)) for role in ROLES}

    def run(self, role: str, batch: np.ndarray) -> None:
        """See Networks."""
        self.calls[role](batch)


def network_call(session: Session):
    """Return a call of the network on a batch with as little around it as the runtime has.

    On the CPU that is ONNX Runtime's own run; on a device the session's, whose buffers are bound there.
    """
    if session.provenance()["device"] != "cpu":
        return session.run
    return lambda batch: session.session.run(None, {session.input_name: batch})


class Original:
    """The original study's way of preparing pose inputs, on our sessions."""

    def __init__(self, pipeline: Pipeline):
        self.pipeline = pipeline
        self.provider = provider_of(pipeline)

    def detect_and_pose(self, image, bboxes):
        """See Ours."""
        self.pipeline.detect(image)
        return self.pose_only(image, bboxes)

    def pose_only(self, image, bboxes):
        """See Ours."""
        size, found = self.pipeline.pose_size, []
        for box in bboxes:
            batch, corner, scale = stretched_input(image, box, size)
            outputs = self.pipeline.pose.run(batch)
            points, _ = decode_simcc(outputs["simcc_x"], outputs["simcc_y"], size)
            found.append(points * scale + corner)
        return np.concatenate(found)


def stretched_input(image: np.ndarray, box: np.ndarray, input_size: tuple[int, int]):
    """Cut out a box without padding, stretch it to the input size, turn it to RGB and divide by 255.

    Returns (float32 [1, 3, height, width], float32 [2] corner, float32 [2] scale from crop to image pixels).
    """
    height, width = image.shape[:2]
    x1, y1 = np.clip(box[:2].astype(int), 0, (width - 1, height - 1))
    x2, y2 = np.clip(box[2:].astype(int), (x1 + 1, y1 + 1), (width, height))
    crop = cv2.cvtColor(cv2.resize(image[y1:y2, x1:x2], input_size), cv2.COLOR_BGR2RGB)
    batch = np.ascontiguousarray((crop.astype(np.float32) / 255).transpose(2, 0, 1)[None])
    scale = np.array([(x2 - x1) / input_size[0], (y2 - y1) / input_size[1]], np.float32)
    return batch, np.array([x1, y1], np.float32), scale


class Rtmlib:
    """rtmlib's RTMDet and RTMPose on our ONNX files."""

    def __init__(
        self,
        detector: str,
        pose: str,
        sizes: tuple,
        conventions: Conventions,
        settings: Settings,
        threads: int,
        device: str = "cpu",
    ):
        """sizes: (width, height) of both inputs. Unavailable where rtmlib is not installed.

        On CUDA its provider computes float32 without TF32, like all others here.
        """
        try:
            import rtmlib
        except ImportError as error:
            raise Unavailable("rtmlib is not installed") from error
        import onnxruntime

        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it loads
            self.detector = rtmlib.RTMDet(
                detector,
                model_input_size=sizes[0][::-1],
                score_thr=settings.bbox_thr,
                nms_thr=settings.nms_thr,
                **_mean_and_std(conventions.detector),
            )
            self.pose = rtmlib.RTMPose(pose, model_input_size=sizes[1], **_mean_and_std(conventions.pose))
        decode = self.pose.postprocess
        # It takes two bins to a pixel for granted.
        self.pose.postprocess = lambda outputs, center, scale: decode(
            outputs, center, scale, outputs[0].shape[-1] / sizes[1][0]
        )
        # It has no setting for threads and TF32; all other options of the sessions stay its own.
        provider = (CUDA, {"use_tf32": "0"}) if device == "cuda" else (CPU, {})
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # Its threads are placed as ours are; ONNX Runtime does so in part where nobody says how many.
        kind = pinned_session() if device == "cpu" and pinned(threads) else onnxruntime.InferenceSession
        for tool, file in ((self.detector, detector), (self.pose, pose)):
            tool.session = kind(file, options, providers=[provider])
        # ONNX Runtime takes the CPU where it cannot load CUDA's provider.
        self.provider = self.pose.session.get_providers()[0]

    def detect_and_pose(self, image, bboxes):
        """See Ours."""
        self.detector(image)
        return self.pose_only(image, bboxes)

    def pose_only(self, image, bboxes):
        """See Ours."""
        return self.pose(image, bboxes)[0]


def rtmlib_beside(pipeline: Pipeline, files: dict, folder: Path, threads: int, device: str) -> Rtmlib:
    """Return rtmlib with the networks, sizes and thresholds of a pipeline.

    files: {"detector", "pose": the ONNX files}. folder: where the detector with NMS lies while it is used.
    """
    return Rtmlib(
        append_nms(files["detector"], folder / "nms.onnx", pipeline.settings),
        files["pose"],
        (pipeline.detector_size, pipeline.pose_size),
        pipeline.conventions,
        pipeline.settings,
        threads,
        device,
    )


def _mean_and_std(pixels: Pixels) -> dict:
    """Return rtmlib's two arguments; bytes as they are it knows as None."""
    as_they_are = not any(pixels.mean) and set(pixels.std) == {1.0}
    return {"mean": None, "std": None} if as_they_are else {"mean": pixels.mean, "std": pixels.std}


def append_nms(detector: str, path, settings: Settings) -> str:
    """Write the detector with NMS inside the graph, as rtmlib reads it; return the file to use.

    boxes [1, A, 4] and scores [1, A, 1] become dets [1, K, 5]. A detector that has NMS is returned as it is.
    """
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load(detector)
    if "dets" in {output.name for output in model.graph.output}:
        return detector
    constants = {
        "nms_boxes": (TensorProto.INT64, [1], [settings.max_persons]),
        "nms_iou": (TensorProto.FLOAT, [1], [settings.nms_thr]),
        "nms_score": (TensorProto.FLOAT, [1], [settings.score_thr]),
        "nms_column": (TensorProto.INT64, [], [2]),
    }
    model.graph.initializer.extend(helper.make_tensor(name, *value) for name, value in constants.items())
    model.graph.node.extend(
        [
            helper.make_node("Transpose", ["scores"], ["nms_scores"], perm=[0, 2, 1]),
            helper.make_node(
                "NonMaxSuppression",
                ["boxes", "nms_scores", "nms_boxes", "nms_iou", "nms_score"],
                ["nms_chosen"],
            ),
            helper.make_node("Gather", ["nms_chosen", "nms_column"], ["nms_anchors"], axis=1),
            helper.make_node("Gather", ["boxes", "nms_anchors"], ["nms_kept"], axis=1),
            helper.make_node("Gather", ["scores", "nms_anchors"], ["nms_kept_scores"], axis=1),
            helper.make_node("Concat", ["nms_kept", "nms_kept_scores"], ["dets"], axis=2),
        ]
    )
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("dets", TensorProto.FLOAT, [1, None, 5]))
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return str(path)


def _trained(*networks: Network) -> None:
    for network in networks:
        if network.checkpoint is None:
            raise Unavailable(f"{network.name} is given as ONNX only: no PyTorch model")


def _same_thresholds(detector, settings: Settings) -> None:
    """Set the thresholds of an MMDetection model to ours."""
    config = detector.bbox_head.test_cfg
    config.score_thr, config.max_per_img = settings.score_thr, settings.max_persons
    config.nms.iou_threshold = settings.nms_thr


def _torch_on(device: str) -> None:
    """Raise Unavailable unless PyTorch has the device; on CUDA turn TF32 off, as in our own rows."""
    if device == "cuda":
        require_torch_cuda("runs MMPose")
        import torch

        fix_numerics(torch)


def _place(model) -> str:
    """Say where the weights of a PyTorch model are, as the provenance of our PyTorch sessions does."""
    import torch

    where = next(model.parameters()).device
    return f"CUDA ({torch.cuda.get_device_name(where)})" if where.type == "cuda" else "CPU"


class MMPose:
    """inference_detector of MMDetection and inference_topdown of MMPose."""

    def __init__(self, detector: Network, pose: Network, settings: Settings, device: str = "cpu"):
        _trained(detector, pose)
        _torch_on(device)
        from posegauge.models import build

        self.detector, self.pose = (build.load_model(network, device) for network in (detector, pose))
        self.provider = _place(self.pose)
        _same_thresholds(self.detector, settings)
        self.pose.test_cfg["flip_test"] = settings.flip_test

    def detect_and_pose(self, image, bboxes):
        """See Ours."""
        from mmdet.apis import inference_detector
        from mmengine.registry import init_default_scope

        init_default_scope("mmdet")
        inference_detector(self.detector, image)
        return self.pose_only(image, bboxes)

    def pose_only(self, image, bboxes):
        """See Ours."""
        from mmpose.apis import inference_topdown

        samples = inference_topdown(self.pose, image, bboxes)
        return np.concatenate([sample.pred_instances.keypoints for sample in samples])


class Inferencer:
    """MMPoseInferencer; the given boxes take the place of what its detector found, after its NMS."""

    pose_only = None

    def __init__(self, detector: Network, pose: Network, settings: Settings, device: str = "cpu"):
        _trained(detector, pose)
        _torch_on(device)
        from posegauge.models import build, openmmlab

        openmmlab.install()
        from mmpose.apis import MMPoseInferencer

        self.inferencer = MMPoseInferencer(
            pose2d=str(build.config_path(pose.config)),
            det_model=str(build.config_path(detector.config)),
            det_cat_ids=[0],
            device=device,
        )
        top_down = self.inferencer.inferencer
        build.load_weights(top_down.model, pose)
        build.load_weights(top_down.detector.model, detector)
        _same_thresholds(top_down.detector.model, settings)
        top_down.model.test_cfg["flip_test"] = settings.flip_test
        self.provider = _place(top_down.model)
        self._detect, top_down.detector = top_down.detector, self._exchanged
        self.bboxes = None

    def _exchanged(self, *args, **kwargs) -> dict:
        """Run the detector; return the given boxes as its predictions."""
        import torch
        from mmengine.structures import InstanceData

        found = self._detect(*args, **kwargs)
        count = len(self.bboxes)
        found["predictions"][0].pred_instances = InstanceData(
            bboxes=torch.from_numpy(self.bboxes),
            scores=torch.linspace(1, 0.9, count),  # in falling order: its second NMS sorts by them
            labels=torch.zeros(count, dtype=torch.long),
        )
        return found

    def detect_and_pose(self, image, bboxes):
        """See Ours."""
        self.bboxes = bboxes
        found = next(self.inferencer(image, nms_thr=1.0))["predictions"][0]
        return np.array([person["keypoints"] for person in found], np.float32)
