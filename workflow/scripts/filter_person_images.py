"""List the images with at least one person, in the order in which the study takes them."""

from posegauge import logs
from posegauge.data.coco import check_images_exist, filter_person_images
from posegauge.store.files import write_json

log = logs.start(snakemake.log[0])
dataset = snakemake.params.dataset
record = filter_person_images(
    snakemake.input.annotations,
    dataset["name"],
    expected=dataset["expected_person_images"],
    max_images=dataset["max_images"],
)
if snakemake.params.images:
    check_images_exist(snakemake.params.images, record["images"])
log.info(
    "%d images, %d with persons, %d taken",
    record["images_total"],
    record["person_images"],
    len(record["images"]),
)
write_json(snakemake.output.person_images, record, "person_images.schema.yaml")
