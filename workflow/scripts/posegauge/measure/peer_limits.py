"""The two networks alone on several images at a time on the CPU: what no pipeline goes beyond.

The same two calls as in measure/peer_programs.py, each on `images` images, so that the time of a call /
`images` is that of an image. It is no latency: every image waits for the others.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from posegauge.backends.onnxruntime import OnnxSession
from posegauge.errors import Unavailable
from posegauge.measure.peer_programs import Networks
from posegauge.pipeline.pipeline import Pipeline
from posegauge.study import ROLES


class OnnxThroughput(Networks):
    """ONNX Runtime with a session of one thread for every thread: it has no such mode of its own."""

    def __init__(self, pipeline: Pipeline, threads: int):
        super().__init__(pipeline)
        self.images = threads
        self.sessions = {
            role: [OnnxSession(getattr(pipeline, role).network, 1) for _ in range(threads)] for role in ROLES
        }
        self.pool = ThreadPoolExecutor(threads)

    def run(self, role: str, batch: np.ndarray) -> None:
        """See Networks; `images` at once, and wait for all."""
        list(self.pool.map(lambda session: session.run(batch), self.sessions[role]))


class OpenVINOThroughput(Networks):
    """OpenVINO with its performance hint THROUGHPUT, which chooses how many images it works on at a time."""

    def __init__(self, pipeline: Pipeline, threads: int):
        super().__init__(pipeline)
        self.provider = "CPU"
        try:
            import openvino
        except ImportError as error:
            raise Unavailable("openvino is not installed") from error
        core, compiled = openvino.Core(), {}
        for role in ROLES:
            model = core.read_model(getattr(pipeline, role).network.onnx)
            if role == "detector":
                width, height = pipeline.detector_size
                model.reshape([1, 3, height, width])
            compiled[role] = core.compile_model(
                model,
                "CPU",
                {
                    "PERFORMANCE_HINT": "THROUGHPUT",
                    "INFERENCE_NUM_THREADS": threads,
                    "INFERENCE_PRECISION_HINT": "f32",
                },
            )
        self.images = max(
            int(model.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")) for model in compiled.values()
        )
        self.queues = {role: openvino.AsyncInferQueue(model, self.images) for role, model in compiled.items()}

    def run(self, role: str, batch: np.ndarray) -> None:
        """See Networks; `images` at once, and wait for all."""
        for _ in range(self.images):
            self.queues[role].start_async([batch], share_inputs=True)
        self.queues[role].wait_all()
