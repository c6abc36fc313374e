"""Draw detection rate, keypoint AP and mean confidence by image condition."""

from posebench import logs
from posebench.figures import plot_robustness
from posebench.tables import read_robustness, robustness_table

log = logs.start(snakemake.log[0])
table = robustness_table(read_robustness(snakemake.input.robustness))
plot_robustness(table, snakemake.output.figure, snakemake.params.title, snakemake.params.notice)
log.info("%s: %d conditions", snakemake.output.figure, len(table))
