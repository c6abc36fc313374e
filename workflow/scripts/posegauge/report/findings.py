"""Key findings as sentences: those on latency and parity here, the others from the subjects' own modules.

Each is computed from the results; no outcome is taken for granted.
"""

import pandas as pd

from posegauge.report import latency
from posegauge.report.calibration import calibration_finding, confidence_finding
from posegauge.report.cameras import cameras_finding
from posegauge.report.coco_c import coco_c_finding, mpc_finding
from posegauge.report.detect_every import detect_every_finding
from posegauge.report.energy import energy_finding
from posegauge.report.loss import bottleneck_finding, loss_finding
from posegauge.report.markdown import condition_title, listed, ratio_text
from posegauge.report.parity import artifact_title, compared_with, counts, row_verdict, tier_columns
from posegauge.report.peers import peers_finding
from posegauge.report.protocols import protocols_finding
from posegauge.report.records import by_suite, clean_record
from posegauge.report.robustness import (
    FAMILIES,
    disagreement_finding,
    family_finding,
    holds_finding,
    same_finding,
    scores_text,
    worst_finding,
)
from posegauge.report.verdicts import NO_RESULT
from posegauge.score import tiers
from posegauge.score.doubt import doubt
from posegauge.study import BENCHMARKS, PIPELINE_TITLES

REAL_TIME_FPS = 30.0


ALL = len(BENCHMARKS)  # of these lists nothing is left out


def _ran(rows: dict, pipeline: str) -> list[dict]:
    """Return the rows of one pipeline that ran, without those that are not the models, or may not be."""
    title = PIPELINE_TITLES[pipeline]
    ran = [row for row in rows.values() if row["pipeline"] == title and row["status"] == "ok"]
    return [row for row in ran if counts(row)]


def _speed(row: dict) -> str:
    return f"{row['latency_ms_mean']:.2f} ms per image ({row['fps']:.1f} FPS)"


def _compared(row: dict, rows: dict) -> str:
    """Return how a row compares with its baseline, and whether their samples overlap."""
    against = row["speedup_against"]
    if against == row["benchmark"]:
        return ""
    if pd.isna(row["speedup"]):
        return f"; it has no speed-up because {against}"
    base = rows[against]
    text = f", {row['speedup']:.2f}× the speed of {base['title']}"
    low, high = "latency_ms_p5", "latency_ms_p95"
    overlap = row[low] <= base[high] and base[low] <= row[high]
    return text + (" (the P5 to P95 ranges of their samples overlap)" if overlap else "")


def _fastest(pipeline: str, rows: dict) -> str:
    """Return the sentence on the fastest row of one pipeline."""
    title = PIPELINE_TITLES[pipeline]
    ran = _ran(rows, pipeline)
    if not ran:
        return f"No {title} row ran, or none that keeps 99 % of its source's AP."
    best = min(ran, key=_mean)
    if len(ran) == 1:
        text = f"{best['title']} is the only {title} row that ran: {_speed(best)}"
    else:
        text = f"{best['title']} is the fastest of {len(ran)} {title} rows: {_speed(best)}"
    scope = "; its boxes are given, so it compares with pose-only rows only" if pipeline == "pose" else ""
    return f"{text}{_compared(best, rows)}{_tier(best)}{scope}.{_fastest_exact(best, ran)}"


def _mean(row: dict) -> tuple[float, int]:
    """Return what rows are sorted by: the mean, and of equal means the better tier."""
    return row["latency_ms_mean"], tiers.rank(row["tier"])


def _tier(row: dict) -> str:
    """Return ', 99 % tier', and whether that can be told; nothing of what the others are compared with."""
    told = "" if row_verdict(row).told else " (too few images to tell)"
    words = {tiers.SOURCE: "", tiers.EXACT: ", exact", tiers.NOT_CHECKED: ", tier not checked"}
    return words.get(row["tier"], f", {row['tier']} tier{told}")


def _fastest_exact(best: dict, ran: list[dict]) -> str:
    """Return which row is the fastest of those that are exact, where the fastest is not."""
    exact = [row for row in ran if row["tier"] in (tiers.SOURCE, tiers.EXACT)]
    if best["tier"] not in tiers.LEAST or not exact:
        return ""
    row = min(exact, key=_mean)
    return f" Of those that are exact {row['title']} is: {_speed(row)}."


def _real_time(rows: dict) -> str | None:
    """Return which detect+pose rows reach REAL_TIME_FPS."""
    ran = _ran(rows, "full")
    if not ran:
        return None
    quick = [
        row["title"] + (f" (at {row['tier']})" if row["tier"] in tiers.LEAST else "")
        for row in sorted(ran, key=_mean)
        if row["fps"] >= REAL_TIME_FPS
    ]
    names = f" ({listed(quick, ALL)})" if quick else ""
    return f"Detect+pose rows that reach {REAL_TIME_FPS:.0f} FPS: {len(quick)} of {len(ran)} that ran{names}."


def _bottleneck(rows: dict) -> str | None:
    """Return the share of detector and pose network in the fastest detect+pose row."""
    ran = [
        row
        for row in _ran(rows, "full")
        if not pd.isna(row["stage_detect_ms"]) and not pd.isna(row["stage_pose_ms"])
    ]
    if not ran:
        return None
    best = min(ran, key=_mean)
    detect, pose = (best[f"stage_{stage}_ms"] / best["latency_ms_mean"] for stage in ("detect", "pose"))
    return (
        f"In {best['title']} the detector takes {100 * detect:.0f} % and the pose network {100 * pose:.0f} % "
        f"of the time ({best['persons']} {'person' if best['persons'] == 1 else 'persons'} in the image)."
    )


def _floor(rows: dict) -> str | None:
    """Return which detect+pose row comes closest to what the machine can do at best."""
    ran = [row for row in _ran(rows, "full") if not pd.isna(row["times_floor"])]
    if not ran:
        return None
    best = min(ran, key=_times_floor)
    if best["times_floor"] < 0.995:
        return (
            f"{best['title']} is faster than the floor of this machine's best measured rates "
            f"({best['latency_ms_mean']:.3g} against {best['floor_ms']:.3g} ms): the true floor lies lower."
        )
    return (
        f"Of the detect+pose rows {best['title']} comes closest to its floor: "
        f"{best['times_floor']:.1f}× the {best['floor_ms']:.3g} ms that the networks' arithmetic and memory "
        "traffic need at this machine's best measured rates."
    )


def _times_floor(row: dict) -> float:
    return row["times_floor"]


def _overhead(rows: dict) -> str | None:
    """Return how much of the fastest detect+pose row on the GPU is not the networks' time there."""
    ran = [row for row in _ran(rows, "full") if not pd.isna(row["host_overhead"])]
    if not ran:
        return None
    best = min(ran, key=_mean)
    return (
        f"In {best['title']} the networks take {best['device_ms_mean']:.2f} ms on the GPU; the other "
        f"{100 * best['host_overhead']:.0f} % of the time is host, copies and the other stages."
    )


def _not_run(rows: dict) -> str | None:
    """Return which rows did not run, grouped by reason."""
    told = _by_reason(row for row in rows.values() if row["status"] not in ("ok", NO_RESULT))
    return f"{told[0]} of {len(rows)} benchmark rows did not run: {told[1]}." if told else None


def _no_result(rows: dict) -> str | None:
    """Return which rows did other work than their reference, grouped by reason."""
    told = _by_reason(row for row in rows.values() if row["status"] == NO_RESULT)
    return f"{told[0]} of {len(rows)} benchmark rows gave no result: {told[1]}." if told else None


def _by_reason(rows) -> tuple[int, str] | None:
    """Return how many rows there are, and their titles with the reasons; None without any."""
    reasons = {}
    for row in rows:
        reasons.setdefault(row["reason"], []).append(row["title"])
    told = "; ".join(f"{listed(titles, ALL)} ({reason})" for reason, titles in reasons.items())
    return (sum(map(len, reasons.values())), told) if reasons else None


def _parity(records: list[dict]) -> str | None:
    """Return which artifacts give the models' own results, which do not, and which were not compared."""
    if not records:
        return None
    found = [(record, tier_columns(record)) for record in records]
    found.sort(key=lambda pair: tiers.rank(pair[1]["tier"]))
    compared = [pair for pair in found if pair[1]["tier"] != tiers.NOT_CHECKED]
    exact = [pair for pair in compared if pair[1]["tier"] == tiers.EXACT]
    parts = [f"{len(exact)} of {len(compared)} compared artifacts are exact" if compared else ""]
    for record, columns in compared[len(exact) :]:
        fails = columns["tier"] == tiers.FAILS
        word = "fails" if fails else f"keeps the {columns['tier']} tier"
        parts.append(f"{_artifact(record)} {word} ({columns['tier_note']})")
    reasons = {}
    for record, columns in found:
        if columns["tier"] == tiers.NOT_CHECKED:
            reasons.setdefault(record["reason"], []).append(_artifact(record))
    parts += [f"not compared: {listed(titles, ALL)} ({reason})" for reason, titles in reasons.items()]
    failed = any(columns["tier"] == tiers.FAILS for _, columns in compared)
    uncounted = " The latency findings leave out rows that fail." if failed else ""
    return f"Parity with {compared_with(records)} on the CPU: {'; '.join(filter(None, parts))}.{uncounted}"


def _artifact(record: dict) -> str:
    return artifact_title(record).replace(",", "")


def _sweep(record: dict) -> str | None:
    """Return how fast the sweep is against the original study's way of predicting images."""
    parts = []
    for way in record["ways"]:
        ratios = [ratio for ratio in record["ratios"] if ratio["way"] == way["way"]]
        told = [f"{_against(ratio)} on {condition_title(ratio['condition'])}" for ratio in ratios]
        sets = len(way["sets"])
        if told:
            parts.append(f"{way['title']} ({sets} {'set' if sets == 1 else 'sets'}) {listed(told, ALL)}")
    if not parts:
        return None
    original = "MMPose's inferencer on one image after the other, which makes 1 set of predictions"
    return f"Images per second against {original}: {'; '.join(parts)}."


def _against(ratio: dict) -> str:
    """Return the ratio, with a word where its interval has 1 in it."""
    same = ratio["low"] is not None and ratio["low"] <= 1 <= ratio["high"]
    return ratio_text(ratio["ratio"], ratio["low"], ratio["high"]) + (
        ", not distinguishable," if same else ""
    )


def all_findings(run) -> list[dict]:
    """Return [{"id", "text"}] of a run. run: records.Run."""
    found = key_findings(latency.table(run), run.scores, run.parity, run.throughput)
    told = {
        "peers": peers_finding(run.peers),
        "detect_every": detect_every_finding(run.detect_every),
        "cameras": cameras_finding(run.cameras, run.parity) if run.cameras else None,
    }
    return [*found, *({"id": name, "text": text} for name, text in told.items() if text)]


def key_findings(
    benchmark: pd.DataFrame, scores: list[dict], parity=(), sweep: dict | None = None
) -> list[dict]:
    """Return [{"id", "text"}]; sentences without data are left out.

    benchmark: latency.benchmark_table. scores: records.read_scores. parity: records.read_parity.
    sweep: throughput.json.
    """
    rows = {row["benchmark"]: row for row in benchmark.to_dict("records")}
    rows = {name: rows[name] for name in BENCHMARKS if name in rows}
    found = {}
    if rows:
        found["fastest_full"] = _fastest("full", rows)
        found["real_time"] = _real_time(rows)
        found["bottleneck"] = _bottleneck(rows)
        found["floor"] = _floor(rows)
        found["overhead"] = _overhead(rows)
        found["energy"] = energy_finding(_ran(rows, "full"))
        found["fastest_pose"] = _fastest("pose", rows)
        found["not_run"] = _not_run(rows)
        found["no_result"] = _no_result(rows)
    found["parity"] = _parity(list(parity))
    found["sweep"] = _sweep(sweep) if sweep else None
    if scores:
        clean = clean_record(scores)
        found |= condition_findings(scores, clean) | cause_findings(scores, clean)
    return [{"id": name, "text": text} for name, text in found.items() if text]


def _intervals(records: list[dict]) -> str | None:
    note = records[0]["interval"]["note"]
    return f"Differences are told as measured, and none is claimed: {note}." if note else None


def _unreadable(records: list[dict]) -> str | None:
    count = max(len(record["unreadable"]) for record in records)
    return f"Images that could not be read: {count}." if count else None


def condition_findings(records: list[dict], clean: dict | None) -> dict[str, str | None]:
    """Return sentences by id on what each condition costs, None where there are no data.

    records: one or more, as records.read_scores gives them. clean: the one of clean images.
    """
    found = {"clean": "Clean images were not evaluated: no loss can be told."}
    if clean:
        found["clean"] = f"Clean images ({clean['images']} with persons): {scores_text(clean, None)}."
    found["intervals"] = _intervals(records)
    for name, (title, corruptions) in FAMILIES.items():
        found[f"family_{name}"] = family_finding(title, corruptions, records, clean)
    return found | {
        "coco_c": coco_c_finding(records, clean),
        "mpc": mpc_finding(records, clean),
        "worst": worst_finding(records, clean),
        "same": same_finding(records, clean),
        "holds": holds_finding(records, clean),
        "disagree": disagreement_finding(records, clean),
        "unreadable": _unreadable(records),
        "doubt": doubt(clean),
    }


def cause_findings(records: list[dict], clean: dict | None) -> dict[str, str | None]:
    """Return sentences by id on where accuracy is lost, None where there are no data.

    records: one or more, as records.read_scores gives them. clean: the one of clean images.
    """
    found = {}
    if clean:
        for suite, of_suite in by_suite(records).items():
            found[f"loss_{suite}"] = loss_finding(suite, of_suite, clean)
        found["accuracy_bottleneck"] = bottleneck_finding(records, clean)
        found["calibration"] = calibration_finding(records, clean)
        found["confidence"] = confidence_finding(records, clean)
    return found | {"protocols": protocols_finding(records)}
