"""Draw how the pipeline stands to other programs that run the same networks."""

from posebench import logs
from posebench.peers_figure import plot_peers
from posebench.peers_tables import read_peers

log = logs.start(snakemake.log[0])
params = snakemake.params
plot_peers(read_peers(snakemake.input.peers), snakemake.output.figure, params.title, params.notice)
log.info("%s written", snakemake.output.figure)
