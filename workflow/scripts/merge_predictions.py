"""Make prediction files of one condition of those of its shards, byte for byte as without shards."""

from posegauge import logs
from posegauge.predict.predictions import merge_boxes, merge_records, merge_results
from posegauge.store.files import write_json

log = logs.start(snakemake.log[0])
for name, path in snakemake.output.items():
    given = snakemake.input[name]
    if name == "record":
        write_json(path, merge_records(given), "predictions.schema.yaml")
    else:
        write_json(path, merge_boxes(given) if name == "boxes" else merge_results(given))
    log.info("%s: of %d shards", path, len(given))
