"""The published study as a folder like that of a run, so that any run can be set beside it.

It has no raw samples and no accuracy, and its protocol has known faults. Every file says kind and status
"published", which no reader of measured results accepts.
"""

from pathlib import Path

import pandas as pd
import yaml

from posegauge.errors import PoseGaugeError
from posegauge.report.latency import speedup_text
from posegauge.report.markdown import DASH, cell, markdown, percent
from posegauge.report.records import clean_record
from posegauge.store.files import read_record
from posegauge.store.runs import PUBLISHED
from posegauge.study import BENCHMARKS, PIPELINE_TITLES, STUDY_CONDITIONS

SCHEMA = "published.schema.yaml"


def _record(of: str, **values) -> dict:
    head = {"schema_version": 1, "kind": "published", "status": "published", "run": PUBLISHED, "of": of}
    return {**head, **values}


def make_records(published: dict) -> dict[str, dict]:
    """Return the files of the published run by path inside its folder, without run.json.

    published: config/published_t4.yaml as read by published.read_published.
    """
    files = {}
    for name, row in published["benchmark"].items():
        benchmark = BENCHMARKS[name]
        files[f"latency/{name}.json"] = _record(
            "latency",
            benchmark=name,
            title=benchmark.title,
            pipeline=PIPELINE_TITLES[benchmark.pipeline],
            latency_ms_mean=row["latency_ms_mean"],
            latency_ms_p95=row["p95"],
            latency_ms_p99=row["p99"],
            fps=row["fps"],
            speedup=row["speedup"],
            fault=row["fault"],
        )
    for name, row in published["robustness"].items():
        files[f"robustness/{name}.json"] = _record(
            "robustness",
            condition=name,
            title=STUDY_CONDITIONS[name].title,
            suite="study",
            protocol="original",
            images=published["images"],
            **{key: row[key] for key in ("images_detected", "detection_rate", "mean_confidence", "fps")},
            fault=row["fault"],
        )
    return files


def make_run_record(published: dict, hashes: dict[str, str]) -> dict:
    """Return run.json of the published run; hashes: sha256 of its files by path inside its folder."""
    known = {key: published[key] for key in ("source", "machine", "runs", "images", "faults")}
    return _record("run", **known, files=hashes)


def is_published(record) -> bool:
    """Return whether a record (run.json, say) is of the published run."""
    return isinstance(record, dict) and record.get("kind") == "published"


def read(path, of: str) -> dict:
    """Read one file of the published run; PoseGaugeError when it is not one, or not about `of`."""
    hint = "make it again: make_published_run"
    record = read_record(path, SCHEMA, hint)
    if record["of"] != of:
        raise PoseGaugeError(f"{path}: is of {record['of']}, expected {of}; {hint}")
    return record


# ---------------------------------------------------------------------------------- the published numbers


def read_published(path) -> dict:
    """Read config/published_t4.yaml; PoseGaugeError names a row that is not in the study."""
    published = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    for kind, registry in (("benchmark", BENCHMARKS), ("robustness", STUDY_CONDITIONS)):
        unknown = set(published[kind]) - set(registry)
        if unknown:
            raise PoseGaugeError(f"{path}: {kind}: not rows of the study: {', '.join(sorted(unknown))}")
    return published


def external_check(published: dict, run, checkpoint: str | None, flip_test: bool) -> str | None:
    """Return the AP that is published for the run's pose checkpoint beside the run's own; None without one.

    published: as read by read_published. run: records.Run. checkpoint: path of the pose network's, if any.
    flip_test: whether the run mirrors.
    """
    fact = published["checkpoints"].get(Path(checkpoint).name) if checkpoint else None
    clean = clean_record(run.scores)
    if fact is None or clean is None:
        return None
    ap, box_ap = (clean["scores"]["detected"][name]["value"] for name in ("ap", "box_ap"))
    ours = f"AP {cell(ap, 3)} over the {clean['images']:,} images with persons"
    if run.all_images:
        whole = run.all_images["scores"]["ap"]["all"]["value"]
        ours += f" and {cell(whole, 3)} over all {run.all_images['images']:,} images"
    else:
        ours += ", a little above that over all images (dataset.score_images: all gives both)"
    theirs, here = ("with" if mirrored else "without" for mirrored in (fact["flip_test"], flip_test))
    return (
        f"External check: for the pose network's checkpoint its authors publish AP {fact['ap']:.3f} "
        f"({theirs} flip test, in boxes of a detector with person AP {fact['person_box_ap']:.3f}, over all "
        f"{fact['images']:,} images of COCO val2017; {fact['source']}; not measured here). This run, {here} "
        f"flip test, in boxes with person AP {cell(box_ap, 3)}: {ours}."
    )


def published_markdown(
    published: dict, benchmark: pd.DataFrame | None = None, protocols: pd.DataFrame | None = None
) -> str:
    """Return the published numbers with what is wrong with each; with the two tables, beside this run's.

    published: as read by read_published. benchmark: latency.benchmark_table. protocols:
    protocols.protocols_table.
    """
    parts = [
        f"Source: {published['source']}. Measured there on: {published['machine']}; {published['runs']}; "
        f"{published['images']:,} images. None of the published values was measured by this workflow."
    ]
    ours = {"This run": _by_name(benchmark, "benchmark", _our_latency)}
    parts += _published_table(published, "benchmark", BENCHMARKS, _published_latency, ours)
    ours = {
        "Study's protocol here": _by_name(protocols, "condition", _our_study),
        "Corrected here": _by_name(protocols, "condition", _our_corrected),
    }
    parts += _published_table(published, "robustness", STUDY_CONDITIONS, _published_scores, ours)
    return "\n\n".join(parts) + "\n"


def _published_table(
    published: dict, kind: str, registry: dict, told, ours: dict[str, dict | None]
) -> list[str]:
    """Return [table, what holds for all rows]; ours: by heading the texts by row, None: no such column."""
    ours = {heading: texts for heading, texts in ours.items() if texts is not None}
    columns = ["Published row", "Published value", *ours, "What is wrong with it"]
    rows = []
    for name, entry in registry.items():
        row = published[kind].get(name)
        if row:
            values = [told(row, published["images"]), *(texts.get(name, DASH) for texts in ours.values())]
            rows.append(dict(zip(columns, [entry.title, *values, cell(row["fault"])], strict=True)))
    return [
        markdown(rows, dict.fromkeys(columns, "left")),
        f"In all rows: {' '.join(published['faults'][kind])}",
    ]


def _by_name(table: pd.DataFrame | None, key: str, told) -> dict[str, str] | None:
    return None if table is None else {row[key]: told(row) for row in table.to_dict("records")}


def _published_latency(row: dict, _images: int) -> str:
    return f"{row['latency_ms_mean']:.2f} ms, {row['fps']:.2f} FPS, {row['speedup']:.2f}×"


def _published_scores(row: dict, images: int) -> str:
    rate = f"{percent(row['detection_rate'])} ({row['images_detected']} / {images})"
    return f"{rate}, confidence {row['mean_confidence']:.3f}, {row['fps']:.2f} FPS"


def _our_latency(row: dict) -> str:
    if row["status"] != "ok":
        return f"*{row['status']}: {cell(row['reason'])}*"
    return f"{row['latency_ms_mean']:.2f} ms, {row['fps']:.2f} FPS, {speedup_text(row)}"


def _our_study(row: dict) -> str:
    return f"{_our_scores(row, 'original')}, fall-back images {row['fallback_images']}"


def _our_corrected(row: dict) -> str:
    return _our_scores(row, "corrected")


def _our_scores(row: dict, protocol: str) -> str:
    confidence, ap = (cell(row[f"{protocol}_{name}"], 3) for name in ("mean_confidence", "ap"))
    return f"{percent(row[f'{protocol}_detection_rate'])}, confidence {confidence}, AP {ap}"
