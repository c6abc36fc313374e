"""Measure one row of the latency table, or say why this machine cannot run it."""

from posegauge import logs
from posegauge.backends.assemble import thread_count
from posegauge.measure.latency import measure_row
from posegauge.store.files import write_json

log = logs.start(snakemake.log[0])
config, name = snakemake.params.config, snakemake.params.benchmark
threads = thread_count(config["threads"], snakemake.threads)
record = measure_row(config, name, dict(snakemake.input.items()), threads)
write_json(snakemake.output.latency, record, "latency.schema.yaml")
log.info("%s: %s", name, record["reason"] or f"{record['runs']} runs")
