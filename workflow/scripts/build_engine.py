"""Build one network's TensorRT engine, or say why this machine cannot."""

from posebench import logs
from posebench.engines import SCHEMA, role_record
from posebench.networks import backend_options, network
from posebench.results import write_json

log = logs.start(snakemake.log[0])
config = snakemake.config
source = network(config["models"], snakemake.params.role, snakemake.input.onnx)
record = role_record(source, backend_options(config, snakemake.input.onnx))
log.info("%s: %s", source.role, record["engine"] or f"no engine: {record['reason']}")
write_json(snakemake.output.record, record, SCHEMA)
