"""Write the results as one Markdown file, and into the README between its markers when the config says so."""

from pathlib import Path

from posebench import accuracy_tables, logs, readme, tables
from posebench.results import read_json, write_text

log = logs.start(snakemake.log[0])
given, params = snakemake.input, snakemake.params
latency, parity = tables.read_latency(given.latency), tables.read_parity(given.parity)
scores = accuracy_tables.read_scores(given.robustness)
numbers = readme.read_published(given.published)
beside = (tables.benchmark_table(latency, parity), accuracy_tables.protocols_table(scores))
pictures = {
    "latency": given.latency_figure,
    "robustness": given.robustness_figure,
    "loss": given.loss_figure,
    "coco_c": given.coco_c_figure,
    "calibration": given.calibration_figure,
    "conditions": given.condition_grid,
    "images": given.image_grid,
    "corruptions": given.corruption_grid,
}
pages = {
    "benchmark": given.benchmark_md,
    "machine": given.machine_md,
    "robustness": given.robustness_md,
    "accuracy": given.accuracy_md,
    "protocols": given.protocols_md,
    "loss": given.loss_md,
    "suites": given.suites_md,
    "parity": given.parity_md,
}
facts = readme.make_facts([*latency, *scores, *parity], params.dataset, params.seed, params.command)
parts = {
    "tables": {name: Path(page).read_text(encoding="utf-8") for name, page in pages.items()},
    "findings": read_json(given.findings),
    "facts": facts | readme.sweep_fact(given.sweep),
    "pipeline": params.pipeline,
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
