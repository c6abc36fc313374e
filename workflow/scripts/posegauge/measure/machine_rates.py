"""What the machine can do at best: its rate of arithmetic in large matrix products, and its rate of copying.

On CUDA both are measured with PyTorch, whose matrix products are cuBLAS's. On a CPU no one library is the
fastest everywhere (on an AMD EPYC OpenVINO's product was a fifth faster than that of PyTorch's MKL), so each
runtime of the rows multiplies, and the fastest one's rate counts.
"""

import contextlib
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from posegauge.backends.base import require_cuda
from posegauge.errors import Unavailable

ROUNDS = 7


ROUND_MS = 40.0  # a round repeats its work until it takes at least so long


MATRIX_SIZES = {"cpu": 2048, "cuda": 8192}


COPY_BYTES = {"cpu": 2**30, "cuda": 2**30}  # of each of the two arrays, at most


PRECISIONS = {"cpu": ("fp32",), "cuda": ("fp32", "fp16")}


def measure(device: str, threads: int) -> dict:
    """Measure the rates of one device.

    Args:
        device: "cpu" or "cuda" (its first device).
        threads: CPU threads, those of the latency rows.

    Returns:
        {"matrix": {precision: rate}, "copy": rate}, each rate {"library": the fastest, "size": rows of the
        square matrices or bytes of an array, "work": FLOPs, or bytes read and written, of one repetition,
        "repeats": in a round, "rounds_ms", "best_per_s", "median_per_s": FLOP/s or bytes/s, "slower":
        {library: its best_per_s}}. FP32 on CUDA is without TF32.

    Raises:
        Unavailable: without CUDA, or with a PyTorch that cannot use it.
    """
    if device == "cuda":
        require_cuda()
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise Unavailable(f"PyTorch {torch.__version__} cannot use the CUDA device")
    torch.set_num_threads(threads)
    timed = _events if device == "cuda" else _wall_clock
    with torch.inference_mode():
        matrix = {
            precision: _matrix(torch, device, precision, MATRIX_SIZES[device], timed)
            for precision in PRECISIONS[device]
        }
        copy = _copy(torch, device, copy_bytes(torch, device), timed)
    if device == "cpu":
        matrix["fp32"] = _fastest([matrix["fp32"], *_other_libraries(torch, MATRIX_SIZES["cpu"], threads)])
    return {"matrix": matrix, "copy": copy}


def copy_bytes(torch, device: str) -> int:
    """Return the size of an array to copy: far above the caches, and at most an eighth of the free memory."""
    free = torch.cuda.mem_get_info()[0] if device == "cuda" else psutil.virtual_memory().available
    return min(COPY_BYTES[device], free // 8) // 4096 * 4096


def cache_bytes() -> int | None:
    """Return the size of the processor's last cache, or None where the system does not tell."""
    levels = sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"))
    sizes = [level.read_text().strip() for level in levels]
    units = {"K": 2**10, "M": 2**20}
    return max((int(size[:-1]) * units[size[-1]] for size in sizes if size[-1] in units), default=None)


def _matrix(torch, device: str, precision: str, size: int, timed: Callable) -> dict:
    """Time square matrix products; the settings of cuBLAS are put back."""
    kind = {"fp32": torch.float32, "fp16": torch.float16}[precision]
    generator = torch.Generator(device).manual_seed(0)
    left, right = (torch.randn(size, size, generator=generator, device=device).to(kind) for _ in range(2))
    result = torch.empty(size, size, dtype=kind, device=device)
    settings = torch.backends.cuda.matmul
    before, settings.allow_tf32 = settings.allow_tf32, False
    try:
        return _rate(torch, size, 2 * size**3, timed, lambda: torch.mm(left, right, out=result))
    finally:
        settings.allow_tf32 = before


def _other_libraries(torch, size: int, threads: int) -> list[dict]:
    """Time the same product, in FP32 on the CPU, in ONNX Runtime and OpenVINO where they are installed."""
    left, right = (torch.randn(size, size, generator=torch.Generator().manual_seed(0)) for _ in range(2))
    inputs = {"left": left.numpy(), "right": right.numpy()}
    rates = []
    for prepare in (_onnxruntime_product, _openvino_product):
        with contextlib.suppress(ImportError):
            library, run = prepare(inputs, threads)
            rates.append(_rate(torch, size, 2 * size**3, _wall_clock, run) | {"library": library})
    return rates


def _product(inputs: dict):
    """Return an ONNX model, as bytes, of one matrix product."""
    from onnx import TensorProto, helper

    size = len(inputs["left"])
    given, made = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [size, size]) for name in names]
        for names in (inputs, ["product"])
    )
    graph = helper.make_graph([helper.make_node("MatMul", list(inputs), ["product"])], "product", given, made)
    # Versions that any runtime of today reads.
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ).SerializeToString()


def _onnxruntime_product(inputs: dict, threads: int) -> tuple[str, Callable]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(_product(inputs), options, providers=["CPUExecutionProvider"])
    return f"ONNX Runtime {onnxruntime.__version__}", lambda: session.run(None, inputs)


def _openvino_product(inputs: dict, threads: int) -> tuple[str, Callable]:
    import openvino

    core = openvino.Core()
    model = core.read_model(_product(inputs))
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    return f"OpenVINO {openvino.__version__}", lambda: request.infer(inputs, share_inputs=True)


def _fastest(rates: list[dict]) -> dict:
    """Return the fastest of several rates; it names the others under "slower"."""
    best, *rest = sorted(rates, key=lambda rate: rate["best_per_s"], reverse=True)
    return best | {"slower": {rate["library"]: rate["best_per_s"] for rate in rest}}


def _copy(torch, device: str, size: int, timed: Callable) -> dict:
    """Time copies from one array to another, as STREAM does: bytes read and bytes written both count."""
    source = torch.ones(size // 4, dtype=torch.float32, device=device)
    target = torch.zeros_like(source)
    return _rate(torch, size, 2 * size, timed, lambda: target.copy_(source))


def _rate(torch, size: int, work: int, timed: Callable, run: Callable) -> dict:
    timed(torch, run, 2)  # the first call chooses a kernel
    once_ms = timed(torch, run, 1)
    repeats = max(1, round(ROUND_MS / once_ms))
    rounds_ms = [timed(torch, run, repeats) for _ in range(ROUNDS)]
    return {
        "library": f"PyTorch {torch.__version__}",
        "slower": {},
        "size": size,
        "work": work,
        "repeats": repeats,
        "rounds_ms": rounds_ms,
        "best_per_s": work * repeats / min(rounds_ms) * 1e3,
        "median_per_s": work * repeats / statistics.median(rounds_ms) * 1e3,
    }


def _wall_clock(_torch, run: Callable, repeats: int) -> float:
    """Return the milliseconds of `repeats` calls on the CPU."""
    begin = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - begin) * 1e3


def _events(torch, run: Callable, repeats: int) -> float:
    """Return the milliseconds of `repeats` calls on CUDA, between two events."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(repeats):
        run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)
