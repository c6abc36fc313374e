"""FP16 and INT8: what is converted and what is kept, what overflows and what does not."""

import json
import platform
import shutil
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace

import int8_sums
import numpy as np
import onnx
import onnxruntime
import pytest
from demo_models import DETECTOR, POSE, written_scenes
from onnx import TensorProto, helper, numpy_helper

from posegauge import backends
from posegauge.backends import onnx_fp16_on_cpu
from posegauge.data import coco
from posegauge.data.annotations import read_annotations
from posegauge.data.images import read_entry
from posegauge.errors import PoseGaugeError
from posegauge.models import precision
from posegauge.models.int8 import INT8, Batches, calibration_entries, convert_int8
from posegauge.pipeline.steps import detector_input, padded_box, pose_input
from posegauge.store import files, machine
from posegauge.study import ARTIFACTS, Artifact

NETWORKS = {network.role: network for network in (DETECTOR, POSE)}
SIMCC_BINS = 0.01  # of the demo's SimCC values, which are of the order of 1


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> dict:
    paths = written_scenes(tmp_path_factory.mktemp("scenes"), 4, 0, 5)
    return {
        "images": paths["images"],
        "entries": files.read_json(paths["person_images"])["images"],
        "annotations": read_annotations(paths["annotations"]),
    }


@pytest.fixture(scope="module")
def inputs(scenes) -> dict:
    """What the pipeline gives the networks for the first scene."""
    entry = scenes["entries"][0]
    image = read_entry(scenes["images"], entry)
    boxes = coco.person_boxes(scenes["annotations"], entry["id"])
    center, size = padded_box(boxes, POSE.input_size)
    return {
        "detector": detector_input(image, DETECTOR.input_size)[0],
        "pose": pose_input(image, center, size, POSE.input_size),
    }


def run(path_or_model, batch) -> list[np.ndarray]:
    """Run an ONNX model by ONNX Runtime on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    given = path_or_model if isinstance(path_or_model, str) else path_or_model.SerializeToString()
    session = onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: batch})


def by_type(model, kind: str) -> list:
    return [node for node in model.graph.node if node.op_type == kind]


def test_what_decodes_is_found(demo_onnx):
    for role, path in demo_onnx.items():
        model = precision.read_onnx(path)
        kept = precision.decoding_nodes(model)
        nodes = {node.name: node.op_type for node in model.graph.node}
        kinds = [nodes[name] for name in kept]
        assert "Conv" not in kinds and len(kept) < len(nodes) / 2
        # The order of the graph, so that a record of it can be read.
        assert kept == [name for name in nodes if name in set(kept)]
        if role == "pose":
            assert kinds.count("ReduceL2") == 2 and kinds.count("MatMul") == 7, "ScaleNorm, GAU and SimCC"
            assert "HardSigmoid" not in kinds, "attention of the backbone"
        else:
            assert kinds.count("Sigmoid") == 1 and kinds.count("Sub") == 1 and kinds[-1] == "Concat"
            assert "Resize" not in kinds, "the neck"


@pytest.mark.parametrize("role", NETWORKS)
def test_fp16_holds_the_network_and_keeps_its_interface(role, demo_onnx, demo_fp16, inputs):
    model = onnx.load(demo_fp16[role])
    for value in (*model.graph.input, *model.graph.output):
        assert value.type.tensor_type.elem_type == TensorProto.FLOAT
    weights = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    kept = [
        node.name
        for node in by_type(model, "Conv")
        if {weights[name] for name in node.input[1:]} != {TensorProto.FLOAT16}
    ]
    assert len(kept) == (6 if role == "detector" else 0) and all("/rtm_" in name for name in kept)
    counts = precision.node_precisions(model)
    assert counts["fp16"] > 3 * counts["fp32"] > 0
    before, after = run(demo_onnx[role], inputs[role]), run(demo_fp16[role], inputs[role])
    assert {array.dtype for array in after} == {np.dtype(np.float32)}
    if role == "detector":
        above = before[1][0, :, 0] > 0.1
        assert above.sum() > 5
        assert np.abs(before[0] - after[0])[0, above].max() < 0.3, "pixels of the input"
        assert np.abs(before[1] - after[1]).max() < 0.005
    else:
        for one, other in zip(before, after, strict=True):
            assert np.mean(one.argmax(-1) == other.argmax(-1)) > 0.95
            assert np.abs(one - other).max() < SIMCC_BINS
    assert not np.array_equal(before[0], after[0]), "FP16 was not used"


def test_nothing_is_cast_between_nodes_that_stay(demo_fp16):
    """The converter casts there and back, where a number beyond 65504 would become infinite."""
    model = onnx.load(demo_fp16["pose"])
    casts = by_type(model, "Cast")
    assert [node.attribute[0].i for node in casts].count(TensorProto.FLOAT16) == 1, "only the input"
    assert len(casts) == 2, "and back after the last convolution"


def scaled(path: str, weights: dict[str, float]):
    """Return the model with weights (by name) multiplied."""
    model = onnx.load(path)
    left = dict(weights)
    for tensor in model.graph.initializer:
        if tensor.name in left:
            array = numpy_helper.to_array(tensor) * np.float32(left.pop(tensor.name))
            tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float32), tensor.name))
    assert not left
    return model


def convert_all(model):
    """The same converter without anything kept: what the study's FP16 flag asked of TensorRT."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    return convert_float_to_float16(deepcopy(model), keep_io_types=True)


def largest(model, output: str, batch) -> np.ndarray:
    """Return the values of an inner output."""
    model = deepcopy(model)
    model.graph.output.extend([helper.make_tensor_value_info(output, TensorProto.FLOAT, None)])
    return run(model, batch)[-1]


def test_a_cast_that_the_converter_writes_twice_is_kept_once(demo_onnx, demo_fp16, tmp_path, monkeypatch):
    # onnxruntime-gpu 1.31 writes one of the same name for each node that reads; that of the tests does not.
    from onnxruntime.transformers import float16

    convert = float16.convert_float_to_float16

    def twice(*given, **options):
        model = convert(*given, **options)
        model.graph.node.extend(deepcopy([node for node in model.graph.node if node.op_type == "Cast"]))
        return model

    monkeypatch.setattr(float16, "convert_float_to_float16", twice)
    for role in NETWORKS:
        precision.convert_fp16(demo_onnx[role], tmp_path / "fp16.onnx")
        ours, theirs = onnx.load(str(tmp_path / "fp16.onnx")), onnx.load(str(demo_fp16[role]))
        assert sorted(map(str, ours.graph.node)) == sorted(map(str, theirs.graph.node))


@pytest.mark.parametrize("place", ["ScaleNorm", "GAU"])
def test_large_activations_overflow_in_fp16_but_not_here(place, demo_onnx, inputs, tmp_path):
    batch = inputs["pose"][:2]
    source = onnx.load(demo_onnx["pose"])
    nodes = {node.name: node for node in source.graph.node}
    if place == "ScaleNorm":
        # Each activation is within FP16, the root of the sum of their squares is not.
        convolution = nodes["/head/final_layer/Conv"]
        factor = 6e4 / np.abs(largest(source, convolution.output[0], batch)).max()
        model = scaled(demo_onnx["pose"], dict.fromkeys(convolution.input[1:], factor))
        inside = next(node for node in by_type(model, "ReduceL2") if "mlp" in node.name).output[0]
    else:
        # Its attention is squared: queries and keys that are large, but within FP16, are enough.
        factor = 60.0
        model = scaled(demo_onnx["pose"], {nodes["/head/gau/uv/MatMul"].input[1]: factor})
        inside = nodes["/head/gau/Mul_1"].output[0]
    assert np.abs(largest(model, inside, batch)).max() > np.finfo(np.float16).max
    onnx.save(model, str(tmp_path / "large.onnx"))
    precision.convert_fp16(tmp_path / "large.onnx", tmp_path / "large_fp16.onnx")

    expected = run(model, batch)
    half = onnx.load(str(tmp_path / "large_fp16.onnx"))
    ours_all, naive_all = (run(onnx_fp16_on_cpu.rounded(made), batch) for made in (half, convert_all(model)))
    with np.errstate(invalid="ignore"):
        for ours, naive, source in zip(ours_all, naive_all, expected, strict=True):
            assert np.isfinite(source).all()
            size = np.abs(source).max()
            assert np.abs(ours - source).max() < 0.02 * size
            assert not np.abs(naive - source).max() < 0.2 * size, "FP16 throughout would have done too"


@pytest.fixture(scope="module")
def int8(demo_onnx, scenes, tmp_path_factory) -> dict:
    """{role: (path, what was made, the batches)} with three images of calibration."""
    folder, made = tmp_path_factory.mktemp("int8"), {}
    for role, network in NETWORKS.items():
        chosen = scenes["entries"][1:]
        batches = Batches(role, network.input_size, scenes["images"], chosen, scenes["annotations"])
        path = folder / f"{role}_int8.onnx"
        made[role] = (str(path), convert_int8(demo_onnx[role], path, batches), batches)
    return made


@pytest.mark.parametrize("role", NETWORKS)
def test_int8_quantises_the_dense_convolutions(role, int8, demo_onnx, inputs, scenes):
    path, made, batches = int8[role]
    model = onnx.load(path)
    weights = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    scales = {node.output[0]: weights[node.input[0]] for node in by_type(model, "DequantizeLinear")
              if node.input[0] in weights}  # fmt: skip
    convolutions = by_type(model, "Conv")
    quantised = [node for node in convolutions if scales.get(node.input[1]) == TensorProto.INT8]
    assert len(convolutions) / 3 < len(quantised) < len(convolutions)
    assert made["nodes"]["int8"] > 0 and made["kept"] > len(convolutions) - len(quantised)
    for kind in ("MatMul", "ReduceL2", "Sub"):
        for node in by_type(model, kind):
            assert not any("DequantizeLinear" in name for name in node.input)
    boxes = sum(len(coco.person_boxes(scenes["annotations"], entry["id"])) for entry in batches.entries)
    assert batches.samples == (len(batches.entries) if role == "detector" else boxes)
    before, after = run(demo_onnx[role], inputs[role]), run(path, inputs[role])
    for one, other in zip(before, after, strict=True):
        assert 0.9 < np.corrcoef(one.ravel(), other.ravel())[0, 1] < 1


@pytest.mark.parametrize(("exact", "bits", "largest"), [(True, 8, 127), (False, 7, 64)])
def test_weights_have_seven_bits_where_sums_would_saturate(
    exact, bits, largest, demo_onnx, scenes, tmp_path, monkeypatch
):
    monkeypatch.setattr(machine, "exact_int8", lambda: exact)
    batches = Batches(
        "pose", POSE.input_size, scenes["images"], scenes["entries"][1:2], scenes["annotations"]
    )
    made = convert_int8(demo_onnx["pose"], tmp_path / "pose.onnx", batches)
    assert made["weight_bits"] == bits
    weights = [
        np.abs(numpy_helper.to_array(tensor).astype(int)).max()
        for tensor in onnx.load(str(tmp_path / "pose.onnx")).graph.initializer
        if tensor.data_type == TensorProto.INT8 and len(tensor.dims) == 4
    ]
    assert len(weights) > 10 and largest - 1 <= max(weights) <= largest


@pytest.mark.parametrize("emulated", [False, True])
def test_seven_bits_are_summed_exactly_on_any_processor(emulated):
    """What weight_bits is for: a product with signed weights of eight bits saturates without VNNI."""
    qemu = shutil.which("qemu-x86_64")
    if emulated and (not qemu or platform.machine() != "x86_64"):
        pytest.skip("no qemu-x86_64 to emulate a processor without VNNI (Debian: qemu-user)")
    sums = int8_sums.sums()
    if emulated:
        words = [qemu, "-cpu", "Haswell", sys.executable, int8_sums.__file__]
        sums = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    for form in ("7 bits", "8 bits, unsigned"):
        assert sums[form][0] == sums[form][1]
    exact = machine.exact_int8() and not emulated
    assert (sums["8 bits"][0] == sums["8 bits"][1]) == exact


def test_int8_is_the_same_every_time(int8, demo_onnx, scenes, tmp_path):
    path, _, batches = int8["detector"]
    again = Batches("detector", DETECTOR.input_size, scenes["images"], batches.entries, scenes["annotations"])
    convert_int8(demo_onnx["detector"], tmp_path / "again.onnx", again)
    assert files.sha256_file(path) == files.sha256_file(tmp_path / "again.onnx")


def test_int8_needs_persons(demo_onnx, scenes, tmp_path):
    nobody = Batches("pose", POSE.input_size, scenes["images"], scenes["entries"][:1], {"annotations": []})
    with pytest.raises(PoseGaugeError, match=r"no annotated person .* precision\.calibration_images"):
        convert_int8(demo_onnx["pose"], tmp_path / "pose.onnx", nobody)
    assert not list(tmp_path.iterdir())


def test_ranges_are_set_by_other_images_than_parity_looks_at():
    entries = [{"id": index} for index in range(50)]
    chosen, shared = calibration_entries(entries, 12, 10)
    assert len(chosen) == 12 and shared == 0
    compared = {entry["id"] for entry in coco.spread(entries, 10)}
    assert not compared & {entry["id"] for entry in chosen}
    # With too few images they have to be the same ones, and that is counted.
    assert calibration_entries(entries, 12, 45)[1] > 0
    assert len(calibration_entries(entries[:3], 12, 45)[0]) == 3


@pytest.mark.parametrize("kind", ["fp16", "int8"])
def test_records_fit_the_schema(kind, demo_onnx, demo_fp16, int8, tmp_path):
    path = demo_fp16["pose"] if kind == "fp16" else int8["pose"][0]
    made = int8["pose"][1] if kind == "int8" else {"kept": 51, "nodes": {"fp16": 3}}
    calibration = (
        None if kind == "fp16" else {"from": "scenes", "images": ["a.jpg"], "samples": 3, "in_parity": 0}
    )
    record = precision.record("pose", kind, demo_onnx["pose"], path, made, calibration)
    files.write_json(tmp_path / "record.json", record, "precision.schema.yaml")
    assert record["source_sha256"] != record["onnx_sha256"]
    assert record["weight_bits"] in ((7, 8) if kind == "int8" else (None,))


def test_a_file_of_an_old_operator_set(tmp_path):
    """As users bring them: there, axes are attributes, and a tensor has one scale."""
    weights = {"first": np.random.default_rng(0).standard_normal((7, 3, 3, 3)).astype(np.float32)}
    weights |= {f"same{index}": np.eye(7, dtype=np.float32)[..., None, None] for index in range(5)}
    nodes, name = [], "input"
    for index, key in enumerate(weights):
        nodes.append(
            helper.make_node("Conv", [name, key], [f"c{index}"], kernel_shape=weights[key].shape[2:])
        )
        name = f"c{index}"
    nodes.append(helper.make_node("Sigmoid", [name], ["scores"]))
    graph = helper.make_graph(
        nodes,
        "old",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, 320, 320])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 7, 318, 318])],
        [numpy_helper.from_array(np.ascontiguousarray(array), key) for key, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
    source = tmp_path / "old.onnx"
    onnx.save(model, str(source))
    batch = np.random.default_rng(1).standard_normal((1, 3, 320, 320)).astype(np.float32)

    class OneBatch:
        def __init__(self):
            self.left = [batch]

        def get_next(self):
            return {"input": self.left.pop()} if self.left else None

    expected = run(str(source), batch)[0]
    precision.convert_fp16(source, tmp_path / "fp16.onnx")
    half = onnx_fp16_on_cpu.rounded(onnx.load(str(tmp_path / "fp16.onnx")))
    assert 0 < np.abs(run(half, batch)[0] - expected).max() < 0.01
    convert_int8(source, tmp_path / "int8.onnx", OneBatch())
    assert 0 < np.abs(run(str(tmp_path / "int8.onnx"), batch)[0] - expected).max() < 0.1


def test_openvinos_file_has_ranges_only_where_a_convolution_reads(demo_onnx, scenes, tmp_path):
    """A range between a convolution and its SiLU costs accuracy, and OpenVINO a kernel of its own."""
    before_silu = {}
    for name in ("int8", "int8_openvino"):
        path, chosen = tmp_path / f"{name}.onnx", scenes["entries"][:1]
        batches = Batches("pose", (192, 256), scenes["images"], chosen, scenes["annotations"])
        convert_int8(demo_onnx["pose"], path, batches, how=INT8[name])
        model = onnx.load(path)
        ranges = {node.input[0] for node in by_type(model, "QuantizeLinear")}
        assert ranges
        before_silu[name] = ranges & {node.output[0] for node in by_type(model, "Conv")}
    assert before_silu["int8"] and not before_silu["int8_openvino"]


def test_percentile_ranges_of_persons(demo_onnx, scenes, tmp_path):
    """Images have different numbers of persons; these ranges want inputs of one size."""
    batches = Batches("pose", (192, 256), scenes["images"], scenes["entries"][:2], scenes["annotations"])
    how = replace(INT8["int8_openvino"], ranges="Percentile")
    convert_int8(demo_onnx["pose"], tmp_path / "pose.onnx", batches, how=how)
    assert batches.samples > 1


@pytest.mark.parametrize(
    ("artifact", "expected"),
    [
        ("openvino_cpu_int8", "int8_openvino"),
        ("openvino_cpu_int8_bf16", "int8_openvino"),
        ("onnxruntime_cpu_int8", "int8"),
        ("openvino_cpu_bf16", "fp32"),
        ("pytorch_cpu_bf16", None),
        ("tensorrt_cuda_fp16", "fp16"),
    ],
)
def test_which_file_an_artifact_runs(artifact, expected):
    assert ARTIFACTS[artifact].onnx_precision == expected


def test_bad_files_are_named(tmp_path):
    (tmp_path / "junk.onnx").write_bytes(b"no ONNX")
    with pytest.raises(PoseGaugeError, match=r"junk\.onnx: not a valid ONNX file"):
        precision.convert_fp16(tmp_path / "junk.onnx", tmp_path / "out.onnx")
    with pytest.raises(PoseGaugeError, match=r"none\.onnx: no such file"):
        precision.convert_fp16(tmp_path / "none.onnx", tmp_path / "out.onnx")
    node = helper.make_node("ReduceMean", ["input"], ["simcc_x"], axes=[2], keepdims=0)
    graph = helper.make_graph(
        [node],
        "mean",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("simcc_x", TensorProto.FLOAT, ["n", 3, 8])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(tmp_path / "mean.onnx"))
    with pytest.raises(PoseGaugeError, match="without convolutions"):
        precision.convert_fp16(tmp_path / "mean.onnx", tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_the_fp16_file_runs_on_the_cpu_with_its_rounding(demo_fp16, inputs):
    session = backends.load(
        replace(DETECTOR, onnx=demo_fp16["detector"]), Artifact("onnxruntime", "cpu", "fp16"), 1
    )
    found, unrounded = session.run(inputs["detector"]), run(demo_fp16["detector"], inputs["detector"])
    assert set(found) == {"boxes", "scores"}
    # ONNX Runtime left to itself computes such a file in float32.
    assert np.abs(found["boxes"] - unrounded[0]).max() > 1e-3
    assert session.provenance()["sha256"] == files.sha256_file(demo_fp16["detector"])
