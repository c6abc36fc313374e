"""Measure the speed against the persons in an image and against the images in a batch."""

from posegauge import logs
from posegauge.backends.assemble import build_pipeline, thread_count
from posegauge.data.coco import find_entry, person_boxes, read_annotations, read_entry
from posegauge.errors import Unavailable
from posegauge.measure import batches
from posegauge.store.files import SCHEMA_VERSION, read_json, write_json
from posegauge.store.provenance import collect
from posegauge.study import ARTIFACTS

log = logs.start(snakemake.log[0])
config, protocol = snakemake.config, snakemake.params.batches
threads = thread_count(config["threads"], snakemake.threads)

entries = read_json(snakemake.input.person_images)["images"]
first = find_entry(entries, config["benchmark"]["image"] or entries[0]["file_name"], "benchmark.image")
others = [entry for entry in entries if entry != first]
entries = [first, *others[: max(protocol["images"]) - 1]]
annotations = read_annotations(snakemake.input.annotations)
pictures = [
    batches.Picture(read_entry(snakemake.input.images, entry), person_boxes(annotations, entry["id"]))
    for entry in entries
]

pipelines, reasons = {}, {}
for name in protocol["artifacts"]:
    try:
        pipeline = build_pipeline(config, ARTIFACTS[name], threads, snakemake.params.onnx[name])
        pipelines[name] = pipeline, ARTIFACTS[name].device
    except Unavailable as error:
        reasons[name] = str(error)
        log.warning("%s: not run: %s", name, error)
measured = batches.measure(pipelines, pictures, protocol, config["seed"])

records = []
for name in protocol["artifacts"]:
    artifact, (pipeline, _) = ARTIFACTS[name], pipelines.get(name, (None, None))
    sessions = {"detector": pipeline.detector, "pose": pipeline.pose} if pipeline else {}
    records.append(
        {
            "artifact": name,
            "runtime": artifact.runtime,
            "device": artifact.device,
            "precision": artifact.precision,
            "execution": artifact.execution,
            "images_on": artifact.images,
            "status": "ok" if pipeline else "not run",
            "reason": reasons.get(name),
            "points": measured.get(name, []),
            "backends": {role: session.provenance() for role, session in sessions.items()},
        }
    )
result = {
    "schema_version": SCHEMA_VERSION,
    "kind": "batches",
    "device": "cuda" if any(device == "cuda" for _, device in pipelines.values()) else "cpu",
    "threads": threads,
    "runs": protocol["runs"],
    "persons_per_image": protocol["persons_per_image"],
    "pictures": [{key: entry[key] for key in ("file_name", "width", "height")} for entry in entries],
    "artifacts": records,
    "provenance": collect(config, {}, threads),
}
write_json(snakemake.output.batches, result, "batches.schema.yaml")
