"""Measure the speed of the sweep against MMPose's inferencer on one image after the other."""

from posegauge import logs
from posegauge.backends.assemble import build_pipeline, network, thread_count
from posegauge.backends.base import auto_device
from posegauge.data.coco import read_annotations
from posegauge.errors import Unavailable
from posegauge.measure.throughput import WAYS, Original, Swept, take_turns
from posegauge.predict.image_queue import ImageQueue, Preparation, worker_count
from posegauge.predict.predictions import annotated_boxes
from posegauge.score.intervals import ratios_to_original
from posegauge.store.files import SCHEMA_VERSION, read_json, write_json
from posegauge.store.provenance import collect
from posegauge.study import ROLES, Artifact


def main():
    """See above."""
    log = logs.start(snakemake.log[0])
    config, protocol = snakemake.config, snakemake.params.sweep
    threads = thread_count(config["threads"], snakemake.threads)
    device = auto_device(config["robustness"]["device"])
    onnx = {"detector": snakemake.input.detector, "pose": snakemake.input.pose}
    entries = read_json(snakemake.input.person_images)["images"][: protocol["images"]]
    annotated = annotated_boxes(read_annotations(snakemake.input.annotations))
    how = Preparation(
        snakemake.input.images, "clean", config["seed"], tuple(config["models"]["detector"]["input_size"])
    )
    workers = worker_count(threads)
    ready, reasons, pipelines = {}, {}, {}
    with ImageQueue(workers) as images:
        for name, way in WAYS.items():
            try:
                if not way.sets:
                    ready[name] = Original(
                        *(network(config["models"], role) for role in ROLES), device, threads
                    )
                    continue
                if way.runtime not in pipelines:
                    pipelines[way.runtime] = build_pipeline(
                        config, Artifact(way.runtime, device), threads, onnx
                    )
                ready[name] = Swept(pipelines[way.runtime], images, annotated, way.sets)
            except Unavailable as error:
                reasons[name] = str(error)
                log.warning("%s: not run: %s", way.title, error)
        turns = take_turns(ready, entries, how, protocol["rounds"])
    provenance = {
        runtime: collect(config, {"detector": pipeline.detector, "pose": pipeline.pose}, threads)
        for runtime, pipeline in pipelines.items()
    }
    result = {
        "schema_version": SCHEMA_VERSION,
        "kind": "sweep",
        "device": device,
        "threads": threads,
        "workers": workers,
        "images": len(entries),
        "rounds": protocol["rounds"],
        "ways": [
            {
                "way": name,
                "title": way.title,
                "runtime": way.runtime,
                "sets": list(way.sets),
                "status": "ok" if name in ready else "not run",
                "reason": reasons.get(name),
                "turns": [turn for turn in turns if turn["way"] == name],
            }
            for name, way in WAYS.items()
        ],
        "ratios": ratios_to_original(turns),
        "provenance": provenance.get("onnxruntime") or collect(config, {}, threads),
        "provenance_pytorch": provenance.get("pytorch"),
    }
    write_json(snakemake.output.sweep, result, "sweep.schema.yaml")
    for ratio in result["ratios"]:
        log.info("%s, %s: %.2f times the original", ratio["way"], ratio["condition"], ratio["ratio"])


# The processes that prepare the images import this file anew; they must not run it.
if __name__ == "__main__":
    main()
