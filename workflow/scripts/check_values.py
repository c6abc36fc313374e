"""Check the values of a run against a reference, as JSON and Markdown."""

from posegauge import logs
from posegauge.compare import verify
from posegauge.store.files import write_json, write_text

log = logs.start(snakemake.log[0])
reference, values = (
    verify.read_reference(path) for path in (snakemake.input.reference, snakemake.input["values"])
)
verification = verify.check(reference, values)
write_json(snakemake.output.json, verification, "verify.schema.yaml")
write_text(snakemake.output.md, verify.report(verification))
log.info("%s: %s", snakemake.output.md, verify.heading(verification))
