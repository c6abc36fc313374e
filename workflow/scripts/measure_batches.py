"""Measure the speed against the persons in an image and against the images in a batch."""

from posegauge import logs
from posegauge.backends.assemble import thread_count
from posegauge.measure.batches import measure_batches
from posegauge.store.files import write_json

log = logs.start(snakemake.log[0])
config = snakemake.params.config
threads = thread_count(config["threads"], snakemake.threads)
record = measure_batches(config, dict(snakemake.input.items()), snakemake.params.onnx, threads)
write_json(snakemake.output.batches, record, "batches.schema.yaml")
for artifact in record["artifacts"]:
    log.info("%s: %s", artifact["artifact"], artifact["reason"] or f"{len(artifact['points'])} points")
