"""Put the results together: tables, figures, picture grids, key findings, and the README section.

Needs   the latency rows, scores and predictions of the run; the images, to remake the corrupted ones
Makes   results/<run>/tables/, figures/, grids/, findings.json, readme.md; with `readme` in the config also the
        section between its markers in that README, and the pictures in report/readme/<block>/
"""

# What stands in every table, figure and grid.
SHOWN = {
    "title": f"{config['models']['detector']['name']} + {config['models']['pose']['name']} on {DATASET['title']}",
    "notice": config["notice"],
}
LIB_TABLES = expand("workflow/scripts/posebench/{name}.py", name=["tables", "hardware", "results", "study"])
LIB_GRIDS = expand(
    "workflow/scripts/posebench/{name}.py", name=["grids", "draw", "corruptions", "coco", "results", "study"]
)
SCHEMAS = expand("workflow/schemas/{kind}.schema.yaml", kind=["latency", "robustness"])


rule make_tables:
    input:
        latency=benchmark_files(),
        robustness=condition_files(),
        lib=LIB_TABLES,
        schemas=SCHEMAS,
    output:
        benchmark_csv=report(
            f"{RUN}/tables/benchmark.csv",
            caption="../../report/captions/benchmark.rst",
            category="Latency",
            labels={"what": "table"},
        ),
        benchmark_md=f"{RUN}/tables/benchmark.md",
        robustness_csv=report(
            f"{RUN}/tables/robustness.csv",
            caption="../../report/captions/robustness.rst",
            category="Robustness",
            labels={"what": "table"},
        ),
        robustness_md=f"{RUN}/tables/robustness.md",
    log:
        f"{RUN}/logs/make_tables.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    params:
        **SHOWN,
    message:
        "Make the tables"
    script:
        "../scripts/make_tables.py"


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


rule write_findings:
    input:
        latency=benchmark_files(),
        robustness=condition_files(),
        lib=[*LIB_TABLES, "workflow/scripts/posebench/findings.py"],
        schemas=SCHEMAS,
    output:
        findings=f"{RUN}/findings.json",
    log:
        f"{RUN}/logs/write_findings.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    message:
        "Write the key findings"
    script:
        "../scripts/write_findings.py"


# The README and the pictures beside it are tracked by git, so they are no outputs: snakemake deletes those
# before a job. results/<run>/readme.md is written last and stands for them.
rule write_readme:
    input:
        latency=benchmark_files(),
        robustness=condition_files(),
        benchmark_md=rules.make_tables.output.benchmark_md,
        robustness_md=rules.make_tables.output.robustness_md,
        findings=rules.write_findings.output.findings,
        latency_figure=rules.plot_latency.output.figure,
        robustness_figure=rules.plot_robustness.output.figure,
        condition_grid=rules.draw_grids.output.conditions,
        image_grid=rules.draw_grids.output.images,
        published="config/published_t4.yaml",
        lib=[*LIB_TABLES, "workflow/scripts/posebench/readme.py"],
        schemas=SCHEMAS,
    output:
        readme=f"{RUN}/readme.md",
    log:
        f"{RUN}/logs/write_readme.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    params:
        **SHOWN,
        dataset=DATASET["title"],
        seed=config["seed"],
        readme=config["readme"],
        # The published numbers are of COCO val2017: beside those of other data they would mislead.
        beside_published=DATASET["kind"] == "coco",
        command=COMMAND,
    message:
        "Write {output.readme}"
    script:
        "../scripts/write_readme.py"
