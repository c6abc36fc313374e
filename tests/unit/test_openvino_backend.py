"""OpenVINO on the demo models: ONNX Runtime's numbers, float32 asserted, INT8 in eight bits."""

import sys
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from demo_models import DETECTOR, POSE
from onnx import TensorProto, helper

from posegauge import backends
from posegauge.backends.openvino import MOST_FIXED
from posegauge.errors import PoseGaugeError, Unavailable
from posegauge.store import files, machine
from posegauge.study import Artifact

FP32, INT8 = Artifact("openvino", "cpu"), Artifact("openvino", "cpu", "int8")


def random_batch(network, count: int) -> np.ndarray:
    width, height = network.input_size
    return np.random.default_rng(3).standard_normal((count, 3, height, width)).astype(np.float32)


@pytest.mark.parametrize(("network", "counts"), [(DETECTOR, [1]), (POSE, [1, 3, 2])])
def test_the_outputs_are_those_of_onnx_runtime(network, counts, demo_onnx):
    network = replace(network, onnx=demo_onnx[network.role])
    theirs = backends.load(network, Artifact("onnxruntime", "cpu"), 1)
    ours = backends.load(network, FP32, 1)
    for count in counts:
        batch = random_batch(network, count)
        expected, found = theirs.run(batch), ours.run(batch)
        assert set(found) == set(expected)
        for name, values in expected.items():
            assert found[name].dtype == np.float32
            # bfloat16 would be off by a hundredth of the values.
            np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-3 if name == "boxes" else 2e-5)
    provenance = ours.provenance()
    assert provenance["sha256"] == files.sha256_file(network.onnx)
    assert (provenance["inference_precision"], provenance["threads"]) == ("f32", 1)
    assert set(provenance["layers"]) == {"f32"} and provenance["layers"]["f32"] > 30
    assert (ours.copy_ms, ours.device_ms) == (0, None)


def test_each_size_of_batch_is_compiled_once_and_large_ones_share_a_network(demo_onnx):
    network = replace(POSE, onnx=demo_onnx["pose"])
    session, theirs = (
        backends.load(network, FP32, 1),
        backends.load(network, Artifact("onnxruntime", "cpu"), 1),
    )
    built = []
    for count in (1, 2, 2, MOST_FIXED, MOST_FIXED + 1, MOST_FIXED + 3, 1):
        batch = random_batch(network, count)
        np.testing.assert_allclose(
            session.run(batch)["simcc_x"], theirs.run(batch)["simcc_x"], rtol=1e-4, atol=2e-5
        )
        built.append(session.builds)
    assert built == [1, 2, 2, 3, 4, 4, 4]
    assert session.provenance()["compiled_for"] == [1, 2, MOST_FIXED, "any"]


def test_outputs_stay_what_they_are_when_the_next_batch_runs(demo_onnx):
    """The flip test looks at two runs together."""
    session = backends.load(replace(POSE, onnx=demo_onnx["pose"]), FP32, 1)
    batch = random_batch(POSE, 1)
    first = session.run(batch)["simcc_x"]
    before = first.copy()
    assert not np.array_equal(session.run(-batch)["simcc_x"], before)
    assert np.array_equal(first, before)


def test_a_file_for_one_person_takes_them_one_after_another(demo_onnx, tmp_path):
    model = onnx.load(demo_onnx["pose"])
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, str(tmp_path / "one.onnx"))
    batch = random_batch(POSE, 3)
    session = backends.load(replace(POSE, onnx=str(tmp_path / "one.onnx")), FP32, 1)
    found = session.run(batch)["simcc_x"]
    for one, expected in zip(batch, found, strict=True):
        assert np.array_equal(session.run(one[None])["simcc_x"][0], expected)
    assert found.shape[0] == 3 and session.builds == 1


def quantised(path) -> str:
    """Write a pose network of one INT8 convolution, as precision.convert_int8 leaves them."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    weights = np.random.default_rng(0).standard_normal((16, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["input", "weights"], ["features"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("ReduceMean", ["features"], ["simcc_x"], name="x", axes=[2], keepdims=0),
        helper.make_node("ReduceMean", ["features"], ["simcc_y"], name="y", axes=[3], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "convolution",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, 64, 32])],
        [
            helper.make_tensor_value_info("simcc_x", TensorProto.FLOAT, ["n", 16, 32]),
            helper.make_tensor_value_info("simcc_y", TensorProto.FLOAT, ["n", 16, 64]),
        ],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    class OneBatch:
        def __init__(self):
            self.left = [np.random.default_rng(1).standard_normal((2, 3, 64, 32)).astype(np.float32)]

        def get_next(self):
            return {"input": self.left.pop()} if self.left else None

    quantize_static(
        model, str(path), OneBatch(), quant_format=QuantFormat.QDQ, op_types_to_quantize=["Conv"],
        per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        reduce_range=not machine.exact_int8(),
    )  # fmt: skip
    return str(path)


def in_float(path: str, batch: np.ndarray) -> np.ndarray:
    """Return simcc_x of an INT8 file as it is written: rounded to 8 bits, then multiplied in float32."""
    options = onnxruntime.SessionOptions()
    # Without optimisation nothing is fused into a convolution of integers.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(["simcc_x"], {"input": batch})[0]


def test_int8_runs_in_eight_bits(tmp_path):
    network = replace(POSE, input_size=(32, 64), onnx=quantised(tmp_path / "pose.onnx"))
    session = backends.load(network, INT8, 1)
    assert set(session.provenance()["layers"]) <= {"u8", "i8"}
    batch = random_batch(network, 2)
    values = in_float(network.onnx, batch)
    theirs = onnxruntime.InferenceSession(network.onnx, providers=["CPUExecutionProvider"])
    for found in (session.run(batch)["simcc_x"], theirs.run(["simcc_x"], {"input": batch})[0]):
        # Sums that saturate are off by 3 hundredths and more.
        assert np.abs(found - values).max() < 0.01 * np.abs(values).max()
    with pytest.raises(PoseGaugeError, match=r"pose\.onnx: OpenVINO runs layers in [iu]8"):
        backends.load(network, FP32, 1)


def test_bfloat16_runs_in_bfloat16_or_not_at_all(demo_onnx, monkeypatch):
    network = replace(POSE, onnx=demo_onnx["pose"])
    bf16 = Artifact("openvino", "cpu", "bf16")
    with monkeypatch.context() as patch:
        patch.setattr(machine, "_cpu_flags", lambda: ["avx512_vnni"])
        with pytest.raises(Unavailable, match="no instructions for bfloat16"):
            backends.load(network, bf16, 1)
    if not machine.bf16_instructions():
        pytest.skip("this processor has no instructions for bfloat16")
    session, batch = backends.load(network, bf16, 1), random_batch(POSE, 2)
    told = session.provenance()
    assert told["inference_precision"] == "bf16" and told["layers"]["bf16"] > 30
    assert any(name.endswith("_bf16") for name in told["kernels"])
    expected = backends.load(network, FP32, 1).run(batch)["simcc_x"].copy()
    # Seven bits of mantissa, and not float32 under another name.
    difference = np.abs(session.run(batch)["simcc_x"] - expected).max() / np.abs(expected).max()
    assert 1e-4 < difference < 0.1


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("INFERENCE_PRECISION_HINT", "bf16", "asked OpenVINO for f32, it computes in bf16"),
        ("INFERENCE_NUM_THREADS", 7, "asked OpenVINO for 1 threads, it runs 7"),
    ],
)
def test_what_was_asked_for_is_asserted(name, value, message, demo_onnx, monkeypatch):
    import openvino

    real = openvino.CompiledModel.get_property

    def get_property(self, key):
        if key != name:
            return real(self, key)
        return openvino.Type.bf16 if value == "bf16" else value

    monkeypatch.setattr(openvino.CompiledModel, "get_property", get_property)
    with pytest.raises(PoseGaugeError, match=message):
        backends.load(replace(POSE, onnx=demo_onnx["pose"]), FP32, 1)


def test_files_of_another_interface_are_refused(demo_onnx, tmp_path):
    with pytest.raises(PoseGaugeError, match=r"a detector must have the outputs boxes \+ scores"):
        backends.load(replace(DETECTOR, onnx=demo_onnx["pose"]), FP32, 1)
    with pytest.raises(PoseGaugeError, match=r"expected one input \[N, 3, 128, 96\]"):
        backends.load(replace(POSE, onnx=demo_onnx["pose"], input_size=(96, 128)), FP32, 1)
    (tmp_path / "junk.onnx").write_bytes(b"no ONNX")
    with pytest.raises(PoseGaugeError, match=r"junk\.onnx: OpenVINO cannot load this pose"):
        backends.load(replace(POSE, onnx=str(tmp_path / "junk.onnx")), FP32, 1)
    # One in INT8 was made by this workflow: its row does not run, the others do.
    with pytest.raises(Unavailable, match=r"junk\.onnx: OpenVINO cannot load this pose: \S.*") as refused:
        backends.load(replace(POSE, onnx=str(tmp_path / "junk.onnx")), INT8, 1)
    assert "\n" not in str(refused.value) and "Exception from" not in str(refused.value)


def test_without_openvino_the_reason_is_given(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(Unavailable, match="openvino is not installed"):
        backends.load(POSE, FP32, 1)
