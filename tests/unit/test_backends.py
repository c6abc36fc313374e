"""Backends say why they cannot run, and refuse files that are not what the pipeline needs."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from posebench import backends, export
from posebench.backends import base
from posebench.backends.base import Network
from posebench.errors import PoseBenchError, Unavailable
from posebench.study import Artifact

POSE = Network(role="pose", name="Tiny", input_size=(32, 64))


def make_onnx(path, outputs=("simcc_x", "simcc_y"), shape=("batch", 3, 64, 32)):
    """Write a network whose outputs are means of its input: enough to be loaded and run."""
    nodes = [
        helper.make_node("ReduceMean", ["input"], [name], axes=[2 + index % 2], keepdims=0)
        for index, name in enumerate(outputs)
    ]
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return replace(POSE, onnx=str(path))


def no_cuda() -> bool:
    return base.cuda_devices() == 0


def test_runs_and_says_what_ran(tmp_path):
    session = backends.load(make_onnx(tmp_path / "pose.onnx"), Artifact("onnxruntime", "cpu"), 1)
    outputs = session.run(np.ones((2, 3, 64, 32), np.float32))
    assert set(outputs) == {"simcc_x", "simcc_y"} and outputs["simcc_x"].shape == (2, 3, 32)
    provenance = session.provenance()
    assert provenance["provider"] == "CPUExecutionProvider"
    assert provenance["threads"] == 1
    assert len(provenance["sha256"]) == 64


@pytest.mark.skipif(not no_cuda(), reason="this machine has a CUDA device")
@pytest.mark.parametrize("runtime", ["pytorch", "onnxruntime", "tensorrt"])
def test_without_a_gpu_the_reason_is_given(runtime, tmp_path):
    network = replace(make_onnx(tmp_path / "pose.onnx"), config="x", checkpoint="x")
    with pytest.raises(Unavailable, match="no CUDA device"):
        backends.load(network, Artifact(runtime, "cuda"), 1)


def test_cuda_build_is_asked_for_where_it_is_missing(tmp_path, monkeypatch):
    import onnxruntime

    from posebench.backends import onnxruntime as backend

    monkeypatch.setattr(backend, "require_cuda", lambda: None)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(Unavailable, match="build without CUDAExecutionProvider; install onnxruntime-gpu"):
        backends.load(make_onnx(tmp_path / "pose.onnx"), Artifact("onnxruntime", "cuda"), 1)


def test_a_silent_fall_back_to_the_cpu_is_refused(tmp_path, monkeypatch):
    import onnxruntime

    from posebench.backends import onnxruntime as backend

    monkeypatch.setattr(backend, "require_cuda", lambda: None)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(backend.PROVIDERS.values()))
    # ONNX Runtime's CPU build takes the CPU provider with no more than a warning.
    with pytest.warns(UserWarning), pytest.raises(Unavailable, match=r"asked for CUDA.*took CPU"):
        backends.load(make_onnx(tmp_path / "pose.onnx"), Artifact("onnxruntime", "cuda"), 1)


def test_onnx_only_models_have_no_pytorch_row(tmp_path):
    with pytest.raises(Unavailable, match="Tiny is given as ONNX only"):
        backends.load(make_onnx(tmp_path / "pose.onnx"), Artifact("pytorch", "cpu"), 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"outputs": ("heatmap",)}, "must have the outputs simcc_x . simcc_y, this file has heatmap"),
        ({"shape": ("batch", 3, 96, 32)}, r"takes \['batch', 3, 96, 32\]|takes \[3, 96, 32\]"),
        ({"shape": (1, 3, 64, 32)}, "batch size is fixed to 1"),
        ({"shape": ("batch", 3, 64, 32, 1)}, "expected one float32 input"),
    ],
)
def test_another_interface_is_refused(tmp_path, changes, message):
    with pytest.raises(PoseBenchError, match=message):
        backends.load(make_onnx(tmp_path / "pose.onnx", **changes), Artifact("onnxruntime", "cpu"), 1)


def test_a_damaged_onnx_file_is_named(tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not an ONNX file")
    network = replace(POSE, onnx=str(path))
    with pytest.raises(PoseBenchError, match=r"broken\.onnx: ONNX Runtime cannot load this pose"):
        backends.load(network, Artifact("onnxruntime", "cpu"), 1)
    with pytest.raises(PoseBenchError, match=r"broken\.onnx: not a valid ONNX file"):
        export.copy_onnx(network, tmp_path / "copy.onnx")
    assert not (tmp_path / "copy.onnx").exists()


def test_a_missing_onnx_file_is_named(tmp_path):
    network = replace(POSE, onnx=str(tmp_path / "none.onnx"))
    with pytest.raises(PoseBenchError, match=r"none\.onnx"):
        export.copy_onnx(network, tmp_path / "copy.onnx")
