"""A short synthetic film with exact annotations: people of the scenes walk through one of their backdrops.

They come from both sides, meet and hide each other, and leave. Like a scene it is a pure function of its
seed; no model has learnt from it. It is for the demo of the video rule, for measuring what the detector on
every n-th frame costs and gives, and for tests.
"""

import json

import numpy as np

from posegauge.data.scenes.people import Layer, Person
from posegauge.data.scenes.scenes import LEAST_KEYPOINTS, LEAST_VISIBLE, Scene, coco_document
from posegauge.data.video_files import write_video
from posegauge.logs import progress
from posegauge.store import files

TITLE = "SYNTHETIC: people drawn by posegauge.data.scenes.clips, no photographs"


STRIDE_M = 1.3  # metres of one stride, left and right


SPEEDS = (1.1, 1.9)  # metres per second across the picture


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


def clip_frames(seed: int, frames: int, rate: int, size: tuple[int, int], walkers: int = 5):
    """Yield (image, annotations) of every frame of a film: uint8 BGR [height, width, 3]; dicts without ids.

    rate: frames per second. size: (width, height). walkers: people, who walk through the picture from left
    and right in turn, and pass its middle one after the other. The annotations are those of
    Scene.annotations; of a person who is mostly hidden or outside they hold no keypoints, as in COCO, so that
    neither finding nor missing the person counts.
    """
    width, height = size
    scene = Scene(np.random.default_rng([seed, 0]), width, height)
    empty = scene.image.copy()
    rng = np.random.default_rng([seed, 1])
    scales = np.sort(rng.uniform(0.24, 0.36, walkers) * height)  # farther people first, as in a scene
    order = rng.permutation(walkers)
    middles = (order + 0.5) / walkers * frames / rate  # seconds
    directions = np.where(order % 2, 1, -1)
    speeds = rng.uniform(*SPEEDS, walkers)
    phases = rng.uniform(0, 2 * np.pi, walkers)
    for frame in range(frames):
        scene.image = empty.copy()
        scene.persons = []
        for walker, scale in enumerate(scales):
            way_m = speeds[walker] * (frame / rate - middles[walker])
            phase = phases[walker] + 2 * np.pi * way_m / STRIDE_M
            person = Walker([seed, 2, walker], phase, directions[walker])
            x = width / 2 + directions[walker] * way_m * scale
            layer = Layer(person, scale, (x, scene.foot(scale)), size, scene.light)
            if layer.window is None:
                continue
            scene.shadow(person, x, scale)
            scene.show(layer, x, scale)
        scene.rng = np.random.default_rng([seed, 3])  # the same light in every frame
        annotations = [_annotation(scene, person) for person in scene.persons if person["mask"].any()]
        yield scene.finish(), annotations


def _annotation(scene: Scene, person: dict) -> dict:
    """Return the annotation of a person in a film, see clip_frames."""
    found = scene.annotation(person)
    hidden = person["mask"].sum() < LEAST_VISIBLE * person["full"]
    if hidden or found["num_keypoints"] < LEAST_KEYPOINTS:
        found |= {"keypoints": [0] * len(found["keypoints"]), "num_keypoints": 0}
    return found


def write_clip(path, annotations_path, seed: int, frames: int, rate: int, size: tuple[int, int]) -> None:
    """Write a film as H.264 in MP4, its title says that it is synthetic, and its annotations in COCO's form.

    An image of the annotations is a frame: its id is the frame's number, 0 for the first.
    """
    images, annotations = [], []

    def drawn():
        for index, (image, found) in enumerate(clip_frames(seed, frames, rate, size)):
            shape = {"width": size[0], "height": size[1]}
            images.append({"id": index, "file_name": f"frame_{index:06d}", **shape, "license": 1})
            for one in found:
                ids = {"id": len(annotations) + 1, "image_id": index, "category_id": 1, "iscrowd": 0}
                annotations.append({**ids, **one})
            yield image

    write_video(path, progress(drawn(), "frames", total=frames), rate, TITLE)
    files.write_text(annotations_path, json.dumps(coco_document(images, annotations, seed)))
