"""Write the pages of the HTML report: every table, the findings, and what the run was made with."""

from pathlib import Path

from posegauge import logs
from posegauge.report import pages
from posegauge.report.html import findings_text, page, provenance_text
from posegauge.store.files import read_json, write_text

log = logs.start(snakemake.log[0])
given, params = snakemake.input, snakemake.params
texts = {
    "findings": ("Findings", findings_text(read_json(given.findings))),
    "provenance": ("Machine, versions, files", provenance_text(read_json(given.run))),
}
for name in params.tables:
    texts[name] = (pages.TABLES[name].table_title, Path(given[f"{name}_md"]).read_text(encoding="utf-8"))
for name, (title, text) in texts.items():
    write_text(snakemake.output[name], page(title, text, params.notice))
    log.info("%s written", snakemake.output[name])
