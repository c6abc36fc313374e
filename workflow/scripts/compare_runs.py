"""Compare two runs: as JSON, CSV, Markdown and a figure, with the verdict inside."""

from posebench import compare, compare_report, logs
from posebench.results import atomic_path, write_json, write_text

log = logs.start(snakemake.log[0])
runs = [compare.read_run(path) for path in snakemake.params.folders]
comparison = compare.compare(*runs)
write_json(snakemake.output.json, comparison, "compare.schema.yaml")
with atomic_path(snakemake.output.csv) as temporary:
    compare_report.table(comparison).to_csv(temporary, index=False)
write_text(snakemake.output.md, compare_report.report(comparison))
compare_report.plot(comparison, snakemake.output.png)
log.info("%s: %s", snakemake.output.md, comparison["verdict"])
