"""The shortest checks of a GPU: one line for the driver and each library that the rows need."""

import subprocess
import time
from collections.abc import Iterator
from types import SimpleNamespace

from posegauge.backends import tensorrt_engines
from posegauge.backends.base import first_line, require_cuda
from posegauge.backends.device import gpu, require_torch_cuda
from posegauge.backends.onnx_checks import CUDA, TENSORRT
from posegauge.backends.onnxruntime import require_gpu_build
from posegauge.errors import Unavailable
from posegauge.store.files import write_json

ASKED = ("name", "driver_version", "memory.total", "clocks.max.sm", "power.limit", "compute_mode")
SIZE = 2048  # of the matrix product
# A product of two matrices of FP32 random numbers, against float64: above what its roundings make, and a
# tenth of what TF32 does.
MOST_ERROR = 1e-5


def driver() -> str:
    """Return what the driver says of the GPUs; it answers before any library is loaded."""
    require_cuda()
    card = tensorrt_engines.gpu()
    try:
        told = subprocess.run(
            ["nvidia-smi", f"--query-gpu={','.join(ASKED)}", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        lines = told.stdout.strip().splitlines() if told.returncode == 0 else []
    except (OSError, subprocess.TimeoutExpired):
        lines = []  # a Jetson has none
    return f"compute capability {card.compute_capability}; {' | '.join(lines) or card.name}"


def pytorch() -> str:
    """Multiply matrices in FP32 without TF32."""
    require_torch_cuda("is what the rows run on")
    import torch

    from posegauge.backends.torch import fix_numerics

    fix_numerics(torch)
    one, other = (torch.randn(SIZE, SIZE, device="cuda") for _ in range(2))
    exact = one.double() @ other.double()
    error = float(((one @ other).double() - exact).norm() / exact.norm())
    if not error < MOST_ERROR:
        raise Unavailable(f"a matrix product in FP32 is wrong by {error:.1e} of its size")
    known = gpu(torch)
    return (
        f"torch {torch.__version__}, CUDA {known['cuda']}, cuDNN {known['cudnn']}, error of FP32 {error:.0e}"
    )


def cuda_graph() -> str:
    """Capture a convolution as a CUDA graph and replay it."""
    require_torch_cuda("is what the rows run on")
    import torch

    batch = torch.randn(8, 16, 32, 32, device="cuda")
    network = torch.nn.Conv2d(16, 16, 3, padding=1).cuda().eval()
    with torch.no_grad():
        for _ in range(3):
            network(batch)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            output = network(batch)
        batch.copy_(torch.randn_like(batch))
        graph.replay()
        torch.cuda.synchronize()
        error = float((output - network(batch)).abs().max())
    if not error < 1e-3:
        raise Unavailable(f"a replayed CUDA graph differs from the network by {error:.1e}")
    return f"a replay differs by {error:.0e}"


def captured_steps(device: str = "cuda") -> str:
    """Run the pipeline's own steps, plain and as CUDA graphs, with networks that only pass pixels on."""
    if device == "cuda":
        require_torch_cuda("is what the rows run on")
    import numpy as np
    import torch

    from posegauge.pipeline.captured import CAPTURED_CALL
    from posegauge.pipeline.device_pipeline import DevicePipeline
    from posegauge.pipeline.steps import Settings

    low = np.arange(0, 300, 10, dtype=np.float32)[:, None]
    boxes = np.hstack([low, low, low + 40, low + 90])
    there = torch.from_numpy(boxes).to(device)

    def detect(batch):
        return {"boxes": there.expand(len(batch), -1, -1), "scores": batch.flatten(1)[:, : len(there), None]}

    def pose(crops):
        pixels = crops.flatten(1)
        x, y = pixels[:, : 17 * 384], pixels[:, -17 * 512 :]
        return {"simcc_x": x.view(-1, 17, 384), "simcc_y": y.view(-1, 17, 512)}

    networks = [SimpleNamespace(run_device=network) for network in (detect, pose)]
    plain, captured = (
        DevicePipeline(*networks, (640, 640), (192, 256), Settings(flip_test=True), device, captured=way)
        for way in (False, True)
    )
    noise = np.random.default_rng(0)
    for _ in range(CAPTURED_CALL + 1):
        image = noise.integers(0, 256, (480, 640, 3), np.uint8)
        found, expected = (
            [*each.detect(image), *each.estimate(image, boxes[:3])] for each in (captured, plain)
        )
        if any(one.tobytes() != other.tobytes() for one, other in zip(found, expected, strict=True)):
            raise Unavailable("the pipeline's steps give other bytes as CUDA graphs")
    steps = captured.steps.provenance()["cuda_graphs"]
    if idle := [name for name, step in steps.items() if step["replays"] < 2]:
        raise Unavailable(f"not replayed as CUDA graphs: {', '.join(idle)}")
    return f"{', '.join(steps)}: the same bytes"


def compiled() -> str:
    """Let torch.compile make one kernel, which needs Triton and a C compiler."""
    require_torch_cuda("is what the rows run on")
    import torch

    values = torch.randn(64, 64, device="cuda")
    found = torch.compile(lambda x: torch.nn.functional.silu(x) * 2, dynamic=False, fullgraph=True)(values)
    error = float((found - torch.nn.functional.silu(values) * 2).abs().max())
    if not error < 1e-4:
        raise Unavailable(f"a compiled kernel is wrong by {error:.1e}")
    return f"a compiled kernel differs by {error:.0e}"


def _onnxruntime(provider: str) -> str:
    """Run one node on a provider of ONNX Runtime."""
    require_gpu_build(provider)
    import numpy as np
    import onnxruntime
    from onnx import TensorProto, helper

    shape = [4, 4]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "x"], ["y"])],
        "smoke",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=[provider])
    if (taken := session.get_providers()[0]) != provider:
        raise Unavailable(f"asked for {provider}, ONNX Runtime took {taken}: see the log")
    x = np.arange(16, dtype=np.float32).reshape(shape)
    (y,) = session.run(None, {"x": x})
    if not np.allclose(y, x @ x):
        raise Unavailable(f"{provider} multiplies wrongly")
    return f"onnxruntime {onnxruntime.__version__}, {provider}"


def onnxruntime_cuda() -> str:
    """Run one node on ONNX Runtime's CUDA provider."""
    return _onnxruntime(CUDA)


def onnxruntime_tensorrt() -> str:
    """Run one node on ONNX Runtime's TensorRT provider."""
    return _onnxruntime(TENSORRT)


def tensorrt() -> str:
    """Start TensorRT's builder."""
    require_cuda()
    trt = tensorrt_engines.load_library("tensorrt")
    builder = trt.Builder(tensorrt_engines.make_logger(trt))
    if builder is None:
        raise Unavailable(f"TensorRT {trt.__version__} starts no builder here")
    return f"tensorrt {trt.__version__}"


# In this order; the last two may be missing.
CHECKS = {
    "Driver": driver,
    "PyTorch": pytorch,
    "CUDA graph": cuda_graph,
    "Steps as CUDA graphs": captured_steps,
    "torch.compile": compiled,
    "ONNX Runtime, CUDA": onnxruntime_cuda,
    "TensorRT": tensorrt,
    "ONNX Runtime, TensorRT": onnxruntime_tensorrt,
}


def run(checks: dict = CHECKS) -> Iterator[dict]:
    """Make each check and yield {"check", "status": ok | not run | failed, "seconds", "found"}.

    "found" says what there is, or why not. Nothing is raised: whatever one check meets, the next is made.
    """
    for name, check in checks.items():
        begin = time.monotonic()
        try:
            status, found = "ok", check()
        except Unavailable as error:
            status, found = "not run", str(error)
        except Exception as error:
            status, found = "failed", f"{type(error).__name__}: {first_line(error)}"
        yield {
            "check": name, "status": status, "seconds": round(time.monotonic() - begin, 1), "found": found,
        }  # fmt: skip


def write(path) -> None:
    """Make the checks and write them as a list, each at once, so that a crash leaves those before it."""
    made = []
    for check in run():
        made.append(check)
        print(f"{check['check']}: {check['status']}: {check['found']}", flush=True)
        write_json(path, made)
