"""Which convolutions stay FP32 in INT8: those that lose most, and as few as that takes."""

import copy
import logging

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from posegauge.models import int8, precision

WAYS = pytest.mark.parametrize("name", ["int8", "int8_openvino"])


def network(path, wide: int | None):
    """Write a chain of dense 3 x 3 convolutions; one channel that number `wide` reads is large.

    A range of uint8 that holds it has one step for all of the others, which the convolution reads alone.
    """
    rng = np.random.default_rng(0)
    nodes, weights, before = [], [], "image"
    for index in range(6):
        weight = rng.normal(size=(8, 3 if index == 0 else 8, 3, 3)).astype(np.float32) / 8
        if index + 1 == wide:
            weight[0] *= 1000
        if index == wide:
            weight[:, 0] = 0
        weights.append(numpy_helper.from_array(weight, f"w{index}"))
        attributes = {"kernel_shape": [3, 3], "pads": [1] * 4}
        nodes.append(
            helper.make_node("Conv", [before, f"w{index}"], [f"c{index}"], f"conv{index}", **attributes)
        )
        nodes.append(helper.make_node("Relu", [f"c{index}"], [f"r{index}"], f"relu{index}"))
        before = f"r{index}"
    nodes.append(helper.make_node("ReduceMax", [before], ["most"], "decode", axes=[2, 3]))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 16, 16])
    most = helper.make_tensor_value_info("most", TensorProto.FLOAT, [1, 8, 1, 1])
    graph = helper.make_graph(nodes, "chain", [image], [most], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))
    return path


class Inputs:
    """As int8.Batches, of noise."""

    input_name, samples = None, 4

    def __init__(self):
        rng = np.random.default_rng(1)
        self.inputs = [rng.normal(size=(1, 3, 16, 16)).astype(np.float32) for _ in range(self.samples)]
        self.left = iter(self.inputs)

    def get_next(self):
        found = next(self.left, None)
        return None if found is None else {self.input_name: found}

    def sample(self):
        return self.inputs


def convert(source, path, name, max_error):
    how = int8.Int8(first=0, outputs=int8.INT8[name].outputs)
    return int8.convert_int8(source, path, Inputs(), 8, how, max_error)


@WAYS
def test_what_loses_most_stays(name, tmp_path):
    source = network(tmp_path / "chain.onnx", wide=3)
    made = convert(source, tmp_path / "int8.onnx", name, 0.03)
    search = made["search"]
    assert search["left_out"][0]["name"] == "conv3"
    assert search["error_all"] > 0.03 >= search["error"]
    errors = [one["error"] for one in search["left_out"]]
    assert errors == sorted(errors, reverse=True)
    written = onnx.load(str(tmp_path / "int8.onnx"))
    reads = {node.name: node.input[0] for node in written.graph.node if node.op_type == "Conv"}
    kept = {one["name"] for one in search["left_out"]}
    assert {node for node, read in reads.items() if "Dequantize" not in read} == kept
    without = convert(source, tmp_path / "all.onnx", name, None)
    assert without["search"] is None
    assert made["kept"] == without["kept"] + len(kept)


@WAYS
def test_none_is_tried_alone_where_nothing_is_lost(name, tmp_path, monkeypatch):
    monkeypatch.setattr(int8, "worst", lambda *_: pytest.fail("searched"))
    made = convert(network(tmp_path / "chain.onnx", wide=None), tmp_path / "int8.onnx", name, 0.03)
    assert made["search"]["left_out"] == []
    assert 0 < made["search"]["error"] == made["search"]["error_all"] <= 0.03


def test_the_error_is_that_of_what_decoding_reads(tmp_path):
    model = precision.read_onnx(network(tmp_path / "chain.onnx", wide=None))
    inputs = Inputs().inputs

    def quantise(part, path, kept):
        """Half of what comes out where conv5 is not kept."""
        part = copy.deepcopy(part)
        for tensor in part.graph.initializer:
            if tensor.name == "w5" and "conv5" not in kept:
                tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) / 2, "w5"))
        onnx.save(part, str(path))

    border = int8.Border(model, inputs, quantise, tmp_path)
    assert border.tensors == ["c5"]
    (exact,) = border.exact
    share = np.square(exact / 2).mean() / exact.var()
    assert border.error({"conv5"}) == 0
    assert border.error(set()) == pytest.approx(share, rel=1e-5)


@given(st.dictionaries(st.text("abc", min_size=1), st.floats(0, 1e3), max_size=8), st.floats(1e-6, 2e3))
def test_the_worst_are_as_few_as_can_be(errors, rest):
    chosen = int8.worst(errors, rest)
    left = [errors[name] for name in errors if name not in chosen]
    assert sum(left) <= rest * (1 + 1e-9)
    assert all(errors[name] >= max(left, default=0) for name in chosen)
    if chosen:
        assert sum(left) + errors[chosen[-1]] > rest * (1 - 1e-9)


def test_the_quantisers_advice_is_not_repeated(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        convert(network(tmp_path / "chain.onnx", wide=3), tmp_path / "int8.onnx", "int8", 0.03)
    assert "pre-processing" not in caplog.text
