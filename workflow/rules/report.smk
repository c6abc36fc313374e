"""Write what the HTML report shows besides pictures: make report, or snakemake --report report.zip.

Needs   the tables, the findings and run.json
Makes   results/<run>/report/*.html, pages that hold all they need; the report shows these, of CSV it has the file
"""


rule write_report_pages:
    input:
        **{f"{TABLE}_md": f"{RUN}/tables/{TABLE}.md" for TABLE in TABLES},
        findings=f"{RUN}/findings.json",
        run=f"{RUN}/run.json",
        lib=expand(
            "workflow/scripts/posebench/{name}.py", name=["report_pages", "tables", "hardware", "results"]
        ),
    output:
        **{
            TABLE: report(
                f"{RUN}/report/{TABLE}.html",
                caption=f"../../report/captions/{TABLE}.rst",
                category=CATEGORY,
                labels={"what": TABLE_TITLES[TABLE], "as": "table"},
            )
            for TABLE, CATEGORY in TABLES.items()
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
        tables={TABLE: TABLE_TITLES[TABLE] for TABLE in TABLES},
    message:
        "Write the pages of the report"
    script:
        "../scripts/write_report_pages.py"
