"""Two runs beside each other: what differs, what may be compared, and what got faster, slower or worse.

Needs nothing but the two result folders, so they may come from other machines.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from posegauge.compare import published
from posegauge.compare.gate import condition_faults, differences, row_faults, run_faults, tier_of
from posegauge.errors import PoseGaugeError
from posegauge.report.latency import RUNS_FOR_P99
from posegauge.report.records import read_latency, read_parity, read_scores
from posegauge.score import bootstrap
from posegauge.score import intervals as cs
from posegauge.store.files import read_json, read_record
from posegauge.store.image_ids import ids_of
from posegauge.store.machine import describe
from posegauge.store.runs import COPIED, NEEDED, check_files, check_version, label, read_about
from posegauge.study import BENCHMARKS, CONDITIONS, STAGES

SIDES = ("baseline", "candidate")


SCORES = ("detection_rate", "ap")


# What the published run has, in its protocol's prediction set.
PUBLISHED_SCORES = ("detection_rate", "mean_confidence")


BUSY = "the machine was busy"


EXIT_CODES = {"no regression": 0, "regression": 1, "not comparable": 2}


@dataclass(eq=False)
class Run:
    """What a comparison needs of one run: records by benchmark, condition and artifact."""

    name: str
    record: dict  # run.json
    latency: dict[str, dict]
    scores: dict[str, dict]  # of records.read_scores
    parity: dict[str, dict] = field(default_factory=dict)
    images: list[int] = field(default_factory=list)  # ids in the order in which they were resampled
    detect_every: list[dict] = field(default_factory=list)  # the detector on every n-th frame of a film

    @property
    def published(self) -> bool:
        return published.is_published(self.record)


def read_run(path, needs=("latency", "robustness")) -> Run:
    """Read a run folder; PoseGaugeError names what is missing, changed, or of another version.

    needs: the folders that must have a file; with random weights robustness/ has none.
    """
    path, name = Path(path), label(path)
    record = read_about(path)
    if published.is_published(record):
        record = published.read(path / "run.json", "run")
        files = check_files(path, record)
        of = {
            part: [published.read(path / file, part) for file in files if file.startswith(f"{part}/")]
            for part in ("latency", "robustness")
        }
        latency = {row["benchmark"]: row for row in of["latency"]}
        return Run(name, record, latency, {row["condition"]: row for row in of["robustness"]})
    check_version(path / "run.json", record, "run.schema.yaml")
    record = read_record(path / "run.json", "run.schema.yaml", COPIED)
    files = {part: [] for part in NEEDED}
    for file in check_files(path, record):
        if file.endswith(".json"):
            part = file.partition("/")[0]
            check_version(path / file, read_json(path / file), f"{part}.schema.yaml")
            files[part].append(path / file)
    if empty := [part for part in needs if not files[part]]:
        raise PoseGaugeError(f"{path}: is incomplete: run.json names no file of {' and '.join(empty)}/")
    scores = {row["condition"]: row for row in read_scores(files["robustness"])}
    images = []
    if scores:
        with np.load(files["robustness"][0].with_suffix(".npz"), allow_pickle=False) as arrays:
            images = ids_of(arrays["images"])
    return Run(
        name,
        record,
        {row["benchmark"]: row for row in read_latency(files["latency"])},
        scores,
        {row["artifact"]: row for row in read_parity(files["parity"])},
        images,
        [read_record(file, "detect_every.schema.yaml") for file in sorted(files["detect_every"])],
    )


def compare(baseline: Run, candidate: Run) -> dict:
    """Return the comparison (compare.schema.yaml). Raises PoseGaugeError when no benchmark row is in both."""
    if not set(baseline.latency) & set(candidate.latency):
        has = [f"{run.name} has {', '.join(run.latency)}" for run in (baseline, candidate)]
        raise PoseGaugeError(
            f"{baseline.name} and {candidate.name} have no benchmark row in common: {'; '.join(has)}. Run "
            "one of them with the `benchmarks` of the other"
        )
    runs = (baseline, candidate)
    faults = run_faults(*runs)
    rows = [
        _compare_row(*runs, name, faults)
        for name in BENCHMARKS
        if name in baseline.latency and name in candidate.latency
    ]
    conditions = [
        _compare_condition(*runs, name, faults)
        for name in CONDITIONS
        if name in baseline.scores and name in candidate.scores
    ]
    _judge(rows, conditions)
    verdict, reasons = _overall(rows, conditions, [run.record["faults"] for run in runs if run.published])
    return {
        "schema_version": 1,
        "kind": "compare",
        **{side: _about(run) for side, run in zip(SIDES, runs, strict=True)},
        "verdict": verdict,
        "exit_code": EXIT_CODES[verdict],
        "reasons": reasons,
        "faults": faults,
        "differences": differences(*runs),
        "rows": rows,
        "conditions": conditions,
        "only_in": {
            side: [
                name
                for have, lack in ((one.latency, other.latency), (one.scores, other.scores))
                for name in have
                if name not in lack
            ]
            for side, one, other in (("baseline", *runs), ("candidate", *reversed(runs)))
        },
        "geometric_mean": cs.geometric_mean([row for row in rows if row["status"] == "comparable"]),
        "settings": {
            "level": bootstrap.LEVEL,
            "resamples": cs.RESAMPLES,
            "minimum_effect": cs.MINIMUM_EFFECT,
            "process_spread": cs.PROCESS_SPREAD,
            "minimum_score_difference": cs.MINIMUM_SCORE_DIFFERENCE,
        },
    }


def _about(run: Run) -> dict:
    """Return what says which run this is; no path, which would help nobody else."""
    record = run.record
    if run.published:
        about = {"kind": "published", "machine": record["machine"], "git_revision": None, "notice": None}
        return {"run": run.name, **about}
    machine = next(
        (row["provenance"]["machine"] for row in run.latency.values() if row["status"] == "ok"), None
    )
    machine = machine or record["machine"]
    known = {key: record.get(key) for key in ("git_revision", "notice")}
    return {"run": run.name, "kind": "measured", "machine": describe(machine), **known}


# ------------------------------------------------------------------------------------------- latency rows


def _figures(record: dict) -> tuple[dict, np.ndarray | None, np.ndarray | None]:
    """Return (the figures of one row of one run, its samples by process, replicates of its median).

    The last two are None, and there are no intervals, where there are no samples.
    """
    if record["status"] == "published":
        known = {name: record[f"latency_ms_{name}"] for name in ("mean", "p95", "p99")}
        return {"kind": "published"} | known, None, None
    if record["status"] != "ok":
        return {"kind": "not run"}, None, None
    processes = record.get("processes", 1)
    samples = cs.split(record["latency_ms"], processes, f"{record['benchmark']}: latency_ms")
    drawn = cs.resample(samples)
    found = {
        "kind": "measured",
        "processes": processes,
        "samples": samples.size,
        "mean": float(samples.mean()),
    }
    for name, value in cs.figures(samples).items():
        known = name != "p99" or samples.size >= RUNS_FOR_P99
        found[name] = value if known else None
        for end, bound in cs.interval(drawn[name]).items():
            found[f"{name}_{end}"] = bound if known else None
    return found, samples, drawn["median"]


def _compare_row(baseline: Run, candidate: Run, name: str, faults: list[str]) -> dict:
    """Return the comparison of one benchmark row, not yet judged."""
    records = baseline.latency[name], candidate.latency[name]
    row = {"benchmark": name, "title": BENCHMARKS[name].title, "pipeline": records[0]["pipeline"]}
    figures, samples, medians = zip(*map(_figures, records), strict=True)
    for side, run, found in zip(SIDES, (baseline, candidate), figures, strict=True):
        tier = tier_of(run, BENCHMARKS[name].artifact.name) if found["kind"] == "measured" else None
        row[side] = found | ({"tier": tier} if tier else {})
    row |= {"ratio_of_means": None, "stages": {}, "notes": []}
    if all("mean" in row[side] for side in SIDES):
        row["ratio_of_means"] = row["candidate"]["mean"] / row["baseline"]["mean"]
    status, reasons = row_faults(baseline, candidate, name)
    if status == "not comparable" or (status == "comparable" and faults):
        status, reasons = "not comparable", [*faults, *reasons]
    row |= {"status": status, "reasons": reasons, "verdict": status}
    if status != "comparable":
        return row
    row |= cs.ratio(*samples, medians)
    row["stages"] = _stage_ratios(*records)
    row["notes"] = _row_notes(baseline, candidate, name, row)
    return row


def _stage_ratios(baseline: dict, candidate: dict) -> dict[str, float]:
    """Return candidate / baseline of the median time of every stage that takes time in both."""
    medians = [
        {stage: float(np.median(ms)) for stage, ms in record["stages_ms"].items() if ms}
        for record in (baseline, candidate)
    ]
    return {
        stage: medians[1][stage] / medians[0][stage]
        for stage in STAGES
        if all(found.get(stage) for found in medians)
    }


def _row_notes(baseline: Run, candidate: Run, name: str, row: dict) -> list[str]:
    """Return what a reader should know of a comparable row."""
    notes = []
    was, now = (row[side]["tier"] for side in SIDES)
    if was != now:
        notes.append(f"another tier: {was} in {baseline.name}, {now} in {candidate.name}")
    if not row["identical"] and min(row[side]["processes"] for side in SIDES) < 2:
        notes.append("one process: how processes differ is allowed for, not measured")
    for run in (baseline, candidate):
        load, cores = _load(run.latency[name])
        if load > cores + 1:
            notes.append(
                f"{run.name}: {BUSY} (load {load:g} on {cores} cores), so no verdict of faster or slower"
            )
    return notes


def _load(record: dict) -> tuple[float, int]:
    """Return (highest load average of a minute after a process of the row, cores of the machine)."""
    machine = record["provenance"]["machine"]
    states = [state["host"]["after"] for state in record["measured_under"]]
    loads = [state["load_average"][0] for state in states]
    return max(loads, default=0.0), machine["cpu"].get("logical_cores") or machine["cpu"]["usable_cores"]


# --------------------------------------------------------------------------------------------- conditions


def _compare_condition(baseline: Run, candidate: Run, name: str, faults: list[str]) -> dict:
    """Return the comparison of one image condition, not yet judged."""
    records = baseline.scores[name], candidate.scores[name]
    set_name = "original" if any(run.published for run in (baseline, candidate)) else "detected"
    row = {"condition": name, "title": CONDITIONS[name].title, "suite": CONDITIONS[name].suite}
    row |= {"set": set_name, "paired": None, "pairing": None, "scores": {}}
    for metric in PUBLISHED_SCORES if set_name == "original" else SCORES:
        values = [_score(record, set_name, metric) for record in records]
        row["scores"][metric] = dict(zip(SIDES, values, strict=True)) | {
            "difference": None if None in values else values[1] - values[0]
        }
    reasons = [*faults, *condition_faults(baseline, candidate, name)]
    row |= {"status": "not comparable" if reasons else "comparable", "reasons": reasons}
    if reasons:
        row["verdict"] = "not comparable"
        return row
    why = _unpaired(baseline, candidate, *records)
    row |= {"paired": why is None, "pairing": why}
    for metric, found in row["scores"].items():
        if found["difference"] is None:
            continue
        drawn = tuple(record["replicates"].get(f"{set_name}.{metric}") for record in records)
        found |= cs.score_difference(found["baseline"], found["candidate"], drawn, row["paired"])
    return row


def _score(record: dict, set_name: str, metric: str) -> float | None:
    if record["kind"] == "published":
        return record[metric]
    return record["scores"][set_name][metric]["value"]


def _unpaired(baseline: Run, candidate: Run, one: dict, other: dict) -> str | None:
    """Return why the bootstrap replicates of two conditions cannot be paired, or None."""
    if one["interval"]["note"] or other["interval"]["note"]:
        return one["interval"]["note"] or other["interval"]["note"]
    for key, what in (("seed", "seed"), ("resamples", "number of resamples")):
        if one["interval"][key] != other["interval"][key]:
            return f"unpaired: another {what} ({one['interval'][key]} / {other['interval'][key]})"
    return None if baseline.images == candidate.images else "unpaired: the same images in another order"


# ------------------------------------------------------------------------------------------- the verdicts


def _judge(rows: list[dict], conditions: list[dict]) -> None:
    """Give every comparable row and score its verdict, p corrected for the number of rows, or of scores."""
    judged = [row for row in rows if row["status"] == "comparable"]
    for row, corrected in zip(judged, cs.holm([row["p"] for row in judged]), strict=True):
        row["p_holm"] = corrected
        row["verdict"] = cs.latency_verdict(row, corrected)
        # What ran beside it is in no interval: it may be all of the difference.
        if row["verdict"] in ("faster", "slower") and any(BUSY in note for note in row["notes"]):
            row["verdict"] = "ambiguous"
    fair = [row for row in conditions if row["status"] == "comparable"]
    scores = [found for row in fair for found in row["scores"].values() if found.get("p") is not None]
    for found, corrected in zip(scores, cs.holm([found["p"] for found in scores]), strict=True):
        found["p_holm"] = corrected
    for row in fair:
        verdicts = []
        for found in row["scores"].values():
            if found["difference"] is not None:
                found["verdict"] = cs.score_verdict(found, found.get("p_holm"))
                verdicts.append(found["verdict"])
        row["verdict"] = next(
            (word for word in ("lower", "higher", "ambiguous", "same") if word in verdicts), "ambiguous"
        )


def _overall(rows: list[dict], conditions: list[dict], told: list[dict]) -> tuple[str, list[str]]:
    """Return (the verdict, a line for each thing that decided it); told: `faults` of the published run."""
    worse = [f"{row['title']}: slower ({row['ratio']:.3f}×)" for row in rows if row["verdict"] == "slower"]
    for row in conditions:
        for metric, found in row["scores"].items():
            if found.get("verdict") == "lower":
                worse.append(f"{row['title']}: {metric} lower ({found['difference']:+.4f})")
    if worse:
        return "regression", worse
    if told:
        known = dict.fromkeys(fault for faults in told for lines in faults.values() for fault in lines)
        first = "what was published has no raw samples, no accuracy, and a protocol with faults:"
        return "not comparable", [first, *known]
    unfair = [row for row in (*rows, *conditions) if row["verdict"] == "not comparable"]
    if unfair:
        reasons = dict.fromkeys(reason for row in unfair for reason in row["reasons"])
        lines = []
        for reason in reasons:
            hit = [row["title"] for row in unfair if reason in row["reasons"]]
            everywhere = len(hit) == len(rows) + len(conditions)
            lines.append(f"{'all rows and conditions' if everywhere else ', '.join(hit)}: {reason}")
        return "not comparable", lines
    if not any(row["status"] == "comparable" for row in (*rows, *conditions)):
        return "not comparable", ["no row was measured in both runs"]
    return "no regression", []
