"""Print the verdict of a comparison to the terminal."""

from posegauge import logs
from posegauge.compare import report
from posegauge.store.files import read_json

logs.start(snakemake.log[0])
logs.say(f"{report.summary(read_json(snakemake.input.json))}\n  see {snakemake.input.md}")
