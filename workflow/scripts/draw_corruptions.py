"""Draw what the corruptions of COCO-C look like: one scene in each, at every severity of the run."""

from pathlib import Path

from posegauge import logs
from posegauge.data.annotations import read_annotations
from posegauge.report import grids
from posegauge.store.files import read_json
from posegauge.study import CONDITIONS

log = logs.start(snakemake.log[0])
params = snakemake.params
images_dir = Path(snakemake.input.images)
images = read_json(snakemake.input.person_images)["images"]
annotations = read_annotations(snakemake.input.annotations)
scene = grids.choose_scene(images, annotations, images_dir, params.scene)
names = [name for name in params.conditions if CONDITIONS[name].suite == "coco_c"]
figure = snakemake.output.corruptions
grids.draw_corruption_grid(figure, images_dir, scene, names, params.seed, params.title, params.notice)
log.info("%s: %s in %d conditions", figure, scene["file_name"], len(names))
