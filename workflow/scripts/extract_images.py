"""Take the person images out of the archive of COCO val2017 images, or fetch them alone."""

from posegauge import logs
from posegauge.data.archives import IMAGES_PREFIX, bring
from posegauge.data.download import read_table
from posegauge.store.files import read_json

logs.start(snakemake.log[0])
names = [image["file_name"] for image in read_json(snakemake.input.person_images)["images"]]
bring(
    read_table(snakemake.input.table).loc["val2017.zip"],
    {IMAGES_PREFIX + name: f"{snakemake.output.images}/{name}" for name in names},
    snakemake.params.downloads,
    mirror=snakemake.params.mirror,
)
