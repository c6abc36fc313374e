"""The image conditions: pure functions of (image, random generator).

Those of the study are here, those of COCO-C in posegauge.data.coco_c. All take and give uint8 BGR [H, W, 3].
The generator is seeded from (global seed, condition, image id), so any image of any condition can be remade
alone, in any order, anywhere.
"""

import hashlib
import math
import zlib

import cv2
import numpy as np

from posegauge.data import coco_c
from posegauge.errors import PoseGaugeError, nearest
from posegauge.study import CONDITIONS


def clean(image, rng):
    """Return the image unchanged."""
    return image


def motion_blur(image, rng, kernel_px: int):
    """Blur along a horizontal line of `kernel_px` pixels."""
    kernel = np.zeros((kernel_px, kernel_px), np.float32)
    kernel[kernel_px // 2] = 1.0 / kernel_px
    return cv2.filter2D(image, -1, kernel)


def low_light(image, rng, gamma: float):
    """Darken by a gamma curve; values are truncated, as in the study."""
    table = ((np.arange(256) / 255.0) ** gamma * 255).astype(np.uint8)
    return cv2.LUT(image, table)


def overexposure(image, rng, gain: float):
    """Multiply by `gain` and clip; values are truncated."""
    return np.clip(image.astype(np.float32) * gain, 0, 255).astype(np.uint8)


def noise(image, rng, sigma: float):
    """Add normal noise of `sigma` grey levels to each pixel and channel, clip, truncate."""
    added = rng.standard_normal(image.shape, np.float32) * np.float32(sigma)
    return np.clip(image + added, 0, 255).astype(np.uint8)


def occlusion(image, rng, patches: int, patch_fraction: float):
    """Cover with black patches, each `patch_fraction` of the image's height and width, at random places."""
    height, width = image.shape[:2]
    patch_height, patch_width = int(height * patch_fraction), int(width * patch_fraction)
    image = image.copy()
    tops = rng.integers(0, height - patch_height, patches)
    lefts = rng.integers(0, width - patch_width, patches)
    for top, left in zip(tops, lefts, strict=True):
        image[top : top + patch_height, left : left + patch_width] = 0
    return image


_CORRUPTIONS = {
    function.__name__: function
    for function in (clean, motion_blur, low_light, overexposure, noise, occlusion)
}


def generator(seed: int, condition: str, image_id: int | str) -> np.random.Generator:
    """Return the random generator of one image in one condition."""
    if isinstance(image_id, str) or image_id < 0:
        image_id = int.from_bytes(hashlib.sha256(str(image_id).encode()).digest()[:8], "big")
    return np.random.default_rng([seed, zlib.crc32(condition.encode()), image_id])


def least_size(condition: str) -> tuple[int, int]:
    """Return the least width and height in pixels on which a condition does what its name says."""
    entry = CONDITIONS[condition]
    if entry.suite == "coco_c":
        return (coco_c.least_side(entry.corruption, **entry.parameters),) * 2
    if entry.corruption == "motion_blur":
        return entry.parameters["kernel_px"], 1
    if entry.corruption == "occlusion":
        # Below that a patch has no pixel.
        return (math.ceil(1 / entry.parameters["patch_fraction"]),) * 2
    return 1, 1


def largest_side(condition: str) -> int | None:
    """Return the largest side in pixels that a condition can be drawn on; None: no bound of its own."""
    entry = CONDITIONS[condition]
    return coco_c.LARGEST_FOG_PX if entry.suite == "coco_c" and entry.corruption == "fog" else None


def apply(condition: str, image: np.ndarray, seed: int, image_id: int | str) -> np.ndarray:
    """Return the image, uint8 BGR [H, W, 3], as it is in a condition of posegauge.study.CONDITIONS."""
    if condition not in CONDITIONS:
        raise PoseGaugeError(f"no condition '{condition}'{nearest(condition, CONDITIONS)}")
    entry = CONDITIONS[condition]
    rng = generator(seed, condition, image_id)
    if entry.suite == "coco_c":
        return coco_c.corrupt(image, rng, entry.corruption, **entry.parameters)
    return _CORRUPTIONS[entry.corruption](image, rng, **entry.parameters)
