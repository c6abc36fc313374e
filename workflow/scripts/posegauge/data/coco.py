"""COCO person keypoints: the person images and their boxes."""

import numpy as np

from posegauge.data import annotations
from posegauge.data import images as images_of
from posegauge.data.annotations import PERSON
from posegauge.errors import PoseGaugeError
from posegauge.store.files import SCHEMA_VERSION, read_json, sha256_file, write_json

# What person_images.json has of an image.
IMAGE_KEYS = ("id", "file_name", "width", "height")


# ------------------------------------------------------------------------------------------ the annotations


def filter_person_images(
    path,
    dataset: str,
    expected: int | None = None,
    max_images: int | None = None,
    images=None,
    target=None,
    look: dict | None = None,
    unfit=(),
) -> dict:
    """List the images with at least one person annotation, crowd included, sorted by file name.

    Args:
        path: annotation file.
        dataset: its name.
        expected: their number, checked before the first `max_images` are taken.
        max_images: how many are taken, None for all.
        images: folder of the images, see annotations.read.
        target: where the annotations are written as they were read, in COCO's form; None: nowhere.
        look: exif and unreadable of the config's dataset: what is done about images that do not fit; None: no
            image is looked at.
        unfit: file names that are left out, see images.check.

    Returns the content of person_images.json (workflow/schemas/person_images.schema.yaml).
    """
    if max_images is not None and max_images < 1:
        raise PoseGaugeError(f"dataset.max_images is {max_images}; expected 1 or more, or null for all")
    found = annotations.read(path, images, max_images, look["exif"] if look else "auto")
    faults = found.faults + person_count_faults(found, path, expected)
    if faults:
        raise PoseGaugeError("\n".join(faults))
    data, entries, left_out, notes = found.data, found.taken, [], found.notes
    if look:
        taken = images_of.take(images, annotations.as_written(found), **look, unfit=unfit)
        data = images_of.turn_data(data, taken.turned)
        entries, left_out, notes = taken.entries, taken.left_out, notes + taken.notes
    told = {"annotations_sha256": sha256_file(path), "notes": notes}
    if target is not None:
        write_json(target, {**data, "info": told}, indent=None)
    return {
        "schema_version": SCHEMA_VERSION,
        "dataset": dataset,
        **told,
        "images_total": found.images_total,
        "person_images": found.person_images,
        "images": entries,
        "unreadable": left_out,
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


def list_other_images(path, person_images: dict) -> dict:
    """List the images without a person annotation, by file name, in the form of person_images.json.

    path: of the annotations in COCO's form, see filter_person_images. person_images: the content of
    person_images.json; where it has only the first person images, the others end with the last of them: both
    are of one stretch of the data set.

    Raises PoseGaugeError when there is none.
    """
    data = read_json(path)
    persons = {a["image_id"] for a in data["annotations"] if a["category_id"] == PERSON}
    images = sorted((i for i in data["images"] if i["id"] not in persons), key=_file_name)
    if len(person_images["images"]) < person_images["person_images"]:
        last = person_images["images"][-1]["file_name"]
        images = [image for image in images if image["file_name"] < last]
    if not images:
        raise PoseGaugeError(
            f"{path}: no image without persons among those that are used, so AP over all images is that over "
            "the images with persons: set dataset.score_images: persons"
        )
    return {**person_images, "images": [{key: image[key] for key in IMAGE_KEYS} for image in images]}


def _file_name(image) -> str:
    return image["file_name"]


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


def spread(entries: list, count: int) -> list:
    """Return `count` of the entries, the middles of equal stretches of the list; all when there are fewer."""
    count = min(count, len(entries))
    return [entries[(2 * index + 1) * len(entries) // (2 * count)] for index in range(count)]
