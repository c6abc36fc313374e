"""Tables made from the scores: robustness, protocols, accuracy, loss and suites, with intervals.

Replicate b of the bootstrap draws the same images in every condition and prediction set. A figure computed
from several scores is therefore computed from their replicates one by one, and its interval is that of a
paired comparison: what the images have in common cancels.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from posebench import bootstrap, results, tables
from posebench.errors import PoseBenchError
from posebench.study import BOX_SOURCES, CONDITIONS, SUITES

# What is scored in each prediction set.
KEYPOINT_METRICS = ("ap", "ap50", "ap75", "ap_medium", "ap_large", "ar")
DETECTED_METRICS = (
    "detection_rate", "mean_confidence", "persons_per_image", *KEYPOINT_METRICS, "box_ap", "person_recall",
    "false_positives_per_image", "missed_person_rate", "mean_similarity", "ece",
)  # fmt: skip
ROBUSTNESS_METRICS = (
    "detection_rate", "mean_confidence", "persons_per_image", "ap", "box_ap", "ece",
    "false_positives_per_image",
)  # fmt: skip
PROTOCOL_METRICS = ("detection_rate", "mean_confidence", "persons_per_image", "ap")
CHANGES = ("detection_rate_change", "ap_change")
LOSSES = ("total_loss", "detector_loss", "pose_loss", "detector_minus_pose")


def _spread(names) -> list[str]:
    """Return the columns of figures with intervals: x, x_low, x_high."""
    return [f"{name}{end}" for name in names for end in ("", "_low", "_high")]


ROBUSTNESS_COLUMNS = (
    "condition", "title", "suite", "corruption", "severity", "images", "images_detected",
    *_spread((*ROBUSTNESS_METRICS, *CHANGES)), "ap_distinguishable", "ap_same_as", "fps",
    "latency_ms_mean", "corruption_ms_mean", "unreadable",
)  # fmt: skip
PROTOCOL_COLUMNS = (
    "condition", "title", "images",
    *_spread(f"{side}_{name}" for name in PROTOCOL_METRICS for side in ("study", "corrected", "difference")),
    "fallback_images", "fps",
)  # fmt: skip
ACCURACY_COLUMNS = ("condition", "title", "suite", "severity", "box_source", *_spread(DETECTED_METRICS))
LOSS_COLUMNS = (
    "condition", "title", "suite", "severity",
    *_spread(("ap_detected", "ap_clean_boxes", "ap_annotated", *LOSSES, "annotated_gap")),
)  # fmt: skip
SUITE_COLUMNS = ("suite", "title", "box_source", "conditions", *_spread(("clean_ap", "mpc", "rpc")))


# ------------------------------------------------------------------------------------------- the records


def read_scores(paths) -> list[dict]:
    """Return the records of robustness JSON files in the study's order, with their replicates.

    record["replicates"] maps "<set>.<metric>" to float64 [resamples], as read from the .npz beside the .json;
    it is empty when there were too few images. Raises PoseBenchError that names the file when one is bad or
    missing, and when the conditions were not scored on the same images with the same resamples.
    """
    paths = list(paths)
    records = tables.read_records(paths, "robustness.schema.yaml", "condition", CONDITIONS)
    files = {results.read_json(path)["condition"]: Path(path) for path in paths}
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
            raise PoseBenchError(
                f"{one}: was scored on other {what} than {other}, so the two cannot be compared; delete the "
                "older one and run again"
            )
    return records


def _read_replicates(path: Path, record: dict) -> tuple[list[int], dict[str, np.ndarray]]:
    """Return the image ids in the order that was resampled, and the replicates by name."""
    hint = "delete it and run again"
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        images = arrays.pop("images").tolist()
    except FileNotFoundError as error:
        raise PoseBenchError(f"{path}: no such file; it is written beside the .json: run again") from error
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise PoseBenchError(f"{path}: holds no replicates with their images ({error}); {hint}") from error
    if results.sha256_json(sorted(images)) != record["images_sha256"]:
        raise PoseBenchError(f"{path}: is of other images than the .json beside it; {hint}")
    resamples = record["interval"]["resamples"]
    for name, array in arrays.items():
        if array.shape != (resamples,):
            raise PoseBenchError(f"{path}: {name} has shape {array.shape}, expected ({resamples},); {hint}")
    return images, arrays


@dataclass(frozen=True)
class Estimate:
    """A figure with its replicates (float64 [resamples], or None), which follow it through every calculation.

    A value of None is unknown, and so is what is calculated from it.
    """

    value: float | None
    replicates: np.ndarray | None = None

    def _with(self, other: "Estimate", operation) -> "Estimate":
        if self.value is None or other.value is None:
            return Estimate(None)
        if self.replicates is None or other.replicates is None:
            return Estimate(float(operation(self.value, other.value)))
        return Estimate(
            float(operation(self.value, other.value)), operation(self.replicates, other.replicates)
        )

    def __add__(self, other: "Estimate") -> "Estimate":
        return self._with(other, np.add)

    def __sub__(self, other: "Estimate") -> "Estimate":
        return self._with(other, np.subtract)

    def __truediv__(self, other: "Estimate") -> "Estimate":
        """Divide; a replicate divided by zero is NaN, and a value divided by zero unknown."""
        if other.value == 0:
            return Estimate(None)
        with np.errstate(divide="ignore", invalid="ignore"):
            quotient = self._with(other, np.divide)
        if quotient.replicates is None:
            return quotient
        finite = np.isfinite(quotient.replicates)
        return Estimate(quotient.value, np.where(finite, quotient.replicates, np.nan))

    def interval(self) -> dict:
        """Return {"value", "low", "high"}; low and high are None where there are no replicates."""
        return bootstrap.estimate(self.value, self.replicates)

    def side(self) -> int | None:
        """Return on which side of 0 the interval lies, -1 or 1; 0 when 0 is in it; None without one."""
        bounds = self.interval()
        if bounds["low"] is None:
            return None
        return int(bounds["low"] > 0) - int(bounds["high"] < 0)

    def columns(self, name: str) -> dict:
        """Return {name, name_low, name_high} for a row of a table."""
        bounds = self.interval()
        return {name: bounds["value"], f"{name}_low": bounds["low"], f"{name}_high": bounds["high"]}


def mean(estimates) -> Estimate:
    """Return the mean of one or more estimates; unknown when one of them is."""
    estimates = list(estimates)
    total = estimates[0]
    for other in estimates[1:]:
        total = total + other
    count = len(estimates)
    if total.value is None:
        return total
    return Estimate(total.value / count, None if total.replicates is None else total.replicates / count)


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


def _frame(rows: list[dict], columns) -> pd.DataFrame:
    """Return a table in which numbers are numbers even where all are unknown."""
    table = pd.DataFrame(rows, columns=list(columns))
    whole = ("severity", "images", "images_detected", "fallback_images", "conditions", "unreadable")
    text = ("condition", "title", "suite", "corruption", "box_source", "ap_same_as", "ap_distinguishable")
    kinds = {name: "Int64" if name in whole else "float64" for name in columns if name not in text}
    return table.astype(kinds)


def _scores(record: dict, box_set: str, metrics, prefix: str = "") -> dict:
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
        row |= _scores(record, "detected", ROBUSTNESS_METRICS)
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
    return _frame(rows, ROBUSTNESS_COLUMNS)


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


def protocols_table(records: list[dict]) -> pd.DataFrame:
    """Return the study's protocol beside the corrected one, for the study's conditions (PROTOCOL_COLUMNS).

    difference_*: corrected minus study, paired. fallback_images: images in which the study's protocol found
    no box and took the whole image for a person. fps: of the corrected pipeline.
    """
    rows = []
    for record in records:
        if record["suite"] != "study":
            continue
        row = {key: record[key] for key in ("condition", "title", "images", "fps")}
        row |= _scores(record, "study", PROTOCOL_METRICS, "study_")
        row |= _scores(record, "detected", PROTOCOL_METRICS, "corrected_")
        for metric in PROTOCOL_METRICS:
            difference = estimate(record, "detected", metric) - estimate(record, "study", metric)
            row |= difference.columns(f"difference_{metric}")
        row["fallback_images"] = record["counts"]["study"]["fallback_images"]
        rows.append(row)
    return _frame(rows, PROTOCOL_COLUMNS)


def accuracy_table(records: list[dict]) -> pd.DataFrame:
    """Return one row per condition and box source with every score (see ACCURACY_COLUMNS).

    What depends on the detector is only known for the boxes detected on the corrupted image.
    """
    rows = []
    for record in records:
        about = {key: record[key] for key in ("condition", "title", "suite", "severity")}
        for source in BOX_SOURCES:
            metrics = DETECTED_METRICS if source == "detected" else KEYPOINT_METRICS
            rows.append(about | {"box_source": source} | _scores(record, source, metrics))
    return _frame(rows, ACCURACY_COLUMNS)


def losses(record: dict, clean: dict) -> dict[str, Estimate]:
    """Return the loss of AP of one condition against clean, split in two (see LOSSES).

    The boxes of the clean image on the corrupted one cost no box: what is lost with them is the pose
    network's, and what the boxes of the corrupted image lose beyond that is the detector's. Both sum to the
    total, since on the clean image the two are the same boxes.
    """
    here, there = (
        {source: estimate(of, source, "ap") for source in ("detected", "clean")} for of in (record, clean)
    )
    found = {
        "total_loss": there["detected"] - here["detected"],
        "detector_loss": here["clean"] - here["detected"],
        "pose_loss": there["clean"] - here["clean"],
    }
    return found | {"detector_minus_pose": found["detector_loss"] - found["pose_loss"]}


def loss_table(records: list[dict]) -> pd.DataFrame:
    """Return the loss of AP by condition, and whose it is (see losses and LOSS_COLUMNS).

    annotated_gap: what annotated boxes would give back. Without the condition clean the losses are unknown.
    """
    clean = clean_record(records)
    rows = []
    for record in records:
        row = {key: record[key] for key in ("condition", "title", "suite", "severity")}
        sources = {"detected": "ap_detected", "clean": "ap_clean_boxes", "annotated": "ap_annotated"}
        for source, name in sources.items():
            row |= estimate(record, source, "ap").columns(name)
        gap = estimate(record, "annotated", "ap") - estimate(record, "detected", "ap")
        row |= gap.columns("annotated_gap")
        if clean:
            for name, loss in losses(record, clean).items():
                row |= loss.columns(name)
        rows.append(row)
    return _frame(rows, LOSS_COLUMNS)


def suite_loss_table(records: list[dict]) -> pd.DataFrame:
    """Return the mean of the rows of loss_table by suite, with the condition "mean"; averaged as mPC is."""
    clean = clean_record(records)
    rows = []
    for suite, found in by_suite(records).items() if clean else ():
        row = {"condition": "mean", "title": f"Mean: {SUITES[suite]}", "suite": suite}
        by_condition = {record["condition"]: losses(record, clean) for record in found}
        for name in LOSSES:
            row |= suite_mean(found, {key: split[name] for key, split in by_condition.items()}).columns(name)
        rows.append(row)
    return _frame(rows, LOSS_COLUMNS)


def suite_mean(records: list[dict], figures: dict[str, Estimate]) -> Estimate:
    """Return the mean over corruptions of the mean over severities (Michaelis et al., 2019).

    records: of one suite. figures: by condition.
    """
    groups = {}
    for record in records:
        groups.setdefault(record["corruption"], []).append(figures[record["condition"]])
    return mean(mean(group) for group in groups.values())


def suites_table(records: list[dict]) -> pd.DataFrame:
    """Return mPC, the mean AP under corruption, and rPC = mPC / clean AP, by suite and box source."""
    clean = clean_record(records)
    rows = []
    for suite, found in by_suite(records).items():
        for source in BOX_SOURCES:
            row = {"suite": suite, "title": SUITES[suite], "box_source": source, "conditions": len(found)}
            aps = {record["condition"]: estimate(record, source, "ap") for record in found}
            mpc = suite_mean(found, aps)
            row |= mpc.columns("mpc")
            if clean:
                before = estimate(clean, source, "ap")
                row |= before.columns("clean_ap") | (mpc / before).columns("rpc")
            rows.append(row)
    return _frame(rows, SUITE_COLUMNS)
