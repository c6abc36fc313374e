"""OpenVINO on the CPU, in float32, on an INT8 file, and in bfloat16 only where the row says so."""

import numpy as np

from posegauge.backends.base import Options
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


class OpenVINOSession:
    """A compiled model with one stream, fixed threads and its precision asserted."""

    copy_ms = 0.0
    device_ms = None

    def __init__(self, network: Network, precision: str, threads: int):
        import openvino

        core, hint = openvino.Core(), HINTS[precision]
        try:
            model = core.read_model(network.onnx)
            _check_interface(model, network)
            if network.role == "detector":
                # One image at a time: with fixed shapes OpenVINO plans its memory once.
                width, height = network.input_size
                model.reshape([1, 3, height, width])
            self.compiled = core.compile_model(
                model,
                "CPU",
                {
                    "PERFORMANCE_HINT": "LATENCY",
                    "NUM_STREAMS": 1,
                    "INFERENCE_NUM_THREADS": threads,
                    "INFERENCE_PRECISION_HINT": hint,
                    "EXECUTION_MODE_HINT": "ACCURACY" if hint == "f32" else "PERFORMANCE",
                },
            )
        except RuntimeError as error:  # all that OpenVINO raises
            raise PoseGaugeError(
                f"{network.onnx}: OpenVINO cannot load this {network.role}: {error}"
            ) from error
        self.network, self.version = network, openvino.__version__
        self.device = ", ".join(self.compiled.get_property("EXECUTION_DEVICES"))
        self.threads = int(self.compiled.get_property("INFERENCE_NUM_THREADS"))
        self.precision = self.compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if self.threads != threads:
            raise PoseGaugeError(f"asked OpenVINO for {threads} threads, it runs {self.threads}")
        if self.precision != hint:
            raise PoseGaugeError(f"asked OpenVINO for {hint}, it computes in {self.precision}")
        self.request = self.compiled.create_infer_request()
        # A compiled output may have other names beside its own.
        known = set().union(*OUTPUTS[network.role])
        self.names = [next(iter(output.get_names() & known)) for output in self.compiled.outputs]
        self.layers = self._layers("runtimePrecision")
        # The quantised part of an INT8 file runs in 8 bits; the rest, and all of the others, in float32.
        # What is decoded may stay float32 in bfloat16.
        if odd := set(self.layers) - {hint, *QUANTISED.get(precision, ())}:
            raise PoseGaugeError(f"{network.onnx}: OpenVINO runs layers in {', '.join(sorted(odd))}")

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """See posegauge.backends.base.Session. The arrays are the request's own: valid until the next run."""
        self.request.infer([batch], share_inputs=True)
        return {name: self.request.get_tensor(name).data for name in self.names}

    def _layers(self, told: str) -> dict[str, int]:
        """Count the layers that multiply, by what OpenVINO tells of each: its precision or its kernel."""
        found = {}
        for node in self.compiled.get_runtime_model().get_ops():
            info = node.get_rt_info()
            if info["layerType"].astype(str) in ("Convolution", "FullyConnected", "MatMul"):
                name = info[told].astype(str)
                found[name] = found.get(name, 0) + 1
        return found

    def provenance(self) -> dict:
        """See posegauge.backends.base.Session."""
        return {
            "runtime": "OpenVINO",
            "version": self.version,
            "provider": self.device,
            "device": "cpu",
            "threads": self.threads,
            "inference_precision": self.precision,
            "layers": self.layers,
            # brgconv_avx512_bf16, say: the instruction set and the type of each kernel that runs.
            "kernels": self._layers("primitiveType"),
            "file": self.network.onnx,
            "sha256": sha256_file(self.network.onnx),
        }


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
    return OpenVINOSession(network, artifact.precision, threads)
