"""What a network of the pipeline is: its role, its input and the files that hold it."""

from dataclasses import dataclass

from posegauge.pipeline.conventions import Pixels


@dataclass(frozen=True)
class Network:
    """One network of the pipeline and the files that hold it."""

    role: str  # "detector" or "pose"
    name: str  # as shown in tables
    input_size: tuple[int, int]  # (width, height)
    onnx: str | None = None  # path of the exported or given ONNX file, in the artifact's precision
    config: str | None = None  # MMDetection / MMPose config, see posegauge.models.build.config_path
    checkpoint: str | None = None  # path of the PyTorch checkpoint
    pixels: Pixels | None = None  # None: the usual ones of the role, see posegauge.pipeline.conventions
    keypoints: str = "coco"  # of a pose network, see posegauge.pipeline.keypoint_sets.SETS
    person_label: int = 0  # of a detector with several classes
    random: bool = False  # whether its weights are random: for timing only
