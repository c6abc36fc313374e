"""The user's own annotations and images, checked before the first job: all faults at once."""

from pathlib import Path

from posegauge.data import annotations
from posegauge.errors import PoseGaugeError


def check_given(config: dict, verdict=None) -> list[str]:
    """Check what a data set of kind folder consists of, and say what was taken on the user's behalf.

    Args:
        config: the checked config, paths as the caller sees them.
        verdict: file that keeps the last good verdict, so that what has not changed is not read again; None: none.

    Returns:
        Notes, one sentence each.

    Raises:
        PoseGaugeError: every fault of the annotations and of the images, a line each.
    """
    dataset = config["dataset"]
    faults, notes = [], []
    read = annotations.read(dataset["annotations"], dataset["images"])
    faults += read.faults
    notes += read.notes
    # Here the images: faults, notes = images.check(Path(dataset["images"]), entries, config)
    if faults:
        raise PoseGaugeError("\n".join(faults))
    return notes
