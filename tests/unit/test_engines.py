"""TensorRT engines: built for real by TensorRT-RTX, which needs no GPU for it; bad ones are refused."""

import types
from dataclasses import replace

import numpy as np
import onnx
import pytest
from demo_models import DETECTOR, POSE
from onnx import TensorProto, helper

from posegauge.backends import base, tensorrt_engines
from posegauge.backends.base import Options
from posegauge.errors import PoseGaugeError, Unavailable
from posegauge.store import files

RTX = Options(library="tensorrt_rtx", compute_capability="8.9")
LAYERS = "convolution", "activation"


@pytest.fixture(scope="module")
def trt():
    return pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu13 is for Linux and Windows only")


@pytest.fixture(scope="module")
def built(trt, demo_fp16, tmp_path_factory) -> dict:
    """{role: record} of the demo models' engines."""
    options = replace(RTX, engines=str(tmp_path_factory.mktemp("engines")))
    return {
        network.role: (
            tensorrt_engines.ensure(replace(network, onnx=demo_fp16[network.role]), options),
            options,
        )
        for network in (DETECTOR, POSE)
    }


def small(path, operator: str = "ReduceMean", domain: str = "", shape=("n", 3, 256, 192), **attributes):
    """Write a pose network of one node."""
    attributes = attributes or ({"axes": [2], "keepdims": 0} if operator == "ReduceMean" else {})
    node = helper.make_node(operator, ["input"], ["simcc_x"], name="odd", domain=domain, **attributes)
    graph = helper.make_graph(
        [node],
        "one node",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("simcc_x", TensorProto.FLOAT, None)],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my.own", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
    return replace(POSE, onnx=str(path))


# ------------------------------------------------------------------------------------------- real engines


@pytest.mark.parametrize("role", ["detector", "pose"])
def test_engines_of_the_demo_models(role, built, demo_fp16):
    record, options = built[role]
    assert record["status"] == "ok" and record["parts"]["onnx_sha256"] == files.sha256_file(demo_fp16[role])
    for part in (role, "sm89", "tensorrt_rtx-1."):
        assert part in record["engine"]
    path = f"{options.engines}/{record['engine']}"
    assert files.sha256_file(path) == record["engine_sha256"]
    shapes = record["parts"]["options"]["shapes"]
    if role == "detector":
        assert shapes == [[1, 3, 320, 320]] * 3
    else:
        assert shapes == [[batch, 3, 256, 192] for batch in (1, 8, 32)]


def test_layers_compute_in_the_types_of_the_file(built):
    """FP16 where the work is, FP32 where parity needs it: the definition is strongly typed."""
    pose, detector = (built[role][0]["layers"] for role in ("pose", "detector"))
    assert pose["fp16"]["convolution"] > 30 and "convolution" not in pose["fp32"]
    assert pose["fp32"]["matrix_multiply"] == 7 and pose["fp32"]["reduce"] == 2, "GAU and ScaleNorm"
    assert "matrix_multiply" not in pose["fp16"]
    assert detector["fp16"]["convolution"] > 100 and detector["fp32"]["convolution"] == 6
    assert detector["fp32"]["activation"] == 1, "the sigmoid of the scores"


def test_a_float32_file_makes_a_float32_engine(trt, demo_onnx):
    network = replace(POSE, onnx=demo_onnx["pose"])
    logger = tensorrt_engines.make_logger(trt)
    definition, _parser = tensorrt_engines.parse(trt, trt.Builder(logger), logger, network)
    assert set(tensorrt_engines.layers(definition)) == {"fp32"}
    assert definition.get_input(0).shape[0] == -1


def test_a_sound_engine_is_used_again_a_damaged_one_never(built, demo_fp16, monkeypatch):
    record, options = built["pose"]
    network = replace(POSE, onnx=demo_fp16["pose"])
    rebuilt = []
    monkeypatch.setattr(tensorrt_engines, "build", lambda network, parts, path: rebuilt.append(path))
    assert tensorrt_engines.ensure(network, options) == record and not rebuilt
    path = tensorrt_engines.engine_path(record["parts"], options.engines)
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert tensorrt_engines.fault(path, record["parts"]) == "damaged"
        tensorrt_engines.ensure(network, options)
        assert rebuilt == [path] and not path.exists(), "nobody can load what was found damaged"
    finally:
        path.write_bytes(whole)


def test_every_part_of_the_key_makes_another_engine(trt, demo_fp16, demo_onnx, tmp_path, monkeypatch):
    card = tensorrt_engines.Gpu("NVIDIA L4", "8.9")
    options = replace(RTX, engines=str(tmp_path))
    pose = replace(POSE, onnx=demo_fp16["pose"])

    def name(network=pose, card=card, options=options):
        return tensorrt_engines.engine_path(tensorrt_engines.key_parts(network, card, options), tmp_path).name

    names = [
        name(),
        name(network=replace(POSE, onnx=demo_onnx["pose"])),
        name(card=tensorrt_engines.Gpu("NVIDIA L40S", "8.9")),
        name(card=tensorrt_engines.Gpu("NVIDIA L4", "9.0")),
        name(options=replace(options, pose_batches=(1, 8, 16))),
        name(options=replace(options, optimization_level=5)),
    ]
    monkeypatch.setattr(trt, "__version__", "1.8.0")
    names.append(name())
    assert len(set(names)) == len(names)
    assert names[0].startswith("pose_nvidia-l4_sm89_tensorrt_rtx-1.7")


def test_an_engine_of_something_else_under_the_right_name_is_refused(tmp_path):
    parts = {"role": "pose", "gpu": "NVIDIA L4"}
    path = tmp_path / "pose.engine"
    assert tensorrt_engines.fault(path, parts) == "not built yet"
    path.write_bytes(b"engine")
    assert "without a record" in tensorrt_engines.fault(path, parts)
    record = path.with_suffix(".json")
    files.write_json(record, {"parts": parts, "engine_sha256": files.sha256_file(path)})
    assert tensorrt_engines.fault(path, parts) is None
    assert tensorrt_engines.fault(path, parts | {"gpu": "NVIDIA T4"}) == "built from something else"
    record.write_text("{")
    assert "without a record" in tensorrt_engines.fault(path, parts)


# ----------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("operator", "domain", "message"),
    [
        ("Frobnicate", "my.own", r"the operator Frobnicate \(node 'odd'\) is not supported"),
        ("Det", "", r"the operator Det \(node 'odd'\) is not supported"),
    ],
)
def test_an_unsupported_operator_is_named(trt, operator, domain, message, tmp_path):
    network = small(tmp_path / "odd.onnx", operator, domain)
    with pytest.raises(PoseGaugeError, match=message):
        tensorrt_engines.ensure(network, replace(RTX, engines=str(tmp_path)))
    assert not list(tmp_path.glob("*.engine"))
    # The rule tells it and ends well: the rest of the study goes on.
    record = tensorrt_engines.role_record(network, replace(RTX, engines=str(tmp_path)))
    files.write_json(tmp_path / "record.json", record, tensorrt_engines.SCHEMA)
    assert record["status"] == "not run" and operator in record["reason"]


@pytest.mark.parametrize("content", [b"not an ONNX file", b""])
def test_a_damaged_onnx_file_is_named(trt, content, tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(PoseGaugeError, match=r"broken\.onnx: tensorrt_rtx .* cannot read this pose"):
        tensorrt_engines.ensure(replace(POSE, onnx=str(path)), replace(RTX, engines=str(tmp_path)))


@pytest.mark.parametrize(
    ("shape", "batches", "message"),
    [
        (("n", 3, 256, 192), (8, 1, 32), r"engine\.pose_batches: is \[8, 1, 32\], expected the smallest"),
        ((1, 3, 256, 192), (1, 8, 32), r"takes \[1, 3, 256, 192\], .* to take \[1, .* to \[32, "),
        (("n", 3, 128, 96), (1, 8, 32), r"takes \[-1, 3, 128, 96\], .* input_size"),
    ],
)
def test_a_wrong_profile_is_told(trt, shape, batches, message, tmp_path):
    network = small(tmp_path / "pose.onnx", shape=shape)
    with pytest.raises(PoseGaugeError, match=message):
        tensorrt_engines.ensure(network, replace(RTX, engines=str(tmp_path), pose_batches=batches))


def test_a_compute_capability_that_the_library_lacks(trt, tmp_path):
    network = small(tmp_path / "pose.onnx")
    options = replace(RTX, engines=str(tmp_path), compute_capability="9.0")
    with pytest.raises(PoseGaugeError, match=r"engine\.compute_capability: .* knows 7\.5, .*, not 9\.0"):
        tensorrt_engines.ensure(network, options)
    with pytest.raises(PoseGaugeError, match="tensorrt builds for the GPU at hand only"):
        tensorrt_engines.target(replace(options, library="tensorrt"))


def test_too_little_memory_is_a_reason_and_no_fault(trt, tmp_path, monkeypatch):
    class NoMemory:
        def __init__(self, logger):
            self.real, self.logger = trt.Builder(logger), logger

        def __getattr__(self, name):
            return getattr(self.real, name)

        def build_serialized_network(self, *_):
            self.logger.log(trt.ILogger.ERROR, "Error Code 2: OutOfMemory (Requested size was 1 byte)")

    names = {name: getattr(trt, name) for name in dir(trt)}
    fake = types.SimpleNamespace(**names | {"Builder": NoMemory})
    monkeypatch.setattr(tensorrt_engines, "load_library", lambda name: fake)
    network = small(tmp_path / "pose.onnx")
    record = tensorrt_engines.role_record(network, replace(RTX, engines=str(tmp_path)))
    files.write_json(tmp_path / "record.json", record, tensorrt_engines.SCHEMA)
    assert record["status"] == "not run" and "out of GPU memory: make room" in record["reason"]
    assert not list(tmp_path.glob("*.engine"))


# --------------------------------------------------------------------------------- other machines than this


@pytest.mark.skipif(base.cuda_devices() > 0, reason="this machine has a CUDA device")
@pytest.mark.parametrize("library", ["tensorrt", "tensorrt_rtx"])
def test_without_a_gpu_the_record_says_so(library, tmp_path):
    record = tensorrt_engines.role_record(small(tmp_path / "pose.onnx"), Options(library=library))
    files.write_json(tmp_path / "record.json", record, tensorrt_engines.SCHEMA)
    assert (record["status"], record["reason"], record["engine"]) == ("not run", "no CUDA device", None)


def test_a_library_that_is_not_there_is_a_reason():
    with pytest.raises(Unavailable, match="no_such_trt is not installed: make setup-cuda"):
        tensorrt_engines.load_library("no_such_trt")


def test_an_old_driver_is_a_reason(trt, monkeypatch):
    monkeypatch.setattr(base, "driver_cuda_version", lambda: (12, 8))
    with pytest.raises(Unavailable, match=r"driver is too old: it knows CUDA 12\.8, tensorrt_rtx 1\..*13\.0"):
        tensorrt_engines.require_driver("tensorrt_rtx")
    monkeypatch.setattr(base, "driver_cuda_version", lambda: (13, 1))
    tensorrt_engines.require_driver("tensorrt_rtx")


def test_the_timing_cache_of_a_gpu_is_kept_and_a_foreign_one_dropped(tmp_path):
    class Config:
        """As much of IBuilderConfig: a cache that does not begin with "mine" is refused."""

        cache = None

        def create_timing_cache(self, content):
            return content

        def set_timing_cache(self, cache, ignore_mismatch):
            assert ignore_mismatch is False
            if cache and not cache.startswith(b"mine"):
                return False
            self.cache = cache
            return True

    path = tmp_path / "pose_nvidia-l4_sm89_tensorrt-10.16.1.11_0123456789abcdef.engine"
    kept = tmp_path / "timing_nvidia-l4_sm89_tensorrt-10.16.1.11.cache"
    for content, expected in ((None, b""), (b"mine: 3 ms", b"mine: 3 ms"), (b"another's", b"")):
        if content:
            kept.write_bytes(content)
        config = Config()
        assert tensorrt_engines._timing_cache(config, path) == kept
        assert config.cache == expected


def test_precisions_have_names_for_what_the_library_calls_them(trt):
    names = set(trt.DataType.__members__)
    assert {"FLOAT", "HALF", "INT8"} <= names & set(tensorrt_engines.PRECISIONS)
    assert np.dtype(np.float16) == np.dtype(trt.nptype(trt.DataType.HALF))
