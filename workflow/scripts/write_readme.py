"""Write the results as one Markdown page."""

from pathlib import Path

from posegauge import logs
from posegauge.compare.published import external_check, published_markdown, read_published
from posegauge.report import latency, pages, protocols, readme
from posegauge.report.records import Run
from posegauge.store.files import read_json, write_text

log = logs.start(snakemake.log[0])
given, params = snakemake.input, snakemake.params
run = Run({kind: given[kind] for kind in params.kinds})
shown = pages.shown(params.kinds)
tables = {page.table: Path(given[f"{page.table}_md"]).read_text("utf-8") for page in shown if page.table}
names = [*(page.figure for page in shown if page.figure), *(pages.GRIDS if params.scored else ())]
links = readme.relative_links({name: given[f"{name}_picture"] for name in names}, snakemake.output.readme)
facts = readme.make_facts(
    [*run.latency, *run.scores, *run.parity], params.dataset, params.seed, params.command
)
if params.scored:
    facts |= readme.throughput_fact(run.throughput)
else:
    facts |= readme.detector_fact(run.latency, params.pipeline["score_thr"])
published = None
if params.beside_published:
    facts_of_others = read_published(given.published)
    published = published_markdown(
        facts_of_others, latency.table(run), protocols.table(run) if params.scored else None
    )
    check = external_check(facts_of_others, run, params.pose_checkpoint, params.pipeline["flip_test"])
    published = "\n\n".join(filter(None, [check, published]))
section = readme.section(
    shown, tables, read_json(given.findings), links, facts, params.pipeline, params.notice, published
)
write_text(snakemake.output.readme, f"# {params.title}\n\n{section}")
log.info("%s written", snakemake.output.readme)
