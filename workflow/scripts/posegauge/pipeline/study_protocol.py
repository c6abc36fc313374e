"""The protocol of the original study: what MMPose's inferencer does with RTMDet and RTMPose.

It differs from the pipeline in use in four points: a second NMS of another kind, the pose of the whole image
where no box is left, the flip test, and a lower floor of the scores. MMPose itself is not needed here.
"""

import numpy as np

from posegauge.errors import PoseGaugeError
from posegauge.pipeline.conventions import NMS_PRE, STRIDES
from posegauge.pipeline.pipeline import Persons, Pipeline
from posegauge.pipeline.steps import Settings, select_boxes

# MMDetection's test settings of RTMDet, and bbox_thr of MMPose's inferencer.
STUDY = Settings(
    score_thr=0.05,
    bbox_thr=0.3,
    nms_thr=0.6,
    max_persons=100,
    person_thr=0.5,
    keypoint_thr=0.2,
    flip_test=True,
)


# nms_thr of MMPose's inferencer, which runs an NMS of its own after the detector's (see nms_plus_one).
STUDY_BBOX_NMS_THR = 0.3


def best_of_levels(outputs: dict, input_size: tuple[int, int]) -> dict:
    """Keep the NMS_PRE best boxes above score_thr of each level, as RTMDet's head does before its NMS.

    NMS goes from the best box down, so this changes a person only where more than NMS_PRE boxes of one level
    score above bbox_thr: never on a sensible image, but a network sent astray must fail as it does in MMPose.

    Args:
        outputs: of the detector, see steps.select_boxes. {"dets"} is returned as it is: its NMS is done,
            with the thresholds that the file was exported with.
        input_size: (width, height) of the detector's input.

    Raises PoseGaugeError when the boxes are not one per cell of RTMDet's three levels.
    """
    if "dets" in outputs or outputs["scores"].shape[1] <= NMS_PRE:
        return outputs
    scores = outputs["scores"][0, :, 0]
    # The boxes come level after level, finest first (build.DetectorNetwork).
    sizes = [(input_size[0] // stride) * (input_size[1] // stride) for stride in STRIDES]
    if sum(sizes) != len(scores):
        raise PoseGaugeError(
            f"the detector gives {len(scores)} boxes, an RTMDet with an input of {input_size[0]} x "
            f"{input_size[1]} gives {sum(sizes)}: set models.detector to an RTMDet with strides 8, 16 and 32"
        )
    kept = []
    for level in np.split(np.arange(len(scores)), np.cumsum(sizes)[:-1]):
        level = level[scores[level] > STUDY.score_thr]
        kept.append(level[np.argsort(-scores[level], kind="stable")[:NMS_PRE]])
    kept = np.concatenate(kept)
    return {"boxes": outputs["boxes"][:, kept], "scores": outputs["scores"][:, kept]}


def nms_plus_one(bboxes: np.ndarray, scores: np.ndarray, iou_thr: float) -> np.ndarray:
    """Greedy NMS of mmpose.evaluation.functional.nms, where a box from 3 to 5 is three pixels wide.

    float32 [N, 4] xyxy, float32 [N] -> int [K], best first; equal scores come last first, as there.
    """
    area = (bboxes[:, 2] - bboxes[:, 0] + 1) * (bboxes[:, 3] - bboxes[:, 1] + 1)
    order = scores.argsort()[::-1]
    keep = []
    while len(order):
        best, order = order[0], order[1:]
        keep.append(best)
        corner = np.maximum(bboxes[best, :2], bboxes[order, :2])
        sides = np.maximum(0.0, np.minimum(bboxes[best, 2:], bboxes[order, 2:]) - corner + 1)
        overlap = sides[:, 0] * sides[:, 1]
        order = order[overlap / (area[best] + area[order] - overlap) <= iou_thr]
    return np.array(keep, np.intp)


def study_boxes(outputs: dict, scale: np.ndarray, input_size: tuple[int, int], image_shape):
    """Return the boxes whose pose the study's protocol estimates.

    Args:
        outputs: of the detector for one image, see steps.select_boxes.
        scale: float64 [2], image to input pixels.
        input_size: (width, height) of the detector's input.
        image_shape: (height, width, ...) of the image.

    Returns:
        (float32 [N, 4] xyxy in image pixels, float32 [N] scores, source), best first. source is "detected",
        or "whole_image": no box is left, and there is one of the image's size with score 1.
    """
    bboxes, scores = select_boxes(best_of_levels(outputs, input_size), scale, input_size, STUDY)
    used = scores > STUDY.bbox_thr
    bboxes, scores = bboxes[used], scores[used]
    keep = nms_plus_one(bboxes, scores, STUDY_BBOX_NMS_THR)
    if len(keep):
        return bboxes[keep], scores[keep], "detected"
    height, width = image_shape[:2]
    return np.array([[0, 0, width, height]], np.float32), np.ones(1, np.float32), "whole_image"


def study_persons(pipeline: Pipeline, image: np.ndarray, outputs: dict, scale: np.ndarray):
    """Run the study's protocol on one image from the detector's outputs on: boxes, then poses with flip test.

    Args:
        pipeline: gives the pose network and the input sizes; its settings are not used.
        image: uint8 [H, W, 3] BGR.
        outputs: of pipeline.detector for the image.
        scale: float64 [2], image to input pixels, of steps.detector_input.

    Returns:
        (Persons without stage times, "detected" or "whole_image").
    """
    bboxes, scores, source = study_boxes(outputs, scale, pipeline.detector_size, image.shape)
    return Persons(bboxes, scores, *pipeline.estimate(image, bboxes, flip=STUDY.flip_test)), source
