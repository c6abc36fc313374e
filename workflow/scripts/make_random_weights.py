"""Draw the random weights of one network: timing only."""

from posebench import logs, random_weights
from posebench.networks import network

log = logs.start(snakemake.log[0])
target = snakemake.output.checkpoint
random_weights.write(
    network(snakemake.config["models"], snakemake.params.role), snakemake.params.seed, target
)
log.info("%s: written", target)
