"""PyTorch on the CPU or on CUDA: the MMDetection / MMPose network itself, in eager mode and float32."""

import numpy as np

from posebench.backends.base import Network, Options, require_cuda
from posebench.errors import PoseBenchError, Unavailable
from posebench.results import sha256_file
from posebench.study import Artifact


class TorchSession:
    """A network of posebench.models with fixed thread count."""

    def __init__(self, network: Network, device: str, threads: int):
        import torch

        from posebench import models

        torch.set_num_threads(threads)
        if torch.get_num_threads() != threads:
            raise PoseBenchError(f"asked PyTorch for {threads} threads, it runs {torch.get_num_threads()}")
        self.torch = torch
        self.network = network
        self.device = device
        self.threads = threads
        self.module = models.build_network(network).to(device)

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """See posebench.backends.base.Session."""
        with self.torch.inference_mode():
            outputs = self.module(self.torch.from_numpy(batch).to(self.device))
            # .cpu() waits for the device, so a stage's time is its own.
            return {
                name: output.cpu().numpy()
                for name, output in zip(self.module.output_names, outputs, strict=True)
            }

    def provenance(self) -> dict:
        """See posebench.backends.base.Session."""
        on_gpu = self.device == "cuda"
        return {
            "runtime": "PyTorch",
            "version": self.torch.__version__,
            "provider": f"CUDA ({self.torch.cuda.get_device_name()})" if on_gpu else "CPU",
            "device": self.device,
            "threads": self.threads,
            "file": self.network.checkpoint,
            "sha256": sha256_file(self.network.checkpoint),
        }


def load(network: Network, artifact: Artifact, threads: int, options: Options) -> TorchSession:
    """Load the network's checkpoint; Unavailable without one, without CUDA or without a CUDA build."""
    device = artifact.device
    if network.checkpoint is None:
        raise Unavailable(f"{network.name} is given as ONNX only: no PyTorch model")
    if device == "cuda":
        require_cuda()
        import torch

        if not torch.cuda.is_available():
            raise Unavailable(
                f"torch {torch.__version__} cannot use the CUDA device: CPU build or old driver"
            )
    return TorchSession(network, device, threads)
