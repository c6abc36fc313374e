"""Take the person images out of the archive of COCO val2017 images."""

from posegauge import logs
from posegauge.data.coco import extract_images
from posegauge.data.download import read_table, verify_listed
from posegauge.store.files import read_json

logs.start(snakemake.log[0])
archive = snakemake.input.archive
# It may have been put there by hand, past download_asset.
verify_listed(archive, read_table(snakemake.input.table))
extract_images(archive, read_json(snakemake.input.person_images)["images"], snakemake.output.images)
