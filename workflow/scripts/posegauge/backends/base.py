"""What every backend offers, and what none of them should write twice."""

import contextlib
import ctypes
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from posegauge.errors import PoseGaugeError, Unavailable
from posegauge.models.network import Network

# Batches for which a runtime with fixed shapes (CUDA graph, compiled network) is made. A batch between two of
# them is padded to the larger one, so that a number of persons not seen before rarely makes it build again.
BATCH_SIZES = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Options:
    """What the runtimes may do (keys of `engine:` and `execution:` in the config, and `pinned`)."""

    allow_fallback: bool = False  # whether nodes of a CUDA session may run on the CPU
    engines: str | None = None  # folder of the run's TensorRT engines and timing caches
    library: str = "tensorrt"  # tensorrt | tensorrt_rtx
    pose_batches: tuple[int, ...] = (1, 8, 32)  # smallest, usual and largest batch of the pose engine
    optimization_level: int = 3  # of TensorRT's builder, 0 to 5
    compute_capability: str | None = None  # of the cards to build for; None: the GPU here
    pinned: bool = False  # whether CPU threads have a core each; see assemble.pinned


class Session(Protocol):
    """A loaded network.

    After a run `copy_ms` holds its milliseconds of copies between host and device (0 on the CPU), and
    `device_ms` the milliseconds of the network between two CUDA events (None on the CPU; where kernels are
    launched one by one it includes the waits for their launches). Where the artifact has its images on the
    device, the session also has run_device, which takes and returns torch tensors there (those returned are
    valid until the next run); its device_ms waits for the device when it is read.

    `builds` counts what was compiled, captured or tuned for a batch size so far. Runs during which it grows
    are warm-up.
    """

    copy_ms: float = 0.0
    device_ms: float | None = None
    builds: int = 0

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """Run on float32 [N, 3, height, width]; return the named outputs as float32 host arrays.

        Detector: boxes [N, A, 4] and scores [N, A, 1], or dets [N, K, 5]; pose: simcc_x and simcc_y,
        [N, K, bins] each. Returns only when the results are there.
        """

    def provenance(self) -> dict:
        """What really ran: runtime, version, provider, device, precision, threads, file, sha256."""


def bucket(count: int, sizes: tuple[int, ...] = BATCH_SIZES) -> int:
    """Return the smallest of the ascending `sizes` that holds `count` images.

    PoseGaugeError past the largest: larger batches are cut by who calls, see device.DeviceSession.
    """
    for size in sizes:
        if count <= size:
            return size
    raise PoseGaugeError(f"a batch of {count} is larger than the largest of the sizes {list(sizes)}")


def joined(parts: list[dict]) -> dict[str, np.ndarray]:
    """Join the outputs of runs on parts of a batch.

    NMS inside a network may have kept more boxes in one part than in another: these are padded with boxes of
    zeros, which count nowhere, as exporters do within a batch.
    """
    if len(parts) == 1:
        return parts[0]
    found = {}
    for name in parts[0]:
        arrays = [part[name] for part in parts]
        if len({array.shape[1:] for array in arrays}) > 1:
            most = max(array.shape[1] for array in arrays)
            rest = [(0, 0)] * (arrays[0].ndim - 2)
            arrays = [np.pad(array, [(0, 0), (0, most - array.shape[1]), *rest]) for array in arrays]
        found[name] = np.concatenate(arrays)
    return found


def _driver():
    """The CUDA driver's library, or None."""
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None


def cuda_devices() -> int:
    """Count the CUDA devices through the driver itself, so that no runtime has to be imported."""
    driver, count = _driver(), ctypes.c_int(0)
    if driver is None or driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def driver_cuda_version() -> tuple[int, int] | None:
    """Return the newest CUDA version (major, minor) that the driver knows; None without a driver."""
    driver, version = _driver(), ctypes.c_int(0)
    # The driver counts 1000 * major + 10 * minor.
    if driver is None or driver.cuDriverGetVersion(ctypes.byref(version)) != 0:
        return None
    return version.value // 1000, version.value % 1000 // 10


def require_cuda() -> None:
    """Raise Unavailable when this machine has no CUDA device."""
    if cuda_devices() == 0:
        raise Unavailable("no CUDA device")


def require_driver(library: str, built_for: str | None) -> None:
    """Raise Unavailable when the driver is too old for `library`, built for CUDA `built_for` ("13.0", say).

    Within one major version of CUDA an older driver runs newer libraries.
    """
    known = driver_cuda_version()
    if known and built_for and known[0] < int(built_for.split(".")[0]):
        raise Unavailable(
            f"the NVIDIA driver is too old: it knows CUDA {known[0]}.{known[1]}, {library} is built for CUDA "
            f"{built_for}; update the driver, or install a build for CUDA {known[0]}"
        )


@contextlib.contextmanager
def device_errors(network: Network):
    """Turn what a GPU says when it cannot go on into Unavailable, so that its row says why."""
    try:
        yield
    except (PoseGaugeError, Unavailable):
        raise
    except Exception as error:
        reason = device_reason(network, error)
        if reason is None:
            raise
        raise Unavailable(reason) from error


def device_reason(network: Network, error: Exception) -> str | None:
    """Say why a GPU cannot run the network; None for an error that is none of the GPU's.

    PyTorch and ONNX Runtime raise classes of their own, of which the texts are the common part.
    """
    text = str(error).lower()
    if any(said in text for said in ("out of memory", "failed to allocate", "smaller than requested bytes")):
        return (
            f"out of GPU memory in the {network.role} {network.name}: end other programs on the GPU "
            f"(nvidia-smi lists them), or use a smaller model ({first_line(error)})"
        )
    if "no kernel image" in text:
        return f"{network.name}: the installed build has no code for this GPU ({first_line(error)})"
    if "driver version is insufficient" in text or "driver on your system is too old" in text:
        return f"the NVIDIA driver is too old for the installed build; update it ({first_line(error)})"
    if any(f"{library} failure" in text for library in ("cuda", "cudnn", "cublas")) or "cuda error" in text:
        return f"{network.name}: CUDA failed ({first_line(error)})"
    return None


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, cut to 200 characters, or its class."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def auto_device(device: str) -> str:
    """Resolve "auto" to cuda where there is a CUDA device, else cpu."""
    if device != "auto":
        return device
    return "cuda" if cuda_devices() else "cpu"
