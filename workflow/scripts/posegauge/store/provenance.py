"""Where a result comes from: files with their sha256, machine, versions, threads, config, revision."""

import datetime
import json
import shlex
from pathlib import Path

from posegauge import study
from posegauge.store import machine
from posegauge.store.files import SCHEMAS, sha256_json

REPOSITORY = SCHEMAS.parents[1]


DEFAULT_CONFIG = "config/config.yaml"


PACKAGES = (
    "torch",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "tensorrt-cu12",
    "tensorrt-cu13",
    "tensorrt-rtx-cu12",
    "tensorrt-rtx-cu13",
    "cuda-python",
    "cuda-bindings",
    "nvidia-cudnn-cu12",
    "nvidia-cudnn-cu13",
    "mmengine",
    "mmcv",
    "mmcv-lite",
    "mmdet",
    "mmpose",
    "rtmlib",
    "opencv-python",
    "opencv-python-headless",
    "numpy",
    "pycocotools",
    "imagecorruptions-imaug",
    "scikit-image",
    "scipy",
    "numba",
    "pillow",
    "av",
)


# Keys of the config that choose what is compared, and change no result.
NO_RESULT = ("baseline", "candidate")


def override_files(config_files, repository=".") -> list[str]:
    """Return the config files that are laid over the default one, as paths from the repository.

    A file elsewhere is told from the working directory, or by its name alone: the path would help nobody.
    """
    roots = [Path(repository).resolve(), Path.cwd()]
    names = []
    for file in (Path(name).resolve() for name in config_files):
        root = next((root for root in roots if file.is_relative_to(root)), file.parent)
        names.append(str(file.relative_to(root)))
    return [name for name in names if name != DEFAULT_CONFIG]


def command(config_files: list[str], given: dict) -> str:
    """Return the command that makes a run again.

    config_files: of override_files. given: the keys given on the command line, after --config.
    """
    words = ["snakemake", "--cores", "all"]
    if config_files:
        words += ["--configfile", *config_files]
    keys = [
        f"{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in given.items()
        if key not in NO_RESULT
    ]
    return shlex.join([*words, *(["--config", *keys] if keys else [])])


def collect(config: dict, sessions: dict, threads: int, root=REPOSITORY, steps: dict | None = None) -> dict:
    """Describe what this job uses, measured inside it.

    Args:
        config: what the job was given of the config, with `models`; config_sha256 is the hash of that.
        sessions: {"detector" / "pose": session of posegauge.backends, or None}.
        threads: CPU threads that the job was told to use.
        root: folder of the repository, for its revision.
        steps: provenance of the pipeline's steps, where they run on a device.

    Returns:
        The `provenance` object of a result file.
    """
    backends = {role: session.provenance() for role, session in sessions.items() if session}
    backend = next(iter(backends.values()), {})
    timing_only = any(entry.get("random") for entry in config["models"].values())
    return {
        "weights": study.NOTICE if timing_only else "given",
        "artifacts": {
            role: {"file": str(used["file"]), "sha256": used["sha256"]} for role, used in backends.items()
        },
        "backend": {key: value for key, value in backend.items() if key not in ("file", "sha256")},
        # What really ran each network: nodes, CUDA graphs and precisions differ between them.
        "networks": {
            role: {key: value for key, value in used.items() if key not in ("file", "sha256")}
            for role, used in backends.items()
        },
        **({"steps": steps} if steps else {}),
        "machine": machine.fingerprint(),
        "versions": machine.versions(*PACKAGES),
        "threads": threads,
        "config_sha256": sha256_json(config),
        "git_revision": machine.git_revision(root),
        "made_at": now(),
    }


def now() -> str:
    """Return the time in UTC, to the second: 2026-11-26T09:30:00Z."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
