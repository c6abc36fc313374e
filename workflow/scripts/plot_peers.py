"""Draw how the pipeline stands to other programs that run the same networks."""

from posegauge import logs
from posegauge.report.peers import plot_peers, read_peers

log = logs.start(snakemake.log[0])
params = snakemake.params
plot_peers(read_peers(snakemake.input.peers), snakemake.output.figure, params.title, params.notice)
log.info("%s written", snakemake.output.figure)
