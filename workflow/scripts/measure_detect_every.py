"""Measure what the detector on every n-th frame of a film costs and gives, of one artifact."""

from posegauge import logs
from posegauge.backends.assemble import thread_count
from posegauge.measure.detect_every import measure_detect_every
from posegauge.store.files import write_json

log = logs.start(snakemake.log[0])
config, given = snakemake.params.config, snakemake.input
threads = thread_count(config["threads"], snakemake.threads)
files = {"clip": given.clip, "annotations": next(iter(given.annotations), None)}
record = measure_detect_every(config, snakemake.wildcards.tracked, files, snakemake.params.onnx, threads)
write_json(snakemake.output.record, record, "detect_every.schema.yaml", indent=None)
for way in record["ways"]:
    log.info("%s: %s", way["way"], way["reason"] or f"{len(way['rows'])} intervals timed")
