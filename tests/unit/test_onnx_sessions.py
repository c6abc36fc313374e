"""ONNX Runtime bound to buffers: on the CPU the same code as on CUDA, in FP32 and FP16."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from posegauge import backends
from posegauge.backends import onnxruntime as backend
from posegauge.backends.base import Options
from posegauge.backends.onnx_checks import CPU, CUDA, TENSORRT
from posegauge.errors import Unavailable
from posegauge.models.network import Network
from posegauge.study import Artifact

POSE = Network(role="pose", name="Tiny", input_size=(32, 64))
GRAPH = Artifact("onnxruntime", "cpu", execution="graph")
DEVICE = Artifact("onnxruntime", "cpu", images="device")


def convolution(path, half: bool = False) -> Network:
    """Write a small network with weights, if asked in FP16 with float32 at both ends, as ours are."""
    weights = np.random.default_rng(0).normal(size=(4, 3, 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["input", "weights"], ["features"], "conv"),
        helper.make_node("ReduceMean", ["features"], ["simcc_x"], "x", axes=[2], keepdims=0),
        helper.make_node("ReduceMean", ["features"], ["simcc_y"], "y", axes=[3], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "convolution",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, 64, 32])],
        [
            helper.make_tensor_value_info("simcc_x", TensorProto.FLOAT, ["batch", "any", 32]),
            helper.make_tensor_value_info("simcc_y", TensorProto.FLOAT, ["batch", "any", "length"]),
        ],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if half:
        from onnxruntime.transformers.float16 import convert_float_to_float16

        model = convert_float_to_float16(model, keep_io_types=True)
    onnx.save(model, str(path))
    return replace(POSE, onnx=str(path))


def with_nms_inside(path) -> Network:
    """Write a detector whose number of boxes depends on the image."""
    nodes = [
        helper.make_node("ReduceMax", ["input"], ["peak"], "peak", axes=[1, 2, 3], keepdims=0),
        helper.make_node("NonZero", ["peak"], ["found"], "found"),
        helper.make_node("Cast", ["found"], ["dets"], "dets", to=TensorProto.FLOAT),
        helper.make_node("Identity", ["found"], ["labels"], "labels"),
    ]
    graph = helper.make_graph(
        nodes,
        "nms",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, 64, 32])],
        [
            helper.make_tensor_value_info("dets", TensorProto.FLOAT, None),
            helper.make_tensor_value_info("labels", TensorProto.INT64, None),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return replace(POSE, role="detector", onnx=str(path))


def batch_of(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 3, 64, 32), np.float32)


@pytest.mark.parametrize("artifact", [GRAPH, DEVICE], ids=["graph", "device"])
@pytest.mark.parametrize("half", [False, True], ids=["fp32", "fp16"])
def test_bound_buffers_give_what_plain_runs_give(artifact, half, tmp_path):
    network = convolution(tmp_path / "pose.onnx", half)
    plain = backends.load(network, Artifact("onnxruntime", "cpu"), 1)
    bound = backends.load(network, artifact, 1)
    for count in (1, 3, 40, 2):
        batch = batch_of(count, count)
        wanted, host = plain.run(batch), bound.run(batch)
        on_device = bound.run_device(torch.from_numpy(batch))
        for name, values in wanted.items():
            assert host[name].dtype == np.float32 and host[name].shape == values.shape
            # FP16 sums may be added in another order.
            tolerance = 2e-3 if half else 1e-5
            np.testing.assert_allclose(host[name], values, atol=tolerance)
            np.testing.assert_allclose(on_device[name].numpy(), values, atol=tolerance)
    told = bound.provenance()
    assert told["precision"] == ("FP16: 1 tensors" if half else "FP32: 1 tensors")
    assert told["nodes"][CPU] == sum(told["nodes"].values()) and told["fallback_nodes"] == 0
    assert told["execution"]["io_binding"] is True


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_row_is_not_run_with_a_file_of_another_precision(precision, tmp_path):
    network = convolution(tmp_path / "pose.onnx")
    with pytest.raises(Unavailable, match=rf"the row is {precision.upper()}, the file has FP32: 1 tensors"):
        backends.load(network, replace(GRAPH, precision=precision), 1)
    half = convolution(tmp_path / "half.onnx", half=True)
    backends.load(half, replace(GRAPH, precision="fp16"), 1)


def test_outputs_outlive_the_next_run(tmp_path):
    session = backends.load(convolution(tmp_path / "pose.onnx"), GRAPH, 1)
    first = session.run(batch_of(2, 1))
    kept = {name: values.copy() for name, values in first.items()}
    session.run(batch_of(2, 2))
    for name, values in kept.items():
        np.testing.assert_array_equal(first[name], values)


def test_a_graph_is_built_once_per_size(tmp_path):
    session = backends.load(convolution(tmp_path / "pose.onnx"), GRAPH, 1)
    for count in (1, 3, 4, 33):
        session.run(batch_of(count))
    assert session.builds == 3
    assert session.provenance()["execution"]["graphs_for_batches"] == [1, 4, 32]
    for count in (4, 3, 1, 20):
        session.run(batch_of(count))
    assert session.builds == 3


def test_a_row_without_its_cuda_graph_is_refused(tmp_path):
    session = backends.load(convolution(tmp_path / "pose.onnx"), GRAPH, 1)
    session.run(batch_of(2))
    buffers = session._buffers_for(2)
    # The CPU computes anew, into the outputs that are bound now.
    with pytest.raises(Unavailable, match="computed a batch of 2 anew instead of replaying"):
        session._require_replay(buffers, 2, session._run_options(2))

    class Replay:
        """Writes where an earlier binding said."""

        io_binding = session.session.io_binding

        def run_with_iobinding(self, *_args):
            pass

    session.session = Replay()
    session._require_replay(buffers, 2, None)


def test_nms_inside_the_network(tmp_path):
    network = with_nms_inside(tmp_path / "detector.onnx")
    session = backend.OnnxDeviceSession(network, Artifact("onnxruntime", "cpu"), 1, Options())
    outputs = session.run(batch_of(3))
    assert outputs["dets"].tolist() == [[0.0, 1.0, 2.0]] and outputs["labels"].dtype == np.int64
    assert session.run(np.zeros((3, 3, 64, 32), np.float32))["dets"].shape == (1, 0)
    for artifact in (GRAPH, DEVICE):
        with pytest.raises(Unavailable, match="NMS inside the network returns any number of boxes"):
            backends.load(network, artifact, 1)


@pytest.mark.parametrize(
    ("execution", "graph"), [("plain", "0"), ("graph", "1")], ids=["without graph", "with graph"]
)
def test_a_cuda_session_is_told_everything(execution, graph, tmp_path):
    artifact = Artifact("onnxruntime", "cuda", "fp16", execution)
    ((provider, options),) = backend.chosen_providers(POSE, artifact, Options(), 140)
    assert provider == CUDA
    assert options == {
        "device_id": "0",
        "use_tf32": "0",
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "cudnn_conv_use_max_workspace": "1",
        "user_compute_stream": "140",
        "enable_cuda_graph": graph,
    }


@pytest.mark.parametrize("role", ["detector", "pose"])
def test_tensorrt_has_one_profile_and_a_cache_of_its_own(role, tmp_path):
    network = replace(convolution(tmp_path / "pose.onnx"), role=role)
    artifact = Artifact("onnxruntime", "cuda", "fp16", "tensorrt")
    options = Options(engines=str(tmp_path / "engines"), pose_batches=(1, 8, 24))
    (first, tensorrt), (second, cuda) = backend.chosen_providers(network, artifact, options, 140)
    assert (first, second) == (TENSORRT, CUDA)
    assert tensorrt["user_compute_stream"] == cuda["user_compute_stream"] == "140"
    assert tensorrt["trt_fp16_enable"] == "1"
    batches = (1, 8, 24) if role == "pose" else (1, 1, 1)
    for part, batch in zip(("min", "opt", "max"), batches, strict=True):
        assert tensorrt[f"trt_profile_{part}_shapes"] == f"input:{batch}x3x64x32"
    # Another file has another cache.
    other = replace(convolution(tmp_path / "other.onnx", half=True), role=role)
    paths = [
        backend.tensorrt_options(each, artifact, options)["trt_engine_cache_path"]
        for each in (network, other)
    ]
    assert paths[0] == tensorrt["trt_engine_cache_path"] != paths[1]
    assert backend.within(24) == (1, 2, 4, 8, 16, 24)
    assert backend.within(32) == (1, 2, 4, 8, 16, 32)
