"""Draw the demo's synthetic video."""

from posegauge import logs
from posegauge.data.scenes.clips import write_clip

log = logs.start(snakemake.log[0])
clip = snakemake.params.clip
write_clip(snakemake.output.clip, clip["seed"], clip["frames"], clip["rate"], tuple(clip["size"]))
log.info("%s: synthetic", snakemake.output.clip)
