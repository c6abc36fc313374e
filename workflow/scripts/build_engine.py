"""Build one network's TensorRT engine, or say why this machine cannot."""

from posegauge import logs
from posegauge.backends.assemble import backend_options, network
from posegauge.backends.tensorrt_engines import SCHEMA, role_record
from posegauge.store.files import write_json
from posegauge.study import Artifact

log = logs.start(snakemake.log[0])
config = snakemake.config
source = network(config["models"], snakemake.params.role, snakemake.input.onnx)
options = backend_options(config, Artifact("tensorrt", "cuda", "fp16"), snakemake.input.onnx)
record = role_record(source, options)
log.info("%s: %s", source.role, record["engine"] or f"no engine: {record['reason']}")
write_json(snakemake.output.record, record, SCHEMA)
