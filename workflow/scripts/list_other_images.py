"""List the images without persons, for AP over all images."""

from posegauge import logs
from posegauge.data.coco import list_other_images
from posegauge.store.files import read_json, write_json

log = logs.start(snakemake.log[0])
given = snakemake.input
record = list_other_images(given.annotations, read_json(given.person_images))
write_json(snakemake.output.other_images, record, "person_images.schema.yaml")
log.info("%d images without persons", len(record["images"]))
