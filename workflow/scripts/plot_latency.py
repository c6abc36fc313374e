"""Draw the spread of the latency samples of every benchmark row."""

from posebench import logs
from posebench.figures import plot_latency
from posebench.tables import read_latency

log = logs.start(snakemake.log[0])
records = read_latency(snakemake.input.latency)
plot_latency(records, snakemake.output.figure, snakemake.params.title, snakemake.params.notice)
log.info("%s: %d rows", snakemake.output.figure, len(records))
