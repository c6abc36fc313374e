"""Draw the figures and the picture grids.

Needs   the latency rows, scores and predictions of the run; the images, to remake the corrupted ones
Makes   results/<run>/figures/{latency,robustness,loss,calibration,coco_c}.png,
        results/<run>/grids/{conditions,images,coco_c}.jpg
"""

LIB_GRIDS = expand(
    "workflow/scripts/posegauge/{name}.py",
    name=["grids", "draw", "corruptions", "coco_c", "coco", "results", "study"],
)
LIB_FIGURES = [
    *LIB_TABLES,
    *expand("workflow/scripts/posegauge/{name}.py", name=["figures", "accuracy_figures"]),
]


rule plot_latency:
    input:
        latency=benchmark_files(),
        parity=parity_files(),
        lib=[*LIB_TABLES, "workflow/scripts/posegauge/figures.py"],
        schemas=SCHEMAS,
    output:
        figure=report(
            f"{RUN}/figures/latency.png",
            caption="../../report/captions/latency_figure.rst",
            category="Latency",
            labels={"what": "Latency of every timed run", "as": "figure"},
        ),
    log:
        f"{RUN}/logs/plot_latency.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    params:
        **SHOWN,
    message:
        "Draw the latency figure"
    script:
        "../scripts/plot_latency.py"


# Name -> what the figure shows; each has a caption of its own.
FIGURES = {
    "robustness": "Detection rate and AP by condition",
    "loss": "Where the loss of AP comes from",
    "calibration": "What a keypoint score is worth",
    "coco_c": "AP under COCO-C's corruptions",
}

for FIGURE, SHOWS in FIGURES.items():

    rule:
        name:
            f"plot_{FIGURE}"
        input:
            robustness=condition_files(),
            replicates=replicate_files(),
            lib=LIB_FIGURES,
            schemas=SCHEMAS,
        output:
            figure=report(
                f"{RUN}/figures/{FIGURE}.png",
                caption=f"../../report/captions/{FIGURE}_figure.rst",
                category="Robustness",
                labels={"what": SHOWS, "as": "figure"},
            ),
        log:
            f"{RUN}/logs/plot_{FIGURE}.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        params:
            **SHOWN,
            figure=FIGURE,
        message:
            f"Draw the figure: {SHOWS}"
        script:
            "../scripts/plot_scores.py"


rule draw_grids:
    input:
        predictions=expand(f"{RUN}/predictions/{{condition}}/detected.json", condition=STUDY_CHOSEN),
        images=images_dir(),
        annotations=annotations_file(),
        person_images=person_images_file(),
        lib=LIB_GRIDS,
    output:
        conditions=report(
            f"{RUN}/grids/conditions.jpg",
            caption="../../report/captions/conditions.rst",
            category="Pictures",
            labels={"what": "One scene in every condition", "as": "picture"},
        ),
        images=report(
            f"{RUN}/grids/images.jpg",
            caption="../../report/captions/images.rst",
            category="Pictures",
            labels={"what": "More images in every condition", "as": "picture"},
        ),
    log:
        f"{RUN}/logs/draw_grids.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    params:
        **SHOWN,
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
        lib=LIB_GRIDS,
    output:
        corruptions=report(
            f"{RUN}/grids/coco_c.jpg",
            caption="../../report/captions/corruptions.rst",
            category="Pictures",
            labels={"what": "One scene in every corruption of COCO-C", "as": "picture"},
        ),
    log:
        f"{RUN}/logs/draw_corruptions.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    params:
        **SHOWN,
        scene=config["grids"]["scene"],
        seed=config["seed"],
        conditions=CHOSEN,
    message:
        "Draw the corruptions of COCO-C"
    script:
        "../scripts/draw_corruptions.py"
