"""The user's own annotations and images, checked before the first job: all faults at once."""

import contextlib
import json
from pathlib import Path

from posegauge.data import annotations, coco
from posegauge.errors import PoseGaugeError
from posegauge.store.files import sha256_file, sha256_json, write_json


def check_given(config: dict, verdict=None) -> list[str]:
    """Check what a data set of kind folder consists of, and say what was taken on the user's behalf.

    Args:
        config: the checked config, paths as the caller sees them.
        verdict: file that keeps the last good verdict, so that nothing is read twice; None: none.

    Returns:
        Notes, one sentence each.

    Raises:
        PoseGaugeError: every fault of the annotations and of the images, a line each.
    """
    dataset = config["dataset"]
    asked = sha256_json(
        [config, {path.name: sha256_file(path) for path in Path(__file__).parent.glob("*.py")}]
    )
    if verdict is not None and (notes := _kept(verdict, asked)) is not None:
        return notes
    path, folder = Path(dataset["annotations"]), Path(dataset["images"])
    read = annotations.read(path, folder, dataset["max_images"])
    faults = read.faults + coco.person_count_faults(read, path, dataset["expected_person_images"])
    notes = list(read.notes)
    # Here the images: faults, notes = images.check(folder, [those of read.taken that are there], config)
    if faults:
        raise PoseGaugeError("\n".join(faults))
    if verdict is not None:
        files = {str(file): _state(file) for file in (path, *(folder / e["file_name"] for e in read.taken))}
        # It only saves time.
        with contextlib.suppress(OSError):
            write_json(verdict, {"asked": asked, "files": files, "notes": notes}, indent=None)
    return notes


def _state(path) -> list[int] | None:
    """Return the size and time of a file; None when it is not there."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def _kept(verdict, asked: str) -> list[str] | None:
    """Return the notes of the last good verdict; None when anything has changed since."""
    try:
        last = json.loads(Path(verdict).read_text(encoding="utf-8"))
        same = last["asked"] == asked and all(_state(path) == was for path, was in last["files"].items())
        return last["notes"] if same else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
