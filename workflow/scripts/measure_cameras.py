"""Measure how many cameras each runtime serves on this machine."""

from posegauge import logs
from posegauge.backends.assemble import thread_count
from posegauge.measure.cameras import measure_cameras
from posegauge.store.files import write_json

log = logs.start(snakemake.log[0])
config = snakemake.params.config
threads = thread_count(config["threads"], snakemake.threads)
record = measure_cameras(config, dict(snakemake.input.items()), snakemake.params.onnx, threads)
write_json(snakemake.output.cameras, record, "cameras.schema.yaml")
for artifact in record["artifacts"]:
    log.info("%s: %s", artifact["artifact"], artifact["reason"] or f"{artifact['streams']} cameras")
