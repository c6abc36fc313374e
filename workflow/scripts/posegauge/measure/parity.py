"""Is an artifact still the model? Its boxes, keypoints and AP on real images against those of its source.

An artifact is what a latency row runs (study.Artifact). The source is each network as it was given, on the
CPU in float32: its checkpoint in PyTorch, or else its ONNX file in ONNX Runtime. It is run once for all
artifacts (parity_source.py). Both run the same pipeline on the same clean images.
"""

import logging
from dataclasses import dataclass, field

import numpy as np

from posegauge import study
from posegauge.backends import assemble
from posegauge.data.coco import spread
from posegauge.data.images import read_entry
from posegauge.errors import PoseGaugeError, Unavailable
from posegauge.logs import progress
from posegauge.pipeline.pipeline import Persons, Pipeline
from posegauge.predict.predictions import coco_results
from posegauge.score import bootstrap, metrics
from posegauge.score.estimate import Estimate
from posegauge.score.metrics import match_boxes
from posegauge.score.truth import read_truth
from posegauge.store.files import read_json
from posegauge.store.provenance import collect
from posegauge.store.record import attempt, make_record
from posegauge.study import ARTIFACTS

PERCENTILE = 95


# Keys of `parity:` in the config, and the figure of the record that each bounds.
GATES = {
    "max_ap_diff": "ap_diff",
    "max_keypoint_p95_px": "keypoint_px_p95",
    "max_box_p95_px": "box_px_p95",
}


# What the record says of the images, null where nothing was compared.
FIGURES = (
    "images", "persons", "ap_source", "ap_artifact", "ap_diff", "ap_share", "keypoints", "keypoint_px_p95",
    "keypoint_px_max", "boxes", "box_px_p95", "box_px_max", "box_score_diff_max", "unmatched_boxes", "raw",
)  # fmt: skip


def chosen_images(config: dict, files: dict) -> list[dict]:
    """Return the entries of the images to compare on. config: parity.images; files: person_images."""
    return spread(read_json(files["person_images"])["images"], config["parity"]["images"])


class Recorder:
    """A session that keeps copies of the outputs of its runs until they are taken."""

    def __init__(self, session):
        self.session = session
        self.outputs = []

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """See posegauge.backends.base.Session."""
        outputs = self.session.run(batch)
        self.outputs.append({name: np.array(output) for name, output in outputs.items()})
        return outputs

    def take(self) -> list[dict[str, np.ndarray]]:
        """Return the outputs of all runs since the last call, in order."""
        outputs, self.outputs = self.outputs, []
        return outputs


def _raw() -> dict[str, list]:
    return {"max_box_diff_px": [], "max_score_diff": [], "max_simcc_diff": []}


@dataclass
class Comparison:
    """What two pipelines gave on the same images."""

    image_ids: list[int] = field(default_factory=list)
    source_results: list[dict] = field(default_factory=list)  # COCO results, each pipeline in its own boxes
    artifact_results: list[dict] = field(default_factory=list)
    persons: int = 0  # boxes of the source, in which the keypoints of both are compared
    unmatched: int = 0  # boxes of either without one of the other
    keypoint_px: list = field(default_factory=list)  # per image [N * K] distances in image pixels
    box_px: list = field(default_factory=list)  # per image [K] largest distances of a side in image pixels
    box_score: list = field(default_factory=list)  # per image [K] differences of the scores of paired boxes
    raw: dict = field(default_factory=_raw)  # per run of a network, the largest differences of its outputs


def compare(source, artifact: Pipeline, images) -> Comparison:
    """Run a pipeline with the source's settings on `images`, pairs of (image id, uint8 BGR [H, W, 3])."""
    settings = artifact.settings
    ours = _recorded(artifact)
    found = Comparison()
    for image_id, image in images:
        theirs = source.image(image_id)
        boxes, scores = theirs["boxes"], theirs["scores"]
        own_boxes, own_scores = ours.detect(image)
        (outputs,) = ours.detector.take()
        _compare_detectors(theirs, outputs, settings.score_thr, found.raw)
        pairs = match_boxes(boxes, own_boxes)
        one, other = pairs.T
        found.box_px.append(np.abs(boxes[one] - own_boxes[other]).max(1))
        found.box_score.append(np.abs(scores[one] - own_scores[other]))
        found.unmatched += len(boxes) + len(own_boxes) - 2 * len(pairs)

        same_boxes, _ = ours.estimate(image, boxes)
        _compare_simcc(theirs, ours.pose.take(), found.raw)
        found.keypoint_px.append(np.linalg.norm(theirs["keypoints"] - same_boxes, axis=-1).reshape(-1))
        found.persons += len(boxes)

        # A score that is no number would be sorted anywhere; it stands for the worst one.
        own_keypoints, own_keypoint_scores = ours.estimate(image, own_boxes)
        own_keypoint_scores = np.nan_to_num(own_keypoint_scores, posinf=0, neginf=0)
        ours.pose.take()
        for results, persons in (
            (found.source_results, Persons(boxes, scores, theirs["keypoints"], theirs["keypoint_scores"])),
            (found.artifact_results, Persons(own_boxes, own_scores, own_keypoints, own_keypoint_scores)),
        ):
            results += coco_results(persons, image_id, settings.keypoint_thr, "detected")
        found.image_ids.append(image_id)
    return found


def _recorded(pipeline: Pipeline) -> Pipeline:
    """Return the same pipeline on the host, with sessions that keep their outputs."""
    return pipeline.on_host(Recorder(pipeline.detector), Recorder(pipeline.pose))


def _compare_detectors(theirs: dict, ours: dict, score_thr: float, raw: dict) -> None:
    """Add the largest differences of one run to `raw`; for boxes, of those that the source keeps.

    A detector with NMS inside gives but the boxes that it keeps, whose order and number are not fixed: those
    are compared after NMS, as of all detectors.
    """
    if "dets" in ours:
        return
    raw["max_score_diff"].append(np.abs(ours["scores"] - theirs["raw_scores"]).max())
    above = theirs["raw_scores"][..., 0] > score_thr
    if above.any():
        raw["max_box_diff_px"].append(np.abs(ours["boxes"] - theirs["raw_boxes"])[above].max())


def _compare_simcc(theirs: dict, runs: list[dict], raw: dict) -> None:
    """Add the largest differences in the boxes of one image to `raw`; no run without a box."""
    for axis in ("simcc_x", "simcc_y"):
        if runs:
            own = np.concatenate([outputs[axis] for outputs in runs])
            raw["max_simcc_diff"].append(np.abs(own - theirs[axis]).max())


def accuracy(annotations, found: Comparison, seed: int, resamples: int) -> dict:
    """Return keypoint AP of both, its difference and its share, each {"value", "low", "high"}.

    annotations: of score.truth.read_truth. The last two are paired, resample by resample; the share is
    unknown where the source has no AP, or one of 0.
    """
    weights = bootstrap.sample_and_resamples(seed, len(found.image_ids), resamples)
    source, artifact = (
        _estimate(metrics.keypoint_scores(annotations, results, found.image_ids, weights, ("all",))["ap"])
        for results in (found.source_results, found.artifact_results)
    )
    return {
        "ap_source": source.interval(),
        "ap_artifact": artifact.interval(),
        "ap_diff": (artifact - source).interval(),
        "ap_share": (artifact / source).interval(),
    }


def _estimate(scores: np.ndarray) -> Estimate:
    """Return an Estimate of float64 [1 + resamples]: of the images themselves, then of the resamples."""
    return Estimate(None if np.isnan(scores[0]) else float(scores[0]), scores[1:])


def distances(found: Comparison) -> dict:
    """Return the figures of keypoints and boxes for the record.

    Where no box of the artifact is a person of the source the distances of boxes are infinite.
    """
    keypoints, boxes, scores = map(np.concatenate, (found.keypoint_px, found.box_px, found.box_score))
    return {
        "images": len(found.image_ids),
        "persons": found.persons,
        "keypoints": len(keypoints),
        "keypoint_px_p95": _percentile(keypoints, PERCENTILE),
        "keypoint_px_max": _percentile(keypoints, 100),
        "boxes": len(boxes),
        "box_px_p95": _percentile(boxes, PERCENTILE),
        "box_px_max": _percentile(boxes, 100),
        "box_score_diff_max": _percentile(scores, 100),
        "unmatched_boxes": found.unmatched,
        "raw": {name: float(np.max(values)) if values else None for name, values in found.raw.items()},
    }


def _percentile(values: np.ndarray, share: float) -> float:
    return float(np.percentile(values, share)) if len(values) else np.inf


def failed_gates(figures: dict, gates: dict) -> list[str]:
    """Return the names of the gates that were passed over, in the order of GATES.

    An AP of None (nothing annotated to find) cannot fail. Unmatched boxes have no gate of their own: most are
    boxes about as good as score_thr, above it here and below it there, and more than those show in AP.
    """
    values = {gate: figures[name] for gate, name in GATES.items()}
    values["max_ap_diff"] = values["max_ap_diff"]["value"]
    return [gate for gate, value in values.items() if value is not None and not abs(value) <= gates[gate]]


def read_images(images_dir, entries: list[dict], unreadable: str):
    """Yield (id, uint8 BGR [H, W, 3]) of entries of person_images.json.

    unreadable: "error" raises PoseGaugeError at the first image that cannot be read, "skip" leaves it out.
    """
    read = 0
    for entry in progress(entries, "compared"):
        try:
            image = read_entry(images_dir, entry)
        except PoseGaugeError as error:
            if unreadable == "error":
                raise PoseGaugeError(
                    f"{error}. Mend the file, or set dataset.unreadable: skip to leave such images out"
                ) from error
            logging.getLogger("posegauge").warning("left out: %s", error)
            continue
        read += 1
        yield entry["id"], image
    if not read:
        raise PoseGaugeError(f"{images_dir}: none of the {len(entries)} images could be read")


def check_artifact(config: dict, artifact: str, files: dict, source, threads: int) -> dict:
    """Compare an artifact with its source.

    Args:
        config: models, pipeline, parity, seed, bootstrap.resamples, dataset.unreadable, and what the runtime
            needs (study.Artifact.config_keys).
        artifact: its name, a key of study.ARTIFACTS.
        files: {"detector", "pose": the run's ONNX files, or nothing where the artifact runs none,
            "calibration": of INT8 their records, "images": folder, "person_images", "annotations": paths}.
        source: what the source found, of parity_source.read.
        threads: CPU threads of the artifact.

    Returns:
        The record for results/<run>/parity/<artifact>.json (workflow/schemas/parity.schema.yaml). Where this
        machine lacks the device or the runtime, it says so.
    """
    kind, models = ARTIFACTS[artifact], config["models"]
    gates = {gate: config["parity"][gate] for gate in GATES}
    figures, raw, sessions, beside, ours = {}, {}, {}, {}, None
    with attempt(artifact) as outcome:
        onnx = {role: files[role] for role in study.ROLES}
        ours = assemble.build_pipeline(config, kind, threads, onnx)
        sessions = {"detector": ours.detector, "pose": ours.pose}
        beside = source.record["networks"]
        if reason := source.record["reason"]:
            raise Unavailable(reason)
        images = read_images(files["images"], chosen_images(config, files), config["dataset"]["unreadable"])
        if random := [models[role]["name"] for role in study.ROLES if models[role].get("random")]:
            outcome.status = "no accuracy"
            outcome.reason = f"random weights ({' and '.join(random)}): raw outputs only"
            raw = raw_differences(source, ours, images)
        else:
            figures = _figures(config, source, ours, images, files["annotations"])
    failed = failed_gates(figures, gates) if figures else []
    return make_record(
        "parity",
        {**collect(config, sessions, threads, steps=ours and ours.steps.provenance()), "source": beside},
        outcome,
        artifact=artifact,
        **kind.fields(),
        source=source.record["source"],
        **_calibrated(files.get("calibration") or ()),
        **{**dict.fromkeys(FIGURES), **raw, **figures},
        gates=gates,
        passes=not failed if figures else None,
        failed=failed,
    )


def _calibrated(records) -> dict:
    """Return what set the ranges of INT8, and how many of the compared images did; None without such ranges.

    records: paths of those of the INT8 files.
    """
    found = [read_json(path)["calibration"] for path in records]
    return {
        "calibrated_from": found[0].get("from") if found else None,
        "calibrated_on": max((calibration["in_parity"] for calibration in found), default=None),
    }


def _figures(config: dict, source, artifact: Pipeline, images, annotations) -> dict:
    """Compare on `images`; return what the record says of them (keys FIGURES)."""
    found = compare(source, artifact, images)
    if not found.persons:
        title = study.source_title(source.record["source"])
        raise Unavailable(f"no person found by {title} in the {len(found.image_ids)} images to compare on")
    truth = read_truth(annotations)
    return {
        **accuracy(truth, found, config["seed"], config["bootstrap"]["resamples"]),
        **distances(found),
    }


def raw_differences(source, artifact: Pipeline, images) -> dict:
    """Return {"images", "raw"}: the largest differences of the networks' outputs on the same inputs.

    For random weights, whose boxes, keypoints and AP mean nothing: the source's poses, and so these, are run
    in the annotated boxes.
    """
    ours, raw, count = _recorded(artifact), _raw(), 0
    for image_id, image in images:
        count += 1
        theirs = source.image(image_id)
        batch, _ = ours.detector_input(image)
        _compare_detectors(theirs, ours.detector.run(batch), ours.settings.score_thr, raw)
        ours.detector.take()
        ours.estimate(image, theirs["boxes"])
        _compare_simcc(theirs, ours.pose.take(), raw)
    return {"images": count, "raw": {name: float(np.max(v)) if v else None for name, v in raw.items()}}
