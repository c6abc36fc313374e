"""What every backend offers, and what none of them should write twice."""

import ctypes
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from posebench.errors import Unavailable


@dataclass(frozen=True)
class Network:
    """One network of the pipeline and the files that hold it."""

    role: str  # "detector" or "pose"
    name: str  # as shown in tables
    input_size: tuple[int, int]  # (width, height)
    onnx: str | None = None  # path of the exported or given ONNX file, in the artifact's precision
    config: str | None = None  # MMDetection / MMPose config, see posebench.models.config_path
    checkpoint: str | None = None  # path of the PyTorch checkpoint


@dataclass(frozen=True)
class Options:
    """What the runtimes may do (keys of `engine:` and `execution:` in the config)."""

    allow_fallback: bool = False  # whether nodes of a CUDA session may run on the CPU
    engines: str | None = None  # folder of the run's TensorRT engines and timing caches
    library: str = "tensorrt"  # tensorrt | tensorrt_rtx
    pose_batches: tuple[int, ...] = (1, 8, 32)  # smallest, usual and largest batch of the pose engine
    optimization_level: int = 3  # of TensorRT's builder, 0 to 5
    compute_capability: str | None = None  # of the cards to build for; None: the GPU here


class Session(Protocol):
    """A loaded network.

    After a run `copy_ms` holds its wall-clock milliseconds of copies between host and device (0 on the CPU),
    and `device_ms` the milliseconds of the network between two CUDA events (None on the CPU). Where the
    artifact has its images on the device, the session also has run_device, which takes and returns torch
    tensors there (those returned are valid until the next run).
    """

    copy_ms: float = 0.0
    device_ms: float | None = None

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """Run on float32 [N, 3, height, width]; return the named outputs as float32 host arrays.

        Detector: boxes [N, A, 4] and scores [N, A, 1], or dets [N, K, 5]; pose: simcc_x [N, 17, width * 2]
        and simcc_y [N, 17, height * 2]. Returns only when the results are there.
        """

    def provenance(self) -> dict:
        """What really ran: runtime, version, provider, device, threads, file, sha256."""


def cuda_devices() -> int:
    """Count the CUDA devices through the driver itself, so that no runtime has to be imported."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def require_cuda() -> None:
    """Raise Unavailable when this machine has no CUDA device."""
    if cuda_devices() == 0:
        raise Unavailable("no CUDA device")


def auto_device(device: str) -> str:
    """Resolve "auto" to cuda where there is a CUDA device, else cpu."""
    if device != "auto":
        return device
    return "cuda" if cuda_devices() else "cpu"
