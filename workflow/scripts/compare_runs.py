"""Compare two runs: as JSON, CSV, Markdown and a figure, with the verdict inside."""

from posegauge import logs
from posegauge.compare import compare, report
from posegauge.store.files import atomic_path, write_json, write_text

log = logs.start(snakemake.log[0])
runs = [compare.read_run(path) for path in snakemake.params.folders]
comparison = compare.compare(*runs)
write_json(snakemake.output.json, comparison, "compare.schema.yaml")
with atomic_path(snakemake.output.csv) as temporary:
    report.table(comparison).to_csv(temporary, index=False)
write_text(snakemake.output.md, report.report(comparison))
report.plot(comparison, snakemake.output.png)
log.info("%s: %s", snakemake.output.md, comparison["verdict"])
