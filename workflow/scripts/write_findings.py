"""Write the key findings, sentences computed from the results."""

from posegauge import logs
from posegauge.report import latency, peers, records
from posegauge.report.findings import key_findings
from posegauge.store import files
from posegauge.store.files import write_json

log = logs.start(snakemake.log[0])
parity = records.read_parity(snakemake.input.parity)
sweep = files.read_records(snakemake.input.sweep, "sweep.schema.yaml", "kind", ("sweep",))
found = key_findings(
    latency.benchmark_table(
        records.read_latency(snakemake.input.latency), parity, records.read_limits(snakemake.input.limits)
    ),
    records.read_scores(snakemake.input.robustness),
    parity,
    sweep[0] if sweep else None,
)
if told := peers.peers_finding(peers.read_peers(snakemake.input.peers)):
    found.append({"id": "peers", "text": told})
write_json(snakemake.output.findings, found)
for finding in found:
    log.info(finding["text"])
