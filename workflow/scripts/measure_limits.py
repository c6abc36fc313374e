"""Count the work of both networks, and measure what one device can do at best."""

from posebench import limits, logs, machine_rates, networks
from posebench.errors import PoseBenchError, Unavailable
from posebench.provenance import collect
from posebench.results import SCHEMA_VERSION, sha256_file, write_json

log = logs.start(snakemake.log[0])
config, device = snakemake.config, snakemake.params.device
threads = networks.thread_count(config["threads"], snakemake.threads)

counted = {}
for role, batches in (("detector", (1,)), ("pose", limits.POSE_BATCHES)):
    file, model = snakemake.input[role], config["models"][role]
    counted[role] = {"name": model["name"], "sha256": sha256_file(file), "status": "ok", "reason": None}
    try:
        counted[role] |= limits.count(file, model["input_size"], batches)
    except PoseBenchError as error:
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
