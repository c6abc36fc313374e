"""Make the dataset: annotations, the list of images with persons, and these images.

Needs   for kind coco the two COCO archives (download.smk); for kind scenes the rendered scenes (scenes.smk);
        for kind folder nothing but the user's own files, which stay where they are
Makes   data/<name>/person_images.json; for kind coco also data/<name>/annotations.json and data/<name>/images/
"""

if DATASET["kind"] == "coco":

    rule extract_annotations:
        input:
            archive="data/downloads/annotations_trainval2017.zip",
            table=ancient("config/downloads.tsv"),
            # ancient: what is in the archive does not depend on who verified it.
            verifier=ancient("workflow/scripts/posegauge/download.py"),
            lib="workflow/scripts/posegauge/coco.py",
        output:
            annotations=f"data/{DATASET['name']}/annotations.json",
        log:
            f"data/{DATASET['name']}/logs/extract_annotations.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        message:
            "Extract the person keypoints of COCO val2017"
        script:
            "../scripts/extract_annotations.py"

    rule extract_images:
        input:
            archive="data/downloads/val2017.zip",
            person_images=f"data/{DATASET['name']}/person_images.json",
            table=ancient("config/downloads.tsv"),
            verifier=ancient("workflow/scripts/posegauge/download.py"),
            lib="workflow/scripts/posegauge/coco.py",
        output:
            images=directory(f"data/{DATASET['name']}/images"),
        log:
            f"data/{DATASET['name']}/logs/extract_images.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        message:
            "Extract the person images of COCO val2017"
        script:
            "../scripts/extract_images.py"


rule filter_person_images:
    input:
        annotations=annotations_file(),
        lib=["workflow/scripts/posegauge/coco.py", "workflow/scripts/posegauge/results.py"],
        schema="workflow/schemas/person_images.schema.yaml",
    output:
        person_images=f"data/{DATASET['name']}/person_images.json",
    log:
        f"data/{DATASET['name']}/logs/filter_person_images.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    params:
        dataset={key: DATASET[key] for key in ("name", "expected_person_images", "max_images")},
        # COCO images are extracted after this list is made, and checked then.
        images=None if DATASET["kind"] == "coco" else images_dir(),
    message:
        "List the images with persons of {params.dataset[name]}"
    script:
        "../scripts/filter_person_images.py"
