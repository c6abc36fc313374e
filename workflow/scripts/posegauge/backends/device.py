"""A network on a device: buffers that stay, a stream of its own, copies and network timed by CUDA events.

PyTorch holds the buffers, the stream and the events for ONNX Runtime too: its wheel brings the CUDA and
cuDNN libraries that ONNX Runtime loads, so it is there anyway, and its tensors are what the rest of a
pipeline on the device works with. Without a GPU the same code runs on CPU tensors: so it is tested.
"""

import contextlib
import time
from dataclasses import dataclass, field

import numpy as np

from posegauge.backends.base import BATCH_SIZES, bucket, device_errors, joined, require_cuda, require_driver
from posegauge.errors import Unavailable
from posegauge.models.network import Network


@dataclass
class Buffers:
    """What batches of up to `size` images pass through, allocated once."""

    size: int
    staging: object  # float32 [size, 3, height, width] on the host, page-locked where there is a GPU
    input: object  # the same on the device
    hosts: dict = field(default_factory=dict)  # outputs on the host, page-locked, by name


class DeviceSession:
    """run and run_device of a Session around `compute`, which a runtime adds.

    A batch uses the buffers of the next of `sizes`; one past the largest is cut into parts of it. Where
    `fixed`, the network computes all rows of the buffers and those past the batch, left over from earlier
    ones, are dropped: images of a batch do not influence each other.
    """

    def __init__(self, network: Network, device: str, fixed: bool, sizes: tuple[int, ...] = BATCH_SIZES):
        import torch

        self.torch = torch
        self.network = network
        self.device = device
        self.on_gpu = device == "cuda"
        self.fixed = fixed
        self.sizes = sizes
        self.stream = torch.cuda.Stream() if self.on_gpu else None
        self.copy_ms = 0.0
        self.builds = 0
        self._buffers = {}
        self._spans = []  # (start, end) events of the network in each part of the last run

    def compute(self, buffers: Buffers, count: int) -> dict:
        """Run the network on the first `count` rows of buffers.input: named float32 tensors on the device.

        Called on the session's stream. The tensors have `count` rows.
        """
        raise NotImplementedError

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """See posegauge.backends.base.Session."""
        self.copy_ms, self._spans = 0.0, []
        with device_errors(self.network):
            parts = [self._run_part(part) for part in self._parts(batch)]
        return joined(parts)

    def run_device(self, batch) -> dict:
        """Run on float32 [N, 3, height, width], a tensor on the device; see posegauge.backends.base.Session.

        Does not wait for the device. Work that is queued on the current stream before and after keeps its
        order.
        """
        self.copy_ms, self._spans = 0.0, []
        parts = self._parts(batch)
        found = []
        with device_errors(self.network), self._working():
            for part in parts:
                buffers = self._buffers_for(len(part))
                start = self._mark()
                buffers.input[: len(part)].copy_(part)
                outputs = self.compute(buffers, len(part))
                self._spans.append((start, self._mark()))
                # The next part may overwrite what this one returned.
                found.append(outputs if len(parts) == 1 else {k: v.clone() for k, v in outputs.items()})
            if len(parts) == 1:
                return found[0]
            return {name: self.torch.cat([outputs[name] for outputs in found]) for name in found[0]}

    @property
    def device_ms(self) -> float | None:
        """See posegauge.backends.base.Session."""
        if not self.on_gpu or not self._spans:
            return None
        self._spans[-1][1].synchronize()
        return sum(start.elapsed_time(end) for start, end in self._spans)

    def _parts(self, batch) -> list:
        largest = self.sizes[-1]
        return [batch[first : first + largest] for first in range(0, len(batch), largest)]

    def _run_part(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        count = len(batch)
        buffers = self._buffers_for(count)
        begin = time.perf_counter()
        # By NumPy, on this thread alone: PyTorch's copy_ would wake a thread per core for it.
        np.copyto(buffers.staging.numpy()[:count], batch)
        host_ms = (time.perf_counter() - begin) * 1e3
        with self._working():
            start = self._mark()
            buffers.input[:count].copy_(buffers.staging[:count], non_blocking=True)
            copied = self._mark()
            outputs = self.compute(buffers, count)
            computed = self._mark()
            hosts = {name: self._to_host(buffers, name, output) for name, output in outputs.items()}
            end = self._mark()
        self._spans.append((copied, computed))
        if self.on_gpu:
            end.synchronize()
        begin = time.perf_counter()
        # Copies: the page-locked buffers are overwritten by the next run.
        arrays = {name: host.numpy().copy() for name, host in hosts.items()}
        host_ms += (time.perf_counter() - begin) * 1e3
        if self.on_gpu:
            self.copy_ms += host_ms + start.elapsed_time(copied) + computed.elapsed_time(end)
        return arrays

    def _to_host(self, buffers: Buffers, name: str, output):
        """Start the copy of an output to page-locked memory; return the rows of that memory."""
        host = buffers.hosts.get(name)
        shape = (buffers.size, *output.shape[1:])
        if host is None or host.shape != shape or host.dtype != output.dtype:
            host = self.torch.empty(shape, dtype=output.dtype, pin_memory=self.on_gpu)
            buffers.hosts[name] = host
        rows = host[: len(output)]
        rows.copy_(output, non_blocking=True)
        return rows

    def _buffers_for(self, count: int) -> Buffers:
        size = bucket(count, self.sizes)
        if size not in self._buffers:
            width, height = self.network.input_size
            shape = (size, 3, height, width)
            # Buffers made in the inference mode of one caller could not be written to outside of it.
            with self.torch.inference_mode(False):
                self._buffers[size] = Buffers(
                    size,
                    self.torch.zeros(shape, pin_memory=self.on_gpu),
                    self.torch.zeros(shape, device=self.device),
                )
            if self.on_gpu:
                # Filled on the current stream, used on another.
                self.torch.cuda.synchronize()
        return self._buffers[size]

    def _mark(self):
        """Record a CUDA event on the current stream; None without a GPU."""
        if not self.on_gpu:
            return None
        event = self.torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    @contextlib.contextmanager
    def _working(self):
        """Work on the session's stream, after all and before all that the current stream has to do.

        In the same mode whatever the caller's: torch.compile would compile anew for another.
        """
        with self.torch.inference_mode(False), self.torch.no_grad():
            if not self.on_gpu:
                yield
                return
            caller = self.torch.cuda.current_stream()
            self.stream.wait_stream(caller)
            with self.torch.cuda.stream(self.stream):
                yield
            caller.wait_stream(self.stream)


def require_torch_cuda(use: str) -> None:
    """Raise Unavailable unless PyTorch can use a CUDA device; `use` says what for."""
    require_cuda()
    import torch

    if torch.version.cuda is None:
        raise Unavailable(
            f"torch {torch.__version__} is a CPU build, and it {use}; install PyPI's build for CUDA "
            "(`make setup-cuda`)"
        )
    if not torch.cuda.is_available():
        require_driver(f"torch {torch.__version__}", torch.version.cuda)
        raise Unavailable(f"torch {torch.__version__} cannot use the CUDA device, and it {use}")


def gpu(torch) -> dict:
    """Describe the CUDA device and the libraries that PyTorch brings, for a provenance."""
    major, minor = torch.cuda.get_device_capability()
    return {
        "gpu": torch.cuda.get_device_name(),
        "compute_capability": f"{major}.{minor}",
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }
