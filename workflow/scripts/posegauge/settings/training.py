"""The settings of the training of the demo's models, config/training.yaml."""

import functools
from pathlib import Path

import yaml

from posegauge.errors import PoseGaugeError

ROLES = ("detector", "pose")


@functools.cache
def _file(path) -> dict:
    found = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    for key in (*ROLES, "scenes", "threads", "degradation"):
        if key not in found:
            raise PoseGaugeError(f"{path}: the key '{key}' is missing")
    return found


def load(path, role: str) -> dict:
    """Return the settings of one network ('detector' or 'pose') with the keys that both share."""
    found = _file(path)
    common = {"threads": found["threads"], "degradation": found["degradation"]}
    return {**found[role], **common, "learn_at_most": found.get("learn_at_most")}


def scenes(path) -> dict:
    """Return the scenes to learn from and to check with: {"train", "val": {"images", "empty", "seed"}}."""
    return _file(path)["scenes"]
