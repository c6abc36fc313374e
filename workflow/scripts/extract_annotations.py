"""Take the person_keypoints file out of the archive of COCO annotations, or fetch it alone."""

from posegauge import logs
from posegauge.data.archives import ANNOTATIONS_MEMBER, bring
from posegauge.data.download import read_table

logs.start(snakemake.log[0])
bring(
    read_table(snakemake.input.table).loc["annotations_trainval2017.zip"],
    {ANNOTATIONS_MEMBER: snakemake.output.annotations},
    snakemake.params.downloads,
    mirror=snakemake.params.mirror,
)
