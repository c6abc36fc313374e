"""Write the key findings, sentences computed from the results."""

from posegauge import logs
from posegauge.report.findings import all_findings
from posegauge.report.records import Run
from posegauge.store.files import write_json

log = logs.start(snakemake.log[0])
found = all_findings(Run({kind: snakemake.input[kind] for kind in snakemake.params.kinds}))
write_json(snakemake.output.findings, found)
for finding in found:
    log.info(finding["text"])
