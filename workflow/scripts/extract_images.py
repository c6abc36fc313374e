"""Take the person images out of the archive of COCO val2017 images."""

from posebench import logs
from posebench.coco import extract_images
from posebench.download import read_table, verify_listed
from posebench.results import read_json

logs.start(snakemake.log[0])
archive = snakemake.input.archive
# It may have been put there by hand, past download_asset.
verify_listed(archive, read_table(snakemake.input.table))
extract_images(archive, read_json(snakemake.input.person_images)["images"], snakemake.output.images)
