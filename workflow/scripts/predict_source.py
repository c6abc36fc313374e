"""Run the source on the images of the parity checks, once for all of them."""

from posegauge import logs
from posegauge.backends.assemble import prediction_threads
from posegauge.measure import parity_source
from posegauge.store.files import write_json

log = logs.start(snakemake.log[0])
config = snakemake.params.config
threads = prediction_threads(config, snakemake.threads)
files = dict(snakemake.input.items())
record = parity_source.predict(config, files, snakemake.output.arrays, threads)
write_json(snakemake.output.record, record, parity_source.SCHEMA)
log.info("source: %s", record["reason"] or f"{len(record['images'])} images")
