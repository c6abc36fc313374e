"""Draw the figures and the picture grids.

Needs   the records of the run and its predictions; the images, to remake the corrupted ones
Makes   results/<run>/figures/<figure>.png, for each figure of posegauge.report.pages;
        results/<run>/grids/{conditions,images,coco_c}.jpg
"""


# One caption for all, which asks for the figure's name: a caption's path takes no wildcard.
rule plot:
    input:
        unpack(figure_records),
    output:
        figure=report(
            f"{RUN}/figures/{{figure}}.png",
            caption="../../report/captions/figure.rst",
            category=figure_category,
            labels=figure_labels,
        ),
    log:
        f"{RUN}/logs/plot_{{figure}}.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    params:
        **SHOWN,
        code=figure_code,
    message:
        "Draw the figure {wildcards.figure}"
    script:
        "../scripts/plot.py"


rule draw_grids:
    input:
        predictions=expand(f"{RUN}/predictions/{{condition}}/detected.json", condition=STUDY_CHOSEN),
        images=images_dir(),
        annotations=annotations_file(),
        person_images=person_images_file(),
    output:
        conditions=report(
            f"{RUN}/grids/conditions.jpg",
            caption="../../report/captions/conditions.rst",
            category="Pictures",
            labels={"what": pages.GRIDS["conditions"].title, "as": "picture"},
        ),
        images=report(
            f"{RUN}/grids/images.jpg",
            caption="../../report/captions/images.rst",
            category="Pictures",
            labels={"what": pages.GRIDS["images"].title, "as": "picture"},
        ),
    log:
        f"{RUN}/logs/draw_grids.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    params:
        **SHOWN,
        code=code("draw_grids"),
        grids=config["grids"],
        seed=config["seed"],
        person_thr=config["pipeline"]["person_thr"],
        keypoint_thr=config["pipeline"]["keypoint_thr"],
    message:
        "Draw the picture grids"
    script:
        "../scripts/draw_grids.py"


rule draw_corruptions:
    input:
        images=images_dir(),
        annotations=annotations_file(),
        person_images=person_images_file(),
    output:
        corruptions=report(
            f"{RUN}/grids/coco_c.jpg",
            caption="../../report/captions/corruptions.rst",
            category="Pictures",
            labels={"what": pages.GRIDS["corruptions"].title, "as": "picture"},
        ),
    log:
        f"{RUN}/logs/draw_corruptions.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    params:
        **SHOWN,
        code=code("draw_corruptions"),
        scene=config["grids"]["scene"],
        seed=config["seed"],
        conditions=CHOSEN,
    message:
        "Draw the corruptions of COCO-C"
    script:
        "../scripts/draw_corruptions.py"
