"""Synthetic scenes of people with exact annotations: the embedded dataset and the training data.

A scene is a pure function of (seed, index): any scene of any set can be drawn alone, in any order. The
annotations follow COCO's person_keypoints files: a keypoint has v = 0 outside the image, 1 when something
hides it (an object, another person or the person's own body), 2 when it can be seen.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from posegauge import logs
from posegauge.data.scenes.backdrops import backdrop, foreground_object
from posegauge.data.scenes.people import KEYPOINTS, Layer, Person
from posegauge.errors import PoseGaugeError
from posegauge.store import files

SKELETON = (
    (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9),
    (8, 10), (9, 11), (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
)  # fmt: skip


SIZES = ((640, 480), (480, 640), (640, 427), (640, 426))  # width, height: the usual sizes of COCO


SIZE_SHARES = (0.4, 0.2, 0.2, 0.2)


MAX_PERSONS = 5


JPEG_QUALITY = 92


LEAST_VISIBLE = 0.45  # share of a person's pixels inside the image which nothing in front may go below


LEAST_KEYPOINTS = 6  # keypoints inside the image that a person must have to be kept


def _scene_light(rng):
    """Return a unit vector from the scene towards its light, from above and rather from the front."""
    light = np.array([rng.uniform(-0.8, 0.8), rng.uniform(-0.9, -0.3), rng.uniform(0.4, 1.0)])
    return light / np.linalg.norm(light)


def _sharp(mask):
    return mask >= 0.5


class Scene:
    """A picture that is painted from back to front while the visible pixels of each person are tracked."""

    def __init__(self, rng, width, height):
        self.rng, self.width, self.height = rng, width, height
        self.horizon = rng.uniform(0.3, 0.48) * height
        self.eye_height = rng.uniform(1.25, 1.6)  # metres: how far below the horizon a person's feet are
        self.light = _scene_light(rng)
        self.image = backdrop(rng, width, height, int(self.horizon + rng.uniform(35, 70)))
        self.persons = []  # dicts: layer, mask (visible), full (pixels before anything hid it)

    def foot(self, scale):
        """Return the y of the feet of a person of `scale` pixels per metre."""
        return self.horizon + self.eye_height * scale

    def _may_hide(self, mask):
        """Say whether every person keeps enough visible pixels when `mask` is painted over the scene."""
        return all((p["mask"] & ~mask).sum() >= LEAST_VISIBLE * p["full"] for p in self.persons)

    def add_person(self, scale, tries=8):
        """Paint one person at `scale` pixels per metre; give up after `tries` unsuitable places."""
        rng = self.rng
        for _ in range(tries):
            x = rng.uniform(0.08, 0.92) * self.width
            if any(abs(x - p["x"]) < 0.42 * min(scale, p["scale"]) for p in self.persons):
                continue
            person = Person(rng)
            layer = Layer(person, scale, (x, self.foot(scale)), (self.width, self.height), self.light)
            if layer.window is None:
                continue
            full = self.pixels(layer)
            inside = self._inside(layer.points).sum()
            if inside < LEAST_KEYPOINTS or full.sum() < 900:
                continue
            stool = self._stool(person, x, scale)
            if not self._may_hide(full | stool):
                continue
            self.shadow(person, x, scale)
            self.image[stool] = rng.uniform(40, 190, 3)
            self._hide(stool)
            self.show(layer, x, scale)
            return

    def pixels(self, layer):
        """Return the pixels that a drawn person covers, bool [h, w]."""
        x0, y0, x1, y1 = layer.window
        full = np.zeros((self.height, self.width), bool)
        full[y0:y1, x0:x1] = _sharp(layer.alpha)
        return full

    def show(self, layer, x, scale):
        """Lay a drawn person over the picture, and remember who and where it is."""
        x0, y0, x1, y1 = layer.window
        window = self.image[y0:y1, x0:x1]
        window += (layer.colour - window) * layer.alpha[..., None]
        full = self.pixels(layer)
        self._hide(full)
        person = {"layer": layer, "mask": full, "full": int(full.sum()), "x": x, "scale": scale}
        self.persons.append(person)

    def add_object(self, scale):
        """Paint one object in front of the people behind `scale`, when it leaves enough of them in view."""
        rng = self.rng
        x = rng.uniform(0.05, 0.95) * self.width
        if self.persons and rng.random() < 0.6:
            x = self.persons[rng.integers(len(self.persons))]["x"] + rng.uniform(-0.3, 0.3) * scale
        mask, colour = foreground_object(rng, scale, x, self.foot(scale), self.width, self.height)
        if not self._may_hide(_sharp(mask)):
            return
        shade = np.linspace(1.1, 0.8, self.width, dtype=np.float32)[None, :, None]
        self.image += (colour * shade - self.image) * mask[..., None]
        self._hide(_sharp(mask))

    def _hide(self, mask):
        for person in self.persons:
            person["mask"] &= ~mask

    def _inside(self, points):
        x, y = points.T
        return (x >= 0) & (y >= 0) & (x <= self.width - 1) & (y <= self.height - 1)

    def shadow(self, person, x, scale):
        """Darken the floor below a person."""
        y = int(self.foot(scale))
        half, low = int(0.45 * scale), int(0.1 * scale)
        x0, x1 = max(int(x) - 2 * half, 0), min(int(x) + 2 * half, self.width)
        y0, y1 = max(y - 2 * low, 0), min(y + 2 * low, self.height)
        if x1 <= x0 or y1 <= y0:
            return
        ys, xs = np.ogrid[y0:y1, x0:x1]
        away = ((xs - x) / (2 * half)) ** 2 + ((ys - y) / (2 * low)) ** 2
        dark = 0.45 * np.clip(1 - away, 0, 1) / (1 + 2 * person.lift)
        self.image[y0:y1, x0:x1] *= (1 - dark[..., None]).astype(np.float32)

    def _stool(self, person, x, scale):
        """Return the pixels (bool [h, w]) of the thing a sitting person sits on; none for the others."""
        mask = np.zeros((self.height, self.width), np.uint8)
        if person.stance == "sit":
            seat = self.foot(scale) + (person.joints["pelvis"][1] + 0.08) * scale
            low, high = (int(x - 0.22 * scale), int(seat)), (int(x + 0.22 * scale), int(self.foot(scale)))
            cv2.rectangle(mask, low, high, 255, -1)
        return mask > 0

    def finish(self):
        """Apply light and sensor noise; return the image, uint8 BGR [height, width, 3]."""
        rng, height, width = self.rng, self.height, self.width
        xs = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None, :]
        ys = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None]
        angle = rng.uniform(0, 2 * np.pi)
        slope = np.float32(np.cos(angle)) * xs + np.float32(np.sin(angle)) * ys
        light = np.float32(rng.uniform(0.85, 1.2)) * (1 + np.float32(rng.uniform(0, 0.35)) * slope)
        light -= np.float32(rng.uniform(0, 0.25)) * (xs * xs + ys * ys)
        image = self.image * light[..., None]
        image *= rng.uniform(0.92, 1.08, 3).astype(np.float32)
        noise = rng.integers(0, 256, (height, width), dtype=np.uint8).astype(np.float32) - np.float32(127.5)
        image += (noise * np.float32(rng.uniform(0.015, 0.055)))[..., None]
        return np.clip(image, 0, 255, out=image).astype(np.uint8)

    def annotations(self):
        """Return COCO annotations without ids, one dict per person with visible pixels."""
        return [self.annotation(person) for person in self.persons]

    def annotation(self, person):
        """Return the annotation of one of `persons` with visible pixels."""
        mask, layer = person["mask"], person["layer"]
        ys, xs = np.nonzero(mask)
        x0, y0, x1, y1 = (int(v) for v in (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))
        inside = self._inside(layer.points)
        keypoints = []
        for point, within, seen in zip(layer.points, inside, layer.seen, strict=True):
            if not within:
                keypoints += [0, 0, 0]
                continue
            column, row = np.round(point).astype(int)
            visibility = 2 if seen and mask[row, column] else 1
            keypoints += [*(round(float(value), 2) for value in point), visibility]
        outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        return {
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": int(mask.sum()),
            "segmentation": [outline.ravel().tolist() for outline in outlines if len(outline) >= 3],
            "keypoints": keypoints,
            "num_keypoints": int(inside.sum()),
        }


def render_scene(seed: int, index: int, persons: int | None = None):
    """Draw scene `index` of the set `seed`.

    `persons`: how many people (0 to 5; None chooses 1 to 5). People who find no place are left out, so a
    crowded scene may have one fewer. Returns (image uint8 BGR [h, w, 3], annotations, masks bool [n, h, w]
    of the visible pixels of each person). Raises PoseGaugeError for another number of persons.
    """
    if persons is not None and not 0 <= persons <= MAX_PERSONS:
        raise PoseGaugeError(f"persons: expected 0 to {MAX_PERSONS}, got {persons}")
    rng = np.random.default_rng([seed, index])
    width, height = SIZES[rng.choice(len(SIZES), p=SIZE_SHARES)]
    if persons is None:
        persons = int(rng.choice([1, 2, 3, 4, 5], p=[0.22, 0.26, 0.26, 0.16, 0.1]))
    scene = Scene(rng, width, height)
    low, high = ((90, 130), (130, 330), (105, 270), (90, 230), (85, 200), (80, 180))[persons]
    # Farther (smaller) things first; a logarithmic draw gives near and far people alike.
    scales = np.exp(rng.uniform(np.log(low), np.log(high), persons))
    things = np.exp(rng.uniform(np.log(low), np.log(high * 1.2), rng.choice([0, 1, 2], p=[0.5, 0.35, 0.15])))
    order = sorted([(scale, True) for scale in scales] + [(scale, False) for scale in things])
    for scale, is_person in order:
        if is_person:
            scene.add_person(scale)
        else:
            scene.add_object(scale)
    for _ in range(20):  # a scene that should have people must not stay empty
        if persons and not scene.persons:
            scene.add_person(scales[0])
    masks = np.array([p["mask"] for p in scene.persons], bool).reshape(-1, height, width)
    return scene.finish(), scene.annotations(), masks


def _write_one(job):
    """Draw one scene and write its JPEG; return its size and annotations."""
    seed, index, persons, path = job
    image, annotations, _ = render_scene(seed, index, persons)
    with files.atomic_path(path) as temporary:
        if not cv2.imwrite(str(temporary), image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]):
            raise PoseGaugeError(f"{path}: cannot write the image; is the disk full?")
    return image.shape[1], image.shape[0], annotations


def write_scenes(out_dir, annotations_path, count: int, empty: int, seed: int, start_id=1, threads=1):
    """Write `count` scenes as JPEG files to `out_dir` and their COCO annotations to `annotations_path`.

    `empty` of them, spread evenly, have no people. Image ids run from `start_id`, file names are the id with
    12 digits. The result does not depend on `threads`. Raises PoseGaugeError for impossible numbers.
    """
    if count < 1 or not 0 <= empty <= count:
        raise PoseGaugeError(f"scenes: need images >= 1 and 0 <= empty <= images, got {count} and {empty}")
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    vacant = {int((k + 0.5) * count / empty) for k in range(empty)}
    names = [f"{start_id + index:012d}.jpg" for index in range(count)]
    jobs = [(seed, i, 0 if i in vacant else None, out_dir / name) for i, name in enumerate(names)]
    # Threads, not processes: forking after OpenCV or PyTorch has started threads can hang, and a spawned
    # child would run the rule's script again. NumPy and OpenCV let go of the interpreter while they draw.
    with ThreadPoolExecutor(threads) as pool:
        drawn = list(logs.progress(_Counted(pool.map(_write_one, jobs), count), "scenes"))
    images, annotations = [], []
    for index, (width, height, found) in enumerate(drawn):
        image_id = start_id + index
        size = {"width": width, "height": height}
        images.append({"id": image_id, "file_name": names[index], **size, "license": 1})
        for one in found:
            ids = {"id": len(annotations) + 1, "image_id": image_id, "category_id": 1, "iscrowd": 0}
            annotations.append({**ids, **one})
    document = coco_document(images, annotations, seed)
    files.write_text(annotations_path, json.dumps(document))  # one line: indented it is ten times larger


class _Counted:
    """An iterator with a length, so that progress can be told."""

    def __init__(self, items, length):
        self._items, self._length = items, length

    def __len__(self):
        return self._length

    def __iter__(self):
        return iter(self._items)


def coco_document(images, annotations, seed) -> dict:
    """Return the person_keypoints document around `images` and `annotations`."""
    return {
        "info": {
            "description": f"SYNTHETIC scenes drawn by posegauge, seed {seed}: not photographs",
            "version": "1.0",
        },
        "licenses": [{"id": 1, "name": "MIT, like the code that drew them", "url": ""}],
        "images": images,
        "annotations": annotations,
        "categories": [
            {
                "id": 1,
                "name": "person",
                "supercategory": "person",
                "keypoints": list(KEYPOINTS),
                "skeleton": [list(edge) for edge in SKELETON],
            }
        ],
    }
