"""Score the predictions of one condition against the annotations."""

from posebench import logs
from posebench.metrics import load_annotations, score_condition
from posebench.predictions import latency_figures
from posebench.results import SCHEMA_VERSION, read_json, write_json
from posebench.study import CONDITIONS

log = logs.start(snakemake.log[0])
condition = snakemake.wildcards.condition
record = read_json(snakemake.input.record)
settings = record["settings"]
scores = score_condition(
    load_annotations(snakemake.input.annotations),
    read_json(snakemake.input.predictions),
    [entry["image_id"] for entry in record["images"]],
    settings["person_thr"],
)
result = {
    "schema_version": SCHEMA_VERSION,
    "kind": "robustness",
    "condition": condition,
    "title": CONDITIONS[condition].title,
    **scores,
    **latency_figures(record["images"]),
    "unreadable": record["unreadable"],
    **{key: settings[key] for key in ("person_thr", "score_thr", "nms_thr")},
    "provenance": record["provenance"],
}
write_json(snakemake.output.scores, result, "robustness.schema.yaml")
log.info(
    "%s: %d of %d images detected, keypoint AP %s, person box AP %s",
    condition,
    scores["images_detected"],
    scores["images"],
    *("none" if scores[name] is None else f"{scores[name]:.3f}" for name in ("ap", "box_ap")),
)
