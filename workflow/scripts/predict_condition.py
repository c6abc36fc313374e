"""Predict one shard of the images in one condition: a set of COCO results per box source, boxes, a record."""

from posegauge import logs
from posegauge.backends.assemble import build_pipeline, prediction_threads
from posegauge.backends.base import auto_device
from posegauge.data.annotations import read_annotations
from posegauge.predict.image_queue import ImageQueue, Preparation, worker_count
from posegauge.predict.predictions import (
    SCHEMA_VERSION,
    annotated_boxes,
    box_arrays,
    check_some_read,
    shard_of,
)
from posegauge.predict.sweep import sweep, warm_up
from posegauge.store.files import read_json, write_json
from posegauge.store.provenance import collect
from posegauge.study import PREDICTION_SETS, Artifact


def main():
    """See above."""
    log = logs.start(snakemake.log[0])
    params = snakemake.params
    config, condition = params.config, params.condition
    threads = prediction_threads(config, snakemake.threads)
    artifact = Artifact(config["robustness"]["runtime"], auto_device(config["robustness"]["device"]))
    pipeline = build_pipeline(
        config, artifact, threads, {"detector": snakemake.input.detector, "pose": snakemake.input.pose}
    )
    dataset = read_json(snakemake.input.person_images)
    entries = shard_of(dataset["images"], int(params.shard), params.shards)
    annotated = annotated_boxes(read_annotations(snakemake.input.annotations))
    clean = box_arrays(read_json(snakemake.input.clean_boxes)) if condition != "clean" else None
    pixels = pipeline.conventions.detector
    how = Preparation(snakemake.input.images, condition, config["seed"], pipeline.detector_size, pixels)
    with ImageQueue(worker_count(threads)) as images:
        warm_up(pipeline, entries, how, images)
        swept = sweep(pipeline, entries, how, images, config["dataset"]["unreadable"], annotated, clean)
    results, boxes = swept.pop("results"), swept.pop("boxes")
    if params.shard == "0":
        # What was left out when the images were listed is told once.
        swept["unreadable"] = [*dataset["unreadable"], *swept["unreadable"]]
    record = {
        "schema_version": SCHEMA_VERSION,
        "kind": "predictions",
        "condition": condition,
        "seed": config["seed"],
        "annotations_sha256": dataset["annotations_sha256"],
        "settings": config["pipeline"],
        **swept,
        "provenance": collect(config, pipeline.sessions, threads),
    }
    if params.shards == 1:
        check_some_read(record)
    write_json(snakemake.output.record, record, "predictions.schema.yaml")
    for name in PREDICTION_SETS:
        write_json(snakemake.output[name], results[name])
    if condition == "clean":
        write_json(snakemake.output.boxes, boxes)
    log.info("%s: %d persons in %d images", condition, len(results["detected"]), len(record["images"]))


# The processes that prepare the images import this file anew; they must not run it.
if __name__ == "__main__":
    main()
