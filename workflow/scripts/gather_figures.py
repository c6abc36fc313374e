"""Gather the figures of a run that are checked against a reference."""

from posebench import hardware, logs, verify
from posebench.provenance import PACKAGES
from posebench.results import write_json

log = logs.start(snakemake.log[0])
files = {
    key: list(snakemake.input[key]) if key != "person_images" else snakemake.input[key]
    for key in ("scores", "predictions", "parity", "models", "person_images")
}
made_with = {
    "command": snakemake.params.command,
    "git_revision": hardware.git_revision("."),
    "versions": hardware.versions(*PACKAGES),
}
record = verify.gather(snakemake.config, files, made_with)
write_json(snakemake.output.figures, record, verify.SCHEMA)
log.info("%s: %d figures", snakemake.output.figures, len(record["figures"]))
