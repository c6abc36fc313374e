"""Draw the random weights of one network: timing only."""

from posegauge import logs
from posegauge.backends.assemble import network
from posegauge.data.images import find_entry, read_entry
from posegauge.models import random_weights
from posegauge.store.files import read_json

log = logs.start(snakemake.log[0])
given, params, target = snakemake.input, snakemake.params, snakemake.output.checkpoint
role = snakemake.wildcards.role
entries = read_json(given.person_images)["images"]
first = find_entry(entries, params.config["benchmark"]["image"] or entries[0]["file_name"], "benchmark.image")
others = [entry for entry in entries if entry["id"] != first["id"]][: random_weights.IMAGES - 1]
images = [read_entry(given.images, entry) for entry in (first, *others)]
random_weights.write(network({role: params.model}, role), params.config["seed"], images, target)
log.info("%s: written", target)
