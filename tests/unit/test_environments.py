"""The pip files and the conda files name the same versions, and no place to get them from."""

import re
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from posegauge.install import locks

ENVS = Path(__file__).parents[2] / "envs"
ROLES = sorted(path.stem for path in ENVS.glob("*.yaml"))


def pins(file: str) -> dict[str, str]:
    """Return {package: version} of a requirements file; every requirement must be an exact pin."""
    found = locks.read(file)
    versions = {pin.name: pin.version for pin in found}
    assert len(versions) == len(found), f"{file} names a package twice"
    return versions


def pip_of(role: str) -> dict[str, str]:
    """Return {package: version} of what a conda file leaves to pip."""
    pip = yaml.safe_load((ENVS / f"{role}.yaml").read_text(encoding="utf-8"))["dependencies"][-1]["pip"]
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in pip)}


def test_lock_holds_the_direct_requirements():
    direct, lock = pins("requirements.in"), pins("requirements-lock.txt")
    assert direct == {name: lock.get(name) for name in direct}


def test_lock_brings_no_cuda():
    names = set(pins("requirements-lock.txt")) | set(pins("requirements-torch.txt"))
    found = {name for name in names if re.match(r"nvidia|cuda|triton|tensorrt|onnxruntime-gpu", name)}
    # The first is Python alone, the others build engines for the tests, where there are wheels of them.
    rtx = {"tensorrt-rtx-cu13", "tensorrt-rtx-cu13-bindings", "tensorrt-rtx-cu13-libs"}
    assert found == {"nvidia-ml-py", *rtx}
    lock = (ENVS / "requirements-lock.txt").read_text(encoding="utf-8").splitlines()
    marker = " ; platform_machine == 'x86_64' and sys_platform == 'linux' \\"
    assert {line.partition("==")[0] for line in lock if line.endswith(marker)} == rtx


def test_lock_is_one_for_every_python_with_the_sha256_of_every_file():
    """One version of each package, whatever the Python: results differ by nothing that could be the same."""
    text = (ENVS / "requirements-lock.txt").read_text(encoding="utf-8")
    assert "python_version" not in text and "python_full_version" not in text
    entries = re.split(r"\n(?=\S)", re.sub(r"(?m)^ *#.*\n", "", text))
    assert len(entries) == len(pins("requirements-lock.txt"))
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)


@pytest.mark.parametrize("role", ROLES)
def test_conda_file_has_the_same_versions(role):
    known = {}
    for file in ("torch", "openmmlab", "tensorrt-cu13", "cuda13-lock", "lock"):
        known.update(pins(f"requirements-{file}.txt"))
    found = pip_of(role)
    assert found == {name: known.get(name) for name in found}
    assert not {"onnxruntime", "onnxruntime-gpu"} <= set(found)


def pulled_in(package: str) -> set[str]:
    """Return the package and all that it asks for, as installed here, in lower case."""
    found, new = set(), {package}
    while new:
        name = new.pop()
        found.add(name)
        asked = map(Requirement, metadata.requires(name) or [])
        names = {canonicalize_name(e.name) for e in asked if not e.marker or e.marker.evaluate()}
        new |= names - found
    return found


@pytest.mark.parametrize("role", ROLES)
def test_every_role_makes_conditions_from_the_same_packages(role):
    """The bytes of COCO-C come from several libraries, so none of them is left to pip's choice."""
    needed = pulled_in("imagecorruptions-imaug")
    assert {"numba", "scikit-image", "pillow"} <= needed
    assert needed <= set(pip_of(role))
    assert needed <= set(pins("requirements-lock.txt"))


def test_lock_holds_all_that_the_cluster_plugin_pulls_in():
    assert {"snakemake-executor-plugin-slurm-jobstep", "throttler", "numpy", "pandas"} <= (
        needed := pulled_in("snakemake-executor-plugin-slurm")
    )
    assert needed - {"snakemake-executor-plugin-slurm"} <= set(pins("requirements-lock.txt"))


def test_lock_holds_all_that_pytorch_pulls_in_besides_cuda():
    needed = {name for name in pulled_in("torch") if not re.match(r"nvidia|cuda|triton", name)}
    assert needed - {"torch"} <= set(pins("requirements-lock.txt"))


def test_one_opencv_one_imagecorruptions_and_numpy_2():
    """Packages that own the same folder overwrite each other; warpAffine of OpenCV 5 makes other crops."""
    lock = pins("requirements-lock.txt")
    assert [name for name in lock if name.startswith("opencv")] == ["opencv-python"]
    assert lock["opencv-python"].startswith("4.")
    assert [name for name in lock if name.startswith("imagecorruptions")] == ["imagecorruptions-imaug"]
    assert lock["numpy"].startswith("2.")
    assert "xtcocotools" not in lock


@pytest.mark.parametrize("script", ["torch.post-deploy.sh", "cuda.post-deploy.sh"])
def test_post_deploy_installs_openmmlab(script):
    words = (ENVS / script).read_text(encoding="utf-8").split()
    assert dict(word.split("==") for word in words if "==" in word) == pins("requirements-openmmlab.txt")


def test_no_addresses():
    for path in ENVS.iterdir():
        assert not re.search(
            r"://|--(extra-)?index-url|^-f |^/", path.read_text(encoding="utf-8"), re.MULTILINE
        ), path
