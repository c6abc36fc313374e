"""One module per runtime; `load` picks it by name."""

import importlib

from posegauge.backends.base import Options, Session
from posegauge.models.network import Network
from posegauge.study import Artifact

_MODULES = {"pytorch": "torch"}


def load(network: Network, artifact: Artifact, threads: int, options: Options | None = None) -> Session:
    """Load a network as an artifact of the study asks for.

    `threads` are the CPU threads that the runtime may use. Raises Unavailable when this machine, or this
    network's file format, does not allow it; the message says why.
    """
    name = _MODULES.get(artifact.runtime, artifact.runtime)
    module = importlib.import_module(f"posegauge.backends.{name}")
    return module.load(network, artifact, threads, options or Options())
