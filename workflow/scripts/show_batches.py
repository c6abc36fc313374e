"""Show the speed against persons and images in a batch: table and figure."""

from posebench import logs
from posebench.batch_figure import plot_batches
from posebench.batch_pages import batches_markdown, batches_table, read_batches
from posebench.results import atomic_path, write_text
from posebench.tables import read_parity

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
