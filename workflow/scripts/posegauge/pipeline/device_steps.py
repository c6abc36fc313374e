"""The pipeline's steps on images as torch operations: what pipeline.py does with OpenCV, on any device.

Nothing here waits for the device or copies from or to it, except greedy_nms and what makes constants, so that
the host can run ahead, and CUDA graphs can be made of it. Grey levels are mixed in whole numbers, which is
exact: the results do not depend on the device.

OpenCV resizes bytes with weights of 11 bits, and cuts crops at coordinates rounded to 1/32 pixel. Both are
done the same way here, since parity counts for more than the better interpolation. Against OpenCV 4.11 on x86
the letterbox has the same bytes (no other one in 10^8). So have the crops, but for single lines that lie 1/32
pixel elsewhere where a coordinate is on the limit between two roundings, as with boxes as wide as the image:
cv2.getAffineTransform solves its equations with errors of 1e-16, which are not repeated here. Of 10^8 bytes
of random crops, a quarter of the boxes on whole and a quarter on quarter pixels, .02 % differed, by up to 8
grey levels of 255 in images of noise.
"""

from dataclasses import dataclass

import numpy as np
import torch

from posegauge.pipeline.conventions import Conventions, Pixels
from posegauge.pipeline.steps import BBOX_PADDING, LETTERBOX_VALUE

# cv2.resize: weights are whole numbers of 1/2048. cv2.warpAffine: coordinates in 1/1024, rounded to 1/32.
_RESIZE_BITS, _AFFINE_BITS, _TABLE_BITS = 11, 10, 5


# Rounds of nms_block before it looks whether it has settled; chains of overlaps are rarely longer.
NMS_ROUNDS = 8


# Boxes that are compared with each other at once.
NMS_BLOCK = 512


def _taps(length: int, new_length: int, across: bool, device):
    """Return (int64 [2, new_length] source positions, int32 [2, new_length] weights) of cv2.INTER_LINEAR.

    As cv::resize for bytes: float32 positions, weights rounded to 1/2048. Beyond the first and the last pixel
    of a line (`across`) that pixel has all the weight, of a column it is both.
    """
    scale = 1 / (new_length / length)  # not length / new_length: as there, to the last bit
    where = ((torch.arange(new_length, dtype=torch.float64) + 0.5) * scale - 0.5).float()
    first = where.floor()
    fraction = where - first
    if across:
        fraction = fraction.masked_fill((first < 0) | (first >= length - 1), 0)
    taps = torch.stack([first, first + 1]).clamp_(0, length - 1).long()
    weights = (torch.stack([1 - fraction, fraction]) * 2**_RESIZE_BITS).round().int()
    return taps.to(device), weights.to(device)


@dataclass(frozen=True)
class Letterbox:
    """The detector's preprocessing for images of one size: what depends on the size alone, on the device."""

    columns: torch.Tensor  # int64 [2 * new width]
    column_weights: torch.Tensor  # int32 [2, new width, 1]
    rows: torch.Tensor  # int64 [2 * new height]
    row_weights: torch.Tensor  # int32 [2, new height, 1, 1]
    size: tuple[int, int]  # (width, height) of the resized image
    to_image: torch.Tensor  # float32 [4], factors from input to image pixels in x, y, x, y

    @classmethod
    def of(cls, shape: tuple[int, int], input_size: tuple[int, int], device) -> "Letterbox":
        """`shape`: (height, width) of the images; `input_size`: (width, height). See steps.letterbox."""
        height, width = shape
        factor = min(input_size[0] / width, input_size[1] / height)
        size = int(width * factor + 0.5), int(height * factor + 0.5)
        (columns, column_weights), (rows, row_weights) = (
            _taps(length, new, across, device)
            for length, new, across in zip((width, height), size, (True, False), strict=True)
        )
        to_image = torch.tensor([1 / (size[0] / width), 1 / (size[1] / height)] * 2, dtype=torch.float32)
        return cls(
            columns.reshape(-1),
            column_weights[..., None],
            rows.reshape(-1),
            row_weights[..., None, None],
            size,
            to_image.to(device),
        )

    def resize(self, image: torch.Tensor) -> torch.Tensor:
        """uint8 [H, W, 3] -> int32 [new height, new width, 3] of the bytes of cv2.resize."""
        width, height = self.size
        mixed = image.index_select(1, self.columns).view(len(image), 2, width, 3) * self.column_weights
        lines = mixed.sum(1, dtype=torch.int32)
        # cv::VResizeLinear for bytes drops 4 bits of each line, then 16 of each product.
        lines = (lines >> 4).index_select(0, self.rows).view(2, height, width, 3)
        lines = (lines * self.row_weights) >> 16
        return (lines.sum(0, dtype=torch.int32) + 2) >> 2


@dataclass(frozen=True)
class Normalisation:
    """conventions.Pixels on a device."""

    mean: torch.Tensor  # float32 [3], in the order of the network's channels
    deviation: torch.Tensor  # float32 [3]
    to_rgb: bool

    @classmethod
    def on(cls, device, pixels: Pixels) -> "Normalisation":
        """Make it on a device."""
        return cls(*(torch.tensor(v, device=device) for v in (pixels.mean, pixels.std)), pixels.to_rgb)

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """[..., 3] BGR of whole numbers -> float32 [..., 3] in the network's order."""
        return ((image.flip(-1) if self.to_rgb else image) - self.mean).div_(self.deviation)


@dataclass(frozen=True)
class Constants:
    """Mean, standard deviation and index tensors on a device; a copy in every call would wait for it."""

    detector: Normalisation
    pose: Normalisation
    flip: torch.Tensor  # int64 [K]

    @classmethod
    def on(cls, device, conventions: Conventions) -> "Constants":
        """Make them on a device."""
        networks = (Normalisation.on(device, part) for part in (conventions.detector, conventions.pose))
        return cls(*networks, torch.tensor(conventions.keypoints.mirrored, device=device))


def blank_input(count: int, input_size: tuple[int, int], constants: Constants) -> torch.Tensor:
    """Return detector inputs of nothing but padding: float32 [count, 3, height, width], contiguous."""
    grey = constants.detector(torch.full_like(constants.detector.mean, LETTERBOX_VALUE))
    return grey[None, :, None, None].expand(count, 3, input_size[1], input_size[0]).contiguous()


def detector_input(image: torch.Tensor, how: Letterbox, constants: Constants) -> torch.Tensor:
    """Return the resized, normalised image, which goes into the upper left corner of a blank_input.

    uint8 [H, W, 3] BGR -> float32 [3, new height, new width].
    """
    return constants.detector(how.resize(image)).permute(2, 0, 1)


def candidates(bboxes: torch.Tensor, scores: torch.Tensor, to_image: torch.Tensor, limit, score_thr: float):
    """Order the detector's boxes, best first; see steps.select_boxes.

    Args:
        bboxes: float32 [A, 4] xyxy in input pixels.
        scores: float32 [A].
        to_image: of Letterbox.
        limit: (width, height) of the input, to which boxes are clipped.
        score_thr: boxes with a score up to this are no candidates.

    Returns:
        (float32 [A, 4] xyxy in image pixels, float32 [A] scores, bool [A] whether it is a candidate):
        candidates come first.
    """
    width, height = limit
    x, y = bboxes[:, 0::2].clamp(0, width), bboxes[:, 1::2].clamp(0, height)
    bboxes = torch.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], 1) * to_image
    good = (scores > score_thr) & (bboxes[:, 2:] > bboxes[:, :2]).all(1)
    order = torch.where(good, scores, -torch.inf).sort(descending=True, stable=True).indices
    return bboxes[order], scores[order], good[order]


def overlaps(ours: torch.Tensor, theirs: torch.Tensor, iou_thr: float) -> torch.Tensor:
    """Whether IoU > iou_thr, with the roundings of cv::dnn::NMSBoxes. [N, 4], [M, 4] xyxy -> bool [N, M]."""
    ours, theirs = ours.double(), theirs.double()
    low = torch.maximum(ours[:, None, :2], theirs[None, :, :2])
    high = torch.minimum(ours[:, None, 2:], theirs[None, :, 2:])
    common = (high - low).clamp_(min=0).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (ours, theirs)]
    distance = 1 - common / (areas[0][:, None] + areas[1][None] - common)
    return 1 - distance.float() > float(np.float32(iou_thr))


def nms_round(above: torch.Tensor, good: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """Keep what no better kept box overlaps.

    above: float32 [K, K], 1 where the box of the column is better than that of the row and overlaps it;
    good: bool [K] candidates; keep: bool [K] of the round before. After n rounds at least the first n boxes
    are those of greedy NMS, and what does not change any more is greedy NMS.
    """
    return good & (above @ keep.float() == 0)


def nms_block(bboxes: torch.Tensor, good: torch.Tensor, iou_thr: float):
    """Start greedy NMS on boxes that stand best first: some rounds, usually enough.

    float32 [K, 4], bool [K] -> (float32 [K, K] for nms_round, bool [K] kept, bool [] whether it has settled).
    """
    above = overlaps(bboxes, bboxes, iou_thr).tril_(-1).float()
    before = keep = good
    for _ in range(NMS_ROUNDS):
        before, keep = keep, nms_round(above, good, keep)
    return above, keep, (before == keep).all()


def greedy_nms(bboxes: torch.Tensor, good: torch.Tensor, iou_thr: float, limit: int) -> torch.Tensor:
    """Greedy NMS on any number of boxes that stand best first; stops after `limit`. Waits for the device.

    float32 [A, 4], bool [A] candidates -> bool [A]. NMS_BLOCK boxes are compared at a time, with each other
    and with those already kept, so that memory does not grow with the square of A.
    """
    kept = torch.zeros_like(good)
    for first in range(0, len(bboxes), NMS_BLOCK):
        block = slice(first, first + NMS_BLOCK)
        free = good[block] & ~overlaps(bboxes[kept], bboxes[block], iou_thr).any(0)
        above, keep, settled = nms_block(bboxes[block], free, iou_thr)
        while not settled:
            before, keep = keep, nms_round(above, free, keep)
            settled = (before == keep).all()
        kept[block] = keep
        if kept.sum() >= limit or not good[block][-1]:
            break
    return kept & (kept.cumsum(0) <= limit)


def pack(bboxes, scores, keep, settled, limit: int) -> torch.Tensor:
    """Put what the host must know into one tensor: the kept boxes first, in their order.

    float32 [K, 4], float32 [K], bool [K], bool [] -> float32 [min(K, limit), 7]: box, score, whether it is
    kept, and `settled` in every row.
    """
    first = keep.to(torch.uint8).sort(descending=True, stable=True).indices[:limit]
    extra = torch.stack([scores, keep.float(), settled.float().expand_as(scores)], 1)
    return torch.cat([bboxes, extra], 1)[first]


def padded_box(bboxes: torch.Tensor, input_size: tuple[int, int]):
    """As steps.padded_box: float32 [N, 4] -> (float32 [N, 2] centre, float32 [N, 2] size)."""
    center = (bboxes[:, :2] + bboxes[:, 2:]) * 0.5
    width, height = ((bboxes[:, 2:] - bboxes[:, :2]) * BBOX_PADDING).unbind(1)
    aspect = input_size[0] / input_size[1]
    wide = width > height * aspect
    size = torch.stack(
        [torch.where(wide, width, height * aspect), torch.where(wide, width / aspect, height)], 1
    )
    return center, size


def _crop_taps(fixed: torch.Tensor, length: int):
    """Source positions and weights of crops along one axis, as cv2.warpAffine with a border of 0.

    Args:
        fixed: float64 [N, S], position in the image of every crop pixel, in whole 1/1024 pixels.
        length: pixels of the image.

    Returns:
        (int64 [N, S, 2], float32 [N, S, 2]); outside the image the weight is 0.
    """
    # 16 more make the shift to 1/32 pixel a rounding.
    fixed = ((fixed + 2 ** (_AFFINE_BITS - _TABLE_BITS - 1)) * 2.0 ** (_TABLE_BITS - _AFFINE_BITS)).floor()
    low = (fixed * 2.0**-_TABLE_BITS).floor()
    fraction = fixed - low * 2**_TABLE_BITS
    taps = torch.stack([low, low + 1], 2)
    weights = torch.stack([2**_TABLE_BITS - fraction, fraction], 2).float()
    weights = weights * ((taps >= 0) & (taps < length))
    return taps.clamp_(0, length - 1).long(), weights


def pose_input(
    image: torch.Tensor, center: torch.Tensor, size: torch.Tensor, input_size, constants: Constants
):
    """As steps.pose_input: uint8 [H, W, 3] BGR -> float32 [N, 3, height, width], normalised."""
    width, height = input_size
    # steps.crop_matrices fixes a crop by three float32 points; half a crop's width spans both scales.
    left = center[:, 0] + size[:, 0] * -0.5
    side = center[:, 0] - left
    x, y = left.double()[:, None], center[:, 1].double()[:, None]
    scale_x = side.double()[:, None] / (width * 0.5)
    scale_y = ((center[:, 1] + side).double()[:, None] - y) / (width * 0.5)
    across = torch.arange(width, device=image.device, dtype=torch.float64)
    down = torch.arange(height, device=image.device, dtype=torch.float64)
    # cv2.warpAffine rounds the two terms of x apart from each other, and those of y together; half to even.
    unit = 2.0**_AFFINE_BITS
    columns, column_weights = _crop_taps(
        (scale_x * across * unit).round() + (x * unit).round(), image.shape[1]
    )
    rows, row_weights = _crop_taps(
        ((scale_y * down + (y - height * 0.5 * scale_y)) * unit).round(), image.shape[0]
    )
    # [N, height, 2 rows, width, 2 columns]
    index = (rows * image.shape[1])[..., None, None] + columns[:, None, None]
    pixels = image.view(-1, 3)[index].mul(column_weights[:, None, None, ..., None]).sum(4)
    crops = pixels.mul_(row_weights[..., None, None]).sum(2)
    crops = crops.mul_(2.0 ** (-2 * _TABLE_BITS)).add_(0.5).floor_()
    return constants.pose(crops).permute(0, 3, 1, 2).contiguous()


def mean_of_mirrored(simcc: tuple, mirrored: tuple, constants: Constants):
    """As steps.mean_of_mirrored, on tensors."""
    back_x = mirrored[0].index_select(1, constants.flip).flip(2)
    back_y = mirrored[1].index_select(1, constants.flip)
    return (simcc[0] + back_x) * 0.5, (simcc[1] + back_y) * 0.5


def decode_simcc(simcc_x: torch.Tensor, simcc_y: torch.Tensor, input_size: tuple[int, int]):
    """As steps.decode_simcc, on tensors."""
    (best_x, x), (best_y, y) = simcc_x.max(2), simcc_y.max(2)
    scores = torch.minimum(best_x, best_y).float()
    locations = torch.stack([x, y], 2).float().masked_fill_((scores <= 0)[..., None], -1)
    return locations / (simcc_x.shape[2] / input_size[0]), scores
