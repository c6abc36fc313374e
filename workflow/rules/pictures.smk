"""Draw the figures and the picture grids.

Needs   the latency rows, scores and predictions of the run; the images, to remake the corrupted ones
Makes   results/<run>/figures/{latency,robustness}.png, results/<run>/grids/{conditions,images}.jpg
"""

LIB_GRIDS = expand(
    "workflow/scripts/posebench/{name}.py", name=["grids", "draw", "corruptions", "coco", "results", "study"]
)


rule plot_latency:
    input:
        latency=benchmark_files(),
        lib=[*LIB_TABLES, "workflow/scripts/posebench/figures.py"],
        schemas=SCHEMAS,
    output:
        figure=report(
            f"{RUN}/figures/latency.png",
            caption="../../report/captions/latency_figure.rst",
            category="Latency",
            labels={"what": "figure"},
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


rule plot_robustness:
    input:
        robustness=condition_files(),
        lib=[*LIB_TABLES, "workflow/scripts/posebench/figures.py"],
        schemas=SCHEMAS,
    output:
        figure=report(
            f"{RUN}/figures/robustness.png",
            caption="../../report/captions/robustness_figure.rst",
            category="Robustness",
            labels={"what": "figure"},
        ),
    log:
        f"{RUN}/logs/plot_robustness.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    params:
        **SHOWN,
    message:
        "Draw the robustness figure"
    script:
        "../scripts/plot_robustness.py"


rule draw_grids:
    input:
        predictions=prediction_files(),
        images=images_dir(),
        annotations=annotations_file(),
        person_images=person_images_file(),
        lib=LIB_GRIDS,
    output:
        conditions=report(
            f"{RUN}/grids/conditions.jpg",
            caption="../../report/captions/conditions.rst",
            category="Pictures",
            labels={"what": "one scene in every condition"},
        ),
        images=report(
            f"{RUN}/grids/images.jpg",
            caption="../../report/captions/images.rst",
            category="Pictures",
            labels={"what": "more images in every condition"},
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
