"""Write the results as one Markdown file, and into the README between its markers when the config says so."""

from pathlib import Path

from posegauge import logs
from posegauge.compare import published
from posegauge.report import protocols, readme, records, timing_readme
from posegauge.report.latency import benchmark_table
from posegauge.store.files import read_json, write_text

log = logs.start(snakemake.log[0])
given, params = snakemake.input, snakemake.params
latency, parity = records.read_latency(given.latency), records.read_parity(given.parity)
scores = records.read_scores(given.robustness)
numbers = published.read_published(given.published)
# With random weights there is neither a score nor a picture of persons.
shape = timing_readme if params.timing_only else readme
pictures = {name: str(given[f"{name}_picture"]) for name in shape.PICTURES}
pages = {name: given[f"{name}_md"] for name in shape.TABLES}
facts = readme.make_facts([*latency, *scores, *parity], params.dataset, params.seed, params.command)
parts = {
    "tables": {name: Path(page).read_text(encoding="utf-8") for name, page in pages.items()},
    "findings": read_json(given.findings),
    "notice": params.notice,
}
if params.timing_only:
    parts["facts"] = facts | timing_readme.detector_fact(latency, params.pipeline["score_thr"])
else:
    beside = (benchmark_table(latency, parity), protocols.protocols_table(scores))
    parts |= {
        "facts": facts | readme.sweep_fact(str(given.sweep)),
        "pipeline": params.pipeline,
        "published": published.published_markdown(numbers, *beside) if params.beside_published else None,
    }

if params.readme:
    file, block = params.readme["file"], params.readme["block"]
    readme.check_markers(file, block)  # before the pictures are copied
    links = readme.copy_pictures(pictures, file, block)
    changed = readme.update(
        file, block, shape.section(**parts, links=links), published.published_markdown(numbers)
    )
    log.info("%s: block '%s' %s", file, block, "written" if changed else "was up to date")

links = readme.relative_links(pictures, snakemake.output.readme)
section = shape.section(**parts, links=links, level=2)
write_text(snakemake.output.readme, f"# {params.title}\n\n{section}")
log.info("%s written", snakemake.output.readme)
