"""Make the data set: download or render it, and list its images with persons.

Needs   for kind coco and the checkpoints the network, or `asset_mirror` in the config, and config/downloads.tsv; for
        kind scenes the settings dataset.scenes; for kind folder the user's own files, which stay where they are
Makes   data/<name>/person_images.json, and beside it read_annotations.json, the annotations in COCO's form; for
        kinds coco and scenes also data/<name>/annotations.json and data/<name>/images/; data/downloads/<file>,
        verified, but of archives only the files of dataset.max_images where that is set;
        with dataset.score_images: all the list other_images.json of those without persons, and for kind coco their
        folder other_images/
"""

# What is fetched as a whole.
WHOLE = [name for name in DOWNLOADS["file"] if name not in download.IN_PARTS]


# No ensure(sha256=...): of the checkpoints only the first digits are known. No retries: the script has its own,
# and what it gives up will not mend at once. ancient, and no code: an edited table or library must not throw 800 MB
# away; a changed sha256 does. The unfinished <file>.part is left undeclared, so that a failed job does not delete it.
rule download_asset:
    input:
        table=ancient(own("config/downloads.tsv")),
    output:
        asset="data/downloads/{file}",
    log:
        "data/downloads/logs/{file}.log",
    wildcard_constraints:
        # A file name holds nothing but letters, digits, '.', '_' and '-' (downloads.schema.yaml).
        file="|".join(name.replace(".", r"\.") for name in WHOLE),
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    params:
        sha256=lookup(query="file == '{file}'", within=DOWNLOADS, cols="sha256"),
        mirror=asset_mirror,
    message:
        "Fetch {wildcards.file}"
    script:
        "../scripts/download_asset.py"


# Everything in the table that is fetched as a whole: to fill a mirror for machines without a network (data/README.md).
rule download_assets:
    input:
        expand("data/downloads/{file}", file=WHOLE),
    localrule: True


if DATASET["kind"] == "coco":

    # Without an archive as input these rules fetch the files that they need: data/downloads/<archive>.members is left
    # undeclared like an unfinished download.
    TAKE = "Extract" if DATASET["max_images"] is None else "Fetch"

    rule extract_annotations:
        input:
            archive=whole_archive("annotations_trainval2017.zip"),
            table=ancient(own("config/downloads.tsv")),
        output:
            annotations=f"data/{DATASET['name']}/annotations.json",
        log:
            f"data/{DATASET['name']}/logs/extract_annotations.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        params:
            # What is in the archive does not depend on who fetched and verified it.
            code=code("extract_annotations", without=["data.download", "data.web"]),
            downloads=downloads_folder,
            mirror=asset_mirror,
        message:
            f"{TAKE} the person keypoints of COCO val2017"
        script:
            "../scripts/extract_annotations.py"

    rule extract_images:
        input:
            archive=whole_archive("val2017.zip"),
            person_images=f"data/{DATASET['name']}/person_images.json",
            table=ancient(own("config/downloads.tsv")),
        output:
            images=directory(f"data/{DATASET['name']}/images"),
        log:
            f"data/{DATASET['name']}/logs/extract_images.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        params:
            code=code("extract_images", without=["data.download", "data.web"]),
            downloads=downloads_folder,
            mirror=asset_mirror,
        message:
            f"{TAKE} the person images of COCO val2017"
        script:
            "../scripts/extract_images.py"

    rule extract_other_images:
        input:
            archive=whole_archive("val2017.zip"),
            # One after the other: both keep what they have fetched in the same place.
            before=ancient(images_dir()),
            person_images=other_images_file(),
            table=ancient(own("config/downloads.tsv")),
        output:
            images=directory(other_images_dir()),
        log:
            f"data/{DATASET['name']}/logs/extract_other_images.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        params:
            code=code("extract_images", without=["data.download", "data.web"]),
            downloads=downloads_folder,
            mirror=asset_mirror,
        message:
            f"{TAKE} the images without persons of COCO val2017"
        script:
            "../scripts/extract_images.py"


if DATASET["kind"] == "scenes":

    rule render_scenes:
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
            code=code("render_scenes"),
            scenes=DATASET["scenes"],
        message:
            "Render {params.scenes[images]} synthetic scenes"
        script:
            "../scripts/render_scenes.py"


rule filter_person_images:
    input:
        annotations=source_annotations(),
        given=given_data,
    output:
        person_images=person_images_file(),
        annotations=annotations_file(),
    log:
        f"data/{DATASET['name']}/logs/filter_person_images.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    params:
        code=code("filter_person_images"),
        dataset=chosen("dataset.name", "dataset.expected_person_images", "dataset.max_images")["dataset"],
        # COCO images are extracted after this list is made, and checked then.
        images=None if DATASET["kind"] == "coco" else place(images_dir()),
        # Of the user's own images alone: the others are the workflow's.
        look=chosen("dataset.exif", "dataset.unreadable")["dataset"] if DATASET["kind"] == "folder" else None,
        unfit=unfit_images,
        state=images_state,
    message:
        "List the images with persons of {params.dataset[name]}"
    script:
        "../scripts/filter_person_images.py"


if ALL_IMAGES:

    rule list_other_images:
        input:
            annotations=annotations_file(),
            person_images=person_images_file(),
        output:
            other_images=other_images_file(),
        log:
            f"data/{DATASET['name']}/logs/list_other_images.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        params:
            code=code("list_other_images"),
        message:
            f"List the images without persons of {DATASET['name']}"
        script:
            "../scripts/list_other_images.py"
