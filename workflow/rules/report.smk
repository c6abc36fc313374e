"""Write what the HTML report shows besides pictures: make report, or snakemake --report report.zip.

Needs   the tables, the findings and run.json
Makes   results/<run>/report/*.html, pages that hold all they need; the report shows these, of CSV it has the file
"""

# Table -> category, and its heading; those of summary.smk and one that is made with its figure.
PAGES = {**TABLES, "batches": "Latency"}
PAGE_TITLES = {**TABLE_TITLES, "batches": "Speed by persons and by batch"}


rule write_report_pages:
    input:
        **{f"{TABLE}_md": f"{RUN}/tables/{TABLE}.md" for TABLE in PAGES},
        findings=f"{RUN}/findings.json",
        run=f"{RUN}/run.json",
        lib=expand(
            "workflow/scripts/posegauge/{name}.py", name=["report_pages", "tables", "hardware", "results"]
        ),
    output:
        **{
            TABLE: report(
                f"{RUN}/report/{TABLE}.html",
                caption=f"../../report/captions/{TABLE}.rst",
                category=CATEGORY,
                labels={"what": PAGE_TITLES[TABLE], "as": "table"},
            )
            for TABLE, CATEGORY in PAGES.items()
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
        tables={TABLE: PAGE_TITLES[TABLE] for TABLE in PAGES},
    message:
        "Write the pages of the report"
    script:
        "../scripts/write_report_pages.py"
