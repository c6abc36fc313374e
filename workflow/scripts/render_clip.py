"""Draw the demo's synthetic video."""

from posegauge import logs
from posegauge.data.scenes.clips import write_clip

log = logs.start(snakemake.log[0])
clip = snakemake.params.clip
output = snakemake.output
write_clip(output.clip, output.annotations, clip["seed"], clip["frames"], clip["rate"], tuple(clip["size"]))
log.info("%s: synthetic", output.clip)
