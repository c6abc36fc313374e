"""Wheels for a machine without a network: what is gathered, what is refused, what pip is told."""

import json
import platform
import re
import sys
import zipfile

import pytest

from posegauge.errors import PoseGaugeError
from posegauge.install import locks, place, wheelhouse

HERE = ".".join(map(str, sys.version_info[:2]))
MACHINE = platform.machine()


def names(groups: dict, group: str) -> set[str]:
    return {pin.name for pin in groups[group]}


@pytest.mark.parametrize("python", locks.PYTHONS)
def test_each_machine_gets_what_it_needs_once(python):
    cpu = wheelhouse.wanted(locks.target(python, "x86_64"), None, "default")
    assert {"torch", "triton", "nvidia-cudnn-cu13"} <= names(cpu, "torch")
    assert "onnxruntime" in names(cpu, "base") and "onnxruntime-gpu" not in names(cpu, "cuda")
    assert names(cpu, "openmmlab") == {"mmcv-lite", "mmdet", "mmpose", "rtmlib"}
    assert "colorama" not in names(cpu, "base")  # of Windows
    every = [pin.name for group in cpu.values() for pin in group]
    assert len(every) == len(set(every))
    gpu = wheelhouse.wanted(locks.target(python, "x86_64"), 12, "default")
    assert {"torch", "nvidia-cudnn-cu12"} <= names(gpu, "torch")
    assert {"onnxruntime-gpu", "cuda-python"} <= names(gpu, "cuda")
    assert "onnxruntime" not in names(gpu, "base")
    arm = wheelhouse.wanted(locks.target(python, "aarch64"), 13, "none")
    assert arm["torch"] == [] and "onnxruntime-gpu" in names(arm, "cuda")
    assert not any(name.startswith("tensorrt") for name in names(arm, "base"))


@pytest.mark.parametrize(
    "changed, told",
    [
        ({"python": "3.10"}, "PYTHON_VERSION is '3.10'; the locks are for 3.11, 3.12, 3.13"),
        ({"tag": "win_amd64"}, "PLATFORM is 'win_amd64'; say manylinux_2_28_x86_64 or"),
        ({"tag": "manylinux_2_35_aarch64", "cuda": 12}, "no packages for CUDA 12 on linux and aarch64"),
        ({"cuda": 13, "torch": "cpu"}, "TORCH=cpu is PyTorch without CUDA"),
        ({"part_mib": 0}, "PART_MIB is 0"),
    ],
)
def test_a_machine_without_packages_is_refused_before_anything_is_fetched(changed, told, tmp_path):
    given = {"python": "3.12", "tag": None, "cuda": None, "torch": "default", "part_mib": None}
    with pytest.raises(PoseGaugeError, match=told):
        wheelhouse.gather(tmp_path / "new", **(given | changed))
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_not_empty_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(PoseGaugeError, match="is not empty: say another OUT"):
        wheelhouse.gather(tmp_path, "3.12", None, None, "default", None)


def made(folder, part_mib=None, **changed) -> dict:
    """Lay a wheelhouse with one small package and one of 2 MiB, of this Python unless `changed`."""
    source = folder.parent / "source"
    source.mkdir()
    entries = {}
    for name, size in (("gauge_small", 10), ("gauge_large", 2 * 2**20)):
        info = f"{name}-1.0.dist-info"
        file = source / f"{name}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(file, "w") as wheel:
            wheel.writestr(f"{name}.py", "#" * size)
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
        entries[file.name] = {
            "group": "base", "bytes": file.stat().st_size, "sha256": wheelhouse._sha256(file),
        }  # fmt: skip
    found = {
        "python": HERE, "platform": f"manylinux_2_5_{MACHINE}", "cuda": None, "torch": "default",
        "locks": wheelhouse.locks_sha256(), "left_out": [], "files": entries,
    }  # fmt: skip
    folder.mkdir()
    wheelhouse._lay(found | changed, source, folder, part_mib)
    return wheelhouse.read(folder)


def faults(found: dict, folder, **changed) -> list[str]:
    given = {"python": HERE, "machine": MACHINE, "glibc": (2, 36)}
    return wheelhouse.faults(found, folder, **(given | changed))


def test_a_wheelhouse_in_parts_is_installed_from_pieces_into_a_folder(tmp_path):
    """The one test with a real pip: it is told of no index, and of nothing but these files."""
    found = made(tmp_path / "wheels", part_mib=1)
    assert len(found["files"]["gauge_large-1.0-py3-none-any.whl"]["at"]) == 3
    sizes = [sum(f.stat().st_size for f in part.iterdir()) for part in (tmp_path / "wheels").glob("part-*")]
    assert len(sizes) == 3 and max(sizes) <= 2**20
    into = place.Place(tmp_path / "into", sys.executable, target=True)
    wheelhouse.install(into, tmp_path / "wheels", wheelhouse.require(tmp_path / "wheels"))
    assert (tmp_path / "into" / "gauge_large.py").stat().st_size == 2 * 2**20
    assert (tmp_path / "into" / "gauge_small.py").exists()
    assert not list(tmp_path.glob("tmp*"))


@pytest.mark.parametrize(
    "changed, told",
    [
        ({"python": "3.10"}, rf"it is for Python {HERE}, this is 3\.10: say make PYTHON=python{HERE}"),
        ({"machine": "riscv64"}, f"it is for {MACHINE}, this machine is riscv64"),
        ({"glibc": (2, 4)}, r"for glibc 2\.5 or newer, this machine has 2\.4"),
        ({"glibc": None}, "this machine has none"),
    ],
)
def test_a_wheelhouse_for_another_machine_is_refused(changed, told, tmp_path):
    found = made(tmp_path / "wheels")
    assert faults(found, tmp_path / "wheels") == []
    (fault,) = faults(found, tmp_path / "wheels", **changed)
    assert re.search(told, fault)


def test_a_wheelhouse_of_other_locks_is_refused(tmp_path):
    found = made(tmp_path / "wheels", locks="0" * 64)
    (fault,) = faults(found, tmp_path / "wheels")
    assert "from other locks" in fault


def test_changed_and_missing_files_are_named(tmp_path):
    folder = tmp_path / "wheels"
    found = made(folder, part_mib=1)
    piece = folder / found["files"]["gauge_large-1.0-py3-none-any.whl"]["at"][0]
    content = bytearray(piece.read_bytes())
    content[1000] ^= 1
    piece.write_bytes(content)
    (folder / found["files"]["gauge_small-1.0-py3-none-any.whl"]["at"][0]).unlink()
    missing, changed = faults(found, folder)
    assert missing.startswith("1 of its files are missing (part-00")
    assert "1 of its files are changed" in changed and "gauge_large" in changed
    with pytest.raises(PoseGaugeError, match="cannot be installed here:\n  1 of its files are missing"):
        wheelhouse.require(folder)


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"python": "3.12"})])
def test_a_list_that_is_none_is_refused(text, tmp_path):
    with pytest.raises(PoseGaugeError, match=r"has no wheelhouse\.json"):
        wheelhouse.read(tmp_path)
    (tmp_path / wheelhouse.LIST).write_text(text, encoding="utf-8")
    with pytest.raises(PoseGaugeError, match="is not the list of a wheelhouse"):
        wheelhouse.read(tmp_path)


def test_without_pytorch_in_it_one_must_be_there(tmp_path, monkeypatch):
    look = {"versions": {"torch": "2.13.0+cpu"}, "torch_cuda": None, "python": HERE}
    monkeypatch.setattr(place.Place, "look", lambda self: look)
    found = made(tmp_path / "wheels", torch="none", cuda=13)
    into = place.Place(tmp_path / "into", sys.executable, target=True)
    with pytest.raises(PoseGaugeError, match=r"has no PyTorch \(TORCH=none\).*2.10 or newer, for CUDA 13"):
        wheelhouse.install(into, tmp_path / "wheels", found)
