"""Where a result comes from: files with their sha256, machine, versions, threads, config, revision."""

from pathlib import Path

from posebench import hardware
from posebench.results import sha256_json

DEFAULT_CONFIG = "config/config.yaml"
PACKAGES = (
    "torch",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorrt",
    "mmengine",
    "mmcv",
    "mmcv-lite",
    "mmdet",
    "mmpose",
    "opencv-python",
    "numpy",
    "pycocotools",
    "imagecorruptions-imaug",
    "scikit-image",
    "scipy",
    "numba",
    "pillow",
)


def override_files(config_files) -> list[str]:
    """Return the config files that are laid over the default one, as paths from the working directory.

    A file elsewhere is given by its name alone: the path to it would help nobody else.
    """
    here = Path.cwd()
    files = [Path(name).resolve() for name in config_files]
    names = [str(file.relative_to(here)) if file.is_relative_to(here) else file.name for file in files]
    return [name for name in names if name != DEFAULT_CONFIG]


def collect(config: dict, sessions: dict, threads: int, root=".") -> dict:
    """Describe what this job uses, measured inside it.

    Args:
        config: the whole config of the run.
        sessions: {"detector" / "pose": session of posebench.backends, or None}.
        threads: CPU threads that the job was told to use.
        root: folder of the repository, for its revision.

    Returns:
        The `provenance` object of a result file.
    """
    backends = {role: session.provenance() for role, session in sessions.items() if session}
    backend = next(iter(backends.values()), {})
    return {
        "artifacts": {
            role: {"file": str(used["file"]), "sha256": used["sha256"]} for role, used in backends.items()
        },
        "backend": {key: value for key, value in backend.items() if key not in ("file", "sha256")},
        "machine": hardware.fingerprint(),
        "versions": hardware.versions(*PACKAGES),
        "threads": threads,
        "config_sha256": sha256_json(config),
        "git_revision": hardware.git_revision(root),
    }
