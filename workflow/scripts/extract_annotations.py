"""Take the person_keypoints file out of the archive of COCO annotations."""

from posegauge import logs
from posegauge.data.coco import ANNOTATIONS_MEMBER, extract_member
from posegauge.data.download import read_table, verify_listed

logs.start(snakemake.log[0])
archive = snakemake.input.archive
# It may have been put there by hand, past download_asset.
verify_listed(archive, read_table(snakemake.input.table))
extract_member(archive, ANNOTATIONS_MEMBER, snakemake.output.annotations)
