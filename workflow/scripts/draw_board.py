"""Set finished runs on the board: tables, figures, findings, and the page of them all."""

from pathlib import Path

from posegauge import logs
from posegauge.compare import (
    board,
    board_figure,
    board_findings,
    board_report,
    changes,
    history,
    published,
    published_pairs,
)
from posegauge.store.files import atomic_path, sha256_file, write_json, write_text

log = logs.start(snakemake.log[0])
settings, made = snakemake.params.board, snakemake.output
runs, rows, pairs = board.read(snakemake.params.folders, snakemake.input.pairs, settings)
told = []
if settings["published"]:
    told = published_pairs.rows(pairs, published.read_published(snakemake.input.study))
worth, past = changes.changes(rows), history.table(rows)
for path, table in ((made.rows, board.table(rows)), (made.changes, worth), (made.history, past)):
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)
notice = " ".join(dict.fromkeys(filter(None, (run.record["notice"] for run in runs)))) or None
board_figure.plot(rows, told, settings, made.figure, notice)
history.plot(rows, made.past)
findings = board_findings.findings(rows, worth, settings)
write_json(made.findings, findings)
text = board_report.markdown_page(rows, worth, findings, told, settings, past, notice)
write_text(made.md, text)
folder = Path(made.json).parent
pictures = {path.relative_to(folder).as_posix(): path for path in map(Path, (made.figure, made.past))}
write_text(made.html, board_report.html_page(text, pictures))
files = [made.md, made.html, made.findings, made.rows, made.changes, made.history, made.figure, made.past]
hashes = {Path(path).relative_to(folder).as_posix(): sha256_file(path) for path in files}
write_json(made.json, board_report.record(runs, settings, notice, hashes), "board.schema.yaml")
log.info("%s: %d rows of %d runs", made.md, len(rows), len(runs))
