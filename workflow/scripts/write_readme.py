"""Write the results as one Markdown file, and into the README between its markers when the config says so."""

from pathlib import Path

from posebench import logs, readme, tables
from posebench.results import read_json, write_text

log = logs.start(snakemake.log[0])
given, params = snakemake.input, snakemake.params
latency = tables.read_latency(given.latency)
robustness = tables.read_robustness(given.robustness)
numbers = readme.read_published(given.published)
beside = (tables.benchmark_table(latency), tables.robustness_table(robustness))
pictures = {
    "latency": given.latency_figure,
    "robustness": given.robustness_figure,
    "conditions": given.condition_grid,
    "images": given.image_grid,
}
parts = {
    "tables": {
        "benchmark": Path(given.benchmark_md).read_text(encoding="utf-8"),
        "robustness": Path(given.robustness_md).read_text(encoding="utf-8"),
    },
    "findings": read_json(given.findings),
    "facts": readme.make_facts([*latency, *robustness], params.dataset, params.seed, params.command),
    "notice": params.notice,
    "published": readme.published_markdown(numbers, *beside) if params.beside_published else None,
}

if params.readme:
    file, block = params.readme["file"], params.readme["block"]
    readme.check_markers(file, block)  # before the pictures are copied
    links = readme.copy_pictures(pictures, file, block)
    changed = readme.update(
        file, block, readme.section(**parts, links=links), readme.published_markdown(numbers)
    )
    log.info("%s: block '%s' %s", file, block, "written" if changed else "was up to date")

links = readme.relative_links(pictures, snakemake.output.readme)
section = readme.section(**parts, links=links, level=2)
write_text(snakemake.output.readme, f"# {params.title}\n\n{section}")
log.info("%s written", snakemake.output.readme)
