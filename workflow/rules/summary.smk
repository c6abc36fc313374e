"""Put the results into words: tables, key findings, and the README section.

Needs   the latency rows and scores of the run, its figures and grids
Makes   results/<run>/tables/, findings.json, readme.md; with `readme` in the config also the section between its
        markers in that README, and the pictures in report/readme/<block>/
"""


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
