"""Print what the board says to the terminal."""

from posegauge import logs
from posegauge.compare import board_findings
from posegauge.store.files import read_json

logs.start(snakemake.log[0])
logs.say(f"{board_findings.summary(read_json(snakemake.input.findings))}\n  see {snakemake.input.md}")
