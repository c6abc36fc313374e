"""Make MMDetection and MMPose import and run without mmcv's operators, torchvision and xtcocotools.

RTMDet and RTMPose need one compiled mmcv operator only: NMS. With mmcv-lite, `install()` puts a small
module in the place of `mmcv._ext` whose `nms` is written in PyTorch (CPU and CUDA tensors) and whose
other operators raise. MMPose wants one name of torchvision, `ToPILImage`, which no model here uses.
Both give way to the real thing where it is installed.

MMPose scores with xtcocotools, whose wheels end at Python 3.11, x86-64 and NumPy 1. pycocotools always takes
its place, so that every environment counts alike; what it cannot do raises.
"""

import functools
import gc
import importlib.machinery
import importlib.util
import logging
import sys
import types
import warnings

import numpy as np
import pycocotools.coco
import pycocotools.cocoeval
import pycocotools.mask
import torch


def _nms(boxes, scores, iou_threshold: float, offset: int = 0):
    """Greedy NMS with the result of mmcv's compiled operator.

    Args:
        boxes: float [N, 4] xyxy, CPU or CUDA.
        scores: float [N].
        iou_threshold: a box that overlaps a better one by more than this is dropped.
        offset: 0 or 1, added to widths and heights.

    Returns:
        int64 [K], indices of the kept boxes, best first, on the device of `boxes`.
    """
    device = boxes.device
    order = scores.argsort(descending=True, stable=True)
    # The loop is sequential: on the CPU it costs less than one kernel launch per box.
    boxes = boxes[order].detach().cpu()
    x1, y1, x2, y2 = boxes.unbind(1)
    area = (x2 - x1 + offset) * (y2 - y1 + offset)
    suppressed = torch.zeros(len(boxes), dtype=torch.bool)
    keep = []
    for i in range(len(boxes)):
        if suppressed[i]:
            continue
        keep.append(i)
        width = (torch.minimum(x2[i], x2[i + 1 :]) - torch.maximum(x1[i], x1[i + 1 :]) + offset).clamp(min=0)
        height = (torch.minimum(y2[i], y2[i + 1 :]) - torch.maximum(y1[i], y1[i + 1 :]) + offset).clamp(min=0)
        overlap = width * height
        suppressed[i + 1 :] |= overlap / (area[i] + area[i + 1 :] - overlap) > iou_threshold
    return order[torch.tensor(keep, dtype=torch.long, device=device)]


def _stand_in_for_mmcv_ext() -> str:
    if importlib.util.find_spec("mmcv._ext") is not None:
        return "mmcv with compiled operators"
    import mmcv

    module = types.ModuleType("mmcv._ext")
    # A spec without a loader: mmengine's mmcv_full_available() must go on saying no.
    module.__spec__ = importlib.machinery.ModuleSpec("mmcv._ext", None)

    def __getattr__(name: str):
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*_args, **_kwargs):
            raise NotImplementedError(
                f"mmcv operator '{name}' is not in mmcv-lite; install mmcv==2.1.0 to use this model"
            )

        return missing

    module.__getattr__ = __getattr__
    module.nms = _nms
    sys.modules["mmcv._ext"] = module
    mmcv._ext = module
    return "mmcv-lite with NMS in PyTorch"


def _stand_in_for_torchvision() -> str:
    try:
        import torchvision

        return f"torchvision {torchvision.__version__}"
    except ImportError:
        pass
    except RuntimeError as error:  # a build for another torch: its operators cannot be registered
        logging.getLogger("posegauge").warning("torchvision does not fit torch and is not used: %s", error)
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]

    class ToPILImage:
        def __init__(self, *_args, **_kwargs):
            raise ImportError("torchvision is not installed, and this transform needs it")

    torchvision = types.ModuleType("torchvision")
    torchvision.__version__ = "0.0.0"
    torchvision.__path__ = []
    transforms = types.ModuleType("torchvision.transforms")
    transforms.ToPILImage = ToPILImage
    torchvision.transforms = transforms
    for module in (torchvision, transforms):
        module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)
        sys.modules[module.__name__] = module
    return "none"


class KeypointEvaluation(pycocotools.cocoeval.COCOeval):
    """pycocotools' COCOeval with the two arguments that xtcocotools adds.

    Args:
        cocoGt, cocoDt: annotations and results, as for COCOeval.
        iouType: "keypoints", "bbox" or "segm".
        sigmas: float [keypoints], spread of each keypoint; None: COCO's 17.
        use_area: only True, since pycocotools scales every distance by the annotated area.

    Raises:
        NotImplementedError: an iouType or use_area that pycocotools does not have.
    """

    def __init__(self, cocoGt=None, cocoDt=None, iouType="keypoints", sigmas=None, use_area=True):
        if iouType not in ("keypoints", "bbox", "segm"):
            raise NotImplementedError(
                f"iou_type '{iouType}' is xtcocotools' own; pycocotools, which stands in for it, has "
                "keypoints, bbox and segm"
            )
        if not use_area:
            raise NotImplementedError(
                "use_area=False is xtcocotools' own; pycocotools, which stands in for it, needs an area in "
                "every annotation"
            )
        super().__init__(cocoGt, cocoDt, iouType)
        if sigmas is not None:
            self.params.kpt_oks_sigmas = np.asarray(sigmas, dtype=float)


def _stand_in_for_xtcocotools() -> None:
    cocoeval = types.ModuleType("xtcocotools.cocoeval")
    cocoeval.COCOeval = KeypointEvaluation
    package = types.ModuleType("xtcocotools")
    package.__path__ = []
    parts = {"coco": pycocotools.coco, "cocoeval": cocoeval, "mask": pycocotools.mask}
    for module in (package, cocoeval):
        module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)
    sys.modules["xtcocotools"] = package
    for name, module in parts.items():
        setattr(package, name, module)
        sys.modules[f"xtcocotools.{name}"] = module


@functools.cache
def install() -> dict:
    """Import mmdet and mmpose; returns what is in use: {"mmcv", "torchvision"}. Call before using either."""
    for warned in ("timm", "mmengine", "mmcv", "mmdet", "mmpose", "torch"):
        warnings.filterwarnings("ignore", module=rf"{warned}\..*")
    logging.getLogger("mmengine").setLevel(logging.WARNING)
    # Their 3700 modules stay: looking through them for garbage, while they load and again at the end, finds
    # nothing and took 1.7 s of 5.
    gc.disable()
    try:
        used = {"torchvision": _stand_in_for_torchvision(), "mmcv": _stand_in_for_mmcv_ext()}
        _stand_in_for_xtcocotools()
        import mmdet.apis  # noqa: F401
        import mmpose.apis  # noqa: F401
    finally:
        gc.enable()
        gc.freeze()
    return used
