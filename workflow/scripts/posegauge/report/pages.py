"""What a run shows: the one list that rules, tables, figures, README and HTML report all read.

A subject is a module of this package with up to three functions: table(run) -> DataFrame; text(table, run,
title, notice) -> Markdown; plot(run, path, title, notice) -> PNG. `run` is records.Run. Modules are named,
not imported, so that the workflow can read this list to plan its jobs.
"""

import importlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    """One subject: where its table and its figure stand, and what they are called."""

    module: str  # of this package
    category: str  # in the HTML report
    table: str | None = None  # tables/<table>.{csv,md}
    table_title: str = ""  # in the HTML report
    figure: str | None = None  # figures/<figure>.png
    figure_title: str = ""  # in the HTML report
    alt: str = ""  # of the figure in Markdown
    heading: str | None = None  # of the section in the Markdown page; None: in the section before
    folded: str | None = None  # in the Markdown page the table is shown at a click on these words
    findings: tuple[str, ...] = ()  # told in this section; all others are key findings
    reads: tuple[str, ...] = ("scores",)  # records.Run's properties that table and text use
    drawn_from: tuple[str, ...] = ("scores",)  # and those that the figure uses

    @property
    def scored(self) -> bool:
        """Whether it shows scores, which networks with random weights do not have."""
        return "scores" in self.reads


@dataclass(frozen=True)
class Grid:
    """One picture grid, grids/<name>.jpg: what it is called in the HTML report and in the Markdown page."""

    name: str
    title: str  # in the HTML report
    alt: str  # in Markdown
    folded: str | None = None  # in the Markdown page it is shown at a click on these words


PAGES = (
    Page(
        "latency", "Latency", "benchmark", "Latency of every benchmark row", "latency",
        "Latency of every timed run",
        "Latency of every benchmark row: all samples, median and 95th percentile",
        heading="Latency", reads=("latency", "parity", "roofline"), drawn_from=("latency", "parity"),
    ),
    Page(
        "machine", "Latency", "machine", "What the latency rows were measured under",
        folded="What the rows were measured under", reads=("latency", "parity", "roofline"),
    ),
    Page(
        "energy", "Latency", "energy", "Joules per frame of every latency row",
        heading="Energy", findings=("energy",), reads=("latency", "parity"),
    ),
    Page(
        "cameras", "Latency", "cameras", "How many cameras each runtime serves", "cameras",
        "How many cameras each runtime serves",
        "P95 from a frame's arrival to its persons, by number of cameras, beside the time of one frame",
        heading="Cameras", findings=("cameras",), reads=("cameras", "parity"),
        drawn_from=("cameras", "parity"),
    ),
    Page(
        "peers", "Latency", "peers", "The pipeline beside other programs", "peers",
        "Time beside other programs",
        "Time of other programs against posegauge's, by number of persons, with 95 % intervals",
        heading="Beside other programs", reads=("peers",), drawn_from=("peers",),
    ),
    Page(
        "batches", "Latency", "batches", "Speed by persons and by batch", "batches",
        "Speed by persons and by batch",
        "Images per second by persons in an image, and by images in a batch, with 95 % intervals",
        heading="Persons and batches", folded="Every point of it", reads=("batches", "parity"),
        drawn_from=("batches", "parity"),
    ),
    Page(
        "detect_every", "Latency", "detect_every", "The detector on every n-th frame", "detect_every",
        "The detector on every n-th frame",
        "Milliseconds per frame and keypoint AP by how often the detector runs, with 95 % intervals",
        heading="The detector on every n-th frame", reads=("detect_every",), drawn_from=("detect_every",),
    ),
    Page(
        "protocols", "Robustness", "protocols", "The study's protocol and the corrected one",
        heading="Two protocols", findings=("protocols",),
    ),
    Page(
        "robustness", "Robustness", "robustness", "Scores by image condition", "robustness",
        "Detection rate and AP by condition",
        "Detection rate, keypoint AP and mean confidence by image condition, with 95 % intervals",
        heading="Robustness",
    ),
    Page(
        "accuracy", "Robustness", "accuracy", "Every score by box source",
        folded="Every score of every condition",
    ),
    Page(
        "all_images", "Robustness", "all_images", "AP over all images",
        heading="Over all images", reads=("scores", "all_images"),
    ),
    Page(
        "loss", "Robustness", "loss", "Where the loss of AP comes from", "loss",
        "Where the loss of AP comes from",
        "Keypoint AP by image condition, and what of it the detector and the pose network lost",
        heading="Where the loss comes from", folded="The loss of every condition in numbers",
        findings=("loss_study", "loss_coco_c", "accuracy_bottleneck"),
    ),
    Page(
        "coco_c", "Robustness", "suites", "Robustness over the suites of corruptions", "coco_c",
        "AP under COCO-C's corruptions", "Keypoint AP by corruption and severity of COCO-C",
        heading="COCO-C", findings=("coco_c", "mpc"),
    ),
    Page(
        "calibration", "Robustness", figure="calibration", figure_title="What a keypoint score is worth",
        alt="Mean similarity to the annotations by keypoint score, one panel per image condition",
        heading="Calibration", findings=("calibration", "confidence"),
    ),
    Page(
        "parity", "Latency", "parity", "Every artifact against its source", heading="Parity",
        reads=("parity",),
    ),
)  # fmt: skip
GRIDS = {
    grid.name: grid
    for grid in (
        Grid(
            "conditions", "One scene in every condition",
            "One scene in every image condition, with the persons found",
        ),
        Grid(
            "images", "More images in every condition",
            "More images in every image condition, with the persons found",
            "More images in every condition",
        ),
        Grid(
            "corruptions", "One scene in every corruption of COCO-C",
            "One scene in every corruption and severity of COCO-C", "The corruptions of COCO-C",
        ),
    )
}  # fmt: skip
TABLES = {page.table: page for page in PAGES if page.table}
FIGURES = {page.figure: page for page in PAGES if page.figure}


def shown(kinds) -> list[Page]:
    """Return the pages of a run that has the records `kinds`: those that read no other.

    Networks with random weights have no scores, most runs no film and no images without persons.
    """
    return [page for page in PAGES if set(page.reads) <= set(kinds)]


def load(page: Page, function: str):
    """Return a function of the page's module: "table", "text" or "plot"."""
    return getattr(importlib.import_module(f"{__package__}.{page.module}"), function)
