"""The README's generated blocks: the study's rows beside a run's, its picture grid and findings.

The whole page of a run is docs/results/<run>.md; see workflow/publish.py, which writes both.
"""

from posegauge.report import latency as latency_page
from posegauge.report import protocols as protocols_page
from posegauge.report import readme, robustness
from posegauge.report.closing import headline
from posegauge.report.markdown import DASH, cell, machines, markdown, number, percent, spread
from posegauge.report.pages import GRIDS
from posegauge.report.records import Run
from posegauge.study import STUDY_BENCHMARKS, STUDY_CONDITIONS

# The blocks, each made from the run that its marker names.
BLOCKS = ("grid", "latency", "gpu", "robustness", "findings")


def block(
    name: str, run: Run, about: dict, findings: list[dict], published: dict, page: str, grid: str
) -> str:
    """Return one of BLOCKS as Markdown.

    about: run.json. findings: those of the run. published: of published.read_published. page, grid: links to
    the run's whole page and to its grid of the nine conditions.
    """
    parts = {
        "grid": lambda: [f"[![{GRIDS['conditions'].alt}]({grid})]({page})"],
        "latency": lambda: [latency_table(run, published), _latency_notes(run, published)],
        "gpu": lambda: [gpu_table(run, published), _latency_notes(run, published)],
        "robustness": lambda: [robustness_table(run, published), _robustness_notes(run, about, published)],
        "findings": lambda: [readme.bullets(cell(finding["text"]) for finding in headline(findings))],
    }[name]()
    return "\n\n".join(filter(None, [*parts, _source(run, about, page)])) + "\n"


def latency_table(run: Run, published: dict) -> str:
    """Return the study's ten rows: what was published, and this run."""
    table = latency_page.table(run)
    ours = {row["benchmark"]: row for row in table.to_dict("records")}
    columns = {
        "Configuration": "left",
        "Pipeline": "left",
        "Published (ms)": "right",
        "Published speed-up": "right",
    }
    columns |= {"Here (ms)": "right", "P95 (ms)": "right", "FPS": "right", "Speed-up": "left"}
    rows = []
    for name, benchmark in STUDY_BENCHMARKS.items():
        theirs, row = published["benchmark"].get(name), ours.get(name)
        shown = {
            "Configuration": benchmark.title,
            "Pipeline": "detect+pose" if benchmark.pipeline == "full" else "pose",
        }
        if theirs:
            shown["Published (ms)"] = f"{theirs['latency_ms_mean']:.2f}"
            shown["Published speed-up"] = f"{theirs['speedup']:.2f}×"
        if row and row["status"] == "ok":
            shown |= {
                "Here (ms)": cell(row["latency_ms_mean"]),
                "P95 (ms)": cell(row["latency_ms_p95"]),
                "FPS": cell(row["fps"]),
                "Speed-up": latency_page.speedup_text(row),
            }
        elif row:
            shown["Speed-up"] = f"{row['status']} ¹"
        rows.append(shown)
    return markdown(rows, columns)


def gpu_table(run: Run, published: dict) -> str:
    """Return the rows of a run that ran on a GPU: what was published, and this run."""
    columns = {"Configuration": "left", "Pipeline": "left", "Published (ms)": "right", "P50 (ms)": "right"}
    columns |= {"P95 (ms)": "right", "FPS": "right", "Speed-up": "left"}
    rows = []
    for row in latency_page.table(run).to_dict("records"):
        if row["status"] != "ok" or row["device"] != "cuda":
            continue
        theirs = published["benchmark"].get(row["benchmark"])
        rows.append(
            {
                "Configuration": row["title"],
                "Pipeline": row["pipeline"],
                "Published (ms)": f"{theirs['latency_ms_mean']:.2f}" if theirs else DASH,
                "P50 (ms)": cell(row["latency_ms_p50"]),
                "P95 (ms)": cell(row["latency_ms_p95"]),
                "FPS": cell(row["fps"]),
                "Speed-up": latency_page.speedup_text(row),
            }
        )
    return markdown(rows, columns)


def _latency_notes(run: Run, published: dict) -> str:
    reasons = dict.fromkeys(
        record["reason"]
        for record in run.latency
        if record["status"] != "ok" and record["benchmark"] in STUDY_BENCHMARKS
    )
    notes = [
        f"Published: {published['machine']}. Its speed-ups compare unlike work ([why](docs/published.md)).",
        latency_page.measured_text(run.latency) + ".",
    ]
    return " ".join([*notes, *([f"¹ {'; '.join(map(cell, reasons))}."] if reasons else [])])


def robustness_table(run: Run, published: dict) -> str:
    """Return the study's nine conditions: the published detection rate, and this run's scores."""
    both = {row["condition"]: row for row in protocols_page.table(run).to_dict("records")}
    scores = {row["condition"]: row for row in robustness.table(run).to_dict("records")}
    columns = {"Condition": "left", "Published rate": "right", "Study's protocol here": "right"}
    columns |= dict.fromkeys(("Corrected here", "AP", "AP change"), "right")
    rows = []
    for name, condition in STUDY_CONDITIONS.items():
        shown = {"Condition": condition.title}
        if theirs := published["robustness"].get(name):
            shown["Published rate"] = percent(theirs["detection_rate"])
        if row := both.get(name):
            score = scores[name]
            shown |= {
                "Study's protocol here": percent(row["original_detection_rate"]),
                "Corrected here": percent(row["corrected_detection_rate"]),
                "AP": number(score["ap"]),
                "AP change": DASH if name == "clean" else spread(score, "ap_change", signed=True),
            }
        rows.append(shown)
    return markdown(rows, columns)


def _robustness_notes(run: Run, about: dict, published: dict) -> str:
    return (
        f"Published: {published['images']:,} images of COCO val2017, RTMDet-m + RTMPose-m; here: "
        f"{run.scores[0]['images']} images with persons, {_models(about)}. Rate: images with a detected "
        "person. The study's protocol takes the whole image for a person where none was found; the "
        "corrected one does not. AP: COCO keypoints; its change against clean images with a 95 % interval."
    )


def _models(about: dict) -> str:
    """Return 'RTMDet-m + RTMPose-m'."""
    models = about["config"]["models"]
    return f"{models['detector']['name']} + {models['pose']['name']}"


def _source(run: Run, about: dict, page: str) -> str:
    """Return on which data and machine, when and from which revision a block was made, with the notice."""
    sources = [record["provenance"] for record in [*run.latency, *run.scores]]
    # Of the measurements: run.json is written again when but a table is.
    revisions = [source.get("git_revision") for source in sources]
    revisions = dict.fromkeys(filter(None, revisions)) or dict.fromkeys(filter(None, [about["git_revision"]]))
    told = [
        f"{_models(about)} on {about['config']['dataset']['title']}",
        "; ".join(machines(run.latency)) or "machine not recorded",
        readme.when(sources),
        f"revision {', '.join(map(readme.short_revision, revisions))}" if revisions else "",
        f"[every table and figure]({page})",
    ]
    notice = f" {about['notice']}" if about["notice"] else ""
    return f"*{' · '.join(filter(None, told))}.{notice}*"
