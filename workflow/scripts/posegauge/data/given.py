"""The user's own annotations and images, checked before the first job: all faults at once."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

from posegauge.errors import PoseGaugeError
from posegauge.store.files import sha256_file, sha256_json, write_json

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
    dataset = config["dataset"]
    code = {path.name: sha256_file(path) for path in Path(__file__).parent.glob("*.py")}
    asked = sha256_json(
        [
            code,
            {key: config[key] for key in ASKED},
            config["models"]["detector"]["input_size"],
            config["benchmark"]["image"],
        ]
    )
    if verdict is not None and (kept := _kept(verdict, asked)):
        return kept
    # Here and not above: they load OpenCV and Pillow, and a run that begins again needs neither.
    from posegauge.data import annotations, coco, images

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
    if verdict is not None:
        files = {str(path): _state(path), **{str(folder / name): states[name] for name in names}}
        # It only saves time.
        with contextlib.suppress(OSError):
            write_json(verdict, {"asked": asked, "files": files, **vars(found)}, indent=None)
    return found


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
