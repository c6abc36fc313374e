"""Images per second of the sweep, against MMPose's inferencer on one image after the other: the original way.

Every way runs the same images with the same weights, in turn and in several rounds, so that a change of the
machine's pace meets all of them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from posegauge import study
from posegauge.backends import assemble
from posegauge.backends.base import auto_device, require_cuda
from posegauge.data import corruptions
from posegauge.data.annotations import read_annotations
from posegauge.data.images import read_entry
from posegauge.errors import Unavailable
from posegauge.logs import progress
from posegauge.models.network import Network
from posegauge.pipeline.conventions import pixels_of
from posegauge.pipeline.pipeline import Pipeline
from posegauge.predict.image_queue import ImageQueue, Preparation, worker_count
from posegauge.predict.predictions import annotated_boxes, box_arrays
from posegauge.predict.sweep import sweep
from posegauge.score.intervals import ORIGINAL, ratios_to_original
from posegauge.store.files import read_json
from posegauge.store.provenance import collect
from posegauge.store.record import attempt, make_record
from posegauge.study import PREDICTION_SETS, Artifact

# A condition that costs nothing, and the study's costliest.
CONDITIONS = ("clean", "noise_heavy")


@dataclass(frozen=True)
class Way:
    """One way of predicting images."""

    title: str
    runtime: str
    sets: tuple[str, ...]  # what the sweep makes, of study.PREDICTION_SETS; none: not the sweep


WAYS = {
    ORIGINAL: Way("MMPose's inferencer, one image after the other", "pytorch", ()),
    "pytorch": Way("Sweep, PyTorch", "pytorch", PREDICTION_SETS),
    "onnxruntime": Way("Sweep, ONNX Runtime", "onnxruntime", PREDICTION_SETS),
    "onnxruntime_detected": Way("Sweep, ONNX Runtime, detected boxes only", "onnxruntime", ("detected",)),
    # The same persons as the original's, by the same work.
    "onnxruntime_original": Way("Sweep, ONNX Runtime, original protocol only", "onnxruntime", ("original",)),
}


def measure_throughput(config: dict, files: dict, threads: int) -> dict:
    """Measure the images per second of every way.

    Args:
        config: what the runtimes need (study.Artifact.config_keys), sweep, seed, robustness.device.
        files: {"detector", "pose": the run's ONNX files, "images": folder, "person_images", "annotations":
            paths}.
        threads: CPU threads of inference.

    Returns:
        The record for results/<run>/throughput.json (throughput.schema.yaml). A way that this machine cannot
        go has its reason in it.
    """
    protocol, device = config["sweep"], auto_device(config["robustness"]["device"])
    entries = read_json(files["person_images"])["images"][: protocol["images"]]
    annotated = annotated_boxes(read_annotations(files["annotations"]))
    size = tuple(config["models"]["detector"]["input_size"])
    pixels = pixels_of(config["models"]["detector"], "detector")
    how = Preparation(files["images"], "clean", config["seed"], size, pixels)
    ready, outcomes, pipelines = {}, {}, {}
    workers = worker_count(threads)
    with ImageQueue(workers) as images:
        for name, way in WAYS.items():
            with attempt(way.title) as outcomes[name]:
                if not way.sets:
                    pair = (assemble.network(config["models"], role) for role in study.ROLES)
                    ready[name] = Original(*pair, device, threads)
                    continue
                if way.runtime not in pipelines:
                    artifact = Artifact(way.runtime, device)
                    pipelines[way.runtime] = assemble.build_pipeline(
                        config, artifact, threads, files, alone=True
                    )
                ready[name] = Swept(pipelines[way.runtime], images, annotated, way.sets)
        turns = take_turns(ready, entries, how, protocol["rounds"])
    provenance = {
        runtime: collect(config, pipeline.sessions, threads) for runtime, pipeline in pipelines.items()
    }
    return make_record(
        "throughput",
        provenance.get("onnxruntime") or collect(config, {}, threads),
        device=device,
        threads=threads,
        workers=workers,
        images=len(entries),
        rounds=protocol["rounds"],
        ways=[
            {
                "way": name,
                "title": way.title,
                "runtime": way.runtime,
                "sets": list(way.sets),
                **outcomes[name].fields(),
                "turns": [turn for turn in turns if turn["way"] == name],
            }
            for name, way in WAYS.items()
        ],
        ratios=ratios_to_original(turns),
        provenance_pytorch=provenance.get("pytorch"),
    )


class Original:
    """MMPoseInferencer in PyTorch as the original study used it: flip test on, nothing prepared ahead."""

    def __init__(self, detector: Network, pose: Network, device: str, threads: int):
        """Load both networks; Unavailable when one is given as ONNX only, or there is no CUDA device."""
        for network in (detector, pose):
            if network.checkpoint is None:
                raise Unavailable(f"{network.name} is given as ONNX only: no PyTorch model")
        if device == "cuda":
            require_cuda()
        import torch

        from posegauge.models import build, openmmlab

        openmmlab.install()
        from mmpose.apis import MMPoseInferencer

        torch.set_num_threads(threads)
        self.inferencer = MMPoseInferencer(
            pose2d=str(build.config_path(pose.config)),
            det_model=str(build.config_path(detector.config)),
            det_cat_ids=[0],
            device=device,
        )
        self._synchronize = torch.cuda.synchronize if device == "cuda" else None
        self._inference_s = 0.0
        top_down = self.inferencer.inferencer
        for model, network in ((top_down.model, pose), (top_down.detector.model, detector)):
            build.load_weights(model, network)
            model.register_forward_pre_hook(self._start)
            model.register_forward_hook(self._stop)

    def _start(self, *_):
        self._begin = time.perf_counter()

    def _stop(self, *_):
        if self._synchronize:
            self._synchronize()
        self._inference_s += time.perf_counter() - self._begin

    def __call__(self, entries: list[dict], how: Preparation) -> dict:
        """Predict the images. `inference_s` is the time inside the two models, MMDetection's NMS included."""
        self._inference_s = 0.0
        poses = 0
        begin = time.perf_counter()
        for entry in entries:
            image = read_entry(how.images_dir, entry)
            image = corruptions.apply(how.condition, image, how.seed, entry["id"])
            poses += len(next(self.inferencer(image))["predictions"][0])
        return {"wall_s": time.perf_counter() - begin, "inference_s": self._inference_s, "poses": poses}


@dataclass
class Swept:
    """The sweep of this workflow."""

    pipeline: Pipeline
    images: ImageQueue
    annotated: dict
    sets: tuple[str, ...]
    clean: dict = field(default_factory=dict)

    def __call__(self, entries: list[dict], how: Preparation) -> dict:
        """Predict the images; the condition clean goes first, for its boxes."""
        clean = None if how.condition == "clean" else self.clean
        swept = sweep(self.pipeline, entries, how, self.images, "error", self.annotated, clean, self.sets)
        if clean is None:
            self.clean = box_arrays(swept["boxes"])
        poses = sum(len(results) for results in swept["results"].values())
        return {"wall_s": swept["wall_s"], "inference_s": swept["inference_s"], "poses": poses}


def take_turns(ways: dict[str, Callable], entries: list[dict], how: Preparation, rounds: int) -> list[dict]:
    """Run every way on the same images in every condition, round after round; a round before does not count.

    Returns a list of {"way", "condition", "round", "images_per_s", "inference_share", "wall_s",
    "inference_s", "poses"}. The ways change places from round to round, so that none always follows the same.
    """
    names = list(ways)
    turns = []
    for number in progress(range(rounds + 1), "rounds"):
        for condition in CONDITIONS:
            first = number % max(len(names), 1)
            for name in names[first:] + names[:first]:
                turn = ways[name](entries, replace(how, condition=condition))
                turns.append(
                    {
                        "way": name,
                        "condition": condition,
                        "round": number,
                        "images_per_s": len(entries) / turn["wall_s"],
                        "inference_share": turn["inference_s"] / turn["wall_s"],
                        **turn,
                    }
                )
    return [turn for turn in turns if turn["round"] > 0]
