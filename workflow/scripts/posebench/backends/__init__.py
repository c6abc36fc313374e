"""One module per runtime; `load` picks it by name."""

import importlib

from posebench.backends.base import Network, Session

_MODULES = {"pytorch": "torch", "onnxruntime": "onnxruntime", "tensorrt": "tensorrt"}


def load(runtime: str, network: Network, device: str, threads: int) -> Session:
    """Load a network into a runtime: pytorch, onnxruntime or tensorrt.

    `device` is cpu or cuda, `threads` the CPU threads that the runtime may use. Raises Unavailable when
    this machine, or this network's file format, does not allow it; the message says why.
    """
    module = importlib.import_module(f"posebench.backends.{_MODULES[runtime]}")
    return module.load(network, device, threads)
