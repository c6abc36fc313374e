"""Score the clean images over all images of the data set, and over those with persons, with one bootstrap."""

from posegauge import logs
from posegauge.predict.predictions import merge_records, merge_results
from posegauge.score.all_images import score_all_images
from posegauge.store.files import read_json, write_json

log = logs.start(snakemake.log[0])
files, config = snakemake.input, snakemake.params.config
record = score_all_images(
    files.annotations,
    merge_records([files.clean_record, files.other_record]),
    merge_results([files.clean_detected, files.other_detected]),
    len(read_json(files.clean_record)["images"]),
    config["seed"],
    config["bootstrap"]["resamples"],
)
write_json(snakemake.output.scores, record, "all_images.schema.yaml")
ap = {side: estimate["value"] for side, estimate in record["scores"]["ap"].items()}
log.info("%d images, %d with persons; keypoint AP: %s", record["images"], record["person_images"], ap)
