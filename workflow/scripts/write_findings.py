"""Write the key findings, sentences computed from the results."""

from posebench import accuracy_tables, logs, peers_tables, tables
from posebench.findings import key_findings
from posebench.results import write_json

log = logs.start(snakemake.log[0])
parity = tables.read_parity(snakemake.input.parity)
sweep = tables.read_records(snakemake.input.sweep, "sweep.schema.yaml", "kind", ("sweep",))
found = key_findings(
    tables.benchmark_table(
        tables.read_latency(snakemake.input.latency), parity, tables.read_limits(snakemake.input.limits)
    ),
    accuracy_tables.read_scores(snakemake.input.robustness),
    parity,
    sweep[0] if sweep else None,
)
if told := peers_tables.peers_finding(peers_tables.read_peers(snakemake.input.peers)):
    found.append({"id": "peers", "text": told})
write_json(snakemake.output.findings, found)
for finding in found:
    log.info(finding["text"])
