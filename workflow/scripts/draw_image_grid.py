"""Draw further images in every image condition, with the persons found in each."""

from pathlib import Path

from posebench import grids, logs
from posebench.coco import read_annotations
from posebench.results import read_json

log = logs.start(snakemake.log[0])
params = snakemake.params
images_dir = Path(snakemake.input.images)
images = read_json(snakemake.input.person_images)["images"]
annotations = read_annotations(snakemake.input.annotations)
scene = grids.choose_scene(images, annotations, images_dir, params.grids["scene"])
chosen = grids.choose_images(images, annotations, images_dir, scene, params.grids["images"])
scenes = grids.Scenes(
    images_dir,
    annotations,
    grids.read_predictions(snakemake.input.predictions, {entry["id"] for entry in chosen}),
    params.seed,
    params.person_thr,
    params.keypoint_thr,
)
grids.draw_image_grid(snakemake.output.grid, scenes, chosen, params.title, params.notice)
log.info("%s: %s", snakemake.output.grid, ", ".join(entry["file_name"] for entry in chosen) or "no image")
