"""Put the processes in which one row was timed together: one row with the samples of each, in their order."""

from posebench import logs
from posebench.results import read_json, write_json
from posebench.timing import merge

log = logs.start(snakemake.log[0])
result = merge([read_json(path) for path in snakemake.input.parts])
write_json(snakemake.output.latency, result, "latency.schema.yaml")
log.info("%s: %s", snakemake.output.latency, result["reason"] or f"{result['runs']} runs")
