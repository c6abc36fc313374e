"""ONNX Runtime on the CPU or on CUDA."""

import numpy as np

from posebench.backends.base import Network, Options, require_cuda
from posebench.errors import PoseBenchError, Unavailable
from posebench.results import sha256_file
from posebench.study import Artifact

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
OUTPUTS = {"detector": [{"boxes", "scores"}, {"dets", "labels"}], "pose": [{"simcc_x", "simcc_y"}]}


class OnnxSession:
    """An onnxruntime.InferenceSession whose provider has been asserted."""

    def __init__(self, network: Network, device: str, threads: int):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # A session's threads go on spinning after its run. With two sessions in turn they take the cores from
        # each other, most of all on few cores.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        try:
            self.session = onnxruntime.InferenceSession(network.onnx, options, providers=[PROVIDERS[device]])
        except Exception as error:  # onnxruntime raises a class of its own per status code
            raise PoseBenchError(
                f"{network.onnx}: ONNX Runtime cannot load this {network.role}: {error}"
            ) from error
        # Without this a failing provider is swapped for the CPU in the middle of a run.
        self.session.disable_fallback()
        self.network = network
        self.device = device
        self.threads = threads
        self.version = onnxruntime.__version__
        self.provider = self.session.get_providers()[0]
        if self.provider != PROVIDERS[device]:
            raise Unavailable(f"asked for {PROVIDERS[device]}, ONNX Runtime took {self.provider}")
        check_interface(self.session, network)
        self.input_name = self.session.get_inputs()[0].name
        self.output_names = [output.name for output in self.session.get_outputs()]

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """See posebench.backends.base.Session."""
        outputs = self.session.run(self.output_names, {self.input_name: batch})
        return dict(zip(self.output_names, outputs, strict=True))

    def provenance(self) -> dict:
        """See posebench.backends.base.Session."""
        return {
            "runtime": "ONNX Runtime",
            "version": self.version,
            "provider": self.provider,
            "device": self.device,
            "threads": self.threads,
            "file": self.network.onnx,
            "sha256": sha256_file(self.network.onnx),
        }


def check_interface(session, network: Network) -> None:
    """Raise PoseBenchError unless inputs and outputs are those of the pipeline."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    names = {output.name for output in outputs}
    if names not in OUTPUTS[network.role]:
        expected = " or ".join(" + ".join(sorted(names)) for names in OUTPUTS[network.role])
        raise PoseBenchError(
            f"{network.onnx}: a {network.role} must have the outputs {expected}, this file has "
            f"{', '.join(sorted(names))}. Export it with boxes decoded, or let this workflow export it from "
            "a config and a checkpoint"
        )
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type != "tensor(float)":
        found = ", ".join(f"{item.name} {item.type} {item.shape}" for item in inputs)
        raise PoseBenchError(
            f"{network.onnx}: expected one float32 input [N, 3, height, width], found {found}"
        )
    shape = inputs[0].shape
    expected_shape = [3, network.input_size[1], network.input_size[0]]
    for given, expected in zip(shape[1:], expected_shape, strict=True):
        if isinstance(given, int) and given != expected:
            raise PoseBenchError(
                f"{network.onnx}: the file takes {shape[1:]}, the config's input_size asks for "
                f"{expected_shape}; set models.{network.role}.input_size (width, height) to the file's"
            )
    if network.role == "pose" and isinstance(shape[0], int):
        raise PoseBenchError(
            f"{network.onnx}: the batch size is fixed to {shape[0]}; persons are batched, so the pose "
            "network needs a dynamic batch"
        )


def load(network: Network, artifact: Artifact, threads: int, options: Options) -> OnnxSession:
    """Load the network's ONNX file; Unavailable without a CUDA device or CUDA provider."""
    device = artifact.device
    if device == "cuda":
        require_cuda()
        import onnxruntime

        if PROVIDERS[device] not in onnxruntime.get_available_providers():
            raise Unavailable(
                f"onnxruntime {onnxruntime.__version__} is a build without {PROVIDERS[device]}; "
                "install onnxruntime-gpu"
            )
    return OnnxSession(network, device, threads)
