"""Counting a network's work, measuring a machine's rates, and the floor made of both."""

import time

import numpy as np
import onnx
import pytest
from demo_models import DETECTOR, POSE
from fake_results import fake_limits
from onnx import TensorProto, helper, numpy_helper

from posegauge.backends.base import cuda_devices
from posegauge.errors import PoseGaugeError, Unavailable
from posegauge.measure import machine_rates, roofline
from posegauge.report import records
from posegauge.store import files

FLOAT = TensorProto.FLOAT


def write(path, nodes, weights=(), shape=("n", 3, 8, 8), outputs=("out",)) -> str:
    """Write a network with the input x [*shape]; weights: {name: shape}."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", FLOAT, shape)],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.zeros(dims, np.float32), name) for name, dims in dict(weights).items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), str(path))
    return str(path)


def node(kind: str, *inputs: str, out: str = "out", **attributes):
    return helper.make_node(kind, list(inputs), [out], **attributes)


IMAGE = 3 * 8 * 8  # numbers of one input


@pytest.mark.parametrize(
    ("nodes", "weights", "macs", "flops", "weights_and_outputs"),
    [
        # 16 filters of 3 x 3 x 3 on 8 x 8 places, and a bias
        (
            [node("Conv", "x", "w", "b", pads=[1, 1, 1, 1])],
            {"w": (16, 3, 3, 3), "b": (16,)},
            16 * 64 * 27,
            2 * 16 * 64 * 27 + 16 * 64,
            16 * 27 + 16 + 16 * 64,
        ),
        # stride 2 leaves 4 x 4 places
        (
            [node("Conv", "x", "w", strides=[2, 2])],
            {"w": (5, 3, 2, 2)},
            5 * 16 * 12,
            2 * 5 * 16 * 12,
            60 + 80,
        ),
        # depthwise: each of the three channels has its own 3 x 3
        (
            [node("Conv", "x", "w", group=3, pads=[1, 1, 1, 1])],
            {"w": (3, 1, 3, 3)},
            IMAGE * 9,
            2 * IMAGE * 9,
            27 + IMAGE,
        ),
        (
            [node("ConvTranspose", "x", "w", strides=[2, 2])],
            {"w": (3, 4, 2, 2)},
            IMAGE * 16,
            2 * IMAGE * 16,
            48 + 1024,
        ),
        # [3, 8, 8] x [8, 5]
        ([node("MatMul", "x", "w")], {"w": (8, 5)}, 3 * 8 * 5 * 8, 2 * 960, 40 + 120),
        (
            [node("Flatten", "x", out="f"), node("Gemm", "f", "w", "b", transB=1)],
            {"w": (7, IMAGE), "b": (7,)},
            7 * IMAGE,
            2 * 7 * IMAGE + 7,
            7 * IMAGE + 7 + 7,
        ),
        ([node("Sigmoid", "x", out="s"), node("Mul", "x", "s")], {}, 0, 2 * IMAGE, IMAGE),
        ([node("GlobalAveragePool", "x")], {}, 0, IMAGE, 3),
        ([node("MaxPool", "x", kernel_shape=[2, 2], strides=[2, 2])], {}, 0, 4 * 48, 48),
        ([node("Transpose", "x", perm=[0, 2, 3, 1])], {}, 0, 0, IMAGE),
    ],
    ids=lambda value: value[-1].op_type if isinstance(value, list) else "",
)
def test_known_counts(tmp_path, nodes, weights, macs, flops, weights_and_outputs):
    counted = roofline.count(write(tmp_path / "m.onnx", nodes, weights), (8, 8), (1, 4))
    one, four = counted["batches"]
    assert (one["batch"], one["macs"], one["flops"]) == (1, macs, flops)
    assert one["numbers_minimum"] == weights_and_outputs + IMAGE
    assert (four["macs"], four["flops"]) == (4 * macs, 4 * flops)
    assert counted["weights"] == sum(int(np.prod(dims)) for dims in weights.values())
    assert counted["not_counted"] == []


def test_what_every_node_reads_and_writes_is_counted(tmp_path):
    nodes = [
        node("Relu", "x", out="a"),
        node("Add", "a", "w", out="b"),
        node("Reshape", "b", "shape", out="c"),  # no number moves
        node("Mul", "c", "w"),
    ]
    path = write(tmp_path / "m.onnx", nodes, {"w": (8,)})
    model = onnx.load(path)
    model.graph.initializer.append(numpy_helper.from_array(np.array([-1, 3, 8, 8]), "shape"))
    onnx.save(model, path)
    counted = roofline.count(path, (8, 8), (1, 2))
    assert counted["batches"][0]["numbers_moved"] == (IMAGE + IMAGE) + (2 * IMAGE + 8) + (2 * IMAGE + 8)
    assert (counted["weights"], counted["weights_read"]) == (8, 16), "a shared weight is read twice"
    assert roofline.at_batch(counted, 2) == counted["batches"][1]


def test_other_nodes_are_named_and_hidden_shapes_refused(tmp_path):
    path = write(tmp_path / "m.onnx", [node("CumSum", "x", "axis")])
    model = onnx.load(path)
    model.graph.initializer.append(numpy_helper.from_array(np.array(1), "axis"))
    onnx.save(model, path)
    assert roofline.count(path, (8, 8), (1,))["not_counted"] == ["CumSum"]
    nodes = [node("NonZero", "x", out="i"), node("Cast", "i", to=FLOAT)]
    with pytest.raises(PoseGaugeError, match=r"the shape of .* cannot be told"):
        roofline.count(write(tmp_path / "m.onnx", nodes), (8, 8), (1,))


def test_a_fixed_batch_is_counted_as_it_is(tmp_path):
    path = write(tmp_path / "m.onnx", [node("MatMul", "x", "w")], {"w": (8, 5)}, shape=(2, 3, 8, 8))
    counted = roofline.count(path, (8, 8), (1, 4))
    assert [work["batch"] for work in counted["batches"]] == [2]
    assert roofline.at_batch(counted, 3)["macs"] == 3 * 960


@pytest.mark.parametrize(
    ("network", "published_gflops"),
    # MMDetection's and MMPose's tables call multiply-adds FLOPs.
    [(DETECTOR, 0.31), (POSE, 0.36)],
)
def test_the_models_have_the_published_counts(tmp_path, network, published_gflops):
    from posegauge.models.export import export_onnx

    export_onnx(network, tmp_path / "m.onnx", 17)
    counted = roofline.count(tmp_path / "m.onnx", network.input_size, (1, 8))
    assert counted["batches"][0]["macs"] / 1e9 == pytest.approx(published_gflops, rel=0.03)
    assert counted["not_counted"] == []


# ------------------------------------------------------------------------------------------------ rates


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(machine_rates, "MATRIX_SIZES", {"cpu": 64, "cuda": 64})
    monkeypatch.setattr(machine_rates, "COPY_BYTES", {"cpu": 2**16, "cuda": 2**16})
    monkeypatch.setattr(machine_rates, "ROUND_MS", 0.05)


def test_rates_of_the_cpu(small, tmp_path):
    rates = machine_rates.measure("cpu", 1)
    assert set(rates["matrix"]) == {"fp32"}
    for rate, work in ((rates["matrix"]["fp32"], 2 * 64**3), (rates["copy"], 2 * 2**16)):
        assert rate["work"] == work and len(rate["rounds_ms"]) == machine_rates.ROUNDS
        assert rate["best_per_s"] == pytest.approx(work * rate["repeats"] / min(rate["rounds_ms"]) * 1e3)
        assert rate["best_per_s"] >= rate["median_per_s"] > 0
        assert all(rate["best_per_s"] >= slower > 0 for slower in rate["slower"].values())
    tried = {rates["matrix"]["fp32"]["library"], *rates["matrix"]["fp32"]["slower"]}
    assert {library.rpartition(" ")[0] for library in tried} == {"PyTorch", "ONNX Runtime", "OpenVINO"}
    path = tmp_path / "cpu.json"
    files.write_json(path, fake_limits() | {"rates": rates}, "roofline.schema.yaml")
    assert set(records.read_limits([path])) == {"cpu"}


def test_the_way_on_cuda_with_tensors_of_the_cpu(small, monkeypatch):
    """The calls are those of torch.cuda; events and tensors are the CPU's."""
    import torch

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            self.at_ms = time.perf_counter() * 1e3

        def synchronize(self):
            pass

        def elapsed_time(self, other):
            return other.at_ms - self.at_ms

    seen = []
    product = torch.mm
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(
        torch,
        "mm",
        lambda a, b, out: seen.append(torch.backends.cuda.matmul.allow_tf32) or product(a, b, out=out),
    )
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        rate = machine_rates._matrix(torch, "cpu", "fp16", 64, machine_rates._events)
        assert torch.backends.cuda.matmul.allow_tf32 is True
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    assert rate["best_per_s"] > 0 and not any(seen)


def test_without_cuda_there_are_no_rates():
    if cuda_devices():
        pytest.skip("there is a CUDA device")
    with pytest.raises(Unavailable, match="CUDA"):
        machine_rates.measure("cuda", 1)


# ------------------------------------------------------------------------------------------------ floor


def test_the_floor_is_the_longer_of_arithmetic_and_traffic():
    arithmetic = fake_limits(fp32=1e11, copy=1e12)  # 10 ms of detector, 5 ms for each person
    assert roofline.floor_ms(arithmetic, ("detector", "pose"), 3, "fp32") == pytest.approx(10 + 3 * 5)
    assert roofline.floor_ms(arithmetic, ("pose",), 3, "fp32") == pytest.approx(15)
    assert roofline.floor_ms(arithmetic, ("detector", "pose"), 0, "fp32") == pytest.approx(10)
    traffic = fake_limits("cuda", fp32=1e15, fp16=1e15, copy=1e9)
    # 2 million weights once, and 1000 numbers for each person
    assert roofline.floor_ms(traffic, ("pose",), 3, "fp32") == pytest.approx(4 * 2.003)
    assert roofline.floor_ms(traffic, ("pose",), 3, "fp16") == pytest.approx(2 * 2.003)
    # A second call of the network reads the weights again, and so does the mirrored crop.
    assert roofline.floor_ms(traffic, ("pose",), 33, "fp16") == pytest.approx(2 * 4.033)
    assert roofline.floor_ms(traffic | {"pose_calls": 2}, ("pose",), 3, "fp16") == pytest.approx(4 * 2.003)


@pytest.mark.parametrize(
    ("record", "precision", "reason"),
    [
        (None, "fp32", "the roofline of the device was not measured"),
        (fake_limits("cuda", "no CUDA device"), "fp16", "no CUDA device"),
        (fake_limits(), "int8", "the INT8 rate of the device was not measured"),
    ],
)
def test_without_a_rate_there_is_no_floor(record, precision, reason):
    assert roofline.reason_without(record, precision) == reason
    assert roofline.floor_ms(record, ("pose",), 3, precision) is None


def test_without_a_count_there_is_no_floor():
    record = fake_limits()
    record["networks"]["pose"] = {"name": "P", "sha256": "", "status": "not counted", "reason": "odd"}
    assert roofline.reason_without(record, "fp32") == "odd"


@pytest.mark.parametrize("reason", [None, "no CUDA device"])
def test_limits_fit_the_schema(tmp_path, reason):
    files.write_json(tmp_path / "cuda.json", fake_limits("cuda", reason), "roofline.schema.yaml")
    assert records.read_limits([tmp_path / "cuda.json"])["cuda"]["reason"] == reason
