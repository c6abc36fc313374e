"""Copy the trained demo models and the record of their training to the folder that git tracks."""

from pathlib import Path

from posegauge import logs
from posegauge.models import training
from posegauge.store.files import write_text

log = logs.start(snakemake.log[0])
record = training.publish_folder(
    snakemake.params.folder,
    {"detector": snakemake.input.detector, "pose": snakemake.input.pose},
    {"detector": snakemake.input.detector_record, "pose": snakemake.input.pose_record},
    snakemake.params.scenes,
)
for role, part in record["models"].items():
    log.info("%s: %s, %d bytes, sha256 %s", role, part["file"], part["bytes"], part["sha256"])
write_text(snakemake.output.done, f"copied to {Path(snakemake.params.folder)}\n")
