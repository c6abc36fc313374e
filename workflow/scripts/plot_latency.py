"""Draw the spread of the latency samples of every benchmark row."""

from posegauge import logs
from posegauge.report.latency import benchmark_table, plot_latency
from posegauge.report.records import read_latency, read_parity

log = logs.start(snakemake.log[0])
records = read_latency(snakemake.input.latency)
table = benchmark_table(records, read_parity(snakemake.input.parity))
failing = set(table.loc[table["parity"] == "fails", "benchmark"])
plot_latency(records, snakemake.output.figure, snakemake.params.title, snakemake.params.notice, failing)
log.info("%s: %d rows", snakemake.output.figure, len(records))
