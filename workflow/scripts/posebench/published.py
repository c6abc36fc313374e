"""The published study as a folder like that of a run, so that any run can be set beside it.

It has no raw samples and no accuracy, and its protocol has known faults. Every file says kind and status
"published", which no reader of measured results accepts.
"""

import jsonschema

from posebench import results
from posebench.errors import PoseBenchError
from posebench.run_folders import PUBLISHED
from posebench.study import BENCHMARKS, PIPELINE_TITLES, STUDY_CONDITIONS

SCHEMA = "published.schema.yaml"


def _record(of: str, **values) -> dict:
    head = {"schema_version": 1, "kind": "published", "status": "published", "run": PUBLISHED, "of": of}
    return {**head, **values}


def make_records(published: dict) -> dict[str, dict]:
    """Return the files of the published run by path inside its folder, without run.json.

    published: config/published_t4.yaml as read by readme.read_published.
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
            protocol="study",
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
    """Read one file of the published run; PoseBenchError when it is not one, or not about `of`."""
    record = results.read_json(path)
    error = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(results.read_schema(SCHEMA)).iter_errors(record)
    )
    if error or record["of"] != of:
        fault = error.message if error else f"it is of {record['of']}, expected {of}"
        raise PoseBenchError(f"{path}: does not fit {SCHEMA}: {fault}; make it again: make_published_run")
    return record
