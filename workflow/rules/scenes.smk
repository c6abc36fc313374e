"""Render the synthetic scenes: the data set that this repository brings along (dataset kind scenes).

Needs   nothing but the settings dataset.scenes
Makes   data/<name>/images/*.jpg and data/<name>/annotations.json, in COCO's person_keypoints format
"""

LIB_SCENES = expand(
    "workflow/scripts/posegauge/{module}.py", module=["scenes", "scene_people", "scene_backdrops"]
)


if DATASET["kind"] == "scenes":

    rule render_scenes:
        input:
            lib=LIB_SCENES,
        output:
            images=directory(f"data/{DATASET['name']}/images"),
            annotations=f"data/{DATASET['name']}/annotations.json",
        log:
            f"data/{DATASET['name']}/logs/render_scenes.log",
        conda:
            "../../envs/analysis.yaml"
        threads: 2
        resources:
            **needs(minutes=30, mem_mb=2000),
        params:
            scenes=DATASET["scenes"],
        message:
            "Render {params.scenes[images]} synthetic scenes"
        script:
            "../scripts/render_scenes.py"
