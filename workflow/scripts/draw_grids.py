"""Draw one scene in every condition of the study, and further images in every such condition."""

from pathlib import Path

from posegauge import logs
from posegauge.data.annotations import read_annotations
from posegauge.report import grids
from posegauge.store.files import read_json

log = logs.start(snakemake.log[0])
params = snakemake.params
images_dir = Path(snakemake.input.images)
images = read_json(snakemake.input.person_images)["images"]
annotations = read_annotations(snakemake.input.annotations)
scene = grids.choose_scene(images, annotations, images_dir, params.grids["scene"])
further = grids.choose_images(images, annotations, images_dir, scene, params.grids["images"])
shown = {entry["id"] for entry in (scene, *further)}
scenes = grids.Scenes(
    images_dir,
    annotations,
    grids.read_predictions(snakemake.input.predictions, shown),
    params.seed,
    params.person_thr,
    params.keypoint_thr,
)
grids.draw_condition_grid(snakemake.output.conditions, scenes, scene, params.title, params.notice)
log.info("%s: %s", snakemake.output.conditions, scene["file_name"])
grids.draw_image_grid(snakemake.output.images, scenes, further, params.title, params.notice)
names = ", ".join(entry["file_name"] for entry in further)
log.info("%s: %s", snakemake.output.images, names or "no further image with persons")
