"""Make the run's ONNX file of one network: exported from PyTorch, or copied from the user's."""

from posegauge import logs
from posegauge.backends.assemble import network
from posegauge.data.download import read_table, verify_listed
from posegauge.models.adopt import copy_onnx
from posegauge.models.export import export_onnx, model_record
from posegauge.store.files import write_json

log = logs.start(snakemake.log[0])
role = snakemake.wildcards.role
source = network({role: snakemake.params.model}, role)
target = snakemake.output.onnx

notes = []
if source.checkpoint is None:
    notes = copy_onnx(source, target)
    for note in notes:
        log.info("%s: %s", source.onnx, note)
else:
    # A checkpoint that the user put there himself was not checked when it was downloaded.
    verify_listed(source.checkpoint, read_table(snakemake.input.downloads))
    export_onnx(source, target, snakemake.params.opset)
log.info("%s: written", target)
write_json(snakemake.output.record, model_record(source, target, notes), "model.schema.yaml")
