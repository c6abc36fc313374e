"""TensorRT: the rows have their place in the table; the engine builder is not part of the workflow yet."""

from posebench.backends.base import Network, require_cuda
from posebench.errors import Unavailable


def load(network: Network, device: str, threads: int):
    """Raise Unavailable with the reason: no CUDA device, or no engine builder."""
    require_cuda()
    raise Unavailable("no TensorRT engine: this version of the workflow does not build engines yet")
