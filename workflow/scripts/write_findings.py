"""Write the key findings, sentences computed from the two tables."""

from posebench import logs, tables
from posebench.findings import key_findings
from posebench.results import write_json

log = logs.start(snakemake.log[0])
found = key_findings(
    tables.benchmark_table(tables.read_latency(snakemake.input.latency)),
    tables.robustness_table(tables.read_robustness(snakemake.input.robustness)),
)
write_json(snakemake.output.findings, found)
for finding in found:
    log.info(finding["text"])
