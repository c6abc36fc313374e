"""COCO person keypoints: the person images, their boxes, and reading the images."""

import re
from pathlib import Path

import cv2
import numpy as np

from posegauge.data import annotations
from posegauge.data.annotations import PERSON
from posegauge.errors import PoseGaugeError, nearest
from posegauge.store.files import SCHEMA_VERSION, sha256_file, write_json

# ------------------------------------------------------------------------------------------ the annotations


def filter_person_images(
    path,
    dataset: str,
    expected: int | None = None,
    max_images: int | None = None,
    images=None,
    target=None,
) -> dict:
    """List the images with at least one person annotation, crowd included, sorted by file name.

    Args:
        path: annotation file.
        dataset: its name.
        expected: their number, checked before the first `max_images` are taken.
        max_images: how many are taken, None for all.
        images: folder of the images, see annotations.read.
        target: where the annotations are written as they were read, in COCO's form; None: nowhere.

    Returns the content of person_images.json (workflow/schemas/person_images.schema.yaml).
    """
    if max_images is not None and max_images < 1:
        raise PoseGaugeError(f"dataset.max_images is {max_images}; expected 1 or more, or null for all")
    found = annotations.read(path, images, max_images)
    faults = found.faults + person_count_faults(found, path, expected)
    if faults:
        raise PoseGaugeError("\n".join(faults))
    told = {"annotations_sha256": sha256_file(path), "notes": found.notes}
    if target is not None:
        write_json(target, {**found.data, "info": told}, indent=None)
    return {
        "schema_version": SCHEMA_VERSION,
        "dataset": dataset,
        **told,
        "images_total": found.images_total,
        "person_images": found.person_images,
        "images": found.taken,
    }


def person_count_faults(found: annotations.Annotations, path, expected: int | None) -> list[str]:
    """Say what is wrong with the number of images with persons; see filter_person_images."""
    if found.faults:
        return []
    if not found.person_images:
        return [f"{path}: none of its {found.images_total} images has a person annotation"]
    if expected is not None and found.person_images != expected:
        return [
            f"{path}: {found.person_images} person images, but dataset.expected_person_images is "
            f"{expected}. Either this is another (or a damaged) annotation file: take the right one; "
            "or it is meant: set dataset.expected_person_images to the number found, or to null"
        ]
    return []


def person_boxes(data: dict, image_id: int) -> np.ndarray:
    """Return the annotated person boxes of an image, crowds and empty boxes left out.

    data: of annotations.read_annotations. Returns float32 [n, 4]: x1, y1, x2, y2 in pixels, in file order.
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
