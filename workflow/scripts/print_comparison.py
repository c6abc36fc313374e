"""Print the verdict of a comparison to the terminal."""

from posebench import compare_report, logs
from posebench.results import read_json

logs.start(snakemake.log[0])
print(f"\n{compare_report.summary(read_json(snakemake.input.json))}\n  see {snakemake.input.md}\n")
