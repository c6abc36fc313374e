"""The two networks alone on several images at a time on the CPU: what no pipeline goes beyond.

The same two calls as in measure/peer_programs.py, each on `images` images, so that the time of a call /
`images` is that of an image. It is no latency: every image waits for the others.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from posegauge.backends.onnxruntime import OnnxSession
from posegauge.errors import Unavailable
from posegauge.pipeline.pipeline import Pipeline
from posegauge.pipeline.steps import padded_box, pose_input
from posegauge.study import ROLES


class Limit:
    """Runs each network on `images` images at once; what is the same for both runtimes."""

    provider = "CPU"
    images = 1

    def __init__(self, pipeline: Pipeline):
        """`pipeline` is ours, on ONNX Runtime: its sessions name the files, it prepares the inputs."""
        self.pipeline = pipeline
        self.prepared = {}

    def run(self, role: str, batch: np.ndarray) -> None:
        """Run a network on `images` times `batch`, float32 [N, 3, height, width], and wait for all."""
        raise NotImplementedError

    def detect_and_pose(self, image, bboxes):
        """Run both networks; return None."""
        for role, batch in zip(ROLES, self._inputs(image, bboxes), strict=True):
            self.run(role, batch)

    def pose_only(self, image, bboxes):
        """Run the pose network; return None."""
        self.run("pose", self._inputs(image, bboxes)[1])

    def _inputs(self, image, bboxes):
        key = (id(image), len(bboxes))
        if key not in self.prepared:
            size = self.pipeline.pose_size
            crops = pose_input(image, *padded_box(bboxes, size), size, self.pipeline.conventions.pose)
            self.prepared[key] = self.pipeline.detector_input(image)[0], crops
        return self.prepared[key]


class OnnxThroughput(Limit):
    """ONNX Runtime with a session of one thread for every thread: it has no such mode of its own."""

    def __init__(self, pipeline: Pipeline, threads: int):
        super().__init__(pipeline)
        self.images = threads
        self.sessions = {
            role: [OnnxSession(getattr(pipeline, role).network, 1) for _ in range(threads)] for role in ROLES
        }
        self.provider = self.sessions["pose"][0].provenance()["provider"]
        self.pool = ThreadPoolExecutor(threads)

    def run(self, role: str, batch: np.ndarray) -> None:
        """See Limit."""
        list(self.pool.map(lambda session: session.run(batch), self.sessions[role]))


class OpenVINOThroughput(Limit):
    """OpenVINO with its performance hint THROUGHPUT, which chooses how many images it works on at a time."""

    def __init__(self, pipeline: Pipeline, threads: int):
        super().__init__(pipeline)
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
        """See Limit."""
        for _ in range(self.images):
            self.queues[role].start_async([batch], share_inputs=True)
        self.queues[role].wait_all()
