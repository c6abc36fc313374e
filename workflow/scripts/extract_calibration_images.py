"""Take the chosen images out of the archive of COCO train2017 images, or fetch them alone."""

from posegauge import logs
from posegauge.data.archives import bring
from posegauge.data.calibration import INSTEAD, TRAIN_ARCHIVE, TRAIN_IMAGES_PREFIX, refuse_shared
from posegauge.data.download import read_table
from posegauge.store.files import read_json

logs.start(snakemake.log[0])
images = snakemake.output.images
chosen = read_json(snakemake.input.person_images)["images"]
names = [image["file_name"] for image in chosen]
bring(
    read_table(snakemake.input.table).loc[TRAIN_ARCHIVE],
    {TRAIN_IMAGES_PREFIX + name: f"{images}/{name}" for name in names},
    snakemake.params.downloads,
    mirror=snakemake.params.mirror,
    instead=INSTEAD,
)
if snakemake.input.get("scored"):
    refuse_shared(images, chosen, snakemake.input.scored, snakemake.input.scored_images)
