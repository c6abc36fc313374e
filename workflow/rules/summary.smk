"""Put the results into words: tables, key findings, and the README section.

Needs   the latency rows, comparisons with PyTorch, scores and sweep speed of the run, its figures and grids
Makes   results/<run>/tables/, findings.json, readme.md; with `readme` in the config also the section between its
        markers in that README, and the pictures in report/readme/<block>/
"""

# Table -> category in the report; each has a caption of its own.
TABLES = {
    "benchmark": "Latency",
    "machine": "Latency",
    "parity": "Latency",
    "peers": "Latency",
    "robustness": "Robustness",
    "protocols": "Robustness",
    "accuracy": "Robustness",
    "loss": "Robustness",
    "suites": "Robustness",
}
if RANDOM_ROLES:
    TABLES = {name: category for name, category in TABLES.items() if category == "Latency"}
# Table -> its heading in the report.
TABLE_TITLES = {
    "benchmark": "Latency of every benchmark row",
    "machine": "What the latency rows were measured under",
    "parity": "Every artifact against PyTorch",
    "peers": "The pipeline beside other programs",
    "robustness": "Scores by image condition",
    "protocols": "The study's protocol and the corrected one",
    "accuracy": "Every score by box source",
    "loss": "Where the loss of AP comes from",
    "suites": "Robustness over the suites of corruptions",
}


rule make_tables:
    input:
        latency=benchmark_files(),
        limits=limits_files(),
        parity=parity_files(),
        peers=rules.measure_peers.output.peers,
        robustness=with_trained_weights(*condition_files()),
        replicates=with_trained_weights(*replicate_files()),
        lib=[*LIB_TABLES, "workflow/scripts/posegauge/timing.py"],
        schemas=SCHEMAS,
    output:
        **{
            f"{TABLE}_csv": report(
                f"{RUN}/tables/{TABLE}.csv",
                caption=f"../../report/captions/{TABLE}.rst",
                category=CATEGORY,
                labels={"what": TABLE_TITLES[TABLE], "as": "CSV to download"},
            )
            for TABLE, CATEGORY in TABLES.items()
        },
        **{f"{TABLE}_md": f"{RUN}/tables/{TABLE}.md" for TABLE in TABLES},
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
        limits=limits_files(),
        parity=parity_files(),
        peers=rules.measure_peers.output.peers,
        robustness=with_trained_weights(*condition_files()),
        replicates=with_trained_weights(*replicate_files()),
        sweep=with_trained_weights(f"{RUN}/sweep.json"),
        lib=[
            *LIB_TABLES,
            *expand(
                "workflow/scripts/posegauge/{name}.py",
                name=["findings", "accuracy_findings", "cause_findings"],
            ),
        ],
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
        **{f"{TABLE}_md": f"{RUN}/tables/{TABLE}.md" for TABLE in TABLES},
        **{f"{FIGURE}_picture": with_trained_weights(f"{RUN}/figures/{FIGURE}.png") for FIGURE in FIGURES},
        latency_picture=rules.plot_latency.output.figure,
        peers_picture=rules.plot_peers.output.figure,
        batches_md=rules.show_batches.output.md,
        batches_picture=rules.show_batches.output.figure,
        latency=benchmark_files(),
        parity=parity_files(),
        peers=rules.measure_peers.output.peers,
        robustness=with_trained_weights(*condition_files()),
        replicates=with_trained_weights(*replicate_files()),
        sweep=with_trained_weights(f"{RUN}/sweep.json"),
        findings=rules.write_findings.output.findings,
        conditions_picture=with_trained_weights(rules.draw_grids.output.conditions),
        images_picture=with_trained_weights(rules.draw_grids.output.images),
        corruptions_picture=with_trained_weights(rules.draw_corruptions.output.corruptions),
        published="config/published_t4.yaml",
        lib=[
            *LIB_TABLES,
            *expand(
                "workflow/scripts/posegauge/{name}.py",
                name=["readme", "readme_parts", "timing_readme", "pipeline", "protocol"],
            ),
        ],
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
        pipeline=config["pipeline"],
        readme=config["readme"],
        # The published numbers are of COCO val2017: beside those of other data they would mislead.
        beside_published=DATASET["kind"] == "coco",
        timing_only=bool(RANDOM_ROLES),
        command=COMMAND,
    message:
        "Write {output.readme}"
    script:
        "../scripts/write_readme.py"
