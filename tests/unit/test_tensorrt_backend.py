"""The TensorRT session on a GPU made of host memory: copies, padding, parts, graphs, times, errors."""

import contextlib
import ctypes
import enum
import itertools
import re
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from demo_models import POSE

from posegauge.backends import base, tensorrt, tensorrt_engines
from posegauge.errors import PoseGaugeError, Unavailable
from posegauge.models.network import Network
from posegauge.study import Artifact

WIDTH, HEIGHT = 6, 8
NETWORK = Network(role="pose", name="Fake", input_size=(WIDTH, HEIGHT), onnx="fake.onnx")


class HostCuda(tensorrt.Cuda):
    """The calls of Cuda on host memory; the clock ticks once per piece of work on the stream."""

    def __init__(self):
        self.memory, self.clock, self.recording = {}, 0, None
        self.launched, self.captured = 0, 0

    def work(self, action) -> None:
        """Do something now, or when the graph that is being captured is launched."""
        if self.recording is not None:
            self.recording.append(action)
            return
        self.clock += 1
        action()

    def device_memory(self, size):
        # Garbage, as on a device.
        array = np.full(size, 0x7F, np.uint8)
        self.memory[array.ctypes.data] = array
        return array.ctypes.data

    def host_memory(self, shape, dtype):
        return np.full(shape, np.nan, dtype)

    def stream(self):
        return 7

    def event(self):
        return types.SimpleNamespace(time=None)

    def record(self, event, stream):
        event.time = self.clock

    def wait(self, stream, event):
        assert event.time is not None

    def synchronize(self, stream):
        assert stream == 7

    def elapsed_ms(self, begin, end):
        return float(end.time - begin.time)

    def to_device(self, address, array, stream):
        self.work(lambda: ctypes.memmove(address, array.ctypes.data, array.nbytes))

    def to_host(self, array, address, stream):
        self.work(lambda: ctypes.memmove(array.ctypes.data, address, array.nbytes))

    def within_device(self, target, source, size, stream):
        self.work(lambda: ctypes.memmove(target, source, size))

    @contextlib.contextmanager
    def capture(self, stream, graphs):
        self.recording = []
        yield
        graphs.append(self.recording)
        self.recording = None
        self.captured += 1

    def launch(self, graph, stream):
        self.launched += 1
        for action in graph:
            self.work(action)


def view(address: int, shape) -> np.ndarray:
    size = int(np.prod(shape))
    return np.frombuffer((ctypes.c_float * size).from_address(address), np.float32).reshape(shape)


def computed(batch: np.ndarray) -> dict[str, np.ndarray]:
    """What the fake network gives: means of the image, told apart by a factor."""
    means = batch.mean((1, 2, 3)).reshape(-1, 1, 1)
    return {
        "simcc_x": np.broadcast_to(means, (len(batch), 17, 2 * WIDTH)),
        "simcc_y": np.broadcast_to(2 * means, (len(batch), 17, 2 * HEIGHT)),
    }


class Context:
    """As much of an IExecutionContext."""

    def __init__(self, engine):
        self.engine, self.addresses, self.shape = engine, {}, None

    def set_input_shape(self, name, shape):
        self.shape = tuple(shape)
        return self.engine.least <= shape[0] <= self.engine.most

    def get_tensor_shape(self, name):
        return {"simcc_x": (self.shape[0], 17, 2 * WIDTH), "simcc_y": (self.shape[0], 17, 2 * HEIGHT)}[name]

    def set_tensor_address(self, name, address):
        self.addresses[name] = address

    def execute_async_v3(self, stream):
        shape, addresses = self.shape, dict(self.addresses)
        assert stream == 7

        def compute():
            for name, values in computed(view(addresses["input"], shape)).items():
                view(addresses[name], values.shape)[:] = values

        self.engine.cuda.work(compute)
        return True


class Engine:
    """As much of an ICudaEngine."""

    names = ("input", "simcc_x", "simcc_y")

    def __init__(self, cuda, least, most):
        self.cuda, self.least, self.most, self.contexts = cuda, least, most, 0
        self.num_io_tensors = len(self.names)

    def get_tensor_name(self, index):
        return self.names[index]

    def get_tensor_mode(self, name):
        return types.SimpleNamespace(name="INPUT" if name == "input" else "OUTPUT")

    def create_execution_context(self):
        self.contexts += 1
        return Context(self)


def session(batches=(1, 4, 8), graph=False, on_device=False, engine=Engine):
    shapes = [[batch, 3, HEIGHT, WIDTH] for batch in batches]
    record = {
        "engine": "fake.engine",
        "engine_sha256": "0" * 64,
        "layers": {},
        "parts": {
            "options": {"shapes": shapes},
            "library": "tensorrt",
            "library_version": "10.16.1.11",
            "gpu": "Fake",
        },
    }
    cuda = HostCuda()
    made = engine(cuda, batches[0], batches[-1])
    return tensorrt.TensorRTSession(NETWORK, record, made, cuda, graph, on_device, 1)


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 3, HEIGHT, WIDTH)).astype(np.float32)


@pytest.mark.parametrize("batches", [(1, 4, 8), (2, 3, 8), (1, 1, 1)])
@pytest.mark.parametrize("graph", [False, True], ids=["plain", "graph"])
@pytest.mark.parametrize("on_device", [False, True], ids=["host", "device"])
def test_every_batch_is_computed_whatever_its_size(batches, graph, on_device):
    running = session(batches, graph, on_device)
    for seed, count in enumerate((1, 5, 8, 2, 19, 1)):
        batch = images(count, seed)
        if on_device:
            outputs = {
                name: value.numpy() for name, value in running.run_device(torch.from_numpy(batch)).items()
            }
            assert running.copy_ms == 0
        else:
            outputs = running.run(batch)
        expected = computed(batch)
        assert set(outputs) == set(expected)
        for name, values in expected.items():
            np.testing.assert_allclose(outputs[name], values, rtol=1e-5)


def test_results_stay_when_the_buffers_are_used_again():
    running = session()
    first = running.run(images(3, 1))
    kept = first["simcc_x"].copy()
    running.run(images(3, 2))
    np.testing.assert_array_equal(first["simcc_x"], kept)


@pytest.mark.parametrize("graph", [False, True], ids=["plain", "graph"])
def test_times_of_copies_and_of_the_network(graph):
    running = session(graph=graph)
    running.run(images(19))
    # Three parts of at most eight: one piece of work each for the network, three for the copies.
    assert running.device_ms == 3
    assert running.copy_ms >= 9
    running.run(images(1))
    assert running.device_ms == 1 and 3 <= running.copy_ms < 9


def test_a_graph_is_captured_once_per_size():
    running = session(graph=True)
    assert tensorrt.batch_sizes(1, 4, 8) == [1, 2, 4, 8]
    for count in (3, 4, 3, 8, 4):
        running.run(images(count))
    assert running.cuda.captured == running.builds == 2, "sizes 4 and 8"
    assert running.cuda.launched == 5
    assert running.engine.contexts == 2, "a graph holds the state of its context"
    assert session().builds == 0


@pytest.mark.parametrize("batches", [(1, 8, 32), (1, 1, 1), (2, 5, 12), (4, 4, 100)])
def test_sizes_of_graphs(batches):
    sizes = tensorrt.batch_sizes(*batches)
    assert sizes[0] == batches[0] and sizes[-1] == batches[-1] and batches[1] in sizes
    assert sizes == sorted(set(sizes))
    # Less than half of the largest part is filled up in vain.
    assert all(after <= 2 * before for before, after in itertools.pairwise(sizes))


def test_a_network_with_other_outputs_is_refused():
    class WithNms(Engine):
        names = ("input", "dets", "labels")

    with pytest.raises(
        PoseGaugeError, match=r"must have the outputs .* dets, labels\. NMS has to stay outside"
    ):
        session(engine=WithNms)


def test_no_room_for_a_context():
    class Full(Engine):
        def create_execution_context(self):
            return None

    with pytest.raises(Unavailable, match="out of GPU memory"):
        session(engine=Full)


def test_images_on_the_host_have_no_device_run():
    with pytest.raises(PoseGaugeError, match="buffers on the host"):
        session().run_device(torch.zeros(1, 3, HEIGHT, WIDTH))


def test_provenance_names_the_engine():
    told = session(graph=True).provenance()
    assert told["file"] == "fake.engine" and told["provider"] == "CUDA (Fake)" and told["cuda_graph"] is True
    assert told["batch_sizes"] == [1, 2, 4, 8]


# ---------------------------------------------------------------------------------- CUDA's own interface


class Status(enum.Enum):
    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2
    cudaErrorLaunchFailure = 719


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (Status.cudaErrorMemoryAllocation, Unavailable, "out of GPU memory: close what else uses"),
        (Status.cudaErrorLaunchFailure, PoseGaugeError, "cudaMalloc failed with cudaErrorLaunchFailure"),
    ],
)
def test_what_cuda_says_is_told(status, error, message):
    cuda = tensorrt.Cuda.__new__(tensorrt.Cuda)
    cuda.api = types.SimpleNamespace(cudaError_t=Status, cudaMalloc=lambda size: (status, 0))
    with pytest.raises(error, match=message):
        cuda.device_memory(100)


def test_every_call_exists_in_cuda_python():
    runtime = pytest.importorskip(
        "cuda.bindings.runtime", reason="cuda-python is installed with make setup-cuda"
    )
    text = Path(tensorrt.__file__).read_text(encoding="utf-8")
    names = set(re.findall(r'_call\("(\w+)"', text)) | set(re.findall(r"self\.api\.(\w+)", text))
    assert {"cudaMalloc", "cudaGraphLaunch", "cudaMemcpyKind"} <= names
    assert not [name for name in names if not hasattr(runtime, name)]
    for kind, member in re.findall(r"self\.api\.(cuda\w+)\.(\w+)", text):
        assert hasattr(getattr(runtime, kind), member)


# ----------------------------------------------------------------------------------------- other machines


@pytest.mark.skipif(base.cuda_devices() > 0, reason="this machine has a CUDA device")
def test_without_a_gpu():
    with pytest.raises(Unavailable, match="no CUDA device"):
        tensorrt.load(POSE, Artifact("tensorrt", "cuda", "fp16"), 1, base.Options())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"library": "no_such_trt"}, "no_such_trt is not installed"),
        (
            {"library": "tensorrt_rtx", "compute_capability": "8.6"},
            r"built for compute capability 8\.6 .*, this GPU is a Fake with 8\.9",
        ),
    ],
)
def test_another_gpu_or_no_library(options, message, monkeypatch, tmp_path):
    for module in (tensorrt_engines, tensorrt):
        monkeypatch.setattr(module, "require_cuda", lambda: None)
    monkeypatch.setattr(tensorrt_engines, "gpu", lambda: tensorrt_engines.Gpu("Fake", "8.9"))
    network = Network("pose", "Fake", (WIDTH, HEIGHT), onnx=__file__)
    with pytest.raises(Unavailable, match=message):
        tensorrt.load(
            network, Artifact("tensorrt", "cuda", "fp16"), 1, base.Options(engines=str(tmp_path), **options)
        )


def test_an_engine_that_cannot_be_built_is_a_reason(monkeypatch):
    def ensure(network, options):
        raise PoseGaugeError("the operator Frobnicate is not supported")

    monkeypatch.setattr(tensorrt, "require_cuda", lambda: None)
    monkeypatch.setattr(tensorrt_engines, "gpu", lambda: tensorrt_engines.Gpu("Fake", "8.9"))
    monkeypatch.setattr(tensorrt_engines, "ensure", ensure)
    with pytest.raises(Unavailable, match="the operator Frobnicate is not supported"):
        tensorrt.load(NETWORK, Artifact("tensorrt", "cuda", "fp16"), 1, base.Options())


def test_an_engine_that_the_library_refuses(monkeypatch, tmp_path):
    class Runtime:
        def __init__(self, logger):
            logger.errors.append("engine is for another platform")

        def deserialize_cuda_engine(self, content):
            assert content == b"engine"

    (tmp_path / "pose.engine").write_bytes(b"engine")
    monkeypatch.setattr(tensorrt, "require_cuda", lambda: None)
    monkeypatch.setattr(tensorrt_engines, "gpu", lambda: tensorrt_engines.Gpu("Fake", "8.9"))
    monkeypatch.setattr(tensorrt_engines, "ensure", lambda network, options: {"engine": "pose.engine"})
    monkeypatch.setattr(tensorrt_engines, "load_library", lambda name: types.SimpleNamespace(Runtime=Runtime))
    monkeypatch.setattr(tensorrt_engines, "make_logger", lambda trt: types.SimpleNamespace(errors=[]))
    with pytest.raises(Unavailable, match=r"pose\.engine: TensorRT refuses this engine: .* another platform"):
        tensorrt.load(NETWORK, Artifact("tensorrt", "cuda", "fp16"), 1, base.Options(engines=str(tmp_path)))
