"""The steps from image to poses as pure functions on the host: letterbox, NMS, crops, decoding."""

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from posegauge.pipeline.conventions import USUAL, Pixels
from posegauge.pipeline.keypoint_sets import COCO, KeypointSet

LETTERBOX_VALUE = 114


BBOX_PADDING = 1.25


# Persons per call of the pose network: bounds memory in crowds.
MAX_POSE_BATCH = 32


@dataclass(frozen=True)
class Settings:
    """Thresholds, the same for every runtime (keys of `pipeline:` in the config)."""

    score_thr: float = 0.1  # boxes with a score up to this are dropped: the floor of the AP curve
    bbox_thr: float = 0.3  # boxes with a score up to this get no pose in use: what latency is measured on
    nms_thr: float = 0.6  # IoU above which the lesser of two boxes is dropped
    max_persons: int = 100  # boxes kept per image
    person_thr: float = 0.5  # box score from which a person counts as detected
    keypoint_thr: float = 0.2  # keypoint score above which it counts in the instance score
    flip_test: bool = False  # average the poses of the crop and of the mirrored crop

    @classmethod
    def of(cls, group: dict) -> "Settings":
        """Return what the config's `pipeline` says of one image; detect_every, for films, is left out."""
        return cls(**{key: value for key, value in group.items() if key != "detect_every"})


@functools.cache
def normalize_table(pixels: Pixels) -> list[np.ndarray]:
    """Return (value - mean) / std for the 256 byte values: three float32 [256] tables.

    A table look-up gives the same bits as float32 arithmetic and is seven times faster.
    """
    values = np.arange(256, dtype=np.float32)[:, None]
    table = (values - np.float32(pixels.mean)) / np.float32(pixels.std)
    return [np.ascontiguousarray(table[:, channel]) for channel in range(3)]


def normalize(image: np.ndarray, pixels: Pixels, out: np.ndarray) -> None:
    """Write an image, uint8 [H, W, 3] BGR, into `out`, float32 [3, H, W], as a network takes its pixels."""
    planes = cv2.split(image)
    # Channel 0 of a network that takes RGB is red, which is channel 2 of a BGR image.
    for table, plane, target in zip(
        normalize_table(pixels), planes[::-1] if pixels.to_rgb else planes, out, strict=True
    ):
        cv2.LUT(plane, table, target)


def resize_to_fit(image: np.ndarray, input_size: tuple[int, int]):
    """Resize to fit `input_size` with the aspect ratio kept.

    Args:
        image: uint8 [H, W, 3] BGR.
        input_size: (width, height) of the detector's input.

    Returns:
        (uint8 [H, W, 3], float64 [2] scale in x and y from image to input pixels). As in mmcv.imrescale the
        new size is rounded half up, so the two scales differ a little.
    """
    height, width = image.shape[:2]
    factor = min(input_size[0] / width, input_size[1] / height)
    new_width, new_height = int(width * factor + 0.5), int(height * factor + 0.5)
    resized = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    return resized, np.array([new_width / width, new_height / height])


def detector_input(image: np.ndarray, input_size: tuple[int, int], pixels: Pixels = USUAL["detector"]):
    """Return (float32 [1, 3, height, width], float64 [2] scale, see resize_to_fit) for the detector.

    The letterbox: the image is padded right and bottom with 114; then all is normalised.
    """
    resized, scale = resize_to_fit(image, input_size)
    height, width = resized.shape[:2]
    batch = np.empty((1, 3, input_size[1], input_size[0]), np.float32)
    normalize(resized, pixels, batch[0, :, :height, :width])
    for plane, table in zip(batch[0], normalize_table(pixels), strict=True):
        plane[height:] = plane[:height, width:] = table[LETTERBOX_VALUE]
    return batch, scale


def nms(bboxes: np.ndarray, scores: np.ndarray, iou_thr: float) -> np.ndarray:
    """Greedy NMS by OpenCV. float32 [N, 4] xyxy, float32 [N] -> int [K], best first."""
    if len(bboxes) == 0:
        return np.empty(0, np.intp)
    # NMSBoxes reads x, y, width, height; giving it xyxy makes neighbours suppress each other.
    xywh = bboxes.astype(np.float64)
    xywh[:, 2:] -= xywh[:, :2]
    # Of a list: the rows of an array take OpenCV two to three times as long to read.
    keep = cv2.dnn.NMSBoxes(xywh.tolist(), scores, 0.0, iou_thr)
    return np.asarray(keep, np.intp).reshape(-1)


def select_boxes(outputs: dict, scale: np.ndarray, input_size: tuple[int, int], settings: Settings):
    """Turn the detector's outputs for one image into boxes in image pixels.

    Args:
        outputs: {"boxes": float32 [1, A, 4] xyxy in input pixels, "scores": float32 [1, A, 1]} from a
            network without NMS, or {"dets": float32 [1, K, 5]} (xyxy, score) from one with NMS inside.
        scale: float64 [2], image to input pixels.
        input_size: (width, height) of the detector's input, to which boxes are clipped.
        settings: thresholds.

    Returns:
        (float32 [N, 4] xyxy, float32 [N] scores), best first, at most settings.max_persons.
    """
    has_nms = "dets" in outputs
    if has_nms:
        bboxes, scores = outputs["dets"][0, :, :4], outputs["dets"][0, :, 4]
    else:
        bboxes, scores = outputs["boxes"][0], outputs["scores"][0, :, 0]
    above = scores > settings.score_thr
    bboxes, scores = bboxes[above], scores[above]
    limit = np.array([*input_size, *input_size], np.float32)
    # A product, as in MMDetection: a quotient has another last bit, which can move a crop by 1/32 px.
    to_image = (1 / np.concatenate([scale, scale])).astype(np.float32)
    bboxes = bboxes.clip(0, limit) * to_image
    solid = (bboxes[:, 2] > bboxes[:, 0]) & (bboxes[:, 3] > bboxes[:, 1])
    bboxes, scores = bboxes[solid], scores[solid]
    keep = np.argsort(-scores, kind="stable") if has_nms else nms(bboxes, scores, settings.nms_thr)
    keep = keep[: settings.max_persons]
    return bboxes[keep].astype(np.float32, copy=False), scores[keep].astype(np.float32, copy=False)


def padded_box(bboxes: np.ndarray, input_size: tuple[int, int]):
    """Centre and size of the padded box with the aspect ratio of the pose input.

    float32 [N, 4] xyxy -> (float32 [N, 2] centre, float32 [N, 2] width and height), as MMPose's
    GetBBoxCenterScale(padding=1.25) and TopdownAffine.
    """
    center = (bboxes[:, :2] + bboxes[:, 2:]) * np.float32(0.5)
    size = (bboxes[:, 2:] - bboxes[:, :2]) * np.float32(BBOX_PADDING)
    aspect = input_size[0] / input_size[1]
    width, height = size[:, :1], size[:, 1:]
    wide = width > height * aspect
    size = np.where(wide, np.hstack([width, width / aspect]), np.hstack([height * aspect, height]))
    return center, size.astype(np.float32)


def crop_matrices(center: np.ndarray, size: np.ndarray, input_size: tuple[int, int]) -> list[np.ndarray]:
    """Affine float64 [2, 3] from image to crop of each box: MMPose's get_warp_matrix without rotation.

    center, size: see padded_box. Three float32 points define a crop, as there: the centre, the middle of the
    left side, and the point at a right angle to both.
    """
    width, height = input_size
    x, y = center.T
    left = x + size[:, 0] * np.float32(-0.5)
    source = np.stack([x, y, left, y, left, y + (x - left)], 1).reshape(-1, 3, 2)
    middle = height * 0.5
    target = np.array([[width * 0.5, middle], [0, middle], [0, middle + width * 0.5]], np.float32)
    return [cv2.getAffineTransform(points, target) for points in source]


def pose_input(
    image: np.ndarray,
    center: np.ndarray,
    size: np.ndarray,
    input_size: tuple[int, int],
    pixels: Pixels = USUAL["pose"],
):
    """Cut one crop per person out of the image. Returns float32 [N, 3, height, width], normalised."""
    batch = np.empty((len(center), 3, input_size[1], input_size[0]), np.float32)
    matrices = crop_matrices(center, size, input_size)

    def cut(person: int) -> None:
        crop = cv2.warpAffine(image, matrices[person], input_size, flags=cv2.INTER_LINEAR)
        normalize(crop, pixels, batch[person])

    for_each(len(center), cut)
    return batch


def for_each(count: int, work: Callable[[int], None]) -> None:
    """Call work(0) to work(count - 1), side by side on as many threads as OpenCV may use.

    OpenCV gives none of its own to so small a picture as a crop, but lets other Python threads run meanwhile.
    """
    threads = max(min(cv2.getNumThreads(), count), 1)
    numbers = iter(range(count))  # whose next() no two threads enter at once

    def take() -> None:
        for number in numbers:
            work(number)

    others = [_pool(threads, os.getpid()).submit(take) for _ in range(threads - 1)]
    take()
    for other in others:
        other.result()


@functools.cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Return the threads beside the one that asks; they do not live on in a process that is forked off."""
    return ThreadPoolExecutor(threads, thread_name_prefix="host")


def decode_simcc(simcc_x: np.ndarray, simcc_y: np.ndarray, input_size: tuple[int, int]):
    """Decode SimCC by its maxima, as MMPose's get_simcc_maximum.

    Args:
        simcc_x: float32 [N, K, bins over the width].
        simcc_y: float32 [N, K, bins over the height]: as many to a pixel as in x, mostly two.
        input_size: (width, height) of the crops.

    Returns:
        (float32 [N, K, 2] positions in crop pixels, float32 [N, K] scores: the smaller of the two maxima).
        Where the score is not positive the position is one bin before the first, as in MMPose.
    """
    locations = np.empty((*simcc_x.shape[:2], 2), np.float32)
    locations[..., 0], locations[..., 1] = simcc_x.argmax(-1), simcc_y.argmax(-1)
    scores = np.minimum(simcc_x.max(-1), simcc_y.max(-1))
    locations[scores <= 0] = -1
    return locations / np.float32(simcc_x.shape[-1] / input_size[0]), scores


def mean_of_mirrored(simcc: tuple, mirrored: tuple, keypoints: KeypointSet = COCO):
    """Average the SimCC of crops and of the same crops mirrored, as RTMPose's head does in the flip test.

    Both, and what is returned: (float32 [N, K, bins] of x, float32 [N, K, bins] of y).
    """
    order = keypoints.mirrored
    back_x, back_y = mirrored[0][:, order, ::-1], mirrored[1][:, order]
    return (simcc[0] + back_x) * np.float32(0.5), (simcc[1] + back_y) * np.float32(0.5)
