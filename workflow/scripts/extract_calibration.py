"""Take the annotations of COCO train2017 out of their archive, or fetch them alone; choose images by them."""

import tempfile
from pathlib import Path

from posegauge import logs
from posegauge.data.archives import bring
from posegauge.data.calibration import TRAIN_ANNOTATIONS_MEMBER, choose_train
from posegauge.data.download import read_table
from posegauge.store.files import write_json

logs.start(snakemake.log[0])
annotations = Path(snakemake.output.annotations)
# Beside what is made of it, since /tmp may have no room for 240 MB.
with tempfile.TemporaryDirectory(dir=annotations.parent, prefix=".train2017.") as folder:
    whole = f"{folder}/annotations.json"
    bring(
        read_table(snakemake.input.table).loc["annotations_trainval2017.zip"],
        {TRAIN_ANNOTATIONS_MEMBER: whole},
        snakemake.params.downloads,
        mirror=snakemake.params.mirror,
    )
    data, chosen = choose_train(whole, snakemake.params.images)
write_json(annotations, data, indent=None)
write_json(snakemake.output.person_images, {"images": chosen})
