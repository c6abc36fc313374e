"""Draw synthetic scenes and their annotations: the data set of the demo, or scenes to learn from."""

import yaml

from posegauge import logs
from posegauge.data.scenes.scenes import write_scenes

log = logs.start(snakemake.log[0])
scenes = snakemake.params.get("scenes")
if scenes is None:  # scenes to learn from
    with open(snakemake.input.settings, encoding="utf-8") as stream:
        scenes = yaml.safe_load(stream)["scenes"][snakemake.wildcards.part]
write_scenes(
    snakemake.output.images,
    snakemake.output.annotations,
    scenes["images"],
    scenes["empty"],
    scenes["seed"],
    threads=snakemake.threads,
)
