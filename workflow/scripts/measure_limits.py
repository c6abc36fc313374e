"""Count the work of both networks, and measure what one device can do at best."""

from posegauge import logs
from posegauge.backends import assemble
from posegauge.errors import PoseGaugeError, Unavailable
from posegauge.measure import machine_rates, roofline
from posegauge.store.files import SCHEMA_VERSION, sha256_file, write_json
from posegauge.store.provenance import collect

log = logs.start(snakemake.log[0])
config, device = snakemake.config, snakemake.params.device
threads = assemble.thread_count(config["threads"], snakemake.threads)

counted = {}
for role, batches in (("detector", (1,)), ("pose", roofline.POSE_BATCHES)):
    file, model = snakemake.input[role], config["models"][role]
    counted[role] = {"name": model["name"], "sha256": sha256_file(file), "status": "ok", "reason": None}
    try:
        counted[role] |= roofline.count(file, model["input_size"], batches)
    except PoseGaugeError as error:
        counted[role] |= {"status": "not counted", "reason": str(error)}
        log.warning("%s", error)

status, reason, rates = "ok", None, None
try:
    rates = machine_rates.measure(device, threads)
except Unavailable as error:
    status, reason = "not run", str(error)
    log.warning("%s: not run: %s", device, reason)

record = {
    "schema_version": SCHEMA_VERSION,
    "kind": "limits",
    "device": device,
    "status": status,
    "reason": reason,
    "threads": threads,
    "cache_bytes": machine_rates.cache_bytes(),
    "rates": rates,
    "pose_calls": 2 if config["pipeline"]["flip_test"] else 1,
    "networks": counted,
    "provenance": collect(config, {}, threads),
}
write_json(snakemake.output.limits, record, "limits.schema.yaml")
