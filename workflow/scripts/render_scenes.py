"""Draw synthetic scenes and their annotations: the data set of the demo, or scenes to learn from."""

from posegauge import logs
from posegauge.data.scenes.scenes import write_scenes

log = logs.start(snakemake.log[0])
scenes = snakemake.params.scenes
write_scenes(
    snakemake.output.images,
    snakemake.output.annotations,
    scenes["images"],
    scenes["empty"],
    scenes["seed"],
    threads=snakemake.threads,
)
