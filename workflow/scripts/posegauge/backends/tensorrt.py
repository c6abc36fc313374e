"""TensorRT engines on CUDA: buffers made once, page-locked host memory, one stream, CUDA graphs if asked for.

CUDA is called through cuda-python: NVIDIA keeps it up with each CUDA release, its wheels need no compiler,
and it imports without a driver. pycuda is compiled against the CUDA toolkit and cannot even be imported
without a driver.
"""

import contextlib
import time
from dataclasses import dataclass
from math import prod

import numpy as np

from posegauge.backends import tensorrt_engines
from posegauge.backends.base import Options, require_cuda
from posegauge.errors import PoseGaugeError, Unavailable
from posegauge.install import locks
from posegauge.models.network import Network
from posegauge.study import Artifact

OUTPUTS = {"detector": {"boxes", "scores"}, "pose": {"simcc_x", "simcc_y"}}


class Cuda:
    """The few calls of the CUDA runtime that are used here, each checked."""

    def __init__(self):
        try:
            from cuda.bindings import runtime
        except ImportError as error:
            raise Unavailable(locks.why_missing("cuda-python", "make setup-cuda")) from error
        self.api = runtime

    def _call(self, name: str, *arguments):
        status, *found = getattr(self.api, name)(*arguments)
        if status == self.api.cudaError_t.cudaErrorMemoryAllocation:
            raise Unavailable("out of GPU memory: close what else uses the GPU, or lower engine.pose_batches")
        if status != self.api.cudaError_t.cudaSuccess:
            raise PoseGaugeError(f"CUDA: {name} failed with {status.name}")
        return found[0] if found else None

    def device_memory(self, size: int) -> int:
        """Return the address of `size` bytes on the device."""
        return int(self._call("cudaMalloc", size))

    def host_memory(self, shape: tuple, dtype) -> np.ndarray:
        """Return an array in page-locked memory, which the device copies without a detour."""
        import ctypes

        size = prod(shape) * np.dtype(dtype).itemsize
        address = int(self._call("cudaHostAlloc", size, self.api.cudaHostAllocDefault))
        return np.frombuffer((ctypes.c_byte * size).from_address(address), dtype).reshape(shape)

    def stream(self):
        """Return a stream that does not wait for the default one."""
        return self._call("cudaStreamCreateWithFlags", self.api.cudaStreamNonBlocking)

    def event(self):
        """Return an event that keeps the time."""
        return self._call("cudaEventCreate")

    def record(self, event, stream) -> None:
        """Let `event` happen when the stream gets there."""
        self._call("cudaEventRecord", event, stream)

    def wait(self, stream, event) -> None:
        """Let the stream go on only after the event."""
        self._call("cudaStreamWaitEvent", stream, event, 0)

    def synchronize(self, stream) -> None:
        """Wait for all that the stream has to do."""
        self._call("cudaStreamSynchronize", stream)

    def elapsed_ms(self, begin, end) -> float:
        """Wait for `end`; return the milliseconds between two events."""
        self._call("cudaEventSynchronize", end)
        return self._call("cudaEventElapsedTime", begin, end)

    def to_device(self, address: int, array: np.ndarray, stream) -> None:
        """Begin to copy a host array to the device."""
        kind = self.api.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", address, array.ctypes.data, array.nbytes, kind, stream)

    def to_host(self, array: np.ndarray, address: int, stream) -> None:
        """Begin to copy from the device to a host array."""
        kind = self.api.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", array.ctypes.data, address, array.nbytes, kind, stream)

    def within_device(self, target: int, source: int, size: int, stream) -> None:
        """Begin to copy `size` bytes on the device."""
        kind = self.api.cudaMemcpyKind.cudaMemcpyDeviceToDevice
        self._call("cudaMemcpyAsync", target, source, size, kind, stream)

    @contextlib.contextmanager
    def capture(self, stream, graphs: list):
        """Record what the block puts on the stream as a graph, which is added to `graphs`."""
        self._call(
            "cudaStreamBeginCapture", stream, self.api.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        )
        try:
            yield
        finally:
            graph = self._call("cudaStreamEndCapture", stream)
        graphs.append(self._call("cudaGraphInstantiate", graph, 0))
        self._call("cudaGraphDestroy", graph)

    def launch(self, graph, stream) -> None:
        """Put a recorded graph on the stream."""
        self._call("cudaGraphLaunch", graph, stream)


@dataclass
class Shape:
    """What runs one batch size: a context of its own where its work is kept as a graph."""

    context: object
    outputs: dict  # name: shape
    graph: object = None


class TensorRTSession:
    """An engine with its buffers.

    Batches above the engine's largest are run in parts. With CUDA graphs each batch is filled up to the next
    size that has a graph, since a graph knows one shape; what was filled up is cut off again.
    """

    def __init__(self, network, record: dict, engine, cuda, graph: bool, on_device: bool, threads: int):
        """`record`: of tensorrt_engines.ensure; `engine`: an ICudaEngine; `cuda`: a Cuda."""
        self.network, self.record, self.engine, self.cuda = network, record, engine, cuda
        self.graph, self.threads = graph, threads
        least, usual, self.most = (shape[0] for shape in record["parts"]["options"]["shapes"])
        self.sizes = batch_sizes(least, usual, self.most)
        self.least = least
        self.copy_ms, self.builds = 0.0, 0
        modes = {name: engine.get_tensor_mode(name).name for name in _names(engine)}
        (self.input_name,) = (name for name, mode in modes.items() if mode == "INPUT")
        self.output_names = [name for name, mode in modes.items() if mode == "OUTPUT"]
        if set(self.output_names) != OUTPUTS[network.role]:
            raise PoseGaugeError(
                f"{network.onnx}: a {network.role} for TensorRT must have the outputs "
                f"{' + '.join(sorted(OUTPUTS[network.role]))}, this file has {', '.join(self.output_names)}. "
                "NMS has to stay outside the network"
            )
        self.stream = cuda.stream()
        self.events = [cuda.event() for _ in range(4)]
        self.shapes = {}
        first = self._context(self.most)
        width, height = network.input_size
        self.dims = {self.input_name: (self.most, 3, height, width), **first.outputs}
        self.tensors = self._torch_buffers() if on_device else {}
        self.device = {
            name: self.tensors[name].data_ptr() if on_device else cuda.device_memory(4 * prod(shape))
            for name, shape in self.dims.items()
        }
        self.host = {} if on_device else {n: cuda.host_memory(s, np.float32) for n, s in self.dims.items()}
        self.shapes[self.most] = self._addressed(first)

    # ------------------------------------------------------------------------------------- buffers and shapes

    def _context(self, batch: int) -> Shape:
        context = self.engine.create_execution_context()
        if context is None:
            raise Unavailable("out of GPU memory: TensorRT has no room to run this engine")
        width, height = self.network.input_size
        if not context.set_input_shape(self.input_name, (batch, 3, height, width)):
            raise PoseGaugeError(f"{self.record['engine']}: refuses a batch of {batch}")
        return Shape(context, {name: tuple(context.get_tensor_shape(name)) for name in self.output_names})

    def _torch_buffers(self) -> dict:
        import torch

        device = torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")
        return {name: torch.zeros(shape, device=device) for name, shape in self.dims.items()}

    def _addressed(self, shape: Shape) -> Shape:
        for name, address in self.device.items():
            shape.context.set_tensor_address(name, address)
        return shape

    def _shape(self, batch: int) -> tuple[Shape, int]:
        """Return what runs a batch of this size, and the size that it really runs."""
        if not self.graph:
            shape = self.shapes[self.most]
            size = max(batch, self.least)
            width, height = self.network.input_size
            shape.context.set_input_shape(self.input_name, (size, 3, height, width))
            return shape, size
        size = next(size for size in self.sizes if size >= batch)
        if size not in self.shapes:
            # A graph holds the state of its context, so each has one of its own.
            self.shapes[size] = self._addressed(self._context(size))
        shape = self.shapes[size]
        if shape.graph is None:
            # TensorRT prepares a shape in its first run, which must not become part of the graph.
            self._enqueue(shape)
            self.cuda.synchronize(self.stream)
            capturable = getattr(shape.context, "is_stream_capturable", None)  # of tensorrt_rtx
            if capturable and not capturable(int(self.stream)):
                raise Unavailable(f"{self.record['engine']}: its work cannot be kept as a CUDA graph")
            graphs = []
            with self.cuda.capture(self.stream, graphs):
                self._enqueue(shape)
            shape.graph = graphs[0]
            self.builds += 1
        return shape, size

    def _enqueue(self, shape: Shape) -> None:
        if not shape.context.execute_async_v3(int(self.stream)):
            raise PoseGaugeError(f"{self.record['engine']}: TensorRT could not run it; see the log")

    def _compute(self, batch: int) -> None:
        """Put the network on the stream between two events."""
        shape, _ = self._shape(batch)
        self.cuda.record(self.events[1], self.stream)
        if shape.graph is None:
            self._enqueue(shape)
        else:
            self.cuda.launch(shape.graph, self.stream)
        self.cuda.record(self.events[2], self.stream)

    # --------------------------------------------------------------------------------------------- the runs

    @property
    def device_ms(self) -> float | None:
        """Milliseconds of the network between two CUDA events, of the last run; waits for it."""
        if self._pending:
            self._measured += self.cuda.elapsed_ms(self.events[1], self.events[2])
            self._pending = False
        return self._measured

    _measured: float | None = None
    _pending = False

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """See posegauge.backends.base.Session."""
        parts = [self._run(batch[first : first + self.most]) for first in range(0, len(batch), self.most)]
        self.copy_ms = sum(part[1] for part in parts)
        self._measured, self._pending = sum(part[2] for part in parts), False
        outputs = [part[0] for part in parts]
        if len(outputs) == 1:
            return outputs[0]
        return {name: np.concatenate([part[name] for part in outputs]) for name in self.output_names}

    def _run(self, batch: np.ndarray) -> tuple[dict, float, float]:
        """Return (outputs, milliseconds of copies, milliseconds of the network) of a batch that fits."""
        cuda, count = self.cuda, len(batch)
        begin = time.perf_counter()
        staged = self.host[self.input_name][:count]
        np.copyto(staged, batch)
        staging_ms = (time.perf_counter() - begin) * 1e3
        cuda.record(self.events[0], self.stream)
        cuda.to_device(self.device[self.input_name], staged, self.stream)
        self._compute(count)
        for name in self.output_names:
            cuda.to_host(self.host[name][:count], self.device[name], self.stream)
        cuda.record(self.events[3], self.stream)
        cuda.synchronize(self.stream)
        before, device_ms, after = (
            cuda.elapsed_ms(one, other) for one, other in zip(self.events[:-1], self.events[1:], strict=True)
        )
        # Copies of the host, since the buffers are used again by the next run.
        begin = time.perf_counter()
        outputs = {name: self.host[name][:count].copy() for name in self.output_names}
        staging_ms += (time.perf_counter() - begin) * 1e3
        return outputs, staging_ms + before + after, device_ms

    def run_device(self, batch) -> dict:
        """See posegauge.backends.base.Session: torch tensors, in order with torch's current stream."""
        import torch

        if not self.tensors:
            raise PoseGaugeError(
                "this session has its buffers on the host: load it with images on the device"
            )
        self.copy_ms, self._measured, self._pending = 0.0, 0.0, False
        parts = []
        batch = batch.contiguous()
        for first in range(0, len(batch), self.most):
            part = batch[first : first + self.most]
            theirs = torch.cuda.current_stream().cuda_stream if part.is_cuda else self.stream
            self.device_ms  # noqa: B018 - the events are used again, so their time is taken first
            self.cuda.record(self.events[0], theirs)
            self.cuda.wait(self.stream, self.events[0])
            size = part.numel() * part.element_size()
            self.cuda.within_device(self.device[self.input_name], part.data_ptr(), size, self.stream)
            self._compute(len(part))
            self._pending = True
            self.cuda.record(self.events[3], self.stream)
            self.cuda.wait(theirs, self.events[3])
            parts.append({name: self.tensors[name][: len(part)] for name in self.output_names})
            if len(batch) > self.most:
                parts[-1] = {name: tensor.clone() for name, tensor in parts[-1].items()}
        if len(parts) == 1:
            return parts[0]
        return {name: torch.cat([part[name] for part in parts]) for name in self.output_names}

    def provenance(self) -> dict:
        """See posegauge.backends.base.Session."""
        parts = self.record["parts"]
        return {
            "runtime": "TensorRT",
            "version": parts["library_version"],
            "library": parts["library"],
            "provider": f"CUDA ({parts['gpu']})",
            "device": "cuda",
            "threads": self.threads,
            "engine_parts": parts,
            "layers": self.record["layers"],
            "cuda_graph": self.graph,
            "batch_sizes": self.sizes if self.graph else None,
            "file": self.record["engine"],
            "sha256": self.record["engine_sha256"],
        }


def batch_sizes(least: int, usual: int, most: int) -> list[int]:
    """Return the batch sizes that get a CUDA graph: doubled from least to most, and the usual one."""
    sizes = {least, usual, most}
    while (size := 2 * least) < most:
        sizes.add(size)
        least = size
    return sorted(sizes)


def _names(engine) -> list[str]:
    return [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]


def load(network: Network, artifact: Artifact, threads: int, options: Options) -> TensorRTSession:
    """Load the network's engine for this GPU, built now where there is none.

    Unavailable without a CUDA device, the libraries, a driver that is new enough, or enough memory.
    """
    require_cuda()
    tensorrt_engines.require_driver(options.library)
    here = tensorrt_engines.gpu()
    if options.compute_capability not in (None, here.compute_capability):
        raise Unavailable(
            f"engines are built for compute capability {options.compute_capability} "
            f"(engine.compute_capability), this GPU is a {here.name} with {here.compute_capability}"
        )
    try:
        record = tensorrt_engines.ensure(network, options)
    except PoseGaugeError as error:
        # The table says why this row has no figure; the rows of other runtimes go on.
        raise Unavailable(str(error)) from error
    trt = tensorrt_engines.load_library(options.library)
    logger = tensorrt_engines.make_logger(trt)
    path = f"{options.engines}/{record['engine']}"
    with open(path, "rb") as stream:
        engine = trt.Runtime(logger).deserialize_cuda_engine(stream.read())
    if engine is None:
        raise Unavailable(f"{path}: TensorRT refuses this engine: {tensorrt_engines.last_error(logger)}")
    on_device = artifact.images == "device"
    graph = artifact.execution == "graph"
    return TensorRTSession(network, record, engine, Cuda(), graph, on_device, threads)
