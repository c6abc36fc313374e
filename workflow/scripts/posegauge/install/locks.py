"""The locked packages of envs/: what of them a machine needs, and whether those that are installed fit."""

import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from posegauge.errors import PoseGaugeError

ENVS = Path(__file__).resolve().parents[4] / "envs"
PYTHONS = ("3.11", "3.12", "3.13")
LOCK = "requirements-lock.txt"
TORCH = "requirements-torch.txt"
OPENMMLAB = "requirements-openmmlab.txt"
CUDA_LOCKS = {12: "requirements-cuda12-lock.txt", 13: "requirements-cuda13-lock.txt"}
TENSORRT = {12: "requirements-tensorrt-cu12.txt", 13: "requirements-tensorrt-cu13.txt"}
# PyPI has these as sources alone: of Python, or of a program that fetches a wheel.
NO_WHEEL = ("connection-pool", "tensorrt-rtx-cu13")
# A PyTorch that is there already is used from this release on, the oldest that was tried.
OLDEST_TORCH = (2, 10)
OPENCV = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)


@dataclass(frozen=True)
class Pin:
    """One package of a lock."""

    name: str
    version: str
    line: str  # as the lock has it, hashes included
    hashes: frozenset
    marker: str  # "" for every machine

    def wanted(self, target: dict) -> bool:
        """Say whether a machine needs it; `target`: see target()."""
        try:
            from packaging.markers import Marker
        except ImportError:  # pip, which a wheelhouse is gathered with, carries a copy
            from pip._vendor.packaging.markers import Marker
        return not self.marker or Marker(self.marker).evaluate(target)


def read(file: str, envs: Path = ENVS) -> list[Pin]:
    """Read a requirements file in which every package has one exact version."""
    text = (envs / file).read_text(encoding="utf-8").replace("\\\n", " ")
    pins = []
    for line in text.splitlines():
        line = re.split(r"(?:^|\s)#", line)[0].strip()
        if line:
            pin = re.fullmatch(r"([\w.-]+)==([\w.+!]+)\s*(?:;(.*?))?((?:\s+--hash=\S+)*)", line)
            if not pin:
                raise PoseGaugeError(f"envs/{file}: '{line[:80]}' is not one exact version of one package")
            hashes = frozenset(re.findall(r"--hash=sha256:([0-9a-f]{64})", pin[4]))
            name = re.sub(r"[-_.]+", "-", pin[1]).lower()
            pins.append(Pin(name, pin[2], line, hashes, (pin[3] or "").strip()))
    return pins


def target(python: str, machine: str) -> dict:
    """Return what markers ask of a machine with Linux: python "3.12", machine "x86_64" or "aarch64"."""
    return {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }


def why_missing(package: str, command: str, system: str = sys.platform, machine: str | None = None) -> str:
    """Say why a package is not installed: that it has no wheel for this machine, or what installs it.

    Args:
        package: as the locks name it.
        command: what installs it where there is a wheel, "make setup-cuda" say.
        system, machine: of sys.platform and platform.machine(); default: this machine's.
    """
    machine = machine or platform.machine()
    here = {**target(PYTHONS[0], machine), "sys_platform": system}
    pins = [pin for file in (LOCK, *CUDA_LOCKS.values()) for pin in read(file) if pin.name == package]
    if pins and not any(pin.wanted(here) for pin in pins):
        return f"no wheel for this machine: {package} has none for {system} on {machine}"
    return f"{package} is not installed: {command}"


def write(path: Path, pins: list[Pin]) -> Path:
    """Write pins as a requirements file for pip or uv."""
    path.write_text("".join(f"{pin.line}\n" for pin in pins), encoding="utf-8")
    return path


def faults(versions: dict[str, str]) -> list[str]:
    """Say what of the installed packages does not work together, and what to do; nothing where all fits.

    versions: {package: version} of all that Python finds.
    """
    found = []
    for name in OPENCV:
        if int(versions.get(name, "4").split(".")[0]) >= 5:
            found.append(
                f"{name} {versions[name]}: from 5.0 on warpAffine makes other crops (up to 5 grey levels): "
                "scores could not be compared; below 5 is needed: uninstall it, then `make setup`"
            )
    if versions.get("numpy", "2").startswith("1."):
        found.append(
            f"numpy {versions['numpy']}: the locked packages are built for NumPy 2: uninstall it, then "
            "`make setup`"
        )
    if {"onnxruntime", "onnxruntime-gpu"} <= set(versions):
        found.append(
            f"onnxruntime {versions['onnxruntime']} and onnxruntime-gpu {versions['onnxruntime-gpu']} are "
            "both installed, and each overwrites the other's files: uninstall both, then `make setup`, or "
            "`make setup-cuda` for the GPU"
        )
    return found


def refuse(versions: dict[str, str], where) -> None:
    """Raise PoseGaugeError with all that faults() finds in a venv, folder or Python."""
    if found := faults(versions):
        raise PoseGaugeError("\n  ".join([f"{where} cannot be used:", *found]))


def torch_fits(version: str | None, cuda: int | None, built_for: str | None) -> bool:
    """Say whether a PyTorch that is there already can be used.

    Args:
        version: "2.11.0+cu130" say; None where there is none.
        cuda: the generation of CUDA that is asked for, None for the CPU alone.
        built_for: torch.version.cuda, "13.0" say; None for a build without CUDA.
    """
    numbers = re.match(r"(\d+)\.(\d+)", version or "")
    if not numbers or (int(numbers[1]), int(numbers[2])) < OLDEST_TORCH:
        return False
    return cuda is None or (built_for or "").split(".")[0] == str(cuda)


def check_cuda(cuda: int | None, system: str, machine: str) -> None:
    """Raise PoseGaugeError unless PyPI has builds of this generation of CUDA for this kind of machine.

    system, machine: of sys.platform and platform.machine().
    """
    if cuda and (system != "linux" or (cuda == 12 and machine != "x86_64")):
        raise PoseGaugeError(
            f"no packages for CUDA {cuda} on {system} and {machine}: CUDA 12 is for Linux on x86-64 alone, "
            "CUDA 13 for Linux on x86-64 and ARM (a Jetson from JetPack 7 on). `make setup` installs the "
            "CPU's packages"
        )
