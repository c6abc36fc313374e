"""Sessions around buffers on a device: the CPU stands in for it, fakes for streams, events and graphs."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from fake_cuda import FakeTorch
from torch import nn

from posegauge import backends
from posegauge.backends import torch as torch_backend
from posegauge.backends.base import BATCH_SIZES
from posegauge.backends.device import DeviceSession
from posegauge.errors import PoseGaugeError, Unavailable
from posegauge.models import build
from posegauge.models.network import Network
from posegauge.study import Artifact

POSE = Network(role="pose", name="Tiny", input_size=(32, 64), config="tiny.py")
EAGER = Artifact("pytorch", "cpu", images="device")
COMPILED = Artifact("pytorch", "cpu", execution="compiled")


def batch_of(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 3, 64, 32), np.float32)


class Means(nn.Module):
    """A network whose outputs are means of each image: an image's do not depend on the others."""

    output_names = ("simcc_x", "simcc_y")

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0), requires_grad=False)

    def forward(self, batch):
        return self.factor * batch.mean(2), self.factor * batch.mean(3)


def expected(batch: np.ndarray) -> dict:
    return {"simcc_x": 2 * batch.mean(2), "simcc_y": 2 * batch.mean(3)}


def assert_close(outputs: dict, wanted: dict):
    assert set(outputs) == set(wanted)
    for name, values in wanted.items():
        assert outputs[name].dtype == np.float32
        np.testing.assert_allclose(outputs[name], values, rtol=1e-5)


class Replays:
    """In place of torch_backend.capture: computes into the same tensors again, as a CUDA graph does."""

    def __init__(self):
        self.sizes = []

    def __call__(self, _torch, _stream, forward, batch):
        assert torch.backends.cudnn.benchmark
        self.sizes.append(len(batch))
        outputs = tuple(output.clone() for output in forward(batch))

        def replay():
            for output, value in zip(outputs, forward(batch), strict=True):
                output.copy_(value)

        return replay, outputs


@pytest.fixture
def network(tmp_path, monkeypatch) -> Network:
    monkeypatch.setattr(build, "build_network", lambda network: Means())
    checkpoint = tmp_path / "tiny.pth"
    checkpoint.write_bytes(b"weights")
    return replace(POSE, checkpoint=str(checkpoint))


@pytest.fixture
def compiled(network, monkeypatch):
    """A compiled session whose CUDA graphs are replays on the CPU; they are in `.replays`."""
    replays = Replays()
    monkeypatch.setattr(torch_backend, "capture", replays)
    monkeypatch.setattr(torch_backend, "compile_network", lambda _torch, module: module)
    session = backends.load(network, COMPILED, 1)
    session.replays = replays
    return session


@pytest.mark.parametrize("count", [1, 3, 32, 33, 70])
def test_any_batch_gives_what_the_network_gives(count, network):
    session = backends.load(network, EAGER, 1)
    assert_close(session.run(batch_of(count)), expected(batch_of(count)))
    on_device = session.run_device(torch.from_numpy(batch_of(count)))
    assert_close({name: value.numpy() for name, value in on_device.items()}, expected(batch_of(count)))
    assert (session.copy_ms, session.device_ms, session.builds) == (0.0, None, 0)


@pytest.mark.parametrize("count", [1, 3, 5, 33, 70])
def test_padding_does_not_change_an_image(count, compiled):
    assert_close(compiled.run(batch_of(count)), expected(batch_of(count)))
    on_device = compiled.run_device(torch.from_numpy(batch_of(count, 1)))
    assert_close({name: value.numpy() for name, value in on_device.items()}, expected(batch_of(count, 1)))


def test_a_graph_is_captured_once_per_size_and_never_again(compiled):
    for count in (1, 3, 4, 3, 32, 40, 5):
        compiled.run(batch_of(count))
    assert compiled.replays.sizes == [1, 4, 32, 8]
    before = compiled.builds
    assert before == 4
    for count in (1, 2 + 1, 4, 32, 8, 6):
        compiled.run(batch_of(count))
    assert compiled.builds == before


def test_outputs_outlive_the_next_run(compiled):
    first = compiled.run(batch_of(2, 1))
    compiled.run(batch_of(2, 2))
    assert_close(first, expected(batch_of(2, 1)))


def test_the_mode_of_the_caller_does_not_matter(compiled):
    with torch.inference_mode():
        compiled.run_device(torch.from_numpy(batch_of(2)))
    assert_close(compiled.run(batch_of(2)), expected(batch_of(2)))
    assert compiled.replays.sizes == [2]


def test_a_larger_batch_leaves_nothing_in_a_smaller_one(compiled):
    compiled.run(np.full((4, 3, 64, 32), np.nan, np.float32))
    assert_close(compiled.run(batch_of(3)), expected(batch_of(3)))


def test_provenance_says_what_ran(compiled):
    compiled.run(batch_of(3))
    assert not torch.backends.cudnn.benchmark  # an eager row in the same process
    told = compiled.provenance()
    assert told["execution"]["graphs_for_batches"] == [4]
    assert told["execution"]["padded_to"] == list(BATCH_SIZES)
    assert "torch.compile" in told["execution"]["mode"]
    assert told["tf32"] == {"matmul": False, "convolution": False}
    assert (told["device"], told["precision"], told["cudnn_benchmark"]) == ("cpu", "FP32", True)
    assert len(told["sha256"]) == 64


def test_a_network_on_another_device_is_refused(network):
    session = backends.load(network, EAGER, 1)
    assert session.provenance()["execution"] == {"mode": "eager"}
    session.device = "cuda"
    with pytest.raises(PoseGaugeError, match="asked for cuda, its weights are on cpu"):
        session.provenance()


def test_tf32_that_cannot_be_turned_off_is_refused(network, monkeypatch):
    monkeypatch.setattr(
        torch_backend, "numerics", lambda _torch: {"tf32": {"matmul": True, "convolution": False}}
    )
    with pytest.raises(PoseGaugeError, match="TF32 cannot be turned off"):
        backends.load(network, EAGER, 1)


def test_a_failing_compilation_is_the_reason_of_the_row(network, monkeypatch):
    def fails(*_args):
        raise RuntimeError("Cannot find a working triton installation.\nmore")

    monkeypatch.setattr(torch_backend, "capture", fails)
    monkeypatch.setattr(torch_backend, "compile_network", lambda _torch, module: module)
    with pytest.raises(
        Unavailable, match=r"torch.compile .* failed for Tiny, batch 2: .* triton installation\.$"
    ):
        backends.load(network, COMPILED, 1).run(batch_of(2))


def test_out_of_memory_in_a_run_is_the_reason_of_the_row(network):
    session = backends.load(network, EAGER, 1)
    session.forward = _out_of_memory
    with pytest.raises(Unavailable, match="out of GPU memory in the pose Tiny"):
        session.run(batch_of(1))


def _out_of_memory(_batch):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


# --------------------------------------------------------------------------------- with CUDA in fakes


class Doubles(DeviceSession):
    """A runtime that takes one step on the device."""

    def compute(self, buffers, count):
        self.torch.cuda.log.append(f"network on {self.torch.cuda.current.name}")
        return {"doubled": buffers.input[:count] * 2}


@pytest.fixture
def on_gpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", FakeTorch())
    return Doubles(POSE, "cuda", fixed=False)


def test_events_enclose_copies_and_network(on_gpu):
    outputs = on_gpu.run(batch_of(3))
    np.testing.assert_array_equal(outputs["doubled"], 2 * batch_of(3))
    log = on_gpu.torch.cuda.log
    # start, copied, network, computed, end; the caller's stream waits for all of it.
    middle = ["event", "event", "network on session", "event", "event", "caller waits for session"]
    assert log == ["device done", "session waits for caller", *middle, "event waited for"]
    # The fake clock ticks once per entry: two from `copied` to `computed`, one for each copy.
    assert on_gpu.device_ms == 2.0
    assert 2.0 < on_gpu.copy_ms < 1000


def test_parts_of_a_large_batch_add_up(on_gpu):
    assert on_gpu.run(batch_of(70))["doubled"].shape[0] == 70
    assert on_gpu.device_ms == 3 * 2.0
    assert on_gpu.copy_ms > 3 * 2.0


def test_work_on_the_device_keeps_its_order_without_waiting(on_gpu):
    outputs = on_gpu.run_device(torch.from_numpy(batch_of(2)))
    np.testing.assert_array_equal(outputs["doubled"].numpy(), 2 * batch_of(2))
    log = on_gpu.torch.cuda.log
    assert log == [
        "session waits for caller",
        "device done",  # allocation of the buffers, at the first run
        "event",
        "network on session",
        "event",
        "caller waits for session",
    ]
    assert on_gpu.copy_ms == 0.0
    # Reading the time waits for the device.
    assert on_gpu.device_ms == 2.0 and log[-1] == "event waited for"
    on_gpu.run_device(torch.from_numpy(batch_of(2)))
    assert "device done" not in log[7:]


class FakeGraphs:
    """torch.cuda while graphs are captured."""

    def __init__(self, log):
        self.log = log

    def CUDAGraph(self):
        return self

    def graph(self, graph, stream):
        assert graph is self
        self.log.append(f"captures on {stream}")
        import contextlib

        return contextlib.nullcontext()

    def replay(self):
        self.log.append("replays")


def captured(compiles: bool):
    from types import SimpleNamespace

    from torch._dynamo.utils import counters

    log = []

    def forward(batch):
        if compiles and not log:
            counters["stats"]["unique_graphs"] += 1
        log.append("runs")
        return (batch,)

    fake = SimpleNamespace(cuda=FakeGraphs(log))
    replay, outputs = torch_backend.capture(fake, "a stream", forward, "batch")
    replay()
    return log, outputs


def test_a_graph_is_captured_after_warm_up():
    log, outputs = captured(compiles=True)
    assert log == ["runs", "runs", "runs", "captures on a stream", "runs", "replays"]
    assert outputs == ("batch",)


def test_a_network_that_was_not_compiled_is_refused():
    with pytest.raises(Unavailable, match=r"torch\.compile compiled nothing; unset TORCH_COMPILE_DISABLE"):
        captured(compiles=False)
