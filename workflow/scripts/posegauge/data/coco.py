"""COCO person keypoints: the annotation file, the person images, their boxes, and reading the images.

Format: https://cocodataset.org/#format-data. Scoring with pycocotools lives elsewhere; what it needs of the
annotations is checked here, because it fails on their absence with a bare KeyError, or not at all.
"""

import re
from collections import Counter
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from posegauge.errors import PoseGaugeError, nearest
from posegauge.store.files import SCHEMA_VERSION, read_json, sha256_file

PERSON = 1  # the category id of COCO, and of the predictions


KEYPOINTS = 17


# ------------------------------------------------------------------------------------------ the annotations


def read_annotations(path) -> dict:
    """Read a person_keypoints file and check all that the workflow relies on.

    Raises PoseGaugeError naming the file and the key, image or annotation that is wrong.
    """
    data = read_json(path)
    if not isinstance(data, dict):
        raise PoseGaugeError(f"{path}: expected a JSON object with images, annotations and categories")
    for key in ("images", "annotations", "categories"):
        if not isinstance(data.get(key), list):
            raise PoseGaugeError(f"{path}: expected a list under '{key}', as in COCO person_keypoints files")
    _check_categories(path, data["categories"])
    _check_images(path, data["images"])
    _check_persons(path, data)
    return data


def _check_categories(path, categories) -> None:
    person = [c for c in categories if isinstance(c, dict) and c.get("id") == PERSON]
    if len(person) != 1 or person[0].get("name") != "person":
        names = ", ".join(f"{c.get('id')}: {c.get('name')}" for c in categories if isinstance(c, dict))
        raise PoseGaugeError(
            f"{path}: 'categories' must hold id {PERSON} with the name 'person' once; found {names or 'none'}"
        )
    keypoints = person[0].get("keypoints")
    if not isinstance(keypoints, list) or len(keypoints) != KEYPOINTS:
        count = len(keypoints) if isinstance(keypoints, list) else "no"
        raise PoseGaugeError(
            f"{path}: categories: 'person' has {count} keypoints, expected the {KEYPOINTS} of COCO. "
            "An instances file has none: use person_keypoints"
        )


def _check_images(path, images) -> None:
    for image in images:
        if not isinstance(image, dict) or not isinstance(image.get("id"), int):
            raise PoseGaugeError(f"{path}: images: an entry without a whole number as 'id': {image}")
        where = f"{path}: images: id {image['id']}"
        name = image.get("file_name")
        if not isinstance(name, str) or not name:
            raise PoseGaugeError(f"{where} has no 'file_name'")
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise PoseGaugeError(f"{where}: file_name '{name}' must be a path inside the image folder")
        for key in ("width", "height"):
            if not isinstance(image.get(key), int) or image[key] < 1:
                raise PoseGaugeError(f"{where} ({name}) has no '{key}' in pixels; given: {image.get(key)}")
    for key in ("id", "file_name"):
        value, count = next(iter(Counter(image[key] for image in images).most_common(1)), (None, 0))
        if count > 1:
            raise PoseGaugeError(f"{path}: images: {key} {value} occurs {count} times, expected once")


def _check_persons(path, data) -> None:
    images = {image["id"] for image in data["images"]}
    seen = set()
    for annotation in data["annotations"]:
        if not isinstance(annotation, dict) or annotation.get("category_id") != PERSON:
            continue
        where = f"{path}: annotations: id {annotation.get('id')}"
        # pycocotools takes id 0 for "no match", and counts every match with it as a miss.
        if not isinstance(annotation.get("id"), int) or annotation["id"] < 1 or annotation["id"] in seen:
            raise PoseGaugeError(f"{where}: expected a whole number from 1 on that occurs once")
        seen.add(annotation["id"])
        if annotation.get("image_id") not in images:
            raise PoseGaugeError(f"{where}: image_id {annotation.get('image_id')} is not among 'images'")
        for key, length in (("bbox", 4), ("keypoints", 3 * KEYPOINTS)):
            value = annotation.get(key)
            if not isinstance(value, list) or len(value) != length:
                raise PoseGaugeError(f"{where}: expected {length} numbers under '{key}'")
            if not all(isinstance(v, int | float) for v in value) or not np.isfinite(value).all():
                raise PoseGaugeError(f"{where}: '{key}' holds something that is no number: {value}")
        for key in ("area", "iscrowd", "num_keypoints"):
            if not isinstance(annotation.get(key), int | float):
                raise PoseGaugeError(f"{where}: expected a number under '{key}'; the scoring needs it")


def filter_person_images(
    path, dataset: str, expected: int | None = None, max_images: int | None = None
) -> dict:
    """List the images with at least one person annotation, crowd included, sorted by file name.

    path: annotation file. expected: their number, checked before the first `max_images` are taken.
    Returns the content of person_images.json (workflow/schemas/person_images.schema.yaml).
    """
    data = read_annotations(path)
    wanted = {a["image_id"] for a in data["annotations"] if a.get("category_id") == PERSON}
    images = sorted((i for i in data["images"] if i["id"] in wanted), key=_file_name)
    if not images:
        raise PoseGaugeError(
            f"{path}: none of its {len(data['images'])} images has a person annotation (category_id {PERSON})"
        )
    if expected is not None and len(images) != expected:
        raise PoseGaugeError(
            f"{path}: {len(images)} person images, but dataset.expected_person_images is {expected}. "
            "Either this is another (or a damaged) annotation file: delete it and run again; "
            "or it is meant: set dataset.expected_person_images to the number found, or to null"
        )
    if max_images is not None and max_images < 1:
        raise PoseGaugeError(f"dataset.max_images is {max_images}; expected 1 or more, or null for all")
    keys = ("id", "file_name", "width", "height")
    return {
        "schema_version": SCHEMA_VERSION,
        "dataset": dataset,
        "annotations_sha256": sha256_file(path),
        "images_total": len(data["images"]),
        "person_images": len(images),
        "images": [{key: image[key] for key in keys} for image in images[:max_images]],
    }


def _file_name(image) -> str:
    return image["file_name"]


def person_boxes(data: dict, image_id: int) -> np.ndarray:
    """Return the annotated person boxes of an image, crowds and empty boxes left out.

    data: what read_annotations returned. Returns float32 [n, 4]: x1, y1, x2, y2 in pixels, in file order.
    """
    boxes = [
        (x, y, x + width, y + height)
        for annotation in data["annotations"]
        if annotation.get("category_id") == PERSON
        and annotation["image_id"] == image_id
        and not annotation.get("iscrowd")
        for x, y, width, height in [annotation["bbox"]]
        if width > 0 and height > 0
    ]
    return np.array(boxes, dtype=np.float32).reshape(-1, 4)


def check_images_exist(folder, images: list) -> None:
    """Raise PoseGaugeError naming the images (the first 10, and how many) that a folder lacks."""
    folder = Path(folder)
    if not folder.is_dir():
        raise PoseGaugeError(f"{folder}: no such image folder (dataset.images)")
    missing = [image["file_name"] for image in images if not (folder / image["file_name"]).is_file()]
    if missing:
        more = ", ..." if len(missing) > 10 else ""
        raise PoseGaugeError(
            f"{folder}: lacks {len(missing)} of the {len(images)} images that the annotations name: "
            f"{', '.join(missing[:10])}{more}"
        )


# ----------------------------------------------------------------------------------------------- the images


def read_image(path, width: int | None = None, height: int | None = None) -> np.ndarray:
    """Read an image as uint8 BGR [height, width, 3], or raise PoseGaugeError naming the file.

    width, height: the size in the annotations; another size is an error, since no keypoint would fit.
    OpenCV fills the missing half of a truncated JPEG with grey and only warns, so its end is checked first.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PoseGaugeError(f"{path}: cannot read the image ({error.strerror or error})") from error
    if not content:
        raise PoseGaugeError(f"{path}: the image file is empty")
    if content.startswith(b"\xff\xd8") and not _jpeg_is_complete(content):
        raise PoseGaugeError(f"{path}: the JPEG is truncated (its end marker is missing)")
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise PoseGaugeError(f"{path}: cannot be decoded as an image")
    size = image.shape[1], image.shape[0]
    if (width, height) != (None, None) and size != (width, height):
        raise PoseGaugeError(
            f"{path}: the image has {size[0]}x{size[1]} pixels, the annotations say {width}x{height}. "
            "Was it resized, or turned by its EXIF orientation?"
        )
    return image


def read_entry(folder, entry: dict) -> np.ndarray:
    """Read the image of an entry of person_images.json from `folder`; see read_image."""
    return read_image(Path(folder) / entry["file_name"], entry["width"], entry["height"])


def find_entry(images: list[dict], file_name: str, key: str) -> dict:
    """Return the entry of person_images.json that the config names under `key`, or raise PoseGaugeError."""
    found = {entry["file_name"]: entry for entry in images}
    if file_name not in found:
        raise PoseGaugeError(
            f"config key {key}: {file_name} is not a person image{nearest(file_name, found)}"
        )
    return found[file_name]


def _jpeg_is_complete(content: bytes) -> bool:
    """Say whether the marker chain of a JPEG reaches its end (EOI, FFD9); what follows it is ignored.

    Looking for FFD9 anywhere would be fooled by the thumbnail inside an EXIF segment. ITU-T T.81, annex B.
    """
    position = 2
    while True:
        # The next marker: entropy-coded data holds FF only as FF00, as a restart (D0-D7) or as fill (FFFF).
        found = _JPEG_MARKER.search(content, position)
        if not found:
            return False
        if found.group() == b"\xff\xd9":
            return True
        length = int.from_bytes(content[found.end() : found.end() + 2], "big")
        if length < 2:
            return False
        position = found.end() + length


_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")


def spread(entries: list, count: int) -> list:
    """Return `count` of the entries, the middles of equal stretches of the list; all when there are fewer."""
    count = min(count, len(entries))
    return [entries[(2 * index + 1) * len(entries) // (2 * count)] for index in range(count)]
