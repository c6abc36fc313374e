"""Predict all images in one condition: COCO results, and a record of times and provenance."""

from posebench import logs
from posebench.backends.base import auto_device
from posebench.networks import build_pipeline, thread_count
from posebench.predictions import predict_condition
from posebench.provenance import collect
from posebench.results import SCHEMA_VERSION, read_json, write_json

log = logs.start(snakemake.log[0])
config = snakemake.config
condition = snakemake.params.condition
threads = thread_count(config["threads"], snakemake.threads)
runtime, device = config["robustness"]["runtime"], auto_device(config["robustness"]["device"])
pipeline = build_pipeline(
    config, runtime, device, threads, {"detector": snakemake.input.detector, "pose": snakemake.input.pose}
)
dataset = read_json(snakemake.input.person_images)
results, record = predict_condition(
    pipeline,
    dataset["images"],
    snakemake.input.images,
    condition,
    config["seed"],
    config["dataset"]["unreadable"],
)
record = {
    "schema_version": SCHEMA_VERSION,
    "kind": "predictions",
    "condition": condition,
    "seed": config["seed"],
    "annotations_sha256": dataset["annotations_sha256"],
    "settings": config["pipeline"],
    **record,
    "provenance": collect(config, {"detector": pipeline.detector, "pose": pipeline.pose}, threads),
}
write_json(snakemake.output.record, record, "predictions.schema.yaml")
write_json(snakemake.output.predictions, results)
log.info("%s: %d persons in %d images", condition, len(results), len(record["images"]))
