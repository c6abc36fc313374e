"""Compare one artifact with its PyTorch source, or say why this machine cannot."""

from posegauge import logs
from posegauge.backends.assemble import thread_count
from posegauge.measure.parity import check_artifact
from posegauge.store.files import read_json, write_json
from posegauge.study import ROLES

log = logs.start(snakemake.log[0])
config = snakemake.config
record = check_artifact(
    config,
    snakemake.params.artifact,
    onnx={role: snakemake.input[role] for role in ROLES},
    data={
        "images": snakemake.input.images,
        "entries": read_json(snakemake.input.person_images)["images"],
        "annotations": snakemake.input.annotations,
    },
    threads=thread_count(config["threads"], snakemake.threads),
)
write_json(snakemake.output.parity, record, "parity.schema.yaml")
if record["status"] == "ok":
    verdict = f"fails {', '.join(record['failed'])}" if record["failed"] else "passes"
else:
    verdict = f"not compared: {record['reason']}"
log.info("%s: %s", snakemake.params.artifact, verdict)
