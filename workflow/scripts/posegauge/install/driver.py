"""The NVIDIA driver of this machine, and the generation of CUDA that is installed for it."""

import ctypes
import re
import subprocess

from posegauge.errors import PoseGaugeError

# The first driver of each generation of CUDA (NVIDIA's table of minor version compatibility).
FIRST_DRIVER = {12: 525, 13: 580}
CHOICES = tuple(FIRST_DRIVER)
TOLD = "CUDA=12 (drivers 525 to 575) or CUDA=13 (580 and newer)"


def cuda_of_libcuda() -> int | None:
    """Return the newest generation of CUDA that the driver's library knows, 12 say; None without a driver.

    It is the library that every program loads, so it is right where a container brings a newer one, too.
    """
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    version = ctypes.c_int(0)
    # 1000 * major + 10 * minor. The toolkit's empty stand-in of the library returns an error.
    if library.cuDriverGetVersion(ctypes.byref(version)) != 0 or version.value <= 0:
        return None
    return version.value // 1000


def driver_of_nvidia_smi() -> str | None:
    """Return the driver's version as nvidia-smi tells it, "550.54.15" say; None where it tells none."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = told.stdout.split() if told.returncode == 0 else []
    return lines[0] if lines and re.fullmatch(r"\d+(\.\d+)+", lines[0]) else None


def choose(asked: str, cuda: int | None, driver: str | None) -> tuple[int, str]:
    """Choose the packages for CUDA 12 or 13.

    Args:
        asked: "auto", or "12" or "13", which overrides what the machine says.
        cuda: of cuda_of_libcuda.
        driver: of driver_of_nvidia_smi.

    Returns:
        The generation, and why, for the console.

    Raises:
        PoseGaugeError: another word than these, no driver, or one that is too old.
    """
    if asked != "auto":
        if asked not in map(str, CHOICES):
            raise PoseGaugeError(f"CUDA is '{asked}'; say {TOLD}, or leave it out: the driver is asked")
        return int(asked), f"as asked by CUDA={asked}"
    if cuda is None and driver is None:
        raise PoseGaugeError(
            "no NVIDIA driver was found: neither libcuda.so.1 nor nvidia-smi answers. On a machine without a "
            f"GPU `make setup` is all; to set up for a GPU that is not here, say {TOLD}"
        )
    if cuda is not None:
        found = f"the driver{f' {driver}' if driver else ''} knows CUDA {cuda}"
    else:
        number = int(driver.split(".")[0])
        cuda = max((name for name, first in FIRST_DRIVER.items() if number >= first), default=0)
        found = f"the driver is {driver}"
    if cuda < min(CHOICES):
        raise PoseGaugeError(
            f"{found}: too old. PyTorch, ONNX Runtime and TensorRT need driver {FIRST_DRIVER[12]} or newer "
            f"({FIRST_DRIVER[13]} for CUDA 13): update the driver, or run the rows on the CPU (`make setup`)"
        )
    return min(cuda, max(CHOICES)), found


def chosen(asked: str) -> tuple[int, str]:
    """Ask this machine; see choose."""
    if asked != "auto":
        return choose(asked, None, None)
    return choose(asked, cuda_of_libcuda(), driver_of_nvidia_smi())
