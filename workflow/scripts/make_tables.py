"""Make all tables of the run, as CSV and Markdown."""

from posegauge import logs
from posegauge.report import pages
from posegauge.report.records import Run
from posegauge.store.files import atomic_path, write_text

log = logs.start(snakemake.log[0])
given, params = snakemake.input, snakemake.params
run = Run({kind: given[kind] for kind in params.kinds})
for name in params.tables:
    page = pages.TABLES[name]
    table = pages.load(page, "table")(run)
    with atomic_path(snakemake.output[f"{name}_csv"]) as temporary:
        table.to_csv(temporary, index=False)
    text = pages.load(page, "text")(table, run, params.title, params.notice)
    write_text(snakemake.output[f"{name}_md"], text)
    log.info("%s: %d rows", name, len(table))
