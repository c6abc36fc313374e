"""Build one network's TensorRT engine, or say why this machine cannot."""

from posegauge import logs
from posegauge.backends.assemble import backend_options, network
from posegauge.backends.tensorrt_engines import SCHEMA, role_record
from posegauge.store.files import write_json
from posegauge.study import Artifact

log = logs.start(snakemake.log[0])
role, onnx = snakemake.wildcards.role, snakemake.input.onnx
source = network({role: snakemake.params.model}, role, onnx)
artifact = Artifact("tensorrt", "cuda", "fp16")
record = role_record(source, backend_options(snakemake.params.config, artifact, onnx))
log.info("%s: %s", source.role, record["engine"] or f"no engine: {record['reason']}")
write_json(snakemake.output.record, record, SCHEMA)
