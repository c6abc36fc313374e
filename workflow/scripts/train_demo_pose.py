"""Train the demo pose model (RTMPose-t) and write its published form and the record of the training."""

from posebench import logs, training

log = logs.start(snakemake.log[0])
training.run_part(
    "pose",
    snakemake.input.settings,
    snakemake.input.train,
    snakemake.input.val,
    snakemake.params.work_dir,
    snakemake.output.checkpoint,
    snakemake.output.record,
)
