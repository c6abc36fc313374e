"""Pairs of networks whose authors publish AP and times: facts for the board, apart from measured rows."""

from pathlib import Path

import yaml

from posegauge.errors import PoseGaugeError
from posegauge.report.markdown import cell
from posegauge.study import BENCHMARKS, RUNTIME_TITLES

KEYS = ("source", "ap", "conditions", "interval", "machines", "pairs")
PAIR_KEYS = ("title", "detector", "pose", "gmacs", "ap", "cpu_ms", "gpu_ms")


def read(path) -> dict:
    """Read config/published_pairs.yaml; PoseGaugeError names a key that is missing."""
    facts = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    missing = [key for key in KEYS if key not in facts]
    missing += [
        f"pairs.{name}.{key}"
        for name, pair in facts.get("pairs", {}).items()
        for key in PAIR_KEYS
        if key not in pair
    ]
    if missing:
        raise PoseGaugeError(f"{path}: lacks {', '.join(missing)}")
    return facts


def find(facts: dict, detector: str, pose: str) -> dict | None:
    """Return the pair of two configs, by their file names without .py; None where it is not published."""
    pairs = facts["pairs"].values()
    return next((pair for pair in pairs if (pair["detector"], pair["pose"]) == (detector, pose)), None)


def rows(facts: dict, study: dict) -> list[dict]:
    """Return the published rows, none of them like for like: {"title", "machine", "short", "runtime",
    "interval", "ms", "ap", "conditions", "source"}; ms: milliseconds per frame, the mean where told; ap:
    None where none is published.

    facts: of read. study: config/published_t4.yaml as published.read_published reads it.
    """
    found = []
    for pair in facts["pairs"].values():
        for device, on in facts["machines"].items():
            if pair[f"{device}_ms"] is not None:
                found.append(
                    {
                        "title": pair["title"],
                        "machine": on["machine"],
                        "short": f"{on['short']}, {on['runtime']}",
                        "runtime": f"{on['runtime']} {on['version']} {on['precision'].upper()}",
                        "interval": facts["interval"],
                        "ms": pair[f"{device}_ms"],
                        "ap": pair["ap"],
                        "conditions": facts["conditions"],
                        "source": facts["source"],
                    }
                )
    for name, row in study["benchmark"].items():
        benchmark = BENCHMARKS[name]
        if benchmark.pipeline == "full":
            on_cpu = benchmark.artifact.device == "cpu"
            found.append(
                {
                    "title": "RTMDet-m + RTMPose-m (the study)",
                    "machine": "a processor that is not told" if on_cpu else study["machine"],
                    "short": "the study",
                    "runtime": f"{RUNTIME_TITLES[benchmark.artifact.runtime]} "
                    f"{benchmark.artifact.precision.upper()}",
                    "interval": 1,
                    "ms": row["latency_ms_mean"],
                    "ap": None,
                    "conditions": cell(row["fault"]),
                    "source": study["source"],
                }
            )
    return found
