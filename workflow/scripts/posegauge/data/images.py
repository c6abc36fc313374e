"""The images of a data set, looked through before they are used: whether each can be read, fits its
annotations, and has a size for what will be done to it.

The annotations of an image that its EXIF turns may have been made on the turned picture or on the stored one.
The sizes tell where only one way fits; elsewhere the key dataset.exif does.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from posegauge.data import corruptions
from posegauge.data.image_formats import (
    LARGEST_SIDE_PX,
    MIRRORED,
    UPRIGHT,
    Header,
    ImageFault,
    decode,
    read_header,
    upright_points,
)
from posegauge.errors import PoseGaugeError, nearest
from posegauge.pipeline.keypoint_sets import COCO
from posegauge.settings.check import conditions

# Names in a message.
SHOWN = 5


# Up to so many pixels in all, a few seconds of work, every image is decoded before the first job; more are
# decoded by the job that lists them.
DECODED_AT_ONCE = 300_000_000


class Unclear(ImageFault):
    """An image that can be read in two ways; a key must say in which."""


class Unfit(ImageFault):
    """An image of a size that the run cannot take."""


@dataclass(frozen=True)
class Limits:
    """What the run needs of the size of its images, in pixels, and which condition it is that needs it."""

    width: tuple[int, str] = (1, "")
    height: tuple[int, str] = (1, "")
    largest: tuple[int, str] = (LARGEST_SIDE_PX, "")
    detector: tuple[int, int] | None = None  # width and height of the detector's input


@dataclass
class Survey:
    """What looking through the images gave."""

    entries: list[dict]  # those to be used, with the width and height of the upright picture
    left_out: list[ImageFault] = field(default_factory=list)
    unclear: list[Unclear] = field(default_factory=list)
    # {image id: EXIF orientation} of those that were annotated as stored, and the size in which they were.
    turned: dict = field(default_factory=dict)
    by_size: list[str] = field(default_factory=list)  # those of them of which the size tells it


# --------------------------------------------------------------------------------------- looking through them


def limits(config: dict) -> Limits:
    """Return what the run with this config needs of the size of its images."""
    names = conditions(config)
    least = {name: corruptions.least_size(name) for name in names}
    largest = {name: corruptions.largest_side(name) for name in names}
    bounds = {name: bound for name, bound in largest.items() if bound}
    return Limits(
        max((least[name][0], name) for name in names),
        max((least[name][1], name) for name in names),
        min(((bound, name) for name, bound in bounds.items()), default=(LARGEST_SIDE_PX, "")),
        tuple(config["models"]["detector"]["input_size"]),
    )


def survey(folder, entries: list[dict], exif: str, needed: Limits, pixels: bool | int = True) -> Survey:
    """Look through the images of a data set.

    Args:
        folder: of the images.
        entries: id, file_name, width, height; width and height None: as the file says.
        exif: dataset.exif, which decides where the size of a turned picture cannot.
        needed: what the run needs of their size.
        pixels: decode each, True or False; a number: where all have up to so many pixels together.

    Returns what was found; nothing about a file is raised.
    """
    folder = Path(folder)
    headers = _each(lambda entry: read_header(folder / entry["file_name"]), entries)
    area = sum(found.width * found.height for found in headers if isinstance(found, Header))
    if pixels if isinstance(pixels, bool) else area <= pixels:
        decoded = _each(lambda entry: decode(folder / entry["file_name"]) is None, entries)
    else:
        decoded = [None] * len(entries)
    result = Survey([])
    for entry, header, image in zip(entries, headers, decoded, strict=True):
        try:
            for found in (header, image):
                if isinstance(found, ImageFault):
                    raise found
            stored = _annotated_as_stored(folder, entry, header, exif)
            _check_size(folder / entry["file_name"], header, needed)
        except Unclear as error:
            result.unclear.append(error)
        except ImageFault as error:
            result.left_out.append(error)
        else:
            width, height = header.shown
            result.entries.append({**entry, "width": width, "height": height})
            if stored:
                result.turned[entry["id"]] = (header.turn, (header.width, header.height))
                if stored == "size":
                    result.by_size.append(entry["file_name"])
    return result


def _each(look: Callable, entries: list[dict]) -> list:
    """Return what look(entry) gives, or the ImageFault that it raises, for all entries; in threads."""

    def seen(entry):
        try:
            return look(entry)
        except ImageFault as error:
            return error

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        return list(threads.map(seen, entries))


def _annotated_as_stored(folder: Path, entry: dict, header: Header, exif: str) -> str | None:
    """Say by what ("size" or "key") it is known that a picture was annotated as stored; None: it was not.

    Raises ImageFault where neither way fits, Unclear where both do.
    """
    path = folder / entry["file_name"]
    annotated = entry["width"], entry["height"]
    stored = header.width, header.height
    if None in annotated:
        annotated = header.shown if header.shown == stored else None
    if annotated is not None and annotated not in (stored, header.shown):
        raise ImageFault(
            path,
            "another size than the annotations say",
            "take the images that were annotated, or write their size and what was annotated anew",
            f"{stored[0]}x{stored[1]}{f', turned by EXIF {header.turn}' if header.turn != UPRIGHT else ''}, "
            f"annotated {annotated[0]}x{annotated[1]}",
        )
    if header.turn == UPRIGHT:
        return None
    if annotated is not None and stored != header.shown:
        return "size" if annotated == stored else None
    if exif == "auto":
        raise Unclear(
            path,
            "turned by EXIF in a way that the annotated size does not show, so it is not known whether the "
            "annotations were made on the turned picture",
            "say dataset.exif: applied (on the turned one, as most tools show it) or dataset.exif: ignored "
            "(on the stored one)",
            f"orientation {header.turn}",
        )
    return "key" if exif == "ignored" else None


def _check_size(path, header: Header, needed: Limits) -> None:
    width, height = header.shown
    for what, side, (least, condition) in (("width", width, needed.width), ("height", height, needed.height)):
        if side < least:
            raise Unfit(
                path,
                f"too small: {condition} needs a {what} of {least} pixels",
                "leave such images out of the annotations, or run without that condition",
                f"{width}x{height}",
            )
    if max(width, height) > needed.largest[0]:
        raise Unfit(
            path,
            f"too large: {needed.largest[1]} takes up to {needed.largest[0]} pixels on a side",
            "scale image and annotations down, or run without that condition",
            f"{width}x{height}",
        )
    if needed.detector:
        factor = min(needed.detector[0] / width, needed.detector[1] / height)
        if int(min(width, height) * factor + 0.5) < 1:
            raise Unfit(
                path,
                "too narrow: nothing is left of it when it is scaled into the detector's input of "
                f"{needed.detector[0]} x {needed.detector[1]}",
                "cut such images, or leave them out of the annotations",
                f"{width}x{height}",
            )


# -------------------------------------------------------------------------------------------- what is said


@dataclass
class Verdict:
    """What is said of the images before the first job: faults and notes are sentences."""

    faults: list[str]
    notes: list[str]  # what was taken on the user's behalf
    unfit: list[str]  # names of images that the run's conditions cannot take, where they are to be left out


def check(folder, entries: list[dict], config: dict) -> Verdict:
    """Look through the images before the first job; nothing about them is raised.

    Args:
        folder: of the images.
        entries: those that the run takes, as in person_images.json; width and height may be None.
        config: the checked config.
    """
    found = survey(folder, entries, config["dataset"]["exif"], limits(config), DECODED_AT_ONCE)
    faults, notes = _told(folder, found, len(entries), config["dataset"]["unreadable"])
    unfit = [_name(folder, fault) for fault in found.left_out if isinstance(fault, Unfit)]
    faults += _same_files(folder, entries) + ([] if faults else _not_taken(found, config))
    return Verdict(faults, notes, unfit)


@dataclass
class Taken:
    """What the run takes of the images, and what it leaves out."""

    entries: list[dict]  # as Survey's
    left_out: list[str]  # names, by the order of the entries
    turned: dict  # as Survey's
    notes: list[str]


def take(folder, entries: list[dict], exif: str, unreadable: str, unfit=()) -> Taken:
    """Decode all images and return what the run takes of them.

    Args:
        folder: of the images.
        entries: as for `check`.
        exif, unreadable: keys of the data set.
        unfit: names that `check` gave.

    Raises:
        PoseGaugeError: every fault of the images, a line each.
    """
    unfit = set(unfit)
    found = survey(folder, [e for e in entries if e["file_name"] not in unfit], exif, Limits())
    faults, notes = _told(folder, found, len(entries), unreadable)
    if faults:
        raise PoseGaugeError("\n".join(faults))
    if unfit:
        notes.append(f"left out: {len(unfit)} of {len(entries)} images: too small or too large for this run")
    taken = {entry["file_name"] for entry in found.entries}
    left_out = [entry["file_name"] for entry in entries if entry["file_name"] not in taken]
    return Taken(found.entries, left_out, found.turned, notes)


def _told(folder, found: Survey, total: int, unreadable: str) -> tuple[list[str], list[str]]:
    """Return (faults, notes), a sentence for each kind, with how many images and the first of them."""
    faults, notes = _sentences(folder, found.unclear, total), _turned_notes(found)
    kinds = _sentences(folder, found.left_out, total)
    if unreadable == "error":
        return [
            *faults,
            *(f"{kind}; or set dataset.unreadable: skip to leave such images out" for kind in kinds),
        ], notes
    if kinds and not found.entries and not found.unclear:
        faults += [*kinds, f"{folder}: none of the {total} images is left"]
    return faults, [*notes, *(f"left out: {kind}" for kind in kinds)]


def _not_taken(found: Survey, config: dict) -> list[str]:
    """Say which images that the config names are not among those to be used."""
    left_out = {Path(fault.path).name for fault in found.left_out}
    named = [("benchmark.image", config["benchmark"]["image"]), ("grids.scene", config["grids"]["scene"])]
    named += [("grids.images", name) for name in config["grids"]["images"] or ()]
    taken = [entry["file_name"] for entry in found.entries]
    return [
        f"config key {key}: {name} is left out (dataset.unreadable: skip); name another"
        if Path(name).name in left_out
        else f"config key {key}: {name} is no image with persons that the run takes{nearest(name, taken)}"
        for key, name in named
        if name is not None and name not in taken
    ]


def _sentences(folder, faults: list[ImageFault], total: int) -> list[str]:
    kinds: dict = {}
    for fault in faults:
        kinds.setdefault((fault.what, fault.remedy), []).append(fault)
    return [
        f"{folder}: {len(alike)} of {total} images: {what}: {_names(folder, alike)}; {remedy}"
        for (what, remedy), alike in kinds.items()
    ]


def _names(folder, faults: list[ImageFault]) -> str:
    details = [f" ({fault.detail})" if fault.detail else "" for fault in faults[:SHOWN]]
    shown = [f"{_name(folder, fault)}{detail}" for fault, detail in zip(faults, details, strict=False)]
    return ", ".join([*shown, "..."] if len(faults) > SHOWN else shown)


def _name(folder, fault: ImageFault) -> str:
    return Path(fault.path).relative_to(folder).as_posix()


def _turned_notes(found: Survey) -> list[str]:
    by_key = len(found.turned) - len(found.by_size)
    ways = ((len(found.by_size), "as their size shows"), (by_key, "as dataset.exif says"))
    return [
        f"{count} images turned by EXIF were annotated as stored, {how}: their annotations are turned, too"
        for count, how in ways
        if count
    ]


def _same_files(folder, entries: list[dict]) -> list[str]:
    """Say which images of the annotations are one file: links, or names that differ in case alone."""
    names: dict = {}
    for entry in entries:
        try:
            status = os.stat(Path(folder) / entry["file_name"])
        except OSError:
            continue
        # Of equal copies some tools make hard links.
        if status.st_nlink == 1:
            names.setdefault((status.st_dev, status.st_ino), []).append(entry["file_name"])
    twice = [f"{' = '.join(alike)}" for alike in names.values() if len(alike) > 1]
    if not twice:
        return []
    more = ", ..." if len(twice) > SHOWN else ""
    return [
        f"{folder}: {len(twice)} files stand for more than one image of the annotations: "
        f"{', '.join(twice[:SHOWN])}{more}; each image needs a file of its own"
    ]


# ------------------------------------------------------------------------------------- annotations, turned


def turn_data(data: dict, turned: dict) -> dict:
    """Return annotations in COCO's form as they lie on the upright pictures.

    data: images, and annotations with bbox and keypoints. turned: as in Survey. Where the stored picture is a
    mirror image, whoever annotated it took left for right. Segmentations are left out: nothing reads them.
    """
    images = []
    for entry in data["images"]:
        if entry["id"] in turned:
            turn, size = turned[entry["id"]]
            width, height = Header("", *size, turn).shown
            entry = {**entry, "width": width, "height": height}
        images.append(entry)
    annotations = [
        _turn(annotation, *turned[annotation["image_id"]]) if annotation["image_id"] in turned else annotation
        for annotation in data["annotations"]
    ]
    return {**data, "images": images, "annotations": annotations}


def _turn(annotation: dict, turn: int, size: tuple[int, int]) -> dict:
    x, y, width, height = annotation["bbox"]
    corners = upright_points(np.array([[x, y], [x + width, y + height]], float), size, turn)
    left, top = corners.min(0).tolist()
    right, bottom = corners.max(0).tolist()
    found = {key: value for key, value in annotation.items() if key != "segmentation"}
    found |= {"bbox": [left, top, right - left, bottom - top], "segmentation": []}
    if "keypoints" in annotation:
        points = np.reshape(annotation["keypoints"], (-1, 3)).astype(float)
        labelled = points[:, 2] > 0
        last = size[0] - 1, size[1] - 1
        points[labelled, :2] = upright_points(points[labelled, :2], last, turn)
        if turn in MIRRORED:
            points = points[list(COCO.mirrored)]
        found["keypoints"] = points.ravel().tolist()
    return found


# ------------------------------------------------------------------------------------------ reading one


def read_image(path, width: int | None = None, height: int | None = None) -> np.ndarray:
    """Read an image upright as uint8 BGR [height, width, 3], or raise PoseGaugeError naming the file.

    width, height: the size in person_images.json; another size is an error, since no keypoint would fit.
    """
    image = decode(path)
    size = image.shape[1], image.shape[0]
    if (width, height) != (None, None) and size != (width, height):
        raise ImageFault(
            path,
            "another size than the annotations say",
            "was it changed since they were made?",
            f"{size[0]}x{size[1]}, annotated {width}x{height}",
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
