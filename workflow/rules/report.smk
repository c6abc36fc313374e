"""Close the run: its record, with the sha256 of every result file, and the pages of the HTML report.

Needs   everything else of the run
Makes   results/<run>/run.json: config, machine, revision, files; results/<run>/report/*.html, which
        snakemake --report shows beside the figures (make report)
"""


rule write_run:
    input:
        **records_of(*RECORD_KINDS),
        predictions=with_trained_weights(*prediction_files()),
        records=with_trained_weights(
            *expand(f"{RUN}/predictions/{{condition}}/record.json", condition=CHOSEN)
        ),
        boxes=with_trained_weights(f"{RUN}/predictions/clean/boxes.json"),
        other=[*prediction_outputs("clean", predictions_of("other_images")).values()] if ALL_IMAGES else [],
        networks=expand(f"{RUN}/models/{{role}}.onnx", role=ROLES),
        models=expand(f"{RUN}/models/{{role}}.json", role=ROLES),
        converted=converted_files(),
        tables=rules.make_tables.output,
        findings=rules.write_findings.output,
        readme=rules.write_readme.output,
        person_images=person_images_file(),
    output:
        run=f"{RUN}/run.json",
    log:
        f"{RUN}/logs/write_run.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    params:
        code=code("write_run"),
        config=SCRIPT_CONFIG,
        overrides=OVERRIDES,
        command=COMMAND,
    message:
        "Write {output.run}"
    script:
        "../scripts/write_run.py"


rule write_report_pages:
    input:
        **{f"{PAGE.table}_md": f"{RUN}/tables/{PAGE.table}.md" for PAGE in TABLE_PAGES},
        findings=f"{RUN}/findings.json",
        run=f"{RUN}/run.json",
    output:
        **{
            PAGE.table: report(
                f"{RUN}/report/{PAGE.table}.html",
                caption=f"../../report/captions/{PAGE.table}.rst",
                category=PAGE.category,
                labels={"what": PAGE.table_title, "as": "table"},
            )
            for PAGE in TABLE_PAGES
        },
        findings=report(
            f"{RUN}/report/findings.html",
            caption="../../report/captions/findings.rst",
            category="Findings",
            labels={"what": "Key findings", "as": "text"},
        ),
        provenance=report(
            f"{RUN}/report/provenance.html",
            caption="../../report/captions/provenance.rst",
            category="Machine and versions",
            labels={"what": "What the run was made with", "as": "text"},
        ),
    log:
        f"{RUN}/logs/write_report_pages.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    params:
        **SHOWN,
        code=code("write_report_pages"),
        tables=[PAGE.table for PAGE in TABLE_PAGES],
    message:
        "Write the pages of the report"
    script:
        "../scripts/write_report_pages.py"
