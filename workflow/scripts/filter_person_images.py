"""List the images with at least one person, in the study's order; write the annotations in COCO's form."""

from posegauge import logs
from posegauge.data.coco import filter_person_images
from posegauge.store.files import write_json

log = logs.start(snakemake.log[0])
dataset = snakemake.params.dataset
record = filter_person_images(
    snakemake.input.annotations,
    dataset["name"],
    expected=dataset["expected_person_images"],
    max_images=dataset["max_images"],
    images=snakemake.params.images,
    target=snakemake.output.annotations,
    look=snakemake.params.look,
    unfit=snakemake.params.unfit,
)
for note in record["notes"]:
    logs.say(f"{snakemake.input.annotations}: {note}")
log.info(
    "%d images, %d with persons, %d taken",
    record["images_total"],
    record["person_images"],
    len(record["images"]),
)
write_json(snakemake.output.person_images, record, "person_images.schema.yaml")
