"""OpenVINO on the CPU, in float32, on an INT8 file, and in bfloat16 only where the row says so."""

import textwrap

import numpy as np

from posegauge.backends.base import Options, joined
from posegauge.backends.onnx_checks import OUTPUTS
from posegauge.errors import PoseGaugeError, Unavailable
from posegauge.install import locks
from posegauge.models.network import Network
from posegauge.store import machine
from posegauge.store.files import sha256_file
from posegauge.study import Artifact

# OpenVINO's own choice on a processor with AMX is bfloat16, eight bits of mantissa, also for a float32 file.
HINTS = {"fp32": "f32", "int8": "f32", "bf16": "bf16", "int8_bf16": "bf16"}


QUANTISED = {"int8": ("i8", "u8"), "int8_bf16": ("i8", "u8", "f32"), "bf16": ("f32",)}

# A batch of up to so many persons has a network of its own, compiled when the first of its size comes: with
# fixed shapes OpenVINO joins more layers, lays its memory out once and works out no shape at each run. Each
# takes 40 MiB (TinyPose, a million weights) to 150 (RTMPose-m, 14 million). Larger ones share an open one.
MOST_FIXED = 8
OPEN = -1

MOST_TOLD = 300  # characters of an error of OpenVINO


class _Compiled:
    """A network compiled for one size of batch, or OPEN: one stream, fixed threads, precision asserted."""

    def __init__(self, core, model, network: Network, size: int, precision: str, threads: int, pinned: bool):
        hint = HINTS[precision]
        width, height = network.input_size
        try:
            model = model.clone()
            model.reshape([size, 3, height, width])
            self.model = core.compile_model(
                model,
                "CPU",
                {
                    "PERFORMANCE_HINT": "LATENCY",
                    "NUM_STREAMS": 1,
                    "INFERENCE_NUM_THREADS": threads,
                    "ENABLE_CPU_PINNING": pinned,
                    "INFERENCE_PRECISION_HINT": hint,
                    "EXECUTION_MODE_HINT": "ACCURACY" if hint == "f32" else "PERFORMANCE",
                },
            )
        except RuntimeError as error:  # all that OpenVINO raises
            raise _refused(network, precision, error) from error
        ran = int(self.model.get_property("INFERENCE_NUM_THREADS"))
        if ran != threads:
            raise PoseGaugeError(f"asked OpenVINO for {threads} threads, it runs {ran}")
        self.precision = self.model.get_property("INFERENCE_PRECISION_HINT").to_string()
        if self.precision != hint:
            raise PoseGaugeError(f"asked OpenVINO for {hint}, it computes in {self.precision}")
        # The quantised part of an INT8 file runs in 8 bits; the rest, and all of the others, in float32.
        # What is decoded may stay float32 in bfloat16.
        self.layers = self.count_layers("runtimePrecision")
        if odd := set(self.layers) - {hint, *QUANTISED.get(precision, ())}:
            raise PoseGaugeError(f"{network.onnx}: OpenVINO runs layers in {', '.join(sorted(odd))}")
        self.request = self.model.create_infer_request()
        # A compiled output may have other names beside its own.
        known = set().union(*OUTPUTS[network.role])
        self.names = [next(iter(output.get_names() & known)) for output in self.model.outputs]

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        self.request.infer([batch], share_inputs=True)
        # The request writes the next outputs into the same memory.
        return {name: self.request.get_tensor(name).data.copy() for name in self.names}

    def count_layers(self, told: str) -> dict[str, int]:
        """Count the layers that multiply, by what OpenVINO tells of each: its precision or its kernel."""
        found = {}
        for node in self.model.get_runtime_model().get_ops():
            info = node.get_rt_info()
            if info["layerType"].astype(str) in ("Convolution", "FullyConnected", "MatMul"):
                name = info[told].astype(str)
                found[name] = found.get(name, 0) + 1
        return found


class OpenVINOSession:
    """A network on OpenVINO, compiled for the sizes of batch that come."""

    copy_ms = 0.0
    device_ms = None

    def __init__(self, network: Network, precision: str, threads: int, pinned: bool):
        import openvino

        self.network, self.precision, self.threads, self.pinned = network, precision, threads, pinned
        self.version, self.core = openvino.__version__, openvino.Core()
        try:
            self.model = self.core.read_model(network.onnx)
        except RuntimeError as error:
            raise _refused(network, precision, error) from error
        _check_interface(self.model, network)
        # A detector sees one image at a time; a file may be made for one person.
        self.one_by_one = self.model.inputs[0].get_partial_shape()[0].is_static
        self.compiled = {}
        self._of(1)

    def _of(self, count: int) -> _Compiled:
        size = count if count <= MOST_FIXED else OPEN
        if size not in self.compiled:
            self.compiled[size] = _Compiled(
                self.core, self.model, self.network, size, self.precision, self.threads, self.pinned
            )
        return self.compiled[size]

    @property
    def builds(self) -> int:
        """See posegauge.backends.base.Session."""
        return len(self.compiled)

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """See posegauge.backends.base.Session."""
        if not self.one_by_one or len(batch) == 1:
            return self._of(len(batch)).run(batch)
        return joined([self._of(1).run(one) for one in np.split(batch, len(batch))])

    def provenance(self) -> dict:
        """See posegauge.backends.base.Session."""
        any_size = next(iter(self.compiled.values()))
        return {
            "runtime": "OpenVINO",
            "version": self.version,
            "provider": ", ".join(any_size.model.get_property("EXECUTION_DEVICES")),
            "device": "cpu",
            "threads": self.threads,
            "pinned": any_size.model.get_property("ENABLE_CPU_PINNING"),
            "inference_precision": any_size.precision,
            "layers": any_size.layers,
            # brgconv_avx512_bf16, say: the instruction set and the type of each kernel that runs.
            "kernels": any_size.count_layers("primitiveType"),
            "compiled_for": ["any" if size == OPEN else size for size in self.compiled],
            "file": self.network.onnx,
            "sha256": sha256_file(self.network.onnx),
        }


def _refused(network: Network, precision: str, error: Exception) -> Exception:
    """Return what to raise where OpenVINO refuses a file: bad input, or the end of one row.

    INT8 files are made here, of an FP32 one that has been found sound: what OpenVINO cannot do with them is
    no fault of the input.
    """
    # First it names the places in its own source.
    lines = [line for line in str(error).splitlines() if not line.startswith("Exception from ")]
    text = textwrap.shorten(" ".join(lines), MOST_TOLD, placeholder=" …")
    kind = Unavailable if "int8" in precision else PoseGaugeError
    return kind(f"{network.onnx}: OpenVINO cannot load this {network.role}: {text}")


def _check_interface(model, network: Network) -> None:
    """Raise PoseGaugeError unless inputs and outputs are those of the pipeline."""
    names = {output.get_any_name() for output in model.outputs}
    if names not in OUTPUTS[network.role]:
        expected = " or ".join(" + ".join(sorted(names)) for names in OUTPUTS[network.role])
        raise PoseGaugeError(
            f"{network.onnx}: a {network.role} must have the outputs {expected}, this file has "
            f"{', '.join(sorted(names))}"
        )
    width, height = network.input_size
    shape = model.inputs[0].get_partial_shape()
    if len(model.inputs) != 1 or not shape.compatible(_shape(network)):
        found = ", ".join(str(item.get_partial_shape()) for item in model.inputs)
        raise PoseGaugeError(
            f"{network.onnx}: expected one input [N, 3, {height}, {width}] as "
            f"models.{network.role}.input_size says, found {found}"
        )


def _shape(network: Network):
    import openvino

    width, height = network.input_size
    # -1: persons are batched, images are not.
    return openvino.PartialShape([-1 if network.role == "pose" else 1, 3, height, width])


def load(network: Network, artifact: Artifact, threads: int, options: Options) -> OpenVINOSession:
    """Load the network's ONNX file; Unavailable where OpenVINO is not installed or not made for the CPU."""
    try:
        import openvino
    except ImportError as error:
        raise Unavailable(locks.why_missing("openvino", "make setup")) from error
    if "CPU" not in openvino.Core().available_devices:
        raise Unavailable(f"openvino {openvino.__version__} has no plugin for this processor")
    if "bf16" in artifact.precision:
        machine.require_bf16()
    return OpenVINOSession(network, artifact.precision, threads, options.pinned)
