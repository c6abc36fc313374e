"""Put the results into words: tables, key findings, and the run's page.

Needs   the records of the run, its figures and grids
Makes   results/<run>/tables/, findings.json, readme.md
"""


rule make_tables:
    input:
        **records_of(*TABLE_KINDS),
    output:
        **{
            f"{PAGE.table}_csv": report(
                f"{RUN}/tables/{PAGE.table}.csv",
                caption=f"../../report/captions/{PAGE.table}.rst",
                category=PAGE.category,
                labels={"what": PAGE.table_title, "as": "CSV to download"},
            )
            for PAGE in TABLE_PAGES
        },
        **{f"{PAGE.table}_md": f"{RUN}/tables/{PAGE.table}.md" for PAGE in TABLE_PAGES},
    log:
        f"{RUN}/logs/make_tables.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    params:
        **SHOWN,
        code=table_code(),
        kinds=TABLE_KINDS,
        tables=[PAGE.table for PAGE in TABLE_PAGES],
    message:
        "Make the tables"
    script:
        "../scripts/make_tables.py"


rule write_findings:
    input:
        **records_of(*RECORD_KINDS),
    output:
        findings=f"{RUN}/findings.json",
    log:
        f"{RUN}/logs/write_findings.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    params:
        code=code("write_findings"),
        kinds=RECORD_KINDS,
    message:
        "Write the key findings"
    script:
        "../scripts/write_findings.py"


rule write_readme:
    input:
        **records_of(*RECORD_KINDS),
        **{f"{PAGE.table}_md": f"{RUN}/tables/{PAGE.table}.md" for PAGE in TABLE_PAGES},
        **{f"{NAME}_picture": PATH for NAME, PATH in picture_files().items()},
        findings=f"{RUN}/findings.json",
        published=own("config/published_t4.yaml"),
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
        code=code("write_readme"),
        kinds=RECORD_KINDS,
        scored=not RANDOM_ROLES,
        dataset=DATASET["title"],
        seed=config["seed"],
        pipeline=chosen(*PIPELINE_KEYS)["pipeline"],
        # The published numbers are of COCO val2017: beside those of other data they would mislead.
        beside_published=DATASET["kind"] == "coco",
        pose_checkpoint=config["models"]["pose"]["checkpoint"],
        command=COMMAND,
    message:
        "Write {output.readme}"
    script:
        "../scripts/write_readme.py"
