"""Measure one row of the latency table, or say why this machine cannot run it."""

from posegauge import logs
from posegauge.backends.assemble import build_pipeline, thread_count
from posegauge.data.coco import find_entry, person_boxes, read_annotations, read_entry
from posegauge.errors import PoseGaugeError, Unavailable
from posegauge.measure import gpu_monitor
from posegauge.measure.latency import measure
from posegauge.pipeline.pipeline import detector_work
from posegauge.store.files import SCHEMA_VERSION, read_json, write_json
from posegauge.store.provenance import collect
from posegauge.study import BENCHMARKS, PIPELINE_TITLES, RUNTIME_TITLES

log = logs.start(snakemake.log[0])
config = snakemake.config
name = snakemake.params.benchmark
row = BENCHMARKS[name]
protocol = config["benchmark"]
threads = thread_count(config["threads"], snakemake.threads)

images = read_json(snakemake.input.person_images)["images"]
entry = find_entry(images, protocol["image"] or images[0]["file_name"], "benchmark.image")
file_name = entry["file_name"]
image = read_entry(snakemake.input.images, entry)
pose_only = row.pipeline == "pose"
given_boxes = pose_only or protocol["boxes"] == "annotated"
bboxes = person_boxes(read_annotations(snakemake.input.annotations), entry["id"]) if given_boxes else None
if given_boxes and len(bboxes) == 0:
    raise PoseGaugeError(f"{file_name} has no annotated box to estimate poses in; set benchmark.image")

status, reason, sessions, detector = "ok", None, {}, None
figures = {"persons": None, "latency_ms": [], "stages_ms": {}, "device_ms": {}, "measured_under": []}
try:
    # Before the networks are loaded: the memory in use then is not theirs.
    monitor = gpu_monitor.watch(row.artifact.device)
    onnx = {"detector": snakemake.input.detector, "pose": snakemake.input.pose}
    pipeline = build_pipeline(config, row.artifact, threads, onnx, pose_only)
    sessions = {"detector": pipeline.detector, "pose": pipeline.pose}
    detector = None if pose_only else detector_work(pipeline, image)
    pipeline.always_detect = not pose_only
    figures = measure(pipeline, image, bboxes, protocol, monitor)
except Unavailable as error:
    status, reason = "not run", str(error)
    log.warning("%s: not run: %s", name, reason)

result = {
    "schema_version": SCHEMA_VERSION,
    "kind": "latency",
    "benchmark": name,
    "title": row.title,
    "pipeline": PIPELINE_TITLES[row.pipeline],
    "runtime": RUNTIME_TITLES[row.artifact.runtime],
    "device": row.artifact.device,
    "precision": row.artifact.precision,
    "execution": row.artifact.execution,
    "images_on": row.artifact.images,
    "status": status,
    "reason": reason,
    "warmup": protocol["warmup"],
    "runs": len(figures["latency_ms"]),
    "image": {key: entry[key] for key in ("file_name", "width", "height")},
    **figures,
    "provenance": collect(config, sessions, threads)
    | {"boxes": "annotated" if given_boxes else "detected", "detector": detector},
}
write_json(snakemake.output.latency, result, "latency.schema.yaml")
