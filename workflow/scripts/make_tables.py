"""Make the latency table and the robustness table, as CSV and Markdown."""

from posebench import logs, tables
from posebench.results import atomic_path, write_text

log = logs.start(snakemake.log[0])
title, notice = snakemake.params.title, snakemake.params.notice

records = tables.read_latency(snakemake.input.latency)
table = tables.benchmark_table(records)
with atomic_path(snakemake.output.benchmark_csv) as temporary:
    table.to_csv(temporary, index=False)
write_text(snakemake.output.benchmark_md, tables.benchmark_markdown(table, records, title, notice))
log.info("latency: %d rows, %d of them ran", len(table), (table["status"] == "ok").sum())

records = tables.read_robustness(snakemake.input.robustness)
table = tables.robustness_table(records)
with atomic_path(snakemake.output.robustness_csv) as temporary:
    table.to_csv(temporary, index=False)
write_text(snakemake.output.robustness_md, tables.robustness_markdown(table, records, title, notice))
log.info("robustness: %d conditions", len(table))
