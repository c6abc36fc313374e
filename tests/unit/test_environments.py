"""The pip files and the conda files name the same versions, and no place to get them from."""

import re
from pathlib import Path

import pytest
import yaml

ENVS = Path(__file__).parents[2] / "envs"
ROLES = sorted(path.stem for path in ENVS.glob("*.yaml"))


def pins(file: str) -> dict[str, str]:
    """Return {package: version} of a requirements file; every line must be an exact pin."""
    lines = [
        line.partition("#")[0].strip() for line in (ENVS / file).read_text(encoding="utf-8").splitlines()
    ]
    found = dict(line.lower().split("==") for line in lines if line)
    assert len(found) == sum(map(bool, lines)), f"{file} names a package twice"
    return found


def test_lock_holds_the_direct_requirements():
    direct, lock = pins("requirements.in"), pins("requirements-lock.txt")
    assert direct == {name: lock.get(name) for name in direct}


def test_lock_brings_no_cuda():
    names = set(pins("requirements-lock.txt")) | set(pins("requirements-torch.txt"))
    assert not [name for name in names if re.match(r"nvidia|cuda|triton|tensorrt|onnxruntime-gpu", name)]


@pytest.mark.parametrize("role", ROLES)
def test_conda_file_has_the_same_versions(role):
    known = {}
    for file in ("torch", "openmmlab", "cuda", "lock"):
        known.update(pins(f"requirements-{file}.txt"))
    pip = yaml.safe_load((ENVS / f"{role}.yaml").read_text(encoding="utf-8"))["dependencies"][-1]["pip"]
    found = dict(line.lower().split("==") for line in pip)
    assert found == {name: known.get(name) for name in found}
    assert not {"onnxruntime", "onnxruntime-gpu"} <= set(found)


@pytest.mark.parametrize("script", ["torch.post-deploy.sh", "cuda.post-deploy.sh"])
def test_post_deploy_installs_openmmlab(script):
    words = (ENVS / script).read_text(encoding="utf-8").split()
    assert dict(word.split("==") for word in words if "==" in word) == pins("requirements-openmmlab.txt")


def test_no_addresses():
    for path in ENVS.iterdir():
        assert not re.search(
            r"://|--(extra-)?index-url|^-f |^/", path.read_text(encoding="utf-8"), re.MULTILINE
        ), path
