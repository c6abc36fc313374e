"""Compare one artifact with its source, or say why this machine cannot."""

from posegauge import logs
from posegauge.backends.assemble import prediction_threads
from posegauge.measure import parity_source
from posegauge.measure.parity import check_artifact
from posegauge.store.files import write_json

log = logs.start(snakemake.log[0])
config, artifact = snakemake.params.config, snakemake.wildcards.artifact
files = dict(snakemake.input.items())
threads = prediction_threads(config, snakemake.threads)
source = parity_source.read(files["source"], config, files, threads)
record = check_artifact(config, artifact, files, source, threads)
write_json(snakemake.output.parity, record, "parity.schema.yaml")
if record["status"] == "ok":
    share = record["ap_share"]["value"]
    kept = "no AP to compare" if share is None else f"{share:.2%} of its source's AP"
    verdict = f"{kept}, {'past ' + ', '.join(record['failed']) if record['failed'] else 'exact'}"
else:
    verdict = f"not compared: {record['reason']}"
log.info("%s: %s", artifact, verdict)
