"""The key `precision.calibration`: what sets the ranges of INT8, and the checks of it."""

from pathlib import Path

KEY = "precision.calibration"


def kind(config: dict) -> str:
    """Return what sets the ranges of INT8 of a checked config, a key of study.CALIBRATION_TITLES.

    auto: images of COCO's other part for COCO; for all else scenes, for which nothing has to be fetched.
    """
    given = config["precision"]["calibration"]
    if isinstance(given, dict):
        return "folder"
    if given == "auto":
        return "train2017" if config["dataset"]["kind"] == "coco" else "scenes"
    return given


def problems(values):
    """Yield a line for every fault of a folder of the user's. values: see check._Combinations.values."""
    for key, exists, what in (("images", Path.is_dir, "folder"), ("annotations", Path.exists, "file")):
        if (found := values(f"{KEY}.{key}")) and not exists(Path(found[0])):
            yield f"{KEY}.{key}: no {what} '{found[0]}' (seen from {Path.cwd()})"
