"""Read the records of a run, and the scores of the conditions with their intervals."""

import functools
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from posegauge.errors import PoseGaugeError
from posegauge.report.markdown import DEVICE_TITLES
from posegauge.report.verdicts import with_verdicts
from posegauge.score.estimate import Estimate
from posegauge.store.files import read_json, read_record, read_records
from posegauge.store.image_ids import ids_of, ids_sha256
from posegauge.study import ARTIFACTS, BENCHMARKS, CONDITIONS, SOURCE, SUITES

# What is scored in each prediction set.
KEYPOINT_METRICS = ("ap", "ap50", "ap75", "ap_medium", "ap_large", "ar")


ROBUSTNESS_METRICS = (
    "detection_rate", "mean_confidence", "persons_per_image", "ap", "box_ap", "ece",
    "false_positives_per_image",
)  # fmt: skip


# The kinds of which a run has one record, <kind>.json.
SINGLE = ("batches", "cameras", "throughput", "all_images")


CHANGES = ("detection_rate_change", "ap_change")


def interval_columns(names) -> list[str]:
    """Return the columns of figures with intervals: x, x_low, x_high."""
    return [f"{name}{end}" for name in names for end in ("", "_low", "_high")]


ROBUSTNESS_COLUMNS = (
    "condition", "title", "suite", "corruption", "severity", "images", "images_detected",
    *interval_columns((*ROBUSTNESS_METRICS, *CHANGES)), "ap_distinguishable", "ap_same_as", "fps",
    "latency_ms_mean", "corruption_ms_mean", "unreadable",
)  # fmt: skip


# ------------------------------------------------------------------------------------------- the records


def read_scores(paths) -> list[dict]:
    """Return the records of robustness JSON files in the study's order, with their replicates.

    record["replicates"] maps "<set>.<metric>" to float64 [resamples], as read from the .npz beside the .json;
    it is empty when there were too few images. Raises PoseGaugeError that names the file when one is bad or
    missing, and when the conditions were not scored on the same images with the same resamples.
    """
    paths = list(paths)
    records = read_records(paths, "robustness.schema.yaml", "condition", CONDITIONS)
    files = {read_json(path)["condition"]: Path(path) for path in paths}
    orders = []
    for record in records:
        path = files[record["condition"]].with_suffix(".npz")
        images, record["replicates"] = _read_replicates(path, record)
        orders.append(images)
    for record, images in zip(records, orders, strict=True):
        same = {
            "images": record["images_sha256"] == records[0]["images_sha256"] and images == orders[0],
            "resamples": record["interval"] == records[0]["interval"],
        }
        for what in (name for name, equal in same.items() if not equal):
            one, other = (files[entry["condition"]] for entry in (record, records[0]))
            raise PoseGaugeError(
                f"{one}: was scored on other {what} than {other}, so the two cannot be compared; delete the "
                "older one and run again"
            )
    return records


def _read_replicates(path: Path, record: dict) -> tuple[list, dict[str, np.ndarray]]:
    """Return the image ids in the order that was resampled, and the replicates by name."""
    hint = "delete it and run again"
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        images = ids_of(arrays.pop("images"))
    except FileNotFoundError as error:
        raise PoseGaugeError(f"{path}: no such file; it is written beside the .json: run again") from error
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise PoseGaugeError(f"{path}: holds no replicates with their images ({error}); {hint}") from error
    if ids_sha256(images) != record["images_sha256"]:
        raise PoseGaugeError(f"{path}: is of other images than the .json beside it; {hint}")
    resamples = record["interval"]["resamples"]
    for name, array in arrays.items():
        if array.shape != (resamples,):
            raise PoseGaugeError(f"{path}: {name} has shape {array.shape}, expected ({resamples},); {hint}")
    return images, arrays


def estimate(record: dict, box_set: str, metric: str) -> Estimate:
    """Return a score of a record of read_scores."""
    value = record["scores"][box_set][metric]["value"]
    return Estimate(value, record["replicates"].get(f"{box_set}.{metric}"))


def clean_record(records: list[dict]) -> dict | None:
    """Return the record of the clean images, or None."""
    return next((record for record in records if record["condition"] == "clean"), None)


def by_suite(records: list[dict]) -> dict[str, list[dict]]:
    """Return the records of each suite that has one besides clean, without clean."""
    degraded = [record for record in records if record["condition"] != "clean"]
    suites = {name: [record for record in degraded if record["suite"] == name] for name in SUITES}
    return {name: found for name, found in suites.items() if found}


# -------------------------------------------------------------------------------------------- the tables


def as_table(rows: list[dict], columns) -> pd.DataFrame:
    """Return a table in which numbers are numbers even where all are unknown."""
    table = pd.DataFrame(rows, columns=list(columns))
    whole = ("severity", "images", "images_detected", "fallback_images", "conditions", "unreadable")
    text = ("condition", "title", "suite", "corruption", "box_source", "ap_same_as", "ap_distinguishable")
    kinds = {name: "Int64" if name in whole else "float64" for name in columns if name not in text}
    return table.astype(kinds)


def score_columns(record: dict, box_set: str, metrics, prefix: str = "") -> dict:
    """Return the columns of scores, with the intervals of the record itself."""
    row = {}
    for metric in metrics:
        bounds = record["scores"][box_set][metric]
        for end, key in (("", "value"), ("_low", "low"), ("_high", "high")):
            row[f"{prefix}{metric}{end}"] = bounds[key]
    return row


def robustness_table(records: list[dict]) -> pd.DataFrame:
    """Return one row per condition (see ROBUSTNESS_COLUMNS), as detected by the pipeline in use.

    *_change: against clean. ap_distinguishable: whether the interval of ap_change excludes 0; None without
    one. ap_same_as: conditions of the same suite, or clean, whose difference of AP has an interval with 0 in
    it, joined by ";"; None without intervals.
    """
    clean = clean_record(records)
    rows = []
    for record in records:
        row = {key: record[key] for key in ROBUSTNESS_COLUMNS if key in record}
        row["images_detected"] = record["counts"]["detected"]["images_detected"]
        row |= score_columns(record, "detected", ROBUSTNESS_METRICS)
        side = None
        if clean and record is not clean:
            for metric in ("detection_rate", "ap"):
                change = estimate(record, "detected", metric) - estimate(clean, "detected", metric)
                row |= change.columns(f"{metric}_change")
            side = change.side()  # of AP, the last
        row["ap_distinguishable"] = None if side is None else side != 0
        row["ap_same_as"] = _same_ap(record, records, clean)
        row["unreadable"] = len(record["unreadable"])
        rows.append(row)
    return as_table(rows, ROBUSTNESS_COLUMNS)


def _same_ap(record: dict, records: list[dict], clean: dict | None) -> str | None:
    """Return the conditions that AP cannot tell from this one, joined by ";"."""
    ap = estimate(record, "detected", "ap")
    if ap.interval()["low"] is None:
        return None
    near = [other for other in records if other["suite"] == record["suite"] or other is clean]
    return ";".join(
        other["condition"]
        for other in near
        if other is not record and (ap - estimate(other, "detected", "ap")).side() == 0
    )


def read_latency(paths) -> list[dict]:
    """Return the records of latency JSON files in the study's order; PoseGaugeError names a bad file.

    A row that did other work than its reference is "no result" in them: see verdicts.with_verdicts.
    """
    return with_verdicts(read_records(paths, "latency.schema.yaml", "benchmark", BENCHMARKS))


def read_parity(paths) -> list[dict]:
    """Return the records of parity JSON files in the study's order; PoseGaugeError names a bad file."""
    artifacts = {name: artifact for name, artifact in ARTIFACTS.items() if artifact != SOURCE}
    return read_records(paths, "parity.schema.yaml", "artifact", artifacts)


def read_limits(paths) -> dict[str, dict]:
    """Return {device: record} of roofline JSON files; PoseGaugeError names a bad file."""
    records = read_records(paths, "roofline.schema.yaml", "device", DEVICE_TITLES)
    return {record["device"]: record for record in records}


class Run:
    """The records of one run, each kind read and checked when it is asked for.

    files: {kind: path or paths}, of the kinds that the caller has; PoseGaugeError names a bad file.
    """

    def __init__(self, files: dict):
        self._files = files

    @classmethod
    def of_folder(cls, folder) -> "Run":
        """Return the records of a finished run, from its folder."""
        folder = Path(folder)
        kinds = ("latency", "parity", "roofline", "peers", "detect_every")
        kinds = {kind: kind for kind in kinds} | {"scores": "robustness"}
        files = {kind: sorted((folder / name).glob("*.json")) for kind, name in kinds.items()}
        single = {kind: folder / f"{kind}.json" for kind in SINGLE}
        return cls(files | {kind: path for kind, path in single.items() if path.is_file()})

    @functools.cached_property
    def latency(self) -> list[dict]:
        """The latency rows."""
        return read_latency(self._files["latency"])

    @functools.cached_property
    def parity(self) -> list[dict]:
        """Every artifact against its source."""
        return read_parity(self._files["parity"])

    @functools.cached_property
    def roofline(self) -> dict[str, dict]:
        """What each device can do at best."""
        return read_limits(self._files["roofline"])

    @functools.cached_property
    def scores(self) -> list[dict]:
        """The scores of every condition, with their replicates; empty with random weights."""
        return read_scores(self._files.get("scores") or [])

    @functools.cached_property
    def all_images(self) -> dict | None:
        """The scores over all images; None where those without persons are not scored."""
        path = self._files.get("all_images")
        return read_record(path, "all_images.schema.yaml") if path else None

    @functools.cached_property
    def peers(self) -> list[dict]:
        """The pipeline beside other programs, one record a device."""
        return read_records(self._files.get("peers") or [], "peers.schema.yaml", "device", DEVICE_TITLES)

    @functools.cached_property
    def batches(self) -> dict | None:
        """The speed by persons and batch; None where that was not measured."""
        path = self._files.get("batches")
        return read_record(path, "batches.schema.yaml") if path else None

    @functools.cached_property
    def cameras(self) -> dict | None:
        """How many cameras each artifact serves; None where that was not measured."""
        path = self._files.get("cameras")
        return read_record(path, "cameras.schema.yaml") if path else None

    @functools.cached_property
    def detect_every(self) -> list[dict]:
        """The detector on every n-th frame, by artifact; empty where no film is measured."""
        paths = self._files.get("detect_every") or []
        return read_records(paths, "detect_every.schema.yaml", "artifact", ARTIFACTS)

    @functools.cached_property
    def throughput(self) -> dict | None:
        """The speed of the predictions; None where nothing is predicted."""
        path = self._files.get("throughput")
        return read_record(path, "throughput.schema.yaml") if path else None
