"""Score the four prediction sets of one condition, with bootstrap replicates."""

import numpy as np

from posegauge import logs
from posegauge.errors import PoseGaugeError
from posegauge.pipeline.study_protocol import STUDY
from posegauge.predict.predictions import latency_figures
from posegauge.score import bootstrap, metrics
from posegauge.score.doubt import doubt
from posegauge.score.truth import read_truth
from posegauge.store.files import atomic_path, read_json, write_json
from posegauge.store.image_ids import ids_array, ids_sha256
from posegauge.study import CONDITIONS, PREDICTION_SETS

log = logs.start(snakemake.log[0])
name = snakemake.wildcards.condition
condition = CONDITIONS[name]
files = snakemake.input
record = read_json(files.record)
settings = record["settings"]
if record["condition"] != name:
    raise PoseGaugeError(
        f"{files.record}: is of {record['condition']}, expected {name}; delete it and run again"
    )
annotations = read_truth(files.annotations)
told = annotations.dataset["info"]
if (digest := told["annotations_sha256"]) != record["annotations_sha256"]:
    raise PoseGaugeError(
        f"{files.record}: annotations_sha256 is {record['annotations_sha256']}, but {files.annotations} was "
        f"made of {digest}: the predictions belong to other annotations; run again with --forcerun "
        f"predict_{name}"
    )
image_ids = [entry["image_id"] for entry in record["images"]]
metrics.check_images(annotations, image_ids, files.record)
sets = {
    box_set: metrics.read_predictions(read_json(files[box_set]), image_ids, files[box_set])
    for box_set in PREDICTION_SETS
}
config = snakemake.params.config
seed = config["seed"]
weights = bootstrap.sample_and_resamples(seed, len(image_ids), config["bootstrap"]["resamples"])
scores, counts, calibration = metrics.score_sets(
    annotations,
    sets,
    image_ids,
    np.array([entry["fallback"] for entry in record["images"]], bool),
    {"detected": settings["person_thr"], "original": STUDY.person_thr},
    weights,
)

resamples = len(weights) - 1
replicates = {
    f"{box_set}.{metric}": values[1:]
    for box_set in scores
    for metric, values in scores[box_set].items()
    if resamples
}
result = {
    "schema_version": 2,
    "kind": "robustness",
    "condition": name,
    **{key: getattr(condition, key) for key in ("title", "suite", "corruption", "severity")},
    "images": len(image_ids),
    "images_sha256": ids_sha256(image_ids),
    "annotation_notes": told["notes"],
    "unreadable": record["unreadable"],
    "scores": {
        box_set: {metric: bootstrap.estimate(values[0], values[1:]) for metric, values in figures.items()}
        for box_set, figures in scores.items()
    },
    "counts": counts,
    "calibration": calibration,
    "interval": {
        "level": bootstrap.LEVEL,
        "resamples": resamples,
        "seed": seed,
        "note": bootstrap.note(len(image_ids)),
    },
    **latency_figures(record["images"]),
    "corruption_ms_mean": np.mean([entry["corruption_ms"] for entry in record["images"]]),
    "inference_share": record["inference_s"] / record["wall_s"] if record["wall_s"] else None,
    **{key: settings[key] for key in ("person_thr", "score_thr", "nms_thr")},
    "provenance": record["provenance"],
}
with atomic_path(snakemake.output.replicates) as temporary:
    np.savez_compressed(temporary, images=ids_array(image_ids), **replicates)
write_json(snakemake.output.scores, result, "robustness.schema.yaml")

if reason := doubt(result):
    logs.say(reason)
shown = {metric: result["scores"]["detected"][metric]["value"] for metric in ("ap", "box_ap")}
log.info(
    "%s: %d of %d images detected, keypoint AP %s, person box AP %s%s",
    name,
    counts["detected"]["images_detected"],
    len(image_ids),
    *("none" if value is None else f"{value:.3f}" for value in shown.values()),
    f"; {result['interval']['note']}" if result["interval"]["note"] else "",
)
