"""Backends say why they cannot run, and refuse files that are not what the pipeline needs."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper

from posegauge import backends
from posegauge.backends import assemble, base
from posegauge.errors import PoseGaugeError, Unavailable
from posegauge.models import adopt
from posegauge.models.network import Network
from posegauge.pipeline import steps
from posegauge.store import machine
from posegauge.study import Artifact

ROOT = Path(__file__).resolve().parents[2]
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
    assert provenance["nodes"] == {"CPUExecutionProvider": 2} and provenance["fallback_nodes"] == 0
    assert len(provenance["sha256"]) == 64


@pytest.mark.skipif(not no_cuda(), reason="this machine has a CUDA device")
@pytest.mark.parametrize("runtime", ["pytorch", "onnxruntime", "tensorrt"])
@pytest.mark.parametrize("execution", ["plain", "graph"])
def test_without_a_gpu_the_reason_is_given(runtime, execution, tmp_path):
    network = replace(make_onnx(tmp_path / "pose.onnx"), config="x", checkpoint="x")
    with pytest.raises(Unavailable, match="no CUDA device"):
        backends.load(network, Artifact(runtime, "cuda", execution=execution), 1)


@pytest.mark.parametrize(
    ("execution", "provider"), [("plain", "CUDAExecutionProvider"), ("tensorrt", "TensorrtExecutionProvider")]
)
def test_gpu_build_is_asked_for_where_it_is_missing(execution, provider, tmp_path, monkeypatch):
    import onnxruntime

    from posegauge.backends import onnxruntime as backend

    monkeypatch.setattr(backend, "require_cuda", lambda: None)
    monkeypatch.setattr(backend, "require_torch_cuda", lambda use: None)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(Unavailable, match=f"build without {provider}; install onnxruntime-gpu"):
        backends.load(
            make_onnx(tmp_path / "pose.onnx"), Artifact("onnxruntime", "cuda", execution=execution), 1
        )


def test_two_onnx_runtimes_in_one_environment_are_refused(tmp_path, monkeypatch):
    from posegauge.backends import onnxruntime as backend

    monkeypatch.setattr(backend, "require_cuda", lambda: None)
    monkeypatch.setattr(backend, "version_of", lambda package: "1.0")
    with pytest.raises(Unavailable, match="onnxruntime and onnxruntime-gpu are both installed"):
        backends.load(make_onnx(tmp_path / "pose.onnx"), Artifact("onnxruntime", "cuda"), 1)


def test_a_silent_fall_back_to_the_cpu_is_refused(tmp_path, monkeypatch):
    import onnxruntime

    from posegauge.backends import onnxruntime as backend

    # ONNX Runtime's CPU build takes the CPU provider with no more than a warning.
    with pytest.warns(UserWarning), pytest.raises(Unavailable, match=r"asked for CUDA.*took CPU"):
        backend.open_session(make_onnx(tmp_path / "pose.onnx"), [("CUDAExecutionProvider", {})], 1)
    # One that fails is not swapped for the CPU either.
    monkeypatch.setattr(onnxruntime.InferenceSession, "_create_inference_session", _out_of_memory)
    with pytest.raises(Unavailable, match=r"out of GPU memory in the pose Tiny"):
        backend.open_session(make_onnx(tmp_path / "pose.onnx"), [("CUDAExecutionProvider", {})], 1)


LOAD = """
import json, os, sys, time
import numpy as np
import onnxruntime
from posegauge import backends
from posegauge.backends.base import Options
from posegauge.models.network import Network
from posegauge.study import Artifact
network = Network(role="pose", name="Tiny", input_size=(32, 64), onnx=sys.argv[1])
inside, infer = [], onnxruntime.InferenceSession.run


def watched(self, *given):
    inside.append(sorted(os.sched_getaffinity(0)))
    return infer(self, *given)


onnxruntime.InferenceSession.run = watched
before = set(os.listdir("/proc/self/task"))
options = Options(pinned=sys.argv[2] == "pinned")
session = backends.load(network, Artifact("onnxruntime", "cpu"), len(os.sched_getaffinity(0)), options)
home, batch = os.sched_getaffinity(0), np.zeros((1, 3, 64, 32), np.float32)
session.run(batch)
try:
    session.run(batch[:, :, :-1])
except Exception:
    inside.append("refused")
assert os.sched_getaffinity(0) == home
told, deadline = session.provenance()["pinned"], time.monotonic() + 60
while True:  # a thread pins itself, when it first runs
    new = set(os.listdir("/proc/self/task")) - before
    may_use = [sorted(os.sched_getaffinity(int(one))) for one in new]
    alone = sorted(one for one in may_use if len(one) == 1)
    if not told or len(alone) == len(home) - 1 or time.monotonic() > deadline:
        break
print(json.dumps([told, inside, alone]))
"""


def test_pinned_threads_have_cores_of_their_own(tmp_path):
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("one core")

    def run(how):
        words = [sys.executable, "-c", LOAD, make_onnx(tmp_path / "pose.onnx").onnx, how]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow" / "scripts")}
        done = subprocess.run(words, check=True, capture_output=True, text=True, env=environment)
        return json.loads(done.stdout.splitlines()[-1])

    # The calling thread is on the first core while the network runs; after it, and an error, it is free.
    first = [cores[0]]
    assert run("pinned") == [True, [first, first, "refused"], [[core] for core in cores[1:]]]
    assert run("free") == [False, [cores, cores, "refused"], []]


def test_threads_are_pinned_where_they_have_all_cores_and_nothing_else_runs(monkeypatch):
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    seen = []
    monkeypatch.setattr(assemble.backends, "load", lambda *given: seen.append(given[-1].pinned) or given[0])

    def pinned(cores, threads, alone):
        monkeypatch.setattr(machine, "cores_by_number", lambda: cores)
        seen.clear()
        for runtime in ("onnxruntime", "openvino"):
            assemble.build_pipeline(
                config,
                Artifact(runtime, "cpu"),
                threads,
                {"detector": "run/models/d.onnx", "pose": "run/models/p.onnx"},
                alone=alone,
            )
        assert len(seen) == 4 and len(set(seen)) == 1
        return seen[0]

    assert pinned([0, 1], 2, True) and pinned([4, 6, 7], 3, True)
    assert not pinned([0, 1], 2, False)
    # With cores to spare Linux finds a free one; one thread needs no other's core; not every system tells.
    assert not pinned([0, 1, 2], 2, True) and not pinned([0], 1, True) and not pinned([], 2, True)


def _out_of_memory(*_args):
    raise RuntimeError("CUDA failure 2: out of memory ; GPU=0")


def test_a_cpu_build_of_torch_says_so(monkeypatch):
    import torch

    from posegauge.backends import device

    monkeypatch.setattr(device, "require_cuda", lambda: None)
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(Unavailable, match=r"is a CPU build, and it runs the networks; install"):
        device.require_torch_cuda("runs the networks")


class FakeDriver:
    """libcuda.so.1 with one device and a version."""

    def __init__(self, version: int):
        self.version = version

    def cuInit(self, _flags):
        return 0

    def cuDeviceGetCount(self, count):
        count._obj.value = 1
        return 0

    def cuDriverGetVersion(self, version):
        version._obj.value = self.version
        return 0


def test_an_old_driver_is_named_with_both_versions(monkeypatch):
    import torch

    from posegauge.backends import device

    monkeypatch.setattr(base, "_driver", lambda: FakeDriver(12040))
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert base.cuda_devices() == 1 and base.driver_cuda_version() == (12, 4)
    with pytest.raises(
        Unavailable, match=r"driver is too old: it knows CUDA 12\.4, torch .* CUDA 13\.0; update"
    ):
        device.require_torch_cuda("runs the networks")
    base.require_driver("a library", "12.9")  # minor versions are compatible
    base.require_driver("a CPU build", None)


@pytest.mark.parametrize(("count", "size"), [(1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (17, 32), (32, 32)])
def test_a_batch_is_padded_to_the_next_size(count, size):
    assert base.bucket(count) == size


def test_the_pipeline_never_asks_for_more_than_the_largest_size():
    assert base.bucket(steps.MAX_POSE_BATCH) == steps.MAX_POSE_BATCH


def test_a_batch_past_the_largest_size_has_no_bucket():
    with pytest.raises(PoseGaugeError, match=r"a batch of 33 is larger than .* \[1, 2, 4, 8, 16, 32\]"):
        base.bucket(33)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("CUDA out of memory. Tried to allocate 2 GiB", "out of GPU memory in the pose Tiny"),
        ("Failed to allocate memory for requested buffer of size 8", "out of GPU memory"),
        ("Available memory of 7 is smaller than requested bytes of 9", "out of GPU memory"),
        ("CUDNN failure 4000: CUDNN_STATUS_INTERNAL_ERROR", "Tiny: CUDA failed"),
        ("CUDA error: no kernel image is available for execution", "no code for this GPU"),
        ("CUDA failure 35: CUDA driver version is insufficient", "driver is too old"),
    ],
)
def test_what_a_gpu_says_becomes_the_reason(text, reason):
    with pytest.raises(Unavailable, match=reason), base.device_errors(POSE):
        raise RuntimeError(text)


def test_other_errors_stay_what_they_are():
    with pytest.raises(ZeroDivisionError), base.device_errors(POSE):
        raise ZeroDivisionError("one of ours")


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
    with pytest.raises(PoseGaugeError, match=message):
        backends.load(make_onnx(tmp_path / "pose.onnx", **changes), Artifact("onnxruntime", "cpu"), 1)


def test_a_damaged_onnx_file_is_named(tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not an ONNX file")
    network = replace(POSE, onnx=str(path))
    with pytest.raises(PoseGaugeError, match=r"broken\.onnx: ONNX Runtime cannot load this pose"):
        backends.load(network, Artifact("onnxruntime", "cpu"), 1)
    with pytest.raises(PoseGaugeError, match=r"broken\.onnx: is not an ONNX file, or one that is damaged"):
        adopt.copy_onnx(network, tmp_path / "copy.onnx")
    assert not (tmp_path / "copy.onnx").exists()


def test_a_missing_onnx_file_is_named(tmp_path):
    network = replace(POSE, onnx=str(tmp_path / "none.onnx"))
    with pytest.raises(PoseGaugeError, match=r"none\.onnx"):
        adopt.copy_onnx(network, tmp_path / "copy.onnx")
