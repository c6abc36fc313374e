"""Make the prediction files of one condition of those of its shards, byte for byte as without shards."""

from posegauge import logs
from posegauge.predict.predictions import merge_boxes, merge_records, merge_results
from posegauge.store.files import write_json
from posegauge.study import PREDICTION_SETS

log = logs.start(snakemake.log[0])
record = merge_records(snakemake.input.record)
write_json(snakemake.output.record, record, "predictions.schema.yaml")
for name in PREDICTION_SETS:
    write_json(snakemake.output[name], merge_results(snakemake.input[name]))
for path in snakemake.output.boxes:  # of the condition clean alone
    write_json(path, merge_boxes(snakemake.input.boxes))
shards = len(snakemake.input.record)
log.info("%s: %d images in %d shard(s)", record["condition"], len(record["images"]), shards)
