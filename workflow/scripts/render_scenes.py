"""Draw synthetic scenes and their annotations: the data set of the demo, or scenes to learn from."""

import yaml

from posebench import logs
from posebench.scenes import write_scenes

log = logs.start(snakemake.log[0])
if "settings" in snakemake.input.keys():  # noqa: SIM118 (not a dict: `in` would look at the file names)
    with open(snakemake.input.settings, encoding="utf-8") as stream:
        scenes = yaml.safe_load(stream)["scenes"][snakemake.wildcards.part]
else:
    scenes = snakemake.params.scenes
write_scenes(
    snakemake.output.images,
    snakemake.output.annotations,
    scenes["images"],
    scenes["empty"],
    scenes["seed"],
    threads=snakemake.threads,
)
