"""ONNX Runtime on the CPU, on CUDA (with or without CUDA graphs), and its TensorRT provider."""

import importlib.metadata
from pathlib import Path

import numpy as np

from posegauge.backends import onnx_checks, onnx_fp16_on_cpu
from posegauge.backends.base import (
    BATCH_SIZES,
    Options,
    device_errors,
    device_reason,
    joined,
    require_cuda,
    require_driver,
)
from posegauge.backends.device import Buffers, DeviceSession, gpu, require_torch_cuda
from posegauge.backends.onnx_checks import CPU, CUDA, TENSORRT
from posegauge.backends.onnx_pinned import pinned_session
from posegauge.errors import PoseGaugeError, Unavailable
from posegauge.models.network import Network
from posegauge.store.files import sha256_file
from posegauge.study import Artifact

# What every CUDA session is told: float32 without TF32, and cuDNN's search among all algorithms, once per
# shape (ONNX Runtime's default, stated since it makes the first run of a shape slow).
CUDA_OPTIONS = {
    "device_id": "0",
    "use_tf32": "0",
    "cudnn_conv_algo_search": "EXHAUSTIVE",
    "cudnn_conv_use_max_workspace": "1",
}


class OnnxSession:
    """An onnxruntime.InferenceSession on the CPU."""

    copy_ms = 0.0
    device_ms = None
    builds = 0

    def __init__(self, network: Network, threads: int, pinned: bool = False):
        self.session = open_session(network, [(CPU, {})], threads, pinned)
        self.nodes = onnx_checks.check_nodes(network, self.session, CPU, allow_fallback=False)
        self.network = network
        self.threads = threads
        self.input_name = self.session.get_inputs()[0].name
        self.output_names = [output.name for output in self.session.get_outputs()]
        self.one_by_one = onnx_checks.fixed_batch(self.session)

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """See posegauge.backends.base.Session."""
        if self.one_by_one and len(batch) > 1:
            return joined([self.run(batch[index : index + 1]) for index in range(len(batch))])
        outputs = self.session.run(self.output_names, {self.input_name: batch})
        return dict(zip(self.output_names, outputs, strict=True))

    def provenance(self) -> dict:
        """See posegauge.backends.base.Session."""
        return described(self.network, self.session, self.threads) | {
            "device": "cpu",
            "execution": {"mode": "plain"},
            **self.nodes,
        }


class OnnxDeviceSession(DeviceSession):
    """A network bound to buffers on the device (IO binding), with a CUDA graph per size of batch if asked.

    With CUDA graphs (execution "graph") each of base.BATCH_SIZES has its bound buffers and its graph, named
    by the run option gpu_graph_id. ONNX Runtime runs a size three times when it comes for the first time, the
    third time capturing, and replays from then on; batches between two sizes are padded, larger ones cut.
    Without, the first `count` rows of the same buffers are bound, once per batch size that comes.
    """

    def __init__(self, network: Network, artifact: Artifact, threads: int, options: Options):
        self.graph = artifact.execution == "graph"
        sizes = BATCH_SIZES
        if artifact.execution == "tensorrt":
            # The engine's profile: the detector sees one image at a time.
            sizes = (1,) if network.role == "detector" else within(options.pose_batches[-1])
        super().__init__(network, artifact.device, fixed=self.graph, sizes=sizes)
        self.artifact = artifact
        self.threads = threads
        stream = self.stream.cuda_stream if self.stream else 0
        providers = chosen_providers(network, artifact, options, stream)
        self.provider = providers[0][0]
        with device_errors(network):
            self.session = open_session(network, providers, threads)
            self.nodes = onnx_checks.check_nodes(network, self.session, self.provider, options.allow_fallback)
            self.provider_options = onnx_checks.check_options(network, self.session, providers)
            self.input_name = self.session.get_inputs()[0].name
            self.output_names = [output.name for output in self.session.get_outputs()]
            if onnx_checks.fixed_batch(self.session):
                self.sizes = (1,)
            # The number of boxes that a network with NMS inside returns is known after the run only.
            self.dynamic = "dets" in self.output_names
            if self.dynamic and (self.graph or artifact.images == "device"):
                raise Unavailable(
                    f"{network.onnx}: NMS inside the network returns any number of boxes, so that it has no "
                    "buffers of fixed size on the device; give a file with boxes and scores"
                )
            self._bindings = {}  # rows: (binding, run options, output tensors)
            self._shapes = {} if self.dynamic else self._output_shapes()

    def compute(self, buffers: Buffers, count: int) -> dict:
        """See posegauge.backends.device.DeviceSession."""
        if self.dynamic:
            return self._run_dynamic(buffers, count)
        rows = buffers.size if self.fixed else count
        if rows not in self._bindings:
            self._bindings[rows] = self._bind(buffers, rows)
            self.builds += 1
        binding, run_options, outputs = self._bindings[rows]
        self.session.run_with_iobinding(binding, run_options)
        return {name: output[:count] for name, output in outputs.items()}

    def provenance(self) -> dict:
        """See posegauge.backends.base.Session."""
        execution = {
            "mode": self.artifact.execution,
            "io_binding": True,
            "batches_seen": sorted(self._bindings),
        }
        if self.graph:
            execution |= {"graphs_for_batches": sorted(self._bindings), "padded_to": list(self.sizes)}
        return described(self.network, self.session, self.threads) | {
            "device": self.device,
            "execution": execution,
            "builds": self.builds,
            "host_memory": "page-locked" if self.on_gpu else "pageable",
            "provider_options": self.provider_options,
            **self.nodes,
            **(gpu(self.torch) if self.on_gpu else {}),
        }

    def _bind(self, buffers: Buffers, rows: int):
        """Return (binding, run options, outputs) for `rows` rows of the buffers, its CUDA graph captured."""
        outputs = self._outputs(rows)
        binding = self._binding(buffers, rows, outputs)
        run_options = self._run_options(rows if self.graph else -1)
        if self.graph and self.on_gpu:
            self.session.run_with_iobinding(binding, run_options)
            self._require_replay(buffers, rows, run_options)
        return binding, run_options, outputs

    def _require_replay(self, buffers: Buffers, rows: int, run_options) -> None:
        """Raise Unavailable unless a graph is replayed for `rows`, which ONNX Runtime tells nobody.

        A replay writes to the memory bound when the graph was captured: outputs bound now stay as they are.
        """
        untouched = self._outputs(rows, float("nan"))
        self.session.run_with_iobinding(self._binding(buffers, rows, untouched), run_options)
        self._wait()
        if not all(bool(output.isnan().all()) for output in untouched.values()):
            raise Unavailable(
                f"{self.network.name}: ONNX Runtime computed a batch of {rows} anew instead of replaying its "
                "CUDA graph"
            )

    def _binding(self, buffers: Buffers, rows: int, outputs: dict):
        """Bind `rows` rows of the input and the tensors given for outputs; others ONNX Runtime allocates."""
        binding = self.session.io_binding()
        shape = [rows, *buffers.input.shape[1:]]
        binding.bind_input(self.input_name, self.device, 0, np.float32, shape, buffers.input.data_ptr())
        for name in self.output_names:
            if name in outputs:
                place = (np.float32, list(outputs[name].shape), outputs[name].data_ptr())
                binding.bind_output(name, self.device, 0, *place)
            else:
                binding.bind_output(name, self.device, 0)
        return binding

    def _outputs(self, rows: int, value: float = 0.0) -> dict:
        """Tensors on the device for the outputs of `rows` images."""
        return {
            name: self.torch.full((rows, *shape), value, device=self.device)
            for name, shape in self._shapes.items()
        }

    def _run_options(self, graph: int):
        """Options of a run: its CUDA graph (-1: none), and no wait for the device at its end."""
        import onnxruntime

        options = onnxruntime.RunOptions()
        if self.on_gpu:
            options.add_run_config_entry("disable_synchronize_execution_providers", "1")
            options.add_run_config_entry("gpu_graph_id", str(graph))
        return options

    def _output_shapes(self) -> dict[str, tuple[int, ...]]:
        """Run one image of zeros; return the shapes of the outputs behind the batch.

        Files name some of these dimensions instead of giving them. TensorRT builds its engine here.
        """
        buffers = self._buffers_for(1)
        with self._working():
            binding = self._binding(buffers, 1, {})
            self.session.run_with_iobinding(binding, self._run_options(-1))
            self._wait()
            shapes = {
                name: tuple(value.shape())
                for name, value in zip(self.output_names, binding.get_outputs(), strict=True)
            }
        wrong = {name: shape for name, shape in shapes.items() if not shape or shape[0] != 1}
        if wrong:
            raise PoseGaugeError(
                f"{self.network.onnx}: outputs whose first dimension is not the batch: {wrong}"
            )
        return {name: shape[1:] for name, shape in shapes.items()}

    def _run_dynamic(self, buffers: Buffers, count: int) -> dict:
        """Run with outputs that ONNX Runtime allocates; return them as tensors on the host."""
        # Anew each time: what it allocated once stays bound, with its shape.
        binding = self._binding(buffers, count, {})
        self.session.run_with_iobinding(binding, self._run_options(-1))
        self._wait()
        values = zip(self.output_names, binding.get_outputs(), strict=True)
        return {name: self.torch.from_numpy(value.numpy()) for name, value in values}

    def _wait(self) -> None:
        if self.on_gpu:
            self.torch.cuda.current_stream().synchronize()


def within(largest: int) -> tuple[int, ...]:
    """Return the sizes of base.BATCH_SIZES up to `largest`, and `largest` itself."""
    return (*(size for size in BATCH_SIZES if size < largest), largest)


def chosen_providers(network: Network, artifact: Artifact, options: Options, stream: int) -> list[tuple]:
    """Return the providers of an artifact with their options, the wanted one first.

    stream: address of the CUDA stream to work on.
    """
    if artifact.device == "cpu":
        return [(CPU, {})]
    on_stream = {"user_compute_stream": str(stream)}
    cuda = CUDA_OPTIONS | on_stream | {"enable_cuda_graph": "1" if artifact.execution == "graph" else "0"}
    if artifact.execution != "tensorrt":
        return [(CUDA, cuda)]
    return [(TENSORRT, tensorrt_options(network, artifact, options) | on_stream), (CUDA, cuda)]


def tensorrt_options(network: Network, artifact: Artifact, options: Options) -> dict[str, str]:
    """Return the options of ONNX Runtime's TensorRT provider.

    The study used it with FP16 and an engine cache by file name; here the cache's folder is named by the
    sha256 of the ONNX file, ONNX Runtime's version and the precision (the provider itself adds the GPU's
    compute capability), and the range of batches is fixed, so that no batch size makes it build again.
    """
    import onnxruntime

    name = onnx_checks.network_input(network.onnx)
    width, height = network.input_size
    batches = (1, 1, 1) if network.role == "detector" else options.pose_batches
    profile = {
        f"trt_profile_{part}_shapes": f"{name}:{batch}x3x{height}x{width}"
        for part, batch in zip(("min", "opt", "max"), batches, strict=True)
    }
    chosen = {"device_id": "0", "trt_fp16_enable": "1" if artifact.precision == "fp16" else "0", **profile}
    if options.engines:
        key = f"{sha256_file(network.onnx)[:16]}-ort{onnxruntime.__version__}-{artifact.precision}"
        folder = Path(options.engines) / "onnxruntime" / f"{network.role}-{key}-{'-'.join(map(str, batches))}"
        folder.mkdir(parents=True, exist_ok=True)
        chosen |= {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(folder),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(folder),
        }
    return chosen


def open_session(network: Network, providers: list[tuple], threads: int, pinned: bool = False):
    """Return an onnxruntime.InferenceSession whose first provider is the first that was asked for.

    Raises Unavailable when ONNX Runtime took another one, PoseGaugeError when the file cannot be loaded or
    is not what the pipeline needs.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # A session's threads go on spinning after its run. With two sessions in turn they take the cores from
    # each other, most of all on few cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    kind = pinned_session() if pinned else onnxruntime.InferenceSession
    asked = providers[0][0]
    try:
        # enable_fallback=1 would swap a provider that fails for the CPU, here and in the middle of a run.
        content = onnx_fp16_on_cpu.for_cpu(network.onnx) if asked == CPU else network.onnx
        session = kind(content, options, providers=providers, enable_fallback=0)
    except Exception as error:  # onnxruntime raises a class of its own per status code
        reason = device_reason(network, error) or _cannot_run(network, str(error))
        if reason:
            raise Unavailable(reason) from error
        raise PoseGaugeError(
            f"{network.onnx}: ONNX Runtime cannot load this {network.role}: {error}"
        ) from error
    taken = session.get_providers()[0]
    if taken != asked:
        raise Unavailable(
            f"asked for {asked}, ONNX Runtime took {taken}: the provider's own libraries "
            f"({'TensorRT, ' if asked == TENSORRT else ''}CUDA, cuDNN) cannot be loaded, see the log"
        )
    onnx_checks.check_interface(session, network)
    return session


def described(network: Network, session, threads: int) -> dict:
    """Return what the provenance of all sessions has in common."""
    import onnxruntime

    return {
        "runtime": "ONNX Runtime",
        "version": onnxruntime.__version__,
        "provider": session.get_providers()[0],
        "precision": onnx_checks.precision(network.onnx),
        "threads": threads,
        "pinned": hasattr(session, "cores"),  # see pinned_session
        "file": network.onnx,
        "sha256": sha256_file(network.onnx),
    }


def _cannot_run(network: Network, text: str) -> str | None:
    """Say why ONNX Runtime refuses a valid file, by the text of its error; None for other errors."""
    if "graph capture feature" in text:
        return f"{network.onnx}: no CUDA graph, since not all of its nodes run on the GPU ({text[:200]})"
    if "not a registered function/op" in text or "Could not find an implementation" in text:
        return f"{network.onnx}: an operator that this ONNX Runtime does not have ({text[:200]})"
    return None


def require_gpu_build(provider: str) -> None:
    """Raise Unavailable unless this ONNX Runtime is a build for CUDA that can work here."""
    require_cuda()
    if version_of("onnxruntime") and version_of("onnxruntime-gpu"):
        raise Unavailable(
            "onnxruntime and onnxruntime-gpu are both installed, and each overwrites the other's files: "
            "`pip uninstall onnxruntime onnxruntime-gpu`, then `make setup-cuda`"
        )
    # Imported first: it loads the CUDA and cuDNN libraries that ONNX Runtime does not bring.
    require_torch_cuda("holds ONNX Runtime's buffers on the GPU")
    import onnxruntime

    if provider not in onnxruntime.get_available_providers():
        raise Unavailable(
            f"onnxruntime {onnxruntime.__version__} is a build without {provider}; install onnxruntime-gpu"
        )
    require_driver(f"onnxruntime-gpu {onnxruntime.__version__}", getattr(onnxruntime, "cuda_version", None))


def version_of(package: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def load(network: Network, artifact: Artifact, threads: int, options: Options):
    """Load the network's ONNX file; Unavailable without a CUDA device or the provider."""
    if artifact.device == "cuda":
        require_gpu_build(TENSORRT if artifact.execution == "tensorrt" else CUDA)
    if artifact.device == "cpu" and artifact.execution == "plain" and artifact.images == "host":
        session = OnnxSession(network, threads, options.pinned)
    else:
        session = OnnxDeviceSession(network, artifact, threads, options)
    # After ONNX Runtime has found the file sound.
    onnx_checks.check_precision(network, artifact)
    return session
