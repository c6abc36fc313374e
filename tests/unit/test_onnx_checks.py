"""Which provider runs which node, and what a session was told: read back, and refused where it is not so."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from posegauge.backends import onnx_checks
from posegauge.backends.onnx_checks import CPU, CUDA, TENSORRT
from posegauge.errors import Unavailable
from posegauge.models.network import Network

POSE = Network(role="pose", name="Tiny", input_size=(32, 64))
# Cuts a batch's size out of its shape and reshapes with it, as exported networks do.
SHAPE_NODES = {"shape", "cut", "target"}
VALUE_NODES = {"scale", "reshape"}


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> Network:
    """A file whose nodes compute with shapes and with values."""
    nodes = [
        helper.make_node("Mul", ["input", "two"], ["scaled"], "scale"),
        helper.make_node("Shape", ["input"], ["size"], "shape"),
        helper.make_node("Slice", ["size", "zero", "one"], ["batch"], "cut"),
        helper.make_node("Concat", ["batch", "rest"], ["to"], "target", axis=0),
        helper.make_node("Reshape", ["scaled", "to"], ["output"], "reshape"),
    ]
    constants = {"two": np.float32(2), "zero": np.array([0]), "one": np.array([1]), "rest": np.array([-1])}
    graph = helper.make_graph(
        nodes,
        "reshape",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    path = tmp_path_factory.mktemp("onnx") / "pose.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return replace(POSE, onnx=str(path))


def session(assigned: dict, options: dict | None = None):
    """What is asked of an InferenceSession: nodes {name: provider} and the options that it reports."""
    parts = [
        SimpleNamespace(
            ep_name=provider, get_nodes=lambda name=name: [SimpleNamespace(name=name, op_type="Op")]
        )
        for name, provider in assigned.items()
    ]
    return SimpleNamespace(
        get_provider_graph_assignment_info=lambda: parts, get_provider_options=lambda: options or {}
    )


def on(provider: str, names) -> dict:
    return dict.fromkeys(names, provider)


def test_nodes_that_compute_with_shapes_are_told_from_values(network):
    assert onnx_checks.shape_nodes(network.onnx) == SHAPE_NODES


def test_shapes_on_the_cpu_are_no_fall_back(network):
    assigned = on(CUDA, VALUE_NODES) | on(CPU, SHAPE_NODES)
    assert onnx_checks.check_nodes(network, session(assigned), CUDA, False) == {
        "nodes": {CUDA: 2, CPU: 3},
        "cpu_shape_nodes": 3,
        "fallback_nodes": 0,
        "fallback": [],
    }


@pytest.mark.parametrize(("wanted", "other"), [(CUDA, CPU), (TENSORRT, CUDA), (TENSORRT, CPU)])
def test_a_fall_back_is_refused_and_named_unless_it_is_allowed(network, wanted, other):
    assigned = on(wanted, {"reshape"}) | on(other, {"scale"}) | on(CPU, SHAPE_NODES)
    with pytest.raises(Unavailable, match=rf"1 of 5 nodes do not run on {wanted}: scale \(Op\) on {other}"):
        onnx_checks.check_nodes(network, session(assigned), wanted, False)
    allowed = onnx_checks.check_nodes(network, session(assigned), wanted, True)
    assert (allowed["fallback_nodes"], allowed["fallback"]) == (1, [f"scale (Op) on {other}"])


def test_a_session_that_tells_nothing_is_refused(network):
    with pytest.raises(Unavailable, match="does not say which provider"):
        onnx_checks.check_nodes(network, session({}), CUDA, False)


def test_onnx_runtime_itself_tells_its_nodes(network):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    real = onnxruntime.InferenceSession(network.onnx, options, providers=[CPU])
    # All its nodes are on the CPU: as a CUDA session it would have computed two of them there.
    told = onnx_checks.check_nodes(network, real, CUDA, True)
    assert (told["cpu_shape_nodes"], told["fallback_nodes"]) == (3, 2)
    assert onnx_checks.check_nodes(network, real, CPU, False)["fallback_nodes"] == 0


def test_options_are_read_back():
    asked = [(CUDA, {"use_tf32": "0", "enable_cuda_graph": "1", "user_compute_stream": "140"})]
    told = onnx_checks.check_options(POSE, session({}, {CUDA: {"use_tf32": "0"}}), asked)
    assert told == {
        CUDA: {"asked": {"use_tf32": "0", "enable_cuda_graph": "1"}, "not_reported": ["enable_cuda_graph"]}
    }
    onnx_checks.check_options(POSE, session({}, {CUDA: {"use_tf32": "False"}}), asked)


def test_tf32_that_stays_on_is_refused():
    with pytest.raises(Unavailable, match="asked CUDAExecutionProvider for use_tf32 = 0, it reports 1"):
        onnx_checks.check_options(POSE, session({}, {CUDA: {"use_tf32": "1"}}), [(CUDA, {"use_tf32": "0"})])
