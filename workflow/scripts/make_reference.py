"""Make the values of this run the reference that later runs are checked against."""

from pathlib import Path

from posegauge import logs
from posegauge.compare import verify
from posegauge.store.files import write_text

log = logs.start(snakemake.log[0])
verify.read_reference(snakemake.input["values"])
write_text(snakemake.params.reference, Path(snakemake.input["values"]).read_text(encoding="utf-8"))
log.info("%s written", snakemake.params.reference)
