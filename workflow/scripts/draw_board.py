"""Set finished runs on the board: tables, figures, findings, and the page of them all."""

from pathlib import Path

from posegauge import logs
from posegauge.compare import board_report
from posegauge.compare.published import read_published

log = logs.start(snakemake.log[0])
folder = Path(snakemake.output.json).parent
study = read_published(snakemake.input.study)
given = snakemake.params
board_report.write(folder, given.folders, snakemake.input.pairs, study, given.board)
log.info("%s: %d runs", folder / "board.md", len(given.folders))
