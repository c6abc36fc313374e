"""Mild light, blur and noise for the training of the demo's models: a transform of MMDetection and MMPose.

RTMDet's and RTMPose's own augmentations are those of their configs (see posegauge.models.training). They have
no noise, no motion blur and no gamma, and networks as small as the demo's then see nothing in a noisy image.
All strengths stay well below those of the study's conditions, which are meant to hurt.
"""

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS


def motion_kernel(length_px: int, angle_deg: float) -> np.ndarray:
    """Return the kernel of a straight motion: float32 [length_px, length_px], sum 1."""
    line = np.zeros((length_px, length_px), np.float32)
    middle = (length_px - 1) / 2
    step = np.array([np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))]) * middle
    ends = [tuple(np.rint(middle + sign * step).astype(int).tolist()) for sign in (-1, 1)]
    cv2.line(line, ends[0], ends[1], 1.0)
    return line / line.sum()


@TRANSFORMS.register_module()
class MildDegradation(BaseTransform):
    """Darken or brighten, blur and add noise to `results["img"]`, each by chance and at a strength by chance.

    Args:
        prob: of each of the three, on its own.
        gamma: (lowest, highest) exponent of the light; below 1 is brighter.
        gain: (lowest, highest) factor of the light; the image gets a gamma or a gain.
        blur_px: the longest motion, in pixels; half of the blurs are Gaussian, sigma up to a sixth of it.
        noise_sigma: the highest deviation of the noise, in grey levels.
    """

    def __init__(self, prob: float, gamma, gain, blur_px: int, noise_sigma: float):
        self.prob, self.gamma, self.gain = prob, tuple(gamma), tuple(gain)
        self.blur_px, self.noise_sigma = blur_px, noise_sigma

    def transform(self, results: dict) -> dict:
        """Return `results` with another "img", uint8 BGR [H, W, 3]."""
        # numpy's global state is what the runner seeds in each worker.
        rng = np.random.default_rng(np.random.randint(2**31))
        image = results["img"]
        if rng.random() < self.prob:
            image = self._light(image, rng)
        if rng.random() < self.prob:
            image = self._blur(image, rng)
        if rng.random() < self.prob:
            noise = rng.standard_normal(image.shape, np.float32) * np.float32(
                rng.uniform(0, self.noise_sigma)
            )
            image = np.clip(image + noise, 0, 255).astype(np.uint8)
        results["img"] = image
        return results

    def _light(self, image, rng):
        grey = np.arange(256) / 255.0
        grey = grey ** rng.uniform(*self.gamma) if rng.random() < 0.5 else grey * rng.uniform(*self.gain)
        return cv2.LUT(image, np.clip(np.rint(grey * 255), 0, 255).astype(np.uint8))

    def _blur(self, image, rng):
        if rng.random() < 0.5:
            return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, self.blur_px / 6))
        length = int(rng.integers(3, self.blur_px + 1))
        return cv2.filter2D(image, -1, motion_kernel(length, rng.uniform(0, 180)))


@TRANSFORMS.register_module()
class CoveredPatch(BaseTransform):
    """Cover one rectangle of a crop with black: RTMPose's CoarseDropout (one hole, .2 to .4 of each side).

    Args:
        prob: of a patch.
        sides: (smallest, largest) share of the crop's height and width.
    """

    def __init__(self, prob: float, sides=(0.2, 0.4)):
        self.prob, self.sides = prob, tuple(sides)

    def transform(self, results: dict) -> dict:
        """Return `results` with another "img", uint8 [H, W, 3]."""
        rng = np.random.default_rng(np.random.randint(2**31))
        if rng.random() < self.prob:
            image = results["img"].copy()
            size = [int(side * rng.uniform(*self.sides)) for side in image.shape[:2]]
            top, left = (
                int(rng.integers(0, whole - part + 1)) for whole, part in zip(image.shape, size, strict=False)
            )
            image[top : top + size[0], left : left + size[1]] = 0
            results["img"] = image
        return results
