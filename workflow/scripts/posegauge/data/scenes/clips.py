"""A short synthetic video: people of the scenes who walk through one of their backdrops.

Like a scene it is a pure function of its seed. It is for the demo of the video rule and for tests; no model
has learnt from it and nothing is measured on it.
"""

import numpy as np

from posegauge.data.scenes.people import Layer, Person
from posegauge.data.scenes.scenes import Scene
from posegauge.data.video_files import write_video
from posegauge.logs import progress

TITLE = "SYNTHETIC: people drawn by posegauge.data.scenes.clips, no photographs"


STEP_S = 1.1  # seconds of one stride, left and right


SPEED = 0.9  # metres per second across the picture


class Walker(Person):
    """A person at one moment of a walk: for one seed only the limbs change with the phase (radians)."""

    def __init__(self, seed, phase: float, direction: int):
        self.phase, self.direction = phase, direction
        super().__init__(np.random.default_rng(seed))

    def _bearing(self, rng):
        return "walk", 0.9 * self.direction

    def _arm_angles(self, rng, side):
        return "hang", 0.12, self._swing(side) * -0.45, 0.35, 0.1

    def _leg_angles(self, rng, side):
        # The knee bends while its leg comes forward.
        bend = 0.1 + 0.6 * max(0.0, np.cos(self.phase + (np.pi if side == "right" else 0)))
        return 0.03, 0.08 + 0.38 * self._swing(side), bend

    def _swing(self, side) -> float:
        return np.sin(self.phase + (np.pi if side == "right" else 0))


def clip_frames(seed: int, frames: int, rate: int, size: tuple[int, int], walkers: int = 3):
    """Yield the frames of a clip, uint8 BGR [height, width, 3].

    rate: frames per second. size: (width, height). walkers: people, who walk through the picture from
    left and right.
    """
    width, height = size
    scene = Scene(np.random.default_rng([seed, 0]), width, height)
    empty = scene.image.copy()
    rng = np.random.default_rng([seed, 1])
    scales = np.sort(rng.uniform(0.24, 0.36, walkers) * height)  # farther people first, as in a scene
    middles = rng.permutation((np.arange(walkers) + 0.5) / walkers) * width
    phases = rng.uniform(0, 2 * np.pi, walkers)
    for frame in range(frames):
        time_s = frame / rate
        scene.image = empty.copy()
        for walker, (scale, middle, phase) in enumerate(zip(scales, middles, phases, strict=True)):
            direction = 1 if middle < width / 2 else -1  # inwards, so that they stay in view
            person = Walker([seed, 2, walker], phase + 2 * np.pi * time_s / STEP_S, direction)
            x = middle + direction * SPEED * scale * time_s
            layer = Layer(person, scale, (x, scene.foot(scale)), size, scene.light)
            if layer.window is None:
                continue
            scene.shadow(person, x, scale)
            scene.paint(layer)
        scene.rng = np.random.default_rng([seed, 3])  # the same light in every frame
        yield scene.finish()


def write_clip(path, seed: int, frames: int, rate: int, size: tuple[int, int]) -> None:
    """Write a clip as H.264 in MP4; its title says that it is synthetic."""
    write_video(path, progress(clip_frames(seed, frames, rate, size), "frames", total=frames), rate, TITLE)
