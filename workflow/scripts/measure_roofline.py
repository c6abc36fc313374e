"""Count the work of both networks, and measure what one device can do at best."""

from posegauge import logs
from posegauge.backends.assemble import thread_count
from posegauge.measure.roofline import measure_device
from posegauge.store.files import write_json

log = logs.start(snakemake.log[0])
config, device = snakemake.params.config, snakemake.wildcards.device
threads = thread_count(config["threads"], snakemake.threads)
record = measure_device(config, device, dict(snakemake.input.items()), threads)
write_json(snakemake.output.roofline, record, "roofline.schema.yaml")
log.info("%s: %s", device, record["reason"] or "measured")
