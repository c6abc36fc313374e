"""Put the processes in which one row was timed together: one row with the samples of each, in their order."""

from posegauge import logs
from posegauge.measure.latency import merge
from posegauge.store.files import read_json, write_json

log = logs.start(snakemake.log[0])
result = merge([read_json(path) for path in snakemake.input.parts])
write_json(snakemake.output.latency, result, "latency.schema.yaml")
log.info("%s: %s", snakemake.output.latency, result["reason"] or f"{result['runs']} runs")
