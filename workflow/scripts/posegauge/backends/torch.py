"""PyTorch on the CPU or on CUDA: the MMDetection / MMPose network itself, eager or compiled, FP32 or FP16."""

import numpy as np

from posegauge.backends.base import Options, device_errors, first_line
from posegauge.backends.device import Buffers, DeviceSession, gpu, require_torch_cuda
from posegauge.errors import PoseGaugeError, Unavailable
from posegauge.models.network import Network
from posegauge.store import machine
from posegauge.store.files import sha256_file
from posegauge.study import Artifact


class TorchSession:
    """A network of posegauge.models.build on the CPU, eager, with fixed thread count: float32, or bfloat16.

    bfloat16 is PyTorch's autocast: convolutions and matrix products in bfloat16, what needs range in float32.
    """

    copy_ms = 0.0
    device_ms = None
    builds = 0

    def __init__(self, network: Network, threads: int, precision: str = "fp32"):
        import torch

        from posegauge.models import build

        set_threads(torch, threads)
        self.torch = torch
        self.network = network
        self.threads = threads
        self.bf16 = precision == "bf16"
        self.module = build.build_network(network)

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """See posegauge.backends.base.Session."""
        autocast = self.torch.autocast("cpu", self.torch.bfloat16, enabled=self.bf16)
        with self.torch.inference_mode(), autocast:
            outputs = self.module(self.torch.from_numpy(batch))
            return {
                name: output.float().numpy()
                for name, output in zip(self.module.output_names, outputs, strict=True)
            }

    def provenance(self) -> dict:
        """See posegauge.backends.base.Session."""
        return {
            "runtime": "PyTorch",
            "version": self.torch.__version__,
            "provider": "CPU",
            "device": "cpu",
            "precision": "BF16 (autocast)" if self.bf16 else "FP32",
            "instructions": machine.bf16_instructions() if self.bf16 else None,
            "execution": {"mode": "eager"},
            "threads": self.threads,
            "file": self.network.checkpoint,
            "sha256": sha256_file(self.network.checkpoint),
        }


class TorchDeviceSession(DeviceSession):
    """A network of posegauge.models.build on a device: eager, or compiled and captured as CUDA graphs.

    Compiled means torch.compile (Inductor, shapes fixed, no graph breaks), once per size of batch, and then
    one CUDA graph per size. Runs replay that graph, so nothing is left that could compile anew, and Python's
    part is one call. torch.compile's own CUDA graphs (mode "reduce-overhead") are not used: they choose by
    themselves when to record again.
    """

    def __init__(self, network: Network, artifact: Artifact, threads: int):
        import torch

        from posegauge.models import build

        self.compiled = artifact.execution == "compiled"
        super().__init__(network, artifact.device, fixed=self.compiled)
        set_threads(torch, threads)
        fix_numerics(torch)
        self.threads = threads
        self.artifact = artifact
        self.precision = "FP32"
        module = build.build_network(network)
        self.output_names = module.output_names
        if artifact.precision == "fp16":
            from posegauge.backends import torch_fp16

            module = torch_fp16.HalfNetwork(module, network.role).eval()
            self.precision = torch_fp16.DESCRIPTION[network.role]
        with device_errors(network):
            self.module = module.to(self.device)
        self.forward = compile_network(torch, self.module) if self.compiled else self.module
        self._graphs = {}  # size of batch: (replay, outputs)

    def compute(self, buffers: Buffers, count: int) -> dict:
        """See posegauge.backends.device.DeviceSession."""
        if not self.compiled:
            return self._named(self.forward(buffers.input[:count]))
        if buffers.size not in self._graphs:
            self._graphs[buffers.size] = self._capture(buffers)
            self.builds += 1
        replay, outputs = self._graphs[buffers.size]
        replay()
        return {name: output[:count] for name, output in outputs.items()}

    def provenance(self) -> dict:
        """See posegauge.backends.base.Session. PoseGaugeError when another device ran than was asked for."""
        where = next(self.module.parameters()).device
        if where.type != self.device:
            raise PoseGaugeError(f"{self.network.name}: asked for {self.device}, its weights are on {where}")
        execution = {"mode": "eager"}
        if self.compiled:
            execution = {
                "mode": "torch.compile (inductor, default mode, dynamic=False, fullgraph=True) + CUDA graph",
                "graphs_for_batches": sorted(self._graphs),
                "padded_to": list(self.sizes),
            }
        described = gpu(self.torch) if self.on_gpu else {}
        return {
            "runtime": "PyTorch",
            "version": self.torch.__version__,
            "provider": f"CUDA ({described['gpu']})" if described else "CPU",
            "device": self.device,
            "precision": self.precision,
            "execution": execution,
            "builds": self.builds,
            "host_memory": "page-locked" if self.on_gpu else "pageable",
            **numerics(self.torch),
            # On while a graph is captured, and so in its replays.
            "cudnn_benchmark": self.compiled,
            **described,
            "threads": self.threads,
            "file": self.network.checkpoint,
            "sha256": sha256_file(self.network.checkpoint),
        }

    def _named(self, outputs) -> dict:
        return dict(zip(self.output_names, outputs, strict=True))

    def _capture(self, buffers: Buffers):
        """Compile for the size of `buffers` and capture a CUDA graph: (replay, its outputs)."""
        # cuDNN times its algorithms for this shape. The switch is the process's, and eager rows have it off.
        self.torch.backends.cudnn.benchmark = True
        try:
            replay, outputs = capture(self.torch, self.stream, self.forward, buffers.input)
        except Unavailable:
            raise
        except Exception as error:  # dynamo, inductor, triton and CUDA raise classes of their own
            if "out of memory" in str(error).lower():
                raise
            raise Unavailable(
                f"torch.compile with a CUDA graph failed for {self.network.name}, batch {buffers.size}: "
                f"{type(error).__name__}: {first_line(error)}"
            ) from error
        finally:
            self.torch.backends.cudnn.benchmark = False
        return replay, self._named(outputs)


def set_threads(torch, threads: int) -> None:
    """Set PyTorch's CPU threads; PoseGaugeError when it does not take them."""
    torch.set_num_threads(threads)
    if torch.get_num_threads() != threads:
        raise PoseGaugeError(f"asked PyTorch for {threads} threads, it runs {torch.get_num_threads()}")


def fix_numerics(torch) -> None:
    """Turn TF32 and FP16 sums off for the whole process, so that FP32 is FP32 on every GPU.

    cuDNN's default allows TF32 in convolutions, matmul's does not. cuDNN chooses its algorithms
    without timing them, as PyTorch comes and as the study ran it.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cudnn.benchmark = False
    state = numerics(torch)
    if state["tf32"] != {"matmul": False, "convolution": False}:
        raise PoseGaugeError(
            f"TF32 cannot be turned off ({state['tf32']}): unset TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"
        )


def numerics(torch) -> dict:
    """Read back what decides over the arithmetic of the process, for a provenance."""
    return {
        "tf32": {
            "matmul": torch.backends.cuda.matmul.allow_tf32,
            "convolution": torch.backends.cudnn.allow_tf32,
        },
        "fp16_sums_in_matmul": torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction,
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
    }


def compile_network(torch, module):
    """Return torch.compile's function of the network, which compiles at the first call of each shape."""
    import torch._dynamo.config

    # One compilation per size of batch and network; with fullgraph more than the limit (8) are an error.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)
    return torch.compile(module, dynamic=False, fullgraph=True)


def capture(torch, stream, forward, batch):
    """Compile `forward` for the shape of `batch` and capture a CUDA graph of it.

    Returns (function that replays the graph, its output tensors, which each replay overwrites). Raises
    Unavailable where torch.compile compiled nothing, which it does not say itself (TORCH_COMPILE_DISABLE).
    """
    from torch._dynamo.utils import counters

    before = counters["stats"]["unique_graphs"]
    # The first call compiles and lets cuDNN choose, which is not allowed while a graph is captured.
    for _ in range(3):
        forward(batch)
    if counters["stats"]["unique_graphs"] == before:
        raise Unavailable("torch.compile compiled nothing; unset TORCH_COMPILE_DISABLE, TORCHDYNAMO_DISABLE")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        outputs = forward(batch)
    return graph.replay, outputs


def load(network: Network, artifact: Artifact, threads: int, options: Options):
    """Load the network's checkpoint; Unavailable without one, without CUDA or without a CUDA build."""
    if network.checkpoint is None:
        raise Unavailable(f"{network.name} is given as ONNX only: no PyTorch model")
    if artifact.device == "cuda":
        require_torch_cuda("runs the networks")
    elif (artifact.execution, artifact.images) == ("plain", "host") and artifact.precision != "fp16":
        if artifact.precision == "bf16":
            machine.require_bf16()
        return TorchSession(network, threads, artifact.precision)
    return TorchDeviceSession(network, artifact, threads)
