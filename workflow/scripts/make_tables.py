"""Make all result tables, as CSV and Markdown."""

import pandas as pd

from posebench import (
    accuracy_pages,
    accuracy_tables,
    logs,
    machine_tables,
    parity_tables,
    peers_tables,
    tables,
)
from posebench.results import atomic_path, write_text

log = logs.start(snakemake.log[0])
latency = tables.read_latency(snakemake.input.latency)
parity = tables.read_parity(snakemake.input.parity)
benchmark = tables.benchmark_table(latency, parity, tables.read_limits(snakemake.input.limits))
peers = peers_tables.read_peers(snakemake.input.peers)
made = {
    "benchmark": (benchmark, tables.benchmark_markdown, latency),
    "machine": (machine_tables.machine_table(latency, benchmark), machine_tables.machine_markdown, latency),
    "parity": (parity_tables.parity_table(parity), parity_tables.parity_markdown, parity),
    "peers": (peers_tables.peers_table(peers), peers_tables.peers_markdown, peers),
}
# None with random weights: they are for timing only.
if snakemake.input.robustness:
    scores = accuracy_tables.read_scores(snakemake.input.robustness)
    losses = [accuracy_tables.loss_table(scores), accuracy_tables.suite_loss_table(scores)]
    # An empty table would make columns of text of the other's.
    loss = pd.concat([table for table in losses if len(table)])
    made |= {
        "robustness": (accuracy_tables.robustness_table(scores), accuracy_pages.robustness_markdown, scores),
        "protocols": (accuracy_tables.protocols_table(scores), accuracy_pages.protocols_markdown, scores),
        "accuracy": (accuracy_tables.accuracy_table(scores), accuracy_pages.accuracy_markdown, scores),
        "loss": (loss, accuracy_pages.loss_markdown, scores),
        "suites": (accuracy_tables.suites_table(scores), accuracy_pages.suites_markdown, scores),
    }
for name, (table, to_markdown, records) in made.items():
    with atomic_path(snakemake.output[f"{name}_csv"]) as temporary:
        table.to_csv(temporary, index=False)
    text = to_markdown(table, records, snakemake.params.title, snakemake.params.notice)
    write_text(snakemake.output[f"{name}_md"], text)
    log.info("%s: %d rows", name, len(table))
