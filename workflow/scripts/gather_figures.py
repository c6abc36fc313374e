"""Gather the figures of a run that are checked against a reference."""

from posegauge import logs
from posegauge.compare import verify
from posegauge.store import machine
from posegauge.store.files import write_json
from posegauge.store.provenance import PACKAGES

log = logs.start(snakemake.log[0])
files = {
    key: list(snakemake.input[key]) if key != "person_images" else snakemake.input[key]
    for key in ("scores", "predictions", "parity", "models", "person_images")
}
made_with = {
    "command": snakemake.params.command,
    "git_revision": machine.git_revision("."),
    "versions": machine.versions(*PACKAGES),
}
record = verify.gather(snakemake.config, files, made_with)
write_json(snakemake.output.figures, record, verify.SCHEMA)
log.info("%s: %d figures", snakemake.output.figures, len(record["figures"]))
