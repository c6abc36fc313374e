"""Where the threads of an ONNX Runtime session run, the calling one among them."""

import functools
import os

from posegauge.store import machine


@functools.cache
def pinned_session() -> type:
    """Return the class of an InferenceSession whose threads have a core each, the caller the first.

    ONNX Runtime pins its own threads where it is not told how many to take, and the caller never. Unpinned,
    Linux may wake one on the caller's core, again and again: on two cores a network then takes up to twice
    its time. It may move the caller to the core of a pinned one, too, where both stay: up to three times.
    """
    import onnxruntime

    class PinnedSession(onnxruntime.InferenceSession):
        def __init__(self, file, options, **others):
            """`options` (SessionOptions) are told the cores."""
            self.cores = machine.cores_by_number()
            # Counted from 1.
            places = ";".join(str(core + 1) for core in self.cores[1:])
            options.add_session_config_entry("session.intra_op_thread_affinities", places)
            super().__init__(file, options, **others)

        def run(self, *args, **others):
            # For this call alone: threads that the caller starts later, as OpenCV's, would be on its core.
            os.sched_setaffinity(0, self.cores[:1])
            try:
                return super().run(*args, **others)
            finally:
                os.sched_setaffinity(0, self.cores)

    return PinnedSession
