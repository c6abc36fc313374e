"""Build the networks of MMDetection and MMPose models as plain modules: tensor in, named tensors out."""

from pathlib import Path

import torch
from torch import nn

from posegauge.errors import PoseGaugeError
from posegauge.models import openmmlab
from posegauge.models.checkpoints import read_checkpoint
from posegauge.models.network import Network
from posegauge.pipeline.conventions import USUAL, Pixels
from posegauge.pipeline.keypoint_sets import SETS


def config_path(config: str) -> Path:
    """Find a config: a file, or `package::path` inside the configs that mmdet / mmpose bring along.

    `mmpose::demo/mmdetection_cfg/x.py` is <mmpose>/.mim/demo/mmdetection_cfg/x.py.
    """
    if "::" not in config:
        path = Path(config)
    else:
        package, _, inside = config.partition("::")
        if package not in ("mmdet", "mmpose"):
            raise PoseGaugeError(f"model config '{config}': '{package}' is not one of mmdet, mmpose")
        openmmlab.install()
        path = Path(__import__(package).__file__).parent / ".mim" / inside
    if not path.is_file():
        raise PoseGaugeError(f"model config '{config}': no file {path}")
    return path


class DetectorNetwork(nn.Module):
    """RTMDet with decoded boxes and without NMS.

    float32 [N, 3, height, width] -> boxes [N, A, 4] (xyxy, input pixels, not clipped), scores [N, A, 1].
    """

    output_names = ("boxes", "scores")

    def __init__(self, model, input_size: tuple[int, int]):
        super().__init__()
        self.model = model
        head = model.bbox_head
        if getattr(head, "with_objectness", False) or head.cls_out_channels != 1:
            raise PoseGaugeError("the detector must be an RTMDet with the one class 'person'")
        width, height = input_size
        sizes = [(height // stride[1], width // stride[0]) for stride in head.prior_generator.strides]
        # float32 [A, 2] x, y: the input size is fixed, so the priors are constants of the graph.
        self.register_buffer("priors", torch.cat(head.prior_generator.grid_priors(sizes, device="cpu")))

    def forward(self, batch):
        """Return (boxes, scores)."""
        class_scores, distances = self.model.bbox_head(self.model.neck(self.model.backbone(batch)))
        distances = torch.cat([level.flatten(2) for level in distances], 2).transpose(1, 2)
        scores = torch.cat([level.flatten(2) for level in class_scores], 2).transpose(1, 2).sigmoid()
        boxes = torch.cat([self.priors - distances[..., :2], self.priors + distances[..., 2:]], -1)
        return boxes, scores


class PoseNetwork(nn.Module):
    """RTMPose without flip test.

    float32 [N, 3, height, width] -> simcc_x [N, K, bins], simcc_y [N, K, bins], mostly two bins to a pixel.
    """

    output_names = ("simcc_x", "simcc_y")

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, batch):
        """Return (simcc_x, simcc_y)."""
        return self.model.head(self.model.backbone(batch))


def init_model(network: Network, device: str = "cpu"):
    """Build the MMDetection / MMPose model itself with PyTorch's first weights; nothing is downloaded.

    Input size, pixels and keypoints of the network must be those of its config, else PoseGaugeError.
    """
    openmmlab.install()
    path = config_path(network.config)
    from mmengine.config import Config

    config = Config.fromfile(path)
    config.model.pop("init_cfg", None)
    if network.role == "detector":
        from mmdet.apis import init_detector as init
    else:
        from mmpose.apis import init_model as init

        expected = tuple(config.model.head.input_size)
        if tuple(network.input_size) != expected:
            raise PoseGaugeError(
                f"models.pose.input_size is {list(network.input_size)}, its config says {list(expected)}"
            )
        if config.model.head.out_channels != SETS[network.keypoints].count:
            raise PoseGaugeError(
                f"models.pose.keypoints is {network.keypoints}, {SETS[network.keypoints].count} of them; its "
                f"config says {config.model.head.out_channels}"
            )
    _check_pixels(network, config.model.get("data_preprocessor", {}))
    return init(config, None, device=device)


def _check_pixels(network: Network, preprocessor: dict) -> None:
    """Raise PoseGaugeError where the config of a network says other pixels than the run's config."""
    ours = network.pixels or USUAL[network.role]
    mean, std = (
        tuple(map(float, preprocessor.get(key) or (no,) * 3)) for key, no in (("mean", 0), ("std", 1))
    )
    theirs = Pixels(mean, std, bool(preprocessor.get("bgr_to_rgb", False)))
    if theirs != ours:
        said = f"{{mean: {list(mean)}, std: {list(std)}, to_rgb: {str(theirs.to_rgb).lower()}}}"
        raise PoseGaugeError(
            f"models.{network.role}.pixels: are not those of {network.config}; say models.{network.role}."
            f"pixels: {said}"
        )


def load_model(network: Network, device: str = "cpu"):
    """Return init_model's model in eval mode, with its checkpoint loaded.

    Raises PoseGaugeError when the checkpoint is missing or does not fit the config.
    """
    if not Path(network.checkpoint).is_file():
        raise PoseGaugeError(f"models.{network.role}.checkpoint: no file {network.checkpoint}")
    model = init_model(network, device)
    load_weights(model, network)
    return model.eval()


def load_weights(model, network: Network) -> None:
    """Load the network's checkpoint into an MMDetection / MMPose model, as float32.

    mmengine 0.10 would unpickle the file, whatever is in it; see posegauge.models.checkpoints.

    Raises PoseGaugeError when the file is damaged, holds more than weights and what OpenMMLab's trainers
    store with them, or lacks weights of the model (mmengine only warns).
    """
    weights = read_checkpoint(network.checkpoint)
    weights = weights.get("state_dict", weights)
    own = model.state_dict()
    # The preprocessor's mean and std are buffers that checkpoints do not hold.
    missing = [name for name in own if name not in weights and not name.startswith("data_preprocessor")]
    wrong = [name for name in own if name in weights and own[name].shape != weights[name].shape]
    if missing or wrong:
        raise PoseGaugeError(
            f"{network.checkpoint} does not fit {network.config}: {len(missing)} weights missing, "
            f"{len(wrong)} of another shape, the first is {(missing + wrong)[0]}"
        )
    model.load_state_dict(weights, strict=False)


def build_network(network: Network) -> nn.Module:
    """Return the DetectorNetwork or PoseNetwork of a config and checkpoint, on the CPU, in eval mode."""
    model = load_model(network)
    if network.role == "detector":
        return DetectorNetwork(model, network.input_size).eval()
    return PoseNetwork(model).eval()
