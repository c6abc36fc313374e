"""The user's own annotations and images, checked before the first job: all faults at once."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from posegauge.errors import PoseGaugeError
from posegauge.store.files import sha256_file, sha256_json, write_json

if TYPE_CHECKING:
    from posegauge.data.annotations import Annotations

# What of the config decides whether data are good.
ASKED = ("dataset", "suites", "conditions", "coco_c", "grids")


@dataclass(frozen=True)
class Given:
    """What is known of good data."""

    notes: list[str]  # what was taken on the user's behalf, a sentence each
    unfit: list[str]  # images of a size that the run cannot take, where dataset.unreadable says skip
    images: str  # a digest of the names, sizes and times of the images of the run


def check_given(config: dict, verdict=None) -> Given:
    """Check what a data set of kind folder consists of.

    Args:
        config: the checked config, paths as the caller sees them.
        verdict: file that keeps the last good verdict, so that nothing is read twice; None: none.

    Raises:
        PoseGaugeError: every fault of the annotations and of the images, a line each.
    """
    return _once(config, lambda: _look(config)[:2], verdict)


def check_calibration(config: dict, verdict=None) -> Given:
    """Check a folder of the user's whose images set the ranges of INT8, like a data set of kind folder.

    Args:
        config, verdict: as for check_given; precision.calibration names images and annotations.

    Raises:
        PoseGaugeError: every fault, a line each; that nobody in them has keypoints; that images are also
            those of a data set of kind folder, by their content.
    """
    own = config["precision"]["calibration"]
    same = {key: config["dataset"][key] for key in ("exif", "unreadable")}
    view = {
        **config,
        "dataset": {**own, **same, "max_images": None, "expected_person_images": None},
        # No corruption is made of them, and no key names one of them.
        "suites": [],
        "benchmark": {"image": None},
        "grids": {"scene": None, "images": None},
    }
    scored = config["dataset"] if config["dataset"]["kind"] == "folder" else None
    try:
        return _once(view, lambda: _look_at_calibration(view, scored), verdict, scored)
    except PoseGaugeError as error:
        lines = str(error).splitlines()
        raise PoseGaugeError("\n".join(f"precision.calibration: {line}" for line in lines)) from None


def _once(config: dict, look: Callable, verdict, *more) -> Given:
    """Return the last good verdict on this config and `more`; else what look() finds, which is kept."""
    code = {path.name: sha256_file(path) for path in Path(__file__).parent.glob("*.py")}
    asked = sha256_json(
        [
            code,
            {key: config[key] for key in ASKED},
            config["models"]["detector"]["input_size"],
            config["benchmark"]["image"],
            *more,
        ]
    )
    if verdict is not None and (kept := _kept(verdict, asked)):
        return kept
    found, files = look()
    if verdict is not None:
        # It only saves time.
        with contextlib.suppress(OSError):
            write_json(verdict, {"asked": asked, "files": files, **vars(found)}, indent=None)
    return found


def _look(config: dict) -> "tuple[Given, dict, Annotations]":
    """Look through annotations and images; config and errors as check_given's.

    Returns (what is known of them, {file: its state}, the annotations as read).
    """
    # Here and not above: they load OpenCV and Pillow, and a run that begins again needs neither.
    from posegauge.data import annotations, coco, images

    dataset = config["dataset"]
    path, folder = Path(dataset["annotations"]), Path(dataset["images"])
    read = annotations.read(path, folder, dataset["max_images"], dataset["exif"])
    faults = read.faults + coco.person_count_faults(read, path, dataset["expected_person_images"])
    # The others are told with the annotations.
    there = [entry for entry in annotations.as_written(read) if (folder / entry["file_name"]).is_file()]
    looked = images.check(folder, there, config)
    if faults or looked.faults:
        raise PoseGaugeError("\n".join(faults + looked.faults))
    names = [entry["file_name"] for entry in read.taken]
    states = {name: _state(folder / name) for name in names}
    found = Given(read.notes + looked.notes, looked.unfit, sha256_json(states))
    files = {str(path): _state(path), **{str(folder / name): states[name] for name in names}}
    return found, files, read


def _look_at_calibration(config: dict, scored: dict | None) -> tuple[Given, dict]:
    """See check_calibration. scored: of a data set of kind folder its part of the config."""
    from posegauge.data import annotations, calibration

    found, files, read = _look(config)
    path, folder = (Path(config["dataset"][key]) for key in ("annotations", "images"))
    taken = calibration.with_keypoints(read.taken, read.data)
    if not taken:
        raise PoseGaugeError(calibration.nobody(path))
    if scored is None:
        return found, files
    names = []
    # Faults of the data set's own are told by check_given.
    with contextlib.suppress(PoseGaugeError):
        theirs = annotations.read(
            scored["annotations"], scored["images"], scored["max_images"], scored["exif"]
        )
        names = [entry["file_name"] for entry in theirs.taken]
    pairs = calibration.shared(folder, [entry["file_name"] for entry in taken], scored["images"], names)
    if pairs:
        raise PoseGaugeError(calibration.shared_fault(folder, pairs))
    theirs = [Path(scored["annotations"]), *(Path(scored["images"]) / name for name in names)]
    return found, files | {str(path): _state(path) for path in theirs}


def _state(path) -> list[int] | None:
    """Return the size and time of a file; None when it is not there."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def _kept(verdict, asked: str) -> Given | None:
    """Return the last good verdict; None when anything has changed since."""
    try:
        last = json.loads(Path(verdict).read_text(encoding="utf-8"))
        same = last["asked"] == asked and all(_state(path) == was for path, was in last["files"].items())
        return Given(last["notes"], last["unfit"], last["images"]) if same else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
