"""What a network expects of its pixels, and which keypoints it gives: the same on every path."""

from dataclasses import dataclass, field

from posegauge.pipeline.keypoint_sets import COCO, SETS, KeypointSet


@dataclass(frozen=True)
class Pixels:
    """How byte values become a network's input: (value - mean) / std of each channel."""

    mean: tuple[float, float, float]  # in the order of the network's channels
    std: tuple[float, float, float]
    to_rgb: bool  # whether the network's first channel is red; images are BGR


# By their names in the config, models.<role>.pixels. rtmdet and rtmpose: MMDetection's RTMDet configs and
# MMPose's RTMPose configs. yolox: bytes as they are, as its configs and exports have it.
PIXELS = {
    "rtmdet": Pixels((103.53, 116.28, 123.675), (57.375, 57.12, 58.395), to_rgb=False),
    "rtmpose": Pixels((123.675, 116.28, 103.53), (58.395, 57.12, 57.375), to_rgb=True),
    "yolox": Pixels((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), to_rgb=False),
}

# RTMDet's feature levels, and nms_pre of its test settings: how many boxes of a level go into the NMS.
STRIDES = (8, 16, 32)
NMS_PRE = 1000

USUAL = {"detector": PIXELS["rtmdet"], "pose": PIXELS["rtmpose"]}


def pixels_of(entry: dict, role: str) -> Pixels:
    """Return what the config's entry of a model says: a name of PIXELS, or mean, std and to_rgb."""
    given = entry.get("pixels")
    if given is None:
        return USUAL[role]
    if isinstance(given, str):
        return PIXELS[given]
    return Pixels(tuple(map(float, given["mean"])), tuple(map(float, given["std"])), given["to_rgb"])


@dataclass(frozen=True)
class Conventions:
    """Those of a pipeline's two networks."""

    detector: Pixels = field(default=USUAL["detector"])
    pose: Pixels = field(default=USUAL["pose"])
    keypoints: KeypointSet = COCO

    @classmethod
    def of(cls, models: dict) -> "Conventions":
        """Return what the config's `models` say."""
        return cls(
            pixels_of(models["detector"], "detector"),
            pixels_of(models["pose"], "pose"),
            SETS[models["pose"].get("keypoints", "coco")],
        )


DEFAULT = Conventions()
