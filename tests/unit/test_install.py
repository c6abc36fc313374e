"""Setting up: the packages for each Python and driver, and what does not go together."""

import ctypes
import importlib.util
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from posegauge.errors import PoseGaugeError
from posegauge.install import driver, locks, packages, place

ROOT = Path(__file__).resolve().parents[2]
UV = Path(sys.prefix) / "bin" / "uv"


@pytest.mark.parametrize(
    "cuda, told, expected",
    [
        (12, "525.147.05", 12),
        (12, "550.54.15", 12),
        (12, "575.57.08", 12),
        (13, "580.95.05", 13),
        (13, "595.71.01", 13),
        (14, "640.10", 13),
        (None, "535.183.01", 12),
        (None, "580.65.06", 13),
        (13, None, 13),
        # A container with NVIDIA's package for newer libraries on an older driver: programs load the library.
        (13, "550.54.15", 13),
    ],
)
def test_the_driver_chooses(cuda, told, expected):
    found, why = driver.choose("auto", cuda, told)
    assert found == expected
    assert (told or f"CUDA {cuda}") in why


@pytest.mark.parametrize("cuda, told", [(11, "470.256.02"), (None, "470.256.02"), (11, None)])
def test_an_old_driver_is_refused_with_what_to_do(cuda, told):
    with pytest.raises(PoseGaugeError, match=r"too old.*driver 525 or newer.*update the driver"):
        driver.choose("auto", cuda, told)


def test_no_driver_is_refused_unless_the_generation_is_given():
    with pytest.raises(PoseGaugeError, match=r"no NVIDIA driver was found.*CUDA=12 .*CUDA=13"):
        driver.choose("auto", None, None)
    assert driver.choose("13", None, None)[0] == 13
    assert driver.choose("12", 13, "580.65.06")[0] == 12
    with pytest.raises(PoseGaugeError, match="CUDA is '11'; say CUDA=12"):
        driver.choose("11", 13, "580.65.06")


@pytest.mark.parametrize(
    "script, expected",
    [
        ("echo 550.54.15; echo 550.54.15", "550.54.15"),  # two GPUs
        ("echo 540.4.0", "540.4.0"),
        ("echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18", None),
        (
            'echo "NVIDIA-SMI has failed because it couldn\'t communicate with the NVIDIA driver."; exit 9',
            None,
        ),
        ("echo 'No devices were found'", None),
        ("echo '[N/A]'", None),
    ],
)
def test_nvidia_smi_is_read(script, expected, tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert driver.driver_of_nvidia_smi() == expected


@pytest.mark.parametrize("status, version, expected", [(0, 12040, 12), (0, 13020, 13), (34, 0, None)])
def test_libcuda_is_read(status, version, expected, monkeypatch):
    class Library:
        def __init__(self, name):
            assert name == "libcuda.so.1"

        def cuDriverGetVersion(self, pointer):
            pointer._obj.value = version
            return status

    monkeypatch.setattr(ctypes, "CDLL", Library)
    assert driver.cuda_of_libcuda() == expected


@pytest.mark.parametrize(
    "versions, told",
    [
        ({"opencv-python": "5.0.0.93", "numpy": "2.4.6"}, "opencv-python 5.0.0.93.*below 5 is needed"),
        ({"opencv-python-headless": "5.1.0"}, "opencv-python-headless 5.1.0"),
        ({"numpy": "1.26.4"}, "numpy 1.26.4.*NumPy 2"),
        ({"onnxruntime": "1.32.0", "onnxruntime-gpu": "1.31.1"}, "are both installed.*uninstall both"),
    ],
)
def test_what_does_not_go_together_is_named(versions, told):
    (fault,) = locks.faults(versions)
    assert re.search(told, fault)
    assert "make setup" in fault
    with pytest.raises(PoseGaugeError, match=r"\.venv cannot be used:\n  "):
        locks.refuse(versions, ".venv")


def test_the_locks_go_together():
    for cuda in (None, 12, 13):
        pins = [*locks.read(locks.LOCK), *(locks.read(locks.CUDA_LOCKS[cuda]) if cuda else [])]
        versions = {pin.name: pin.version for pin in pins if not (cuda and pin.name == "onnxruntime")}
        assert locks.faults(versions) == []
        # A package of both locks is the same in both.
        assert len({(pin.name, pin.version) for pin in pins}) == len({pin.name for pin in pins})


@pytest.mark.parametrize(
    "version, cuda, built_for, fits",
    [
        (None, None, None, False),
        ("2.13.0+cpu", None, None, True),
        ("2.13.0+cpu", 13, None, False),
        ("2.11.0+cu130", 13, "13.0", True),
        ("2.10.0+cu128", 12, "12.8", True),
        ("2.10.0+cu128", 13, "12.8", False),
        ("2.4.1+cu121", 12, "12.1", False),
        ("a.b", None, None, False),
    ],
)
def test_a_pytorch_that_is_there_is_used_where_it_fits(version, cuda, built_for, fits):
    assert locks.torch_fits(version, cuda, built_for) is fits


class Removing:
    """A place that only takes note of what is to be uninstalled."""

    def remove(self, names):
        self.removed = names


@pytest.mark.parametrize(
    "versions, torch_cuda, cuda, removed",
    [
        # of `make setup`, then `make setup-cuda`: the CPU's build would satisfy the pin
        ({"torch": "2.13.0+cpu", "onnxruntime": "1"}, None, 13, {"torch", "onnxruntime", "onnxruntime-gpu"}),
        ({"torch": "2.13.0", "onnxruntime-gpu": "1", "numpy": "2"}, "13.0", 13, set()),
        # both generations of cuDNN own the same folder
        ({"torch": "2.13.0", "nvidia-cudnn-cu13": "9", "tensorrt-cu13-libs": "10"}, "13.0", 12,
         {"torch", "nvidia-cudnn-cu13", "tensorrt-cu13-libs"}),
        ({"torch": "2.13.0", "onnxruntime-gpu": "1"}, "13.0", None, {"onnxruntime", "onnxruntime-gpu"}),
        ({"torch": "2.13.0", "onnxruntime": "1", "nvidia-cudnn-cu13": "9"}, "13.0", None, set()),
    ],
)  # fmt: skip
def test_what_was_installed_for_another_gpu_goes_first(versions, torch_cuda, cuda, removed):
    there = Removing()
    packages.remove_other_generations(there, {"versions": versions, "torch_cuda": torch_cuda}, cuda, False)
    assert there.removed == removed


def test_make_setup_sees_what_was_changed_by_hand(monkeypatch):
    python = locks.PYTHONS[0]
    here = locks.target(python, platform.machine()) | {"sys_platform": sys.platform}
    pins = [*locks.read(locks.LOCK), *locks.read(locks.OPENMMLAB)]
    versions = {pin.name: pin.version for pin in pins if pin.wanted(here)}
    venv = place.Place("venv", sys.executable)
    monkeypatch.setattr(venv, "look", lambda: {"versions": versions, "torch_cuda": None, "python": python})
    assert packages.differences(venv, None) == []
    versions |= {"numpy": "1.26.4", "opencv-python-headless": "5.0.0.93"}
    del versions["mmpose"]
    told = packages.differences(venv, None)
    assert told[:2] == ["numpy is 1.26.4, locked 2.4.6", "mmpose is missing, locked 1.3.2"]
    assert [text.split(":")[0] for text in told[2:]] == ["opencv-python-headless 5.0.0.93", "numpy 1.26.4"]
    there = Removing()
    packages.remove_other_generations(there, {"versions": versions, "torch_cuda": None}, None, False)
    assert there.removed == {"opencv-python", "opencv-python-headless"}


@pytest.mark.parametrize("system, machine, cuda", [("linux", "aarch64", 12), ("darwin", "arm64", 13)])
def test_cuda_without_packages_for_the_machine_is_refused(system, machine, cuda):
    wanted = [pin for pin in locks.read(locks.CUDA_LOCKS[cuda]) if pin.wanted(locks.target("3.12", machine))]
    assert system == "darwin" or wanted == []
    with pytest.raises(PoseGaugeError, match=f"no packages for CUDA {cuda} on {system} and {machine}"):
        locks.check_cuda(cuda, system, machine)


@pytest.mark.parametrize(
    "package, system, machine, told",
    [
        (
            "tensorrt-rtx-cu13",
            "linux",
            "aarch64",
            "no wheel for this machine: tensorrt-rtx-cu13",
        ),
        ("cuda-python", "darwin", "arm64", "no wheel for this machine"),
        ("cuda-python", "linux", "aarch64", "cuda-python is not installed: make it"),
        ("openvino", "linux", "aarch64", "openvino is not installed: make it"),
        ("tensorrt", "linux", "x86_64", "tensorrt is not installed: make it"),  # in no lock: NVIDIA's index
    ],
)
def test_a_row_says_whether_there_is_a_wheel(package, system, machine, told):
    assert locks.why_missing(package, "make it", system, machine).startswith(told)


@pytest.fixture
def system_python(tmp_path, monkeypatch):
    """A Python with packages of its own, as a Jetson's, that venvs are made of: its packages' folder."""
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    library = tmp_path / "usr" / "lib" / name
    (library / "site-packages").mkdir(parents=True)
    (tmp_path / "usr" / "bin").mkdir()
    python = shutil.copy2(Path(sys._base_executable).resolve(), tmp_path / "usr" / "bin" / name)
    for path in Path(shutil.__file__).parent.iterdir():
        if path.name != "site-packages":
            (library / path.name).symlink_to(path)
    if subprocess.run([python, "-c", "import ctypes, ssl"], capture_output=True).returncode:
        pytest.skip("a copy of this Python does not run")
    monkeypatch.setattr(sys, "_base_executable", str(python), raising=False)
    return library / "site-packages"


def lay(folder: Path, name: str, version: str) -> Path:
    """Lay the least that Python takes for an installed package; return its metadata."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (folder / name.replace("-", "_")).mkdir(exist_ok=True)
    (folder / name.replace("-", "_") / "__init__.py").write_text(f"__version__ = '{version}'\n")
    return info


def test_the_systems_tensorrt_is_used_and_its_opencv_5_is_not(system_python, tmp_path, monkeypatch):
    """JetPack 7.2 has TensorRT 10.16 and OpenCV 5; `make setup-cuda SYSTEM_SITE_PACKAGES=1`."""
    info = lay(system_python, "tensorrt", "10.16.2.10")
    lay(system_python, "opencv-python", "5.0.0.93")
    venv = place.Place.venv(tmp_path / "venv", True, None)
    assert venv.look()["versions"]["tensorrt"] == "10.16.2.10"
    told = subprocess.run([venv.python, "-c", "import tensorrt; print(tensorrt.__version__)"],
                          capture_output=True, text=True)  # fmt: skip
    assert told.stdout == "10.16.2.10\n"
    shutil.rmtree(info)  # NVIDIA's Debian packages of some releases have none
    monkeypatch.setattr(place.Place, "install", lambda *_, **__: pytest.fail("TensorRT is there already"))
    assert packages._install_tensorrt(venv, 13) == []
    with pytest.raises(PoseGaugeError, match=r"opencv-python 5\.0\.0\.93: .*warpAffine makes other crops"):
        venv.check()
    # What the lock installs lies over the system's.
    (own,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    lay(own, "opencv-python", "4.14.0.94")
    venv.check()
    # Once over the system's packages, the venv stays so.
    assert place.Place.venv(tmp_path / "venv", False, "uv").shared


@pytest.mark.parametrize("version", [(3, 10, 13), (3, 14, 0)])
def test_another_python_is_refused_with_what_to_do(version, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("install_script", ROOT / "workflow" / "install.py")
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "version_info", version)
    spec.loader.exec_module(script)
    assert script.main() == 1
    assert f"is Python 3.{version[1]}: the packages are locked for Python 3.11, 3.12 and 3.13" in (
        capsys.readouterr().err
    )


def uv(*words: str) -> str:
    """Run uv on the package index; skip the test where it cannot be reached."""
    done = subprocess.run([str(UV), *words], cwd=ROOT, capture_output=True, text=True, timeout=900)
    if re.search("Failed to fetch|dns error|error sending request|Could not connect", done.stderr):
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("name", ["requirements", "requirements-cuda12", "requirements-cuda13"])
def test_a_lock_is_what_uv_writes(name, tmp_path):
    """A change of a requirement without its lock, or of a lock by hand, is found here."""
    lock = ROOT / "envs" / f"{name}-lock.txt"
    copy = tmp_path / lock.name
    copy.write_text(lock.read_text(encoding="utf-8"), encoding="utf-8")
    command = re.search(r"^# +uv (pip compile .*)$", copy.read_text(encoding="utf-8"), re.MULTILINE)[
        1
    ].split()
    # What stands in the output file is kept where it still fits.
    words = [str(copy) if word.endswith("-lock.txt") and word == command[-1] else word for word in command]
    uv(*words, "--quiet")
    # Not the hashes: the index may have got a file for one more platform since.
    pins = {(pin.name, pin.version) for pin in locks.read(lock.name)}
    assert {(pin.name, pin.version) for pin in locks.read(copy.name, tmp_path)} == pins


@pytest.mark.parametrize(
    "lock, machines",
    [
        (locks.LOCK, ("x86_64-manylinux_2_28", "aarch64-manylinux_2_35")),
        (locks.CUDA_LOCKS[12], ("x86_64-manylinux_2_28",)),
        (locks.CUDA_LOCKS[13], ("x86_64-manylinux_2_28", "aarch64-manylinux_2_35")),
    ],
)
def test_every_lock_resolves_to_wheels_for_every_python(lock, machines, tmp_path):
    sources = [word for name in locks.NO_WHEEL for word in ("--no-binary", name)]
    for machine in machines:
        for python in locks.PYTHONS:
            uv("pip", "install", "--dry-run", "--no-deps", "--require-hashes", "--python", sys.executable,
               "--python-version", python, "--python-platform", machine, "--target", str(tmp_path / "none"),
               "--only-binary", ":all:", *sources, "-r", f"envs/{lock}")  # fmt: skip
