"""TensorRT: the rows have their place in the table; the engine builder is not part of the workflow yet."""

from posebench.backends.base import Network, Options, require_cuda
from posebench.errors import Unavailable
from posebench.study import Artifact


def load(network: Network, artifact: Artifact, threads: int, options: Options):
    """Raise Unavailable with the reason: no CUDA device, or no engine builder."""
    require_cuda()
    raise Unavailable("no TensorRT engine: this version of the workflow does not build engines yet")
