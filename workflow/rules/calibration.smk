"""Bring the images that set the ranges of INT8 (precision.calibration), none of which is scored.

Needs   nothing for scenes; for train2017 the network, or `asset_mirror` in the config, or single files fetched before;
        for a folder of the user's own these files, which stay where they are, and the images that are scored
Makes   data/<name>/calibration/: rendered scenes; data/<name>/calibration_train2017/: some images of COCO train2017,
        and which they are; data/<name>/calibration_folder/: which of the user's images are taken
"""


rule render_calibration:
    output:
        images=directory(f"{CALIBRATION}/images"),
        annotations=f"{CALIBRATION}/annotations.json",
    log:
        f"data/{DATASET['name']}/logs/render_calibration.log",
    conda:
        "../../envs/analysis.yaml"
    threads: 2
    resources:
        **needs(minutes=30, mem_mb=2000),
    params:
        code=code("render_scenes"),
        scenes=calibration_scenes,
    message:
        "Render {params.scenes[images]} further scenes, which set the ranges of INT8"
    script:
        "../scripts/render_scenes.py"


if CALIBRATED_BY == "train2017":

    rule extract_calibration:
        input:
            archive=whole_archive("annotations_trainval2017.zip") if DATASET["kind"] == "coco" else [],
            # One after the other: both keep what they have fetched in the same place.
            before=ancient(source_annotations()) if DATASET["kind"] == "coco" else [],
            table=ancient(own("config/downloads.tsv")),
        output:
            person_images=f"{TRAIN2017}/person_images.json",
            annotations=f"{TRAIN2017}/annotations.json",
        log:
            f"data/{DATASET['name']}/logs/extract_calibration.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        resources:
            # The annotations are 240 MB of JSON.
            **needs(minutes=60, mem_mb=2000),
        params:
            code=code("extract_calibration", without=["data.download", "data.web"]),
            images=config["precision"]["calibration_images"],
            downloads=downloads_folder,
            mirror=asset_mirror,
        message:
            "Choose {params.images} images of COCO train2017, which set the ranges of INT8"
        script:
            "../scripts/extract_calibration.py"

    rule extract_calibration_images:
        input:
            **(scored_by_name() if DATASET["kind"] == "folder" else {}),
            person_images=f"{TRAIN2017}/person_images.json",
            given=given_mirror,
            table=ancient(own("config/downloads.tsv")),
        output:
            images=directory(f"{TRAIN2017}/images"),
        log:
            f"data/{DATASET['name']}/logs/extract_calibration_images.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        params:
            code=code("extract_calibration_images", without=["data.download", "data.web"]),
            downloads=downloads_folder,
            mirror=asset_mirror,
        message:
            "Fetch these images of COCO train2017 alone"
        script:
            "../scripts/extract_calibration_images.py"


if CALIBRATED_BY == "folder":

    rule choose_calibration:
        input:
            **scored_by_name(),
            annotations=own_calibration("annotations"),
            given=given_calibration,
        output:
            person_images=f"{OWN_CALIBRATION}/person_images.json",
            annotations=f"{OWN_CALIBRATION}/annotations.json",
        log:
            f"data/{DATASET['name']}/logs/choose_calibration.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        params:
            code=code("choose_calibration"),
            folder=place(config["precision"]["calibration"]["images"]),
            images=config["precision"]["calibration_images"],
            look=chosen("dataset.exif", "dataset.unreadable")["dataset"],
            unfit=unfit_calibration,
            state=calibration_state,
        message:
            "Choose {params.images} images of your own, which set the ranges of INT8"
        script:
            "../scripts/choose_calibration.py"
