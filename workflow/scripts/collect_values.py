"""Collect the values of a run that are checked against a reference."""

from posegauge import logs
from posegauge.compare import verify
from posegauge.store import machine
from posegauge.store.files import write_json
from posegauge.store.provenance import PACKAGES, REPOSITORY

log = logs.start(snakemake.log[0])
files = {
    key: list(snakemake.input[key]) if key != "person_images" else snakemake.input[key]
    for key in ("scores", "predictions", "parity", "models", "person_images")
}
made_with = {
    "command": snakemake.params.command,
    "git_revision": machine.git_revision(REPOSITORY),
    "versions": machine.versions(*PACKAGES),
}
record = verify.collect(snakemake.params.config, files, made_with)
write_json(snakemake.output["values"], record, verify.SCHEMA)
log.info("%s: %d values", snakemake.output["values"], len(record["values"]))
