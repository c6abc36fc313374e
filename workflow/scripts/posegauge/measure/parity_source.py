"""What the source gives on the images of the parity checks: run once, and read by every check.

The source is each network as it was given (study.sources): its checkpoint in PyTorch, or else its ONNX file
in ONNX Runtime. The outputs are kept as they are (float32), so that a check gives the same figures as with
the source beside it.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posegauge import study
from posegauge.backends import assemble, load
from posegauge.data.annotations import read_annotations
from posegauge.data.coco import person_boxes
from posegauge.errors import PoseGaugeError
from posegauge.measure.parity import Recorder, chosen_images, read_images
from posegauge.pipeline.conventions import Conventions
from posegauge.pipeline.pipeline import Pipeline
from posegauge.pipeline.steps import Settings
from posegauge.store.files import atomic_path, read_record, sha256_file, sha256_json
from posegauge.store.provenance import collect
from posegauge.store.record import attempt, make_record

SCHEMA = "source.schema.yaml"


# Of each image, in the archive as <its place in the record's images>.<name>. `raw_` are the detector's
# outputs before NMS, none where NMS is inside it; simcc those of all runs of the pose network in `boxes`, one
# after the other, with the flip test batch by batch.
ARRAYS = (
    "raw_boxes", "raw_scores", "boxes", "scores", "keypoints", "keypoint_scores", "simcc_x", "simcc_y",
)  # fmt: skip


@dataclass
class Source:
    """The record of `predict`, and the arrays of its archive."""

    record: dict
    path: str
    arrays: np.lib.npyio.NpzFile

    def image(self, image_id: int | str) -> dict[str, np.ndarray]:
        """Return the ARRAYS of an image; PoseGaugeError when the source was not run on it."""
        if image_id not in self.record["images"]:
            raise PoseGaugeError(
                f"{self.path}: has no image {image_id}, which could not be read then; delete it and run again"
            )
        place = self.record["images"].index(image_id)
        return {name: self.arrays[f"{place}.{name}"] for name in ARRAYS}


def predict(config: dict, files: dict, target, threads: int) -> dict:
    """Run the source on the images that artifacts are compared on, and keep all that a comparison needs.

    Args:
        config: models, pipeline, parity.images, dataset.unreadable.
        files: {"source_detector", "source_pose": checkpoint or, without one, the run's FP32 ONNX file,
            "images": folder, "person_images", "annotations": paths}.
        target: path of the archive of arrays (.npz) to write.
        threads: CPU threads.

    Returns:
        The record (source.schema.yaml). Where it cannot run here it says so, and the archive is empty.
    """
    models, sessions, read = config["models"], {}, []
    chosen = study.sources(models)
    # Boxes of random weights mean nothing.
    random = any(models[role].get("random") for role in study.ROLES)
    annotations = read_annotations(files["annotations"]) if random else None
    with atomic_path(target) as temporary:
        with zipfile.ZipFile(temporary, "w") as archive, attempt("source") as outcome:
            for role, source in chosen.items():
                onnx = None if source.onnx_precision is None else files[f"source_{role}"]
                sessions[role] = load(assemble.network(models, role, onnx), source, threads)
            pipeline = Pipeline(
                *(Recorder(sessions[role]) for role in study.ROLES),
                *(models[role]["input_size"] for role in study.ROLES),
                Settings.of(config["pipeline"]),
                conventions=Conventions.of(models),
            )
            entries = chosen_images(config, files)
            for image_id, image in read_images(files["images"], entries, config["dataset"]["unreadable"]):
                given = person_boxes(annotations, image_id) if random else None
                for name, array in _outputs(pipeline, image, given).items():
                    with archive.open(f"{len(read)}.{name}.npy", "w", force_zip64=True) as stream:
                        np.lib.format.write_array(stream, np.ascontiguousarray(array))
                read.append(image_id)
        digest = sha256_file(temporary)
    return make_record(
        "source",
        collect(config, sessions, threads),
        outcome,
        source={role: source.runtime for role, source in chosen.items()},
        **_made_of(config, files, threads),
        boxes="annotated" if random else "detected",
        images=read,
        networks={role: session.provenance() for role, session in sessions.items()},
        file=Path(target).name,
        sha256=digest,
    )


def _outputs(pipeline: Pipeline, image: np.ndarray, given: np.ndarray | None) -> dict[str, np.ndarray]:
    """Return the ARRAYS of an image; poses are run in the boxes that are `given`, or in those found."""
    if given is None:
        boxes, scores = pipeline.detect(image)
    else:
        boxes, scores = given, np.ones(len(given), np.float32)
        pipeline.detector.run(pipeline.detector_input(image)[0])
    (raw,) = pipeline.detector.take()
    keypoints, keypoint_scores = pipeline.estimate(image, boxes)
    runs = pipeline.pose.take()
    none = np.empty((0, pipeline.conventions.keypoints.count, 0), np.float32)
    return {
        "raw_boxes": raw.get("boxes", np.empty((1, 0, 4), np.float32)),
        "raw_scores": raw.get("scores", np.empty((1, 0, 1), np.float32)),
        "boxes": boxes,
        "scores": scores,
        "keypoints": keypoints,
        "keypoint_scores": keypoint_scores,
        **{axis: np.concatenate([run[axis] for run in runs] or [none]) for axis in ("simcc_x", "simcc_y")},
    }


def _made_of(config: dict, files: dict, threads: int) -> dict:
    """Return what the outputs depend on, as it stands in the record."""
    return {
        "networks_sha256": {role: sha256_file(files[f"source_{role}"]) for role in study.ROLES},
        "settings": config["pipeline"],
        "images_sha256": sha256_json(chosen_images(config, files)),
        "threads": threads,
    }


def read(path, config: dict, files: dict, threads: int) -> Source:
    """Read what `predict` made.

    Args:
        path: of its record; the archive lies beside it.
        config, files: as `predict` was given.
        threads: as `predict` was given: PyTorch's results depend on them in the fifth digit.

    Raises:
        PoseGaugeError: it was made of other networks, settings, images or threads, or is damaged.
    """
    found = read_record(path, SCHEMA)
    hint = "delete it and run again"
    for name, expected in _made_of(config, files, threads).items():
        if found[name] != expected:
            raise PoseGaugeError(f"{path}: made with {name} {found[name]}, expected {expected}; {hint}")
    archive = Path(path).with_name(found["file"])
    if sha256_file(archive) != found["sha256"]:
        raise PoseGaugeError(f"{archive}: is not the file that {path} describes (other sha256); {hint}")
    return Source(found, str(path), np.load(archive))
