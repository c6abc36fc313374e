"""Train one of the demo models and write its published form and the record of the training."""

from posegauge import logs
from posegauge.models import training

log = logs.start(snakemake.log[0])
training.run_part(
    snakemake.wildcards.role,
    snakemake.params.settings,
    snakemake.input.train,
    snakemake.input.val,
    snakemake.params.work_dir,
    snakemake.output.checkpoint,
    snakemake.output.record,
)
