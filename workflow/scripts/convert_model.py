"""Make one network's ONNX file in FP16 or INT8."""

from posegauge import logs
from posegauge.data.annotations import read_annotations
from posegauge.models.int8 import INT8, Batches, calibration_entries, convert_int8
from posegauge.models.precision import convert_fp16, record
from posegauge.pipeline.conventions import pixels_of
from posegauge.store.files import read_json, write_json

log = logs.start(snakemake.log[0])
role, precision = snakemake.wildcards.role, snakemake.wildcards.precision
source, target = snakemake.input.onnx, snakemake.output.onnx

how, calibration = snakemake.params.calibration, None
if precision == "fp16":
    made = convert_fp16(source, target)
else:
    entries = read_json(snakemake.input.person_images)["images"]
    if how["from"] != "dataset":
        chosen, in_parity = entries, 0
    else:
        chosen, in_parity = calibration_entries(entries, how["images"], how["compared"])
    batches = Batches(
        role,
        how["input_size"],
        snakemake.input.images,
        chosen,
        read_annotations(snakemake.input.annotations),
        pixels_of(how, role),
    )
    made = convert_int8(source, target, batches, how=INT8[precision], max_error=how["max_error"])
    names = [entry["file_name"] for entry in chosen]
    calibration = {"from": how["from"], "images": names, "samples": batches.samples, "in_parity": in_parity}
log.info("%s: written, nodes by precision: %s", target, made["nodes"])
write_json(
    snakemake.output.record,
    record(role, precision, source, target, made, calibration),
    "precision.schema.yaml",
)
