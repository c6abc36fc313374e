"""Films whose persons are annotated: their frames, and which image of the annotations is which frame."""

import itertools
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posegauge.data.annotations import read_annotations
from posegauge.data.video_files import Clip, read_clip, read_frames
from posegauge.errors import PoseGaugeError

_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class Film:
    """The frames of a film in memory, and the annotations of some or all of them."""

    clip: Clip
    frames: list[np.ndarray]  # uint8 [H, W, 3] BGR each
    annotations: dict | None  # of read_annotations; None: the film has none
    image_ids: dict  # frame number -> id of its image in the annotations; empty without


def frame_number(file_name: str) -> int | None:
    """Return the frame that an image of the annotations is, the last number in its name: 12 of frame_12.jpg.

    None where there is no number.
    """
    numbers = _NUMBER.findall(Path(file_name).stem)
    return int(numbers[-1]) if numbers else None


def annotated_frames(path, annotations: dict, clip: Clip) -> dict:
    """Return {frame number, from 0: image id} of annotations that fit a film.

    path: of the annotations, for messages. Raises PoseGaugeError where an image names no frame, one that
    another names, too, or has another size than the frames.
    """
    found = {}
    for image in annotations["images"]:
        name = image["file_name"]
        number = frame_number(name)
        if number is None:
            raise PoseGaugeError(
                f"{path}: image '{name}' names no frame of {clip.path}; expected the frame's number, from 0, "
                "at the end of its file_name, like frame_000012"
            )
        if number in found:
            raise PoseGaugeError(
                f"{path}: two images are frame {number}, the second is '{name}'; expected one"
            )
        if (image["width"], image["height"]) != (clip.width, clip.height):
            raise PoseGaugeError(
                f"{path}: image '{name}' has {image['width']}×{image['height']} pixels, the frames of "
                f"{clip.path} have {clip.width}×{clip.height} as shown; annotate the film as it is"
            )
        found[number] = image["id"]
    if not found:
        raise PoseGaugeError(f"{path}: holds no image, expected one for each annotated frame of {clip.path}")
    return dict(sorted(found.items()))


def check_film(path, annotations=None) -> None:
    """Raise PoseGaugeError where a film, or its annotations if there are any (a path), cannot be used."""
    clip = read_clip(path)
    if annotations:
        found = annotated_frames(annotations, read_annotations(annotations), clip)
        if clip.counted:
            _check_last(annotations, max(found), clip.frames, clip)


def _check_last(path, last: int, frames: int, clip: Clip) -> None:
    if last >= frames:
        raise PoseGaugeError(
            f"{path}: annotates frame {last}, but {clip.path} has 0 to {frames - 1}, counted from 0. "
            "Is it of another film, or counted from 1?"
        )


def read_film(path, annotations, most: int) -> Film:
    """Read the first `most` frames of a film.

    annotations: path, or None. Raises PoseGaugeError as check_film does, and where no frame that was read is
    annotated.
    """
    clip = read_clip(path)
    frames = [image for _, image in itertools.islice(read_frames(clip), most)]
    if not annotations:
        return Film(clip, frames, None, {})
    data = read_annotations(annotations)
    found = annotated_frames(annotations, data, clip)
    if len(frames) < most:
        _check_last(annotations, max(found), len(frames), clip)
    found = {number: image for number, image in found.items() if number < len(frames)}
    if not found:
        raise PoseGaugeError(
            f"{annotations}: none of the first {len(frames)} frames of {clip.path} is annotated; raise "
            "detect_every.frames, or set detect_every.annotations to null"
        )
    return Film(clip, frames, data, found)
