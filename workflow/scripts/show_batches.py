"""Show the speed against persons and images in a batch: table and figure."""

from posegauge import logs
from posegauge.report.batches import batches_markdown, batches_table, plot_batches, read_batches
from posegauge.report.records import read_parity
from posegauge.store.files import atomic_path, write_text

log = logs.start(snakemake.log[0])
record = read_batches(snakemake.input.batches)
parity = read_parity(snakemake.input.parity)
failing = {entry["artifact"] for entry in parity if entry["status"] == "ok" and not entry["passes"]}
table = batches_table(record, failing)
shown = snakemake.params.title, snakemake.params.notice
with atomic_path(snakemake.output.csv) as temporary:
    table.to_csv(temporary, index=False)
write_text(snakemake.output.md, batches_markdown(table, record, *shown))
plot_batches(table, record, snakemake.output.figure, *shown)
log.info("%s: %d rows", snakemake.output.csv, len(table))
