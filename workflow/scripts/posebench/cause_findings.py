"""Findings on where accuracy is lost: detector or pose network, confidence, and the study's own protocol.

As in posebench.accuracy_findings a difference is only claimed where its paired interval excludes 0.
"""

import itertools

from posebench.accuracy_findings import (
    HOLDS_FROM,
    as_change,
    as_percent,
    as_points,
    by_size,
    change_of,
    figure_text,
    in_order,
    kept_share,
    name_of,
)
from posebench.accuracy_pages import condition_title, listed, number
from posebench.accuracy_tables import Estimate, by_suite, estimate, losses, suite_mean
from posebench.study import SUITES

# --------------------------------------------------------------------------- detector and pose network


def _mean_losses(records: list[dict], clean: dict) -> dict[str, Estimate]:
    """Return accuracy_tables.losses of the mean of a suite."""
    splits = {record["condition"]: losses(record, clean) for record in records}
    names = next(iter(splits.values()))
    return {name: suite_mean(records, {key: split[name] for key, split in splits.items()}) for name in names}


def _loss(suite: str, records: list[dict], clean: dict) -> str | None:
    """Return how the loss of AP of a suite is shared between detector and pose network."""
    means = _mean_losses(records, clean)
    total, detector = means["total_loss"], means["detector_loss"]
    if total.value is None:
        return None
    # A share of a loss that may be none would mean nothing.
    share = f", {as_percent(detector / total)} of it" if total.side() == 1 else ""
    text = (
        f"{SUITES[suite]}: mean loss of AP {figure_text(total)}, the detector's part {figure_text(detector)}"
        f"{share}, the pose network's {figure_text(means['pose_loss'])}."
    )
    sides = [losses(record, clean)["detector_minus_pose"].side() for record in records]
    if None in sides:
        return text
    return (
        f"{text} The detector's is the larger part in {sides.count(1)} of {len(sides)} conditions, the pose "
        f"network's in {sides.count(-1)}, undecided in {sides.count(0)}."
    )


def _bottleneck(records: list[dict], clean: dict) -> str | None:
    """Return whether the detector costs most of the accuracy, as it takes most of the time in the study."""
    verdicts = []
    for suite, found in by_suite(records).items():
        means = _mean_losses(found, clean)
        gap = means["detector_minus_pose"]
        verdict = {
            0: f"undecided (its loss of AP less the pose network's is {as_change(gap)})",
            1: f"yes, its loss of AP is larger by {figure_text(gap)}",
            -1: "no, the pose network's loss of AP is larger by "
            f"{figure_text(means['pose_loss'] - means['detector_loss'])}",
            None: None,
        }[gap.side()]
        if verdict:
            verdicts.append(f"{SUITES[suite]}: {verdict}")
    if not verdicts:
        return None
    gap = estimate(clean, "annotated", "ap") - estimate(clean, "detected", "ap")
    given = "" if gap.value is None else f" On clean images annotated boxes change AP by {as_change(gap)}."
    return f"Is the detector the bottleneck in accuracy? {'; '.join(verdicts)}.{given}"


# ------------------------------------------------------------------------------------------ confidence


def _mean_score(record: dict) -> float | None:
    """Return the mean score of the keypoints that the calibration counts; None without any."""
    bins = [entry for entry in record["calibration"]["bins"] if entry["count"]]
    count = sum(entry["count"] for entry in bins)
    return sum(entry["count"] * entry["mean_score"] for entry in bins) / count if count else None


def _calibration(records: list[dict], clean: dict) -> str | None:
    """Return how far keypoint scores are from similarity on clean images, and where that is worse."""
    score, ece, similarity = (
        _mean_score(clean),
        estimate(clean, "detected", "ece"),
        estimate(clean, "detected", "mean_similarity"),
    )
    if score is None or ece.value is None or similarity.value is None:
        return None
    text = (
        f"Keypoint scores on clean images: mean {number(score)}, similarity to the annotations "
        f"{figure_text(similarity)}, expected calibration error (ECE) {figure_text(ece)}."
    )
    changes = in_order((change_of(record, clean, "ece"), record) for record in records if record is not clean)
    sides = [change.side() for change, _ in changes]
    if not changes or None in sides:
        return text
    worse = [pair for pair in reversed(changes) if pair[0].side() == 1]
    told = listed(f"{name_of(record)} ({as_change(change)})" for change, record in worse[:2]) if worse else ""
    most = f", most in {told}" if told else ""
    return (
        f"{text} ECE is larger in {len(worse)} of {len(sides)} conditions{most}, and smaller in "
        f"{sides.count(-1)}."
    )


def _confidence(records: list[dict], clean: dict) -> str | None:
    """Return where confidence hides what similarity has lost."""
    gaps, blind, count = [], [], 0
    for record in records:
        if record is clean:
            continue
        sure, alike = (kept_share(record, clean, metric) for metric in ("mean_confidence", "mean_similarity"))
        gap = sure - alike
        if gap.side() is None:
            continue
        count += 1
        if gap.side() == 1:
            gaps.append((gap, f"{name_of(record)} ({100 * sure.value:.0f} % and {100 * alike.value:.0f} %)"))
        fell = change_of(record, clean, "mean_similarity").side() == -1
        if fell and change_of(record, clean, "mean_confidence").side() != -1:
            blind.append(name_of(record))
    if not count:
        return None
    share = "keeps more of its clean value than the similarity to the annotations does"
    if not gaps:
        return f"Confidence {share} in none of {count} conditions."
    worst = listed([text for _, text in by_size(gaps)][:2])
    unseen = f" In {len(blind)} it does not fall, though similarity does ({listed(blind)})." if blind else ""
    return f"Confidence misleads in {len(gaps)} of {count} conditions: it {share}, most in {worst}.{unseen}"


# ------------------------------------------------------------------------------------------- protocols


def _protocols(records: list[dict]) -> str | None:
    """Return what the study's protocol says otherwise than the corrected one."""
    found = [record for record in records if record["suite"] == "study"]
    sides = [
        {record["condition"]: estimate(record, name, "detection_rate") for record in found}
        for name in ("study", "detected")
    ]
    if not found or any(rate.value is None for rates in sides for rate in rates.values()):
        return None
    return " ".join((_fallbacks(found), _differences(found), _order(*sides), _still_held(*sides)))


def _fallbacks(found: list[dict]) -> str:
    counts = [(record["counts"]["study"]["fallback_images"], name_of(record)) for record in found]
    total, most = sum(count for count, _ in counts), max(count for count, _ in counts)
    where = [name for count, name in counts if count == most]
    told = f", most in {where[0]} ({most} of {found[0]['images']})" if len(where) == 1 < len(found) else ""
    times, conditions = _count(total, "time"), _count(len(found), "condition")
    return (
        "The study's protocol against the corrected one: where no box is left it takes the whole image for a "
        f"detected person, {times} in {conditions}{told}."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _differences(found: list[dict]) -> str:
    """Return the largest differences of detection rate and AP that are no chance, corrected - study."""
    parts = []
    for metric, name, text in (("detection_rate", "detection rate", as_points), ("ap", "AP", as_change)):
        changes = by_size(
            (estimate(record, "detected", metric) - estimate(record, "study", metric), record)
            for record in found
        )
        changes = [(change, record) for change, record in changes if change.side() != 0]
        if changes:
            change, record = changes[0]
            parts.append(f"of {name} {text(change)} in {name_of(record)}")
        else:
            parts.append(f"of {name} none that can be told from 0")
    return f"The largest difference, corrected - study: {', '.join(parts)}."


def _ranks(rates: dict[str, Estimate]) -> dict[str, int]:
    """Return the place of each condition, 1 for the highest rate; equals share a place."""
    values = {name: rate.value for name, rate in rates.items()}
    return {name: 1 + sum(other > value for other in values.values()) for name, value in values.items()}


def _order(study: dict[str, Estimate], corrected: dict[str, Estimate]) -> str:
    """Return which conditions change their place by detection rate, and which reversals are no chance."""
    before, after = _ranks(study), _ranks(corrected)
    moved = [
        f"{condition_title(name)} from {place} to {after[name]}"
        for name, place in before.items()
        if place != after[name]
    ]
    if not moved:
        return "Ranked by detection rate every condition keeps its place."
    pairs = list(itertools.combinations(before, 2))
    sides = [[(rates[one] - rates[two]).side() for rates in (study, corrected)] for one, two in pairs]
    sure = ""
    if all(side is not None for both in sides for side in both):
        reversed_ = sum(one * other == -1 for one, other in sides)
        sure = f"; pairs whose order turns round, with both intervals clear of 0: {reversed_}"
    return f"Ranked by detection rate {len(moved)} of {len(before)} change place ({listed(moved)}){sure}."


def _still_held(study: dict[str, Estimate], corrected: dict[str, Estimate]) -> str:
    counts = [
        sum(rate.value > HOLDS_FROM for name, rate in rates.items() if name != "clean")
        for rates in (study, corrected)
    ]
    share = f"{100 * HOLDS_FROM:.0f} %"
    return f"Degraded conditions above {share}: {counts[0]} by the study's, {counts[1]} by the corrected one."


def cause_findings(records: list[dict], clean: dict | None) -> dict[str, str | None]:
    """Return sentences by id on where accuracy is lost, None where there are no data.

    records: one or more, as accuracy_tables.read_scores gives them. clean: the one of clean images.
    """
    found = {}
    if clean:
        for suite, of_suite in by_suite(records).items():
            found[f"loss_{suite}"] = _loss(suite, of_suite, clean)
        found["accuracy_bottleneck"] = _bottleneck(records, clean)
        found["calibration"] = _calibration(records, clean)
        found["confidence"] = _confidence(records, clean)
    return found | {"protocols": _protocols(records)}
