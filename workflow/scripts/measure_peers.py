"""Time the pipeline beside other programs that run the same networks, and compare their keypoints."""

from posegauge import logs
from posegauge.backends.assemble import thread_count
from posegauge.measure.peers import measure_peers
from posegauge.store.files import write_json

log = logs.start(snakemake.log[0])
config, device = snakemake.params.config, snakemake.wildcards.device
threads = thread_count(config["threads"], snakemake.threads)
record = measure_peers(config, device, dict(snakemake.input.items()), threads)
write_json(snakemake.output.peers, record, "peers.schema.yaml")
for way in record["ways"]:
    log.info("%s: %s", way["title"], way["reason"] or f"timed on {way['provider']}")
