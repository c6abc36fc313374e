"""Configs for the tests of their check: the shipped files laid over each other, and what the check says."""

from pathlib import Path

import pytest
import yaml

from posegauge.errors import PoseGaugeError
from posegauge.settings import check

ROOT = Path(__file__).parents[1]


def load(*files: str) -> dict:
    """Merge config files as Snakemake does: groups of keys recursively, everything else replaced."""
    merged = {}

    def lay_over(below, above):
        for key, value in above.items():
            if isinstance(value, dict) and isinstance(below.get(key), dict):
                lay_over(below[key], value)
            else:
                below[key] = value

    for file in files:
        lay_over(merged, yaml.safe_load((ROOT / file).read_text(encoding="utf-8")))
    return merged


def put(config: dict, place: str, value) -> None:
    *groups, key = place.split(".")
    for group in groups:
        config = config[group]
    config[key] = value


def problems(config) -> list[str]:
    with pytest.raises(PoseGaugeError) as caught:
        check.check(config)
    heading, *lines = str(caught.value).splitlines()
    assert heading == f"config: {len(lines)} problem{'s' if len(lines) > 1 else ''}"
    assert all(line.startswith("  - ") for line in lines)
    return [line.removeprefix("  - ") for line in lines]


def only_problem(config) -> str:
    (line,) = problems(config)
    return line
