"""OpenVINO on the CPU: its rows have their place in the table; it is not part of the workflow yet."""

from posebench.backends.base import Network, Options
from posebench.errors import Unavailable
from posebench.study import Artifact


def load(network: Network, artifact: Artifact, threads: int, options: Options):
    """Raise Unavailable with the reason."""
    raise Unavailable("this version of the workflow does not run OpenVINO yet")
