"""Draw one figure of the report."""

from posegauge import logs
from posegauge.report import pages
from posegauge.report.records import Run

log = logs.start(snakemake.log[0])
page, params = pages.FIGURES[snakemake.wildcards.figure], snakemake.params
run = Run({kind: snakemake.input[kind] for kind in page.drawn_from})
pages.load(page, "plot")(run, snakemake.output.figure, params.title, params.notice)
log.info("%s written", snakemake.output.figure)
