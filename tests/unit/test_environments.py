"""The pip files and the conda files name the same versions, and no place to get them from."""

import re
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ENVS = Path(__file__).parents[2] / "envs"
ROLES = sorted(path.stem for path in ENVS.glob("*.yaml"))


def pins(file: str) -> dict[str, str]:
    """Return {package: version} of a requirements file; every line must be an exact pin."""
    lines = [
        re.split("[#;]", line)[0].strip() for line in (ENVS / file).read_text(encoding="utf-8").splitlines()
    ]
    found = dict(line.lower().split("==") for line in lines if line)
    assert len(found) == sum(map(bool, lines)), f"{file} names a package twice"
    return found


def test_lock_holds_the_direct_requirements():
    direct, lock = pins("requirements.in"), pins("requirements-lock.txt")
    assert direct == {name: lock.get(name) for name in direct}


def test_lock_brings_no_cuda():
    names = set(pins("requirements-lock.txt")) | set(pins("requirements-torch.txt"))
    found = {name for name in names if re.match(r"nvidia|cuda|triton|tensorrt|onnxruntime-gpu", name)}
    # The first is Python alone, the others build engines for the tests, where there are wheels of them.
    rtx = {"tensorrt_rtx_cu13", "tensorrt_rtx_cu13_bindings", "tensorrt_rtx_cu13_libs"}
    assert found == {"nvidia-ml-py", *rtx}
    lock = (ENVS / "requirements-lock.txt").read_text(encoding="utf-8").splitlines()
    marker = ' ; sys_platform == "linux" and platform_machine == "x86_64"'
    assert {line.partition("==")[0] for line in lock if line.endswith(marker)} == rtx


@pytest.mark.parametrize("role", ROLES)
def test_conda_file_has_the_same_versions(role):
    known = {}
    for file in ("torch", "openmmlab", "cuda", "lock"):
        known.update(pins(f"requirements-{file}.txt"))
    pip = yaml.safe_load((ENVS / f"{role}.yaml").read_text(encoding="utf-8"))["dependencies"][-1]["pip"]
    found = dict(line.lower().split("==") for line in pip)
    assert found == {name: known.get(name) for name in found}
    assert not {"onnxruntime", "onnxruntime-gpu"} <= set(found)


def pulled_in(package: str) -> set[str]:
    """Return the package and all that it asks for, as installed here, in lower case."""
    found, new = set(), {package}
    while new:
        name = new.pop()
        found.add(name)
        asked = map(Requirement, metadata.requires(name) or [])
        new |= {entry.name.lower() for entry in asked if not entry.marker or entry.marker.evaluate()} - found
    return found


@pytest.mark.parametrize("role", ROLES)
def test_every_role_makes_conditions_from_the_same_packages(role):
    """The bytes of COCO-C come from several libraries, so none of them is left to pip's choice."""
    pip = yaml.safe_load((ENVS / f"{role}.yaml").read_text(encoding="utf-8"))["dependencies"][-1]["pip"]
    needed = pulled_in("imagecorruptions-imaug")
    assert {"numba", "scikit-image", "pillow"} <= needed
    assert needed <= {line.lower().partition("==")[0] for line in pip}
    assert needed <= set(pins("requirements-lock.txt"))


def test_lock_holds_all_that_the_cluster_plugin_pulls_in():
    assert {"snakemake-executor-plugin-slurm-jobstep", "throttler", "numpy", "pandas"} <= (
        needed := pulled_in("snakemake-executor-plugin-slurm")
    )
    assert needed - {"snakemake-executor-plugin-slurm"} <= set(pins("requirements-lock.txt"))


def test_one_opencv_one_imagecorruptions_and_numpy_1():
    """Packages that own the same folder overwrite each other; xtcocotools is compiled for numpy 1."""
    lock = pins("requirements-lock.txt")
    assert [name for name in lock if name.startswith("opencv")] == ["opencv-python"]
    assert [name for name in lock if name.startswith("imagecorruptions")] == ["imagecorruptions-imaug"]
    assert lock["numpy"].startswith("1.26.")


@pytest.mark.parametrize("script", ["torch.post-deploy.sh", "cuda.post-deploy.sh"])
def test_post_deploy_installs_openmmlab(script):
    words = (ENVS / script).read_text(encoding="utf-8").split()
    assert dict(word.split("==") for word in words if "==" in word) == pins("requirements-openmmlab.txt")


def test_no_addresses():
    for path in ENVS.iterdir():
        assert not re.search(
            r"://|--(extra-)?index-url|^-f |^/", path.read_text(encoding="utf-8"), re.MULTILINE
        ), path
