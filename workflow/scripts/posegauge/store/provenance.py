"""Where a result comes from: files with their sha256, machine, versions, threads, config, revision."""

import json
import shlex
from pathlib import Path

from posegauge import study
from posegauge.store import machine
from posegauge.store.files import sha256_json

DEFAULT_CONFIG = "config/config.yaml"


PACKAGES = (
    "torch",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "tensorrt-cu13",
    "tensorrt-rtx-cu13",
    "cuda-python",
    "mmengine",
    "mmcv",
    "mmcv-lite",
    "mmdet",
    "mmpose",
    "rtmlib",
    "opencv-python",
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


def override_files(config_files) -> list[str]:
    """Return the config files that are laid over the default one, as paths from the working directory.

    A file elsewhere is given by its name alone: the path to it would help nobody else.
    """
    here = Path.cwd()
    files = [Path(name).resolve() for name in config_files]
    names = [str(file.relative_to(here)) if file.is_relative_to(here) else file.name for file in files]
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


def collect(config: dict, sessions: dict, threads: int, root=".") -> dict:
    """Describe what this job uses, measured inside it.

    Args:
        config: the whole config of the run.
        sessions: {"detector" / "pose": session of posegauge.backends, or None}.
        threads: CPU threads that the job was told to use.
        root: folder of the repository, for its revision.

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
        "machine": machine.fingerprint(),
        "versions": machine.versions(*PACKAGES),
        "threads": threads,
        "config_sha256": sha256_json(config),
        "git_revision": machine.git_revision(root),
    }
