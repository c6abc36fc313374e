"""The config as rules hand it on: single keys of it, and its paths as they are seen from elsewhere."""

import copy
import os
from pathlib import Path

from posegauge.errors import PoseGaugeError, nearest

# The keys that may hold a path of a file or folder to read.
PATHS = (
    "dataset.images",
    "dataset.annotations",
    "models.detector.config",
    "models.detector.checkpoint",
    "models.detector.onnx",
    "models.pose.config",
    "models.pose.checkpoint",
    "models.pose.onnx",
    "precision.calibration.images",
    "precision.calibration.annotations",
    "video.input",
    "detect_every.clip",
    "detect_every.annotations",
    "reference",
)


def part(config: dict, keys) -> dict:
    """Return a config with some keys alone, "benchmark.image" being a key inside another, sorted by name.

    A script that is given this can read nothing whose change does not run it again. PoseGaugeError when there
    is no such key.
    """
    found: dict = {}
    for key in sorted(keys):
        source, target = config, found
        *outer, last = key.split(".")
        for place, word in enumerate((*outer, last)):
            if not isinstance(source, dict) or word not in source:
                near = nearest(word, source if isinstance(source, dict) else ())
                raise PoseGaugeError(f"chosen({key!r}): the config has no such key{near}")
            if place == len(outer):
                target[last] = source[last]
            else:
                source, target = source[word], target.setdefault(word, {})
    return found


def find_files(config: dict, repository: Path, absolute: bool) -> dict:
    """Return a copy of a config, checked or not, whose paths lead to files that exist, if any.

    A path is looked for from the working directory, then from the repository. What the workflow itself
    makes, under data/ except data/demo/, stays as it is; ~ is the home folder.
    absolute: write out those of the working directory.
    """

    def found(value: str) -> str:
        path = Path(value := os.path.expanduser(value))
        made = path.parts[:1] == ("data",) and path.parts[1:2] != ("demo",)
        if path.is_absolute() or made or "::" in value:
            return value
        if path.exists():
            return str(path.resolve()) if absolute else value
        return str(repository / path) if (repository / path).exists() else value

    return _with_paths(config, found)


def placed(config: dict, place) -> dict:
    """Return a copy of a config in which place(path) stands for every path, as scripts are to read it."""
    return _with_paths(config, lambda value: value if "::" in value else str(place(value)))


def _with_paths(config: dict, changed) -> dict:
    config = copy.deepcopy(config)
    for key in PATHS:
        *outer, last = key.split(".")
        inner = config
        for word in outer:
            inner = inner.get(word) if isinstance(inner, dict) else None
        if isinstance(inner, dict) and isinstance(inner.get(last), str):
            inner[last] = changed(inner[last])
    return config
