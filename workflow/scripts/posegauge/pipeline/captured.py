"""Functions of tensors on a GPU as CUDA graphs, so that the host launches one graph in place of many kernels.

A graph is made of one call: the same kernels on the same memory. So there is one for every combination of
shapes, its inputs are copied into memory of its own before it is replayed, and what it returns lies in memory
that it writes to again. What a captured function does must not wait for the GPU nor copy from the host.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import torch

from posegauge.errors import Unavailable

# The call with the same shapes that is captured. A capture takes longer than many plain calls, so it must not
# happen for each of the hundreds of sizes that a data set's images have. Warm-up has no fewer rounds.
CAPTURED_CALL = 3

# Graphs of one step; each keeps its outputs in GPU memory.
MAX_GRAPHS = 32

# A graph that was replayed within the last so many calls of its step gives its place to no other: more shapes
# in turn than there are places would else be captured again and again.
IDLE_CALLS = 1000

# Shapes that have come, but not often enough, of which the calls are counted.
MAX_COUNTED = 1024

# Runs before the one that is captured: libraries prepare themselves, and allocate, in the first.
WARMUP_RUNS = 3


class Recorder:
    """Captures functions on a stream of its own, their memory in one pool.

    The graphs of a pool share the memory of what they compute in between, and one may have its outputs where
    another computes: a replay of any of them ends the life of what was returned before.
    """

    _one_at_a_time = threading.Lock()  # the process can make one graph at a time

    def __init__(self):
        self.stream = torch.cuda.Stream()
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, function: Callable[[], tuple]) -> tuple[Callable[[], None], tuple]:
        """Capture what `function` puts on the GPU.

        Returns (replay, the function's outputs): before the first replay nothing is in them. A replay runs on
        the current stream; the host does not wait for it.
        """
        caller, graph = torch.cuda.current_stream(), torch.cuda.CUDAGraph()
        # Other threads may go on as they like; only what this one does must be fit for a graph.
        how = {"pool": self.pool, "stream": self.stream, "capture_error_mode": "thread_local"}
        self.stream.wait_stream(caller)
        with self._one_at_a_time, torch.cuda.stream(self.stream):
            # On the same stream as the capture: cuBLAS has memory for each stream.
            for _ in range(WARMUP_RUNS):
                function()
            with torch.cuda.graph(graph, **how):
                outputs = function()
        caller.wait_stream(self.stream)
        return graph.replay, outputs


@dataclass
class _Graph:
    # What the graph reads; those of one shape are the same for all graphs of a step.
    inputs: list[torch.Tensor]
    replay: Callable[[], None]
    outputs: tuple
    last: int = 0  # number of the call of the step that replayed it last


class Captured:
    """One step of a pipeline: plain calls for shapes that come rarely, CUDA graphs for the others.

    What a call returns is valid until the next call, unless `keep`. Its inputs may lie anywhere and may go
    afterwards, since they are copied: no graph reads memory that is someone else's.
    """

    def __init__(self, name: str, keep: bool = False):
        """`name` is for errors; with `keep` outputs are copies, which belong to the caller."""
        self.name = name
        self.keep = keep
        self.captures = 0
        self.replays = 0
        self.plain_calls = 0
        self._calls = 0
        self._graphs: dict[tuple, _Graph] = {}
        self._counted: dict[tuple, int] = {}  # the one that came last stands last
        self._recorder = None

    def __call__(self, function: Callable[..., tuple], *tensors: torch.Tensor, **options) -> tuple:
        """Return function(*tensors, **options), a tuple of tensors.

        function: always the same for one step, as to what it does. Other tensors that it uses must stay where
            they are for as long as this object is there.
        options: hashable; each combination has graphs of its own.

        Raises:
            Unavailable: the step cannot be captured.
        """
        self._calls += 1
        key = (*options.items(), *((tensor.shape, tensor.dtype) for tensor in tensors))
        graph = self._graphs.get(key)
        if graph is None:
            if not self._is_worth(key):
                self.plain_calls += 1
                return function(*tensors, **options)
            graph = self._graphs[key] = self._capture(function, tensors, options)
            del self._counted[key]
        for held, tensor in zip(graph.inputs, tensors, strict=True):
            held.copy_(tensor)
        graph.replay()
        graph.last = self._calls
        self.replays += 1
        return tuple(output.clone() for output in graph.outputs) if self.keep else graph.outputs

    def _is_worth(self, key: tuple) -> bool:
        """Count a call without a graph; say whether to capture it, for which there is a place then."""
        self._counted[key] = self._counted.pop(key, 0) + 1
        if len(self._counted) > MAX_COUNTED:
            del self._counted[next(iter(self._counted))]
        return self._counted[key] >= CAPTURED_CALL and self._has_place()

    def _has_place(self) -> bool:
        if len(self._graphs) < MAX_GRAPHS:
            return True
        oldest = min(self._graphs, key=lambda key: self._graphs[key].last)
        if self._calls - self._graphs[oldest].last <= IDLE_CALLS:
            return False
        del self._graphs[oldest]
        return True

    def _capture(self, function: Callable[..., tuple], tensors: tuple, options: dict) -> _Graph:
        try:
            if not self._graphs:  # a pool ends with the last graph in it
                self._recorder = Recorder()
            inputs = [self._input(place, tensor) for place, tensor in enumerate(tensors)]
            # The capture's own runs see sound values, too.
            for held, tensor in zip(inputs, tensors, strict=True):
                held.copy_(tensor)
            replay, outputs = self._recorder(lambda: function(*inputs, **options))
        except Exception as error:
            # What ends a capture says only that an earlier error has spoilt it.
            first = error
            while first.__context__:
                first = first.__context__
            shapes = ", ".join(str(list(tensor.shape)) for tensor in tensors)
            raise Unavailable(
                f"the step {self.name} cannot be kept as a CUDA graph, inputs {shapes}: "
                f"{type(first).__name__}: {(str(first).strip().splitlines() or [''])[0][:200]}"
            ) from error
        self.captures += 1
        return _Graph(inputs, replay, outputs)

    def _input(self, place: int, tensor: torch.Tensor) -> torch.Tensor:
        """Return memory for the input at a place: that of another graph where its shape is the same."""
        for graph in self._graphs.values():
            if place < len(graph.inputs):
                held = graph.inputs[place]
                if (held.shape, held.dtype) == (tensor.shape, tensor.dtype):
                    return held
        return torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device)

    def provenance(self) -> dict:
        """Say how many graphs there are, and how often one was replayed or the step ran without."""
        return {
            "graphs": len(self._graphs),
            "captures": self.captures,
            "replays": self.replays,
            "plain_calls": self.plain_calls,
        }
