"""Make all result tables, as CSV and Markdown."""

import pandas as pd

from posegauge import logs
from posegauge.report import accuracy, coco_c, machine, protocols, robustness
from posegauge.report.latency import benchmark_markdown, benchmark_table
from posegauge.report.loss import loss_markdown, loss_table, suite_loss_table
from posegauge.report.parity import parity_markdown, parity_table
from posegauge.report.peers import peers_markdown, peers_table, read_peers
from posegauge.report.records import read_latency, read_limits, read_parity, read_scores, robustness_table
from posegauge.store.files import atomic_path, write_text

log = logs.start(snakemake.log[0])
latency = read_latency(snakemake.input.latency)
parity = read_parity(snakemake.input.parity)
benchmark = benchmark_table(latency, parity, read_limits(snakemake.input.limits))
peers = read_peers(snakemake.input.peers)
made = {
    "benchmark": (benchmark, benchmark_markdown, latency),
    "machine": (machine.machine_table(latency, benchmark), machine.machine_markdown, latency),
    "parity": (parity_table(parity), parity_markdown, parity),
    "peers": (peers_table(peers), peers_markdown, peers),
}
# None with random weights: they are for timing only.
if snakemake.input.robustness:
    scores = read_scores(snakemake.input.robustness)
    losses = [loss_table(scores), suite_loss_table(scores)]
    # An empty table would make columns of text of the other's.
    loss = pd.concat([table for table in losses if len(table)])
    made |= {
        "robustness": (robustness_table(scores), robustness.robustness_markdown, scores),
        "protocols": (protocols.protocols_table(scores), protocols.protocols_markdown, scores),
        "accuracy": (accuracy.accuracy_table(scores), accuracy.accuracy_markdown, scores),
        "loss": (loss, loss_markdown, scores),
        "suites": (coco_c.suites_table(scores), coco_c.suites_markdown, scores),
    }
for name, (table, to_markdown, records) in made.items():
    with atomic_path(snakemake.output[f"{name}_csv"]) as temporary:
        table.to_csv(temporary, index=False)
    text = to_markdown(table, records, snakemake.params.title, snakemake.params.notice)
    write_text(snakemake.output[f"{name}_md"], text)
    log.info("%s: %d rows", name, len(table))
