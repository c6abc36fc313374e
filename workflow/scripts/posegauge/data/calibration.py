"""Images that set the ranges of INT8 and are not scored: of COCO train2017, or of a folder of the user's."""

import json
import logging
from pathlib import Path

from posegauge.data import annotations as annotations_of
from posegauge.data import images as images_of
from posegauge.data.annotations import PERSON
from posegauge.data.coco import IMAGE_KEYS, spread
from posegauge.errors import PoseGaugeError
from posegauge.store.files import read_json, sha256_file

log = logging.getLogger("posegauge")


# In the archives of config/downloads.tsv.
TRAIN_ARCHIVE = "train2017.zip"  # among download.IN_PARTS


TRAIN_ANNOTATIONS_MEMBER = "annotations/person_keypoints_train2017.json"


TRAIN_IMAGES_PREFIX = "train2017/"


# What to do where the archive of 19 GB cannot be had in parts.
INSTEAD = (
    "set precision.calibration: scenes, which are rendered here, or to a folder of your own, "
    "{images: ..., annotations: ...}"
)


# Of so many images of train2017 the persons are written where fewer are taken, too: the reader tells odd
# annotations from another form by how many there are, which a handful of images would not show.
JUDGED = 1000


# What is kept of an annotation; the segmentations are most of the file.
ANNOTATION_KEYS = (
    "id",
    "image_id",
    "category_id",
    "bbox",
    "area",
    "iscrowd",
    "num_keypoints",
    "keypoints",
)


# Names in a message.
SHOWN = 5


def choose_train(path, count: int) -> tuple[dict, list[dict]]:
    """Choose images of COCO train2017, evenly spread over those with annotated keypoints, by file name.

    path: of person_keypoints_train2017.json, 240 MB. Most of it is dropped while it is read, so this
    takes about 1 GB of memory.

    Returns (annotations in COCO's form, of max(count, JUDGED) images; the `count` images that are taken: id,
    file_name, width, height). Where there are fewer, all. Raises PoseGaugeError: the file is of another form.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"), object_hook=_kept)
        with_keypoints = _annotated(data["annotations"])
        images = sorted((i for i in data["images"] if i["id"] in with_keypoints), key=_file_name)
        judged = spread(images, max(count, JUDGED))
        ids = {image["id"] for image in judged}
        persons = [a for a in data["annotations"] if a["image_id"] in ids and a["category_id"] == PERSON]
        found = {"info": {}, "images": judged, "annotations": persons, "categories": data["categories"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PoseGaugeError(
            f"{path}: is no person_keypoints_train2017.json ({type(error).__name__}: {error}). Delete "
            f"data/downloads/annotations_trainval2017.zip* and run again, or {INSTEAD}"
        ) from error
    chosen = spread(judged, count)
    if not chosen:
        raise PoseGaugeError(f"{path}: no image has a person with annotated keypoints; {INSTEAD}")
    log.info("%d of %d images with annotated keypoints are taken", len(chosen), len(images))
    return found, chosen


def _kept(found: dict) -> dict:
    """Return what is needed of an object of the file, as soon as it is read."""
    if "image_id" in found:
        return {key: found[key] for key in ANNOTATION_KEYS}
    return {key: found[key] for key in IMAGE_KEYS} if "file_name" in found else found


def choose_own(
    path, folder, count: int, exif: str = "auto", unreadable: str = "error", unfit=()
) -> tuple[dict, list[dict]]:
    """Choose images of the user's, evenly spread over those with annotated keypoints, by file name.

    Args:
        path: of the annotations, read like those of a data set of kind folder.
        folder: of the images.
        count: how many are taken; all where there are fewer.
        exif, unreadable: keys of the config's dataset.
        unfit: names that given.check_calibration gave.

    Returns (all annotations in COCO's form, the images that are taken), as choose_train does. Raises
    PoseGaugeError with every fault, a line each.
    """
    found = annotations_of.read(path, folder, None, exif)
    if found.faults:
        raise PoseGaugeError("\n".join(found.faults))
    taken = images_of.take(folder, annotations_of.as_written(found), exif, unreadable, unfit)
    data = images_of.turn_data(found.data, taken.turned)
    for note in (*found.notes, *taken.notes):
        log.info("%s: %s", path, note)
    entries = with_keypoints(taken.entries, data)
    if not entries:
        raise PoseGaugeError(nobody(path))
    return data, spread(entries, count)


def with_keypoints(entries: list[dict], data: dict) -> list[dict]:
    """Return the images with a single person in a box who has a labelled keypoint.

    entries: of images. data: annotations in COCO's form.
    """
    annotated = _annotated(data["annotations"])
    return [entry for entry in entries if entry["id"] in annotated]


def nobody(path) -> str:
    """Return what is said of annotations without such an image."""
    return (
        f"{path}: no image has an annotated person with keypoints and a box (iscrowd 0), expected one at "
        "least: name other images"
    )


def _annotated(annotations: list[dict]) -> set:
    return {
        a["image_id"]
        for a in annotations
        if a["category_id"] == PERSON and not a["iscrowd"] and a["num_keypoints"] and min(a["bbox"][2:]) > 0
    }


def _file_name(image: dict) -> str:
    return image["file_name"]


# -------------------------------------------------------------------------------- what is scored is not taken


def shared(folder, names, scored_folder, scored_names) -> list[tuple[str, str]]:
    """Return which images of a folder are also images that are scored, by their sha256: (name, name there).

    Only files of the same size are read; those that are not there are passed over.
    """
    by_size: dict = {}
    for name in scored_names:
        if (size := _size(Path(scored_folder) / name)) is not None:
            by_size.setdefault(size, []).append(name)
    digests: dict = {}
    found = []
    for name in names:
        path = Path(folder) / name
        for other in by_size.get(_size(path), ()):
            if other not in digests:
                digests[other] = sha256_file(Path(scored_folder) / other)
            if sha256_file(path) == digests[other]:
                found.append((name, other))
                break
    return found


def refuse_shared(folder, entries: list[dict], scored_folder, scored_images) -> None:
    """Raise PoseGaugeError naming images of a folder that are scored, too.

    entries: those of the folder. scored_images: path of the data set's person_images.json.
    """
    scored = [entry["file_name"] for entry in read_json(scored_images)["images"]]
    if pairs := shared(folder, [entry["file_name"] for entry in entries], scored_folder, scored):
        raise PoseGaugeError(f"precision.calibration: {shared_fault(folder, pairs)}")


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def shared_fault(folder, pairs: list[tuple[str, str]]) -> str:
    """Return what is said of images that `shared` found."""
    told = [f"{name} = {other}" for name, other in pairs]
    more = ", ..." if len(told) > SHOWN else ""
    return (
        f"{folder}: calibration and scores would share images: {len(told)} are also images of the data set: "
        f"{', '.join(told[:SHOWN])}{more}; take them out of one of both, or say precision.calibration: scenes"
    )
