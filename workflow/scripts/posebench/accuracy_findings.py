"""Findings on what each image condition costs, as sentences computed from the score records.

No outcome is taken for granted. A difference is only claimed where its paired interval excludes 0; without
intervals figures are told as measured.
"""

import itertools

from posebench.accuracy_pages import condition_title, listed, spread
from posebench.accuracy_tables import Estimate, by_suite, estimate, suite_mean
from posebench.study import SUITES

HOLDS_FROM = 0.9  # detection rate from which a condition "holds", as in the original study
DISAGREE_FROM = 0.2  # difference of the kept shares from which detection rate and AP disagree
NAMED = 3  # conditions that a sentence tells with figures
FAMILIES = {
    "light": ("Lighting", ("low_light", "overexposure")),
    "blur": ("Motion blur", ("motion_blur",)),
    "noise": ("Noise", ("noise",)),
    "occlusion": ("Occlusion", ("occlusion",)),
}


# --------------------------------------------------------------------------------------------- words


def figure_text(figure: Estimate, **style) -> str:
    """Return '0.290 [0.276, 0.304]'; style as in accuracy_pages.spread."""
    return spread(figure.columns("x"), "x", **style)


def as_change(figure: Estimate) -> str:
    """Return '-0.290 [-0.304, -0.276]'."""
    return figure_text(figure, signed=True)


def as_points(figure: Estimate) -> str:
    """Return a difference of shares as '-15.0 points [-16.3, -13.7]'."""
    return figure_text(figure, digits=1, scale=100, unit=" points", signed=True)


def as_percent(figure: Estimate) -> str:
    """Return a share as '95.0 % [91.3, 98.5]'."""
    return figure_text(figure, digits=1, scale=100, unit=" %")


def name_of(record: dict) -> str:
    """Return the condition's title."""
    return condition_title(record["condition"])


def change_of(record: dict, clean: dict, metric: str) -> Estimate:
    """Return the change of a score of the detected boxes against clean."""
    return estimate(record, "detected", metric) - estimate(clean, "detected", metric)


def kept_share(record: dict, clean: dict, metric: str) -> Estimate:
    """Return the share of a score of clean images that a condition keeps."""
    return estimate(record, "detected", metric) / estimate(clean, "detected", metric)


def in_order(pairs) -> list[tuple]:
    """Return pairs (figure, what) from the lowest figure up, without the unknown ones."""
    return sorted((pair for pair in pairs if pair[0].value is not None), key=_value)


def by_size(pairs) -> list[tuple]:
    """Return pairs (figure, what) from the largest figure down, of either sign, without the unknown ones."""
    return sorted((pair for pair in pairs if pair[0].value is not None), key=_size, reverse=True)


def _value(pair: tuple) -> float:
    return pair[0].value


def _size(pair: tuple) -> float:
    return abs(pair[0].value)


# ----------------------------------------------------------------------------------- each condition


# The two scores of a condition: name, and how a value and a change of it are written.
METRICS = {
    "detection_rate": ("detection rate", as_percent, as_points),
    "ap": ("AP", figure_text, as_change),
}


def _scores(record: dict, clean: dict | None) -> str:
    """Return 'detection rate 80.0 % (-15.0 points [...]), AP ...', the changes against `clean` if given."""
    parts = []
    for metric, (name, text, change_text) in METRICS.items():
        figure = estimate(record, "detected", metric)
        if figure.value is None:
            continue
        change = change_of(record, clean, metric) if clean else Estimate(None)
        if change.value is None:
            parts.append(f"{name} {text(figure)}")
        else:
            same = ", not distinguishable" if change.side() == 0 else ""
            alone = text(Estimate(figure.value))
            parts.append(f"{name} {alone} ({change_text(change)}{same})")
    return ", ".join(parts) or "no score"


def _family(title: str, corruptions: tuple, records: list[dict], clean: dict | None) -> str | None:
    """Return the sentence on one family of the study's conditions, against clean images."""
    parts = []
    for record in records:
        if record["suite"] == "study" and record["corruption"] in corruptions:
            name = "" if name_of(record) == title else f"{name_of(record)} "
            parts.append(name + _scores(record, clean))
    against = " (against clean images)" if clean else ""
    return f"{title}{against}: {'; '.join(parts)}." if parts else None


def _coco_c(records: list[dict], clean: dict | None) -> str | None:
    """Return the sentence on COCO-C: the worst conditions by name, the others counted."""
    found = by_suite(records).get("coco_c", [])
    changes = in_order((change_of(record, clean, "ap"), record) for record in found) if clean else []
    if not changes:
        return None
    worst = [
        f"{condition_title(record['condition'], 'coco_c')} ({as_change(change)})"
        for change, record in changes[:NAMED]
        if change.value < 0 and change.side() != 0
    ]
    text = f"COCO-C ({len(found)} conditions, against clean images): "
    text += f"the largest losses of AP are {listed(worst)}" if worst else "no loss of AP"
    sides = [change.side() for change, _ in changes]
    if None in sides:
        return f"{text}."
    above = f", higher in {sides.count(1)}" if 1 in sides else ""
    return f"{text}. AP is lower in {sides.count(-1)}{above}, and not distinguishable in {sides.count(0)}."


def _worst(records: list[dict], clean: dict | None) -> str | None:
    """Return which conditions lose most AP, or most detection rate where no AP is known."""
    for metric in ("ap", "detection_rate"):
        name, _, text = METRICS[metric]
        degraded = [record for record in records if record is not clean]
        drops = in_order((change_of(record, clean, metric), record) for record in degraded) if clean else []
        if not drops:
            continue
        if drops[0][0].value >= 0:
            return f"No condition lowers {name} below that of clean images."
        lost = [pair for pair in drops if pair[0].side() in (-1, None) and pair[0].value < 0]
        if not lost:
            return f"No loss of {name} against clean images can be told from 0."
        worst = [f"{name_of(record)} ({text(drop)})" for drop, record in lost[:2]]
        measured = "measured " if lost[0][0].side() is None else ""
        return f"The largest {measured}loss of {name} against clean images: {listed(worst)}."
    return None


def _holds(records: list[dict], clean: dict | None) -> str | None:
    """Return which degraded conditions keep a detection rate above HOLDS_FROM, by their intervals."""
    held, open_, count = [], [], 0
    for record in records:
        rate = estimate(record, "detected", "detection_rate")
        if record is clean or rate.value is None:
            continue
        count += 1
        bounds = rate.interval()
        low, high = (rate.value if bounds[end] is None else bounds[end] for end in ("low", "high"))
        if low > HOLDS_FROM:
            held.append(name_of(record))
        elif high > HOLDS_FROM:
            open_.append(name_of(record))
    if not count:
        return None
    share = f"a detection rate above {100 * HOLDS_FROM:.0f} %"
    names = f" ({listed(held)})" if held else ""
    more = f"; by their intervals {len(open_)} more may ({listed(open_)})" if open_ else ""
    return f"Degraded conditions that keep {share}: {len(held)} of {count}{names}{more}."


def _disagree(records: list[dict], clean: dict | None) -> str | None:
    """Return where persons are still found but their poses are lost, or the other way round."""
    gaps = []
    for record in records if clean else ():
        if record is clean:
            continue
        found, posed = (kept_share(record, clean, metric) for metric in METRICS)
        if (found - posed).side() is not None:
            rate, ap = (f"{100 * share.value:.0f} %" for share in (found, posed))
            gaps.append((found - posed, f"{name_of(record)} keeps {rate} of the rate but {ap} of AP"))
    if not gaps:
        return None
    limit = f"{100 * DISAGREE_FROM:.0f} points"
    large = [text for gap, text in by_size(gaps) if abs(gap.value) >= DISAGREE_FROM and gap.side()]
    if not large:
        return (
            "Detection rate and AP agree: what they keep of their clean values differs by less than "
            f"{limit}, or by no more than chance."
        )
    more = f"; {len(large) - NAMED} more conditions do" if len(large) > NAMED else ""
    told = "; ".join(large[:NAMED])
    return f"Detection rate and AP disagree, by {limit} or more of their clean values: {told}{more}."


def _same(records: list[dict], clean: dict | None) -> str | None:
    """Return what AP cannot tell apart: conditions from clean, and the study's from each other."""
    degraded = [record for record in records if record is not clean]
    parts = []
    if clean and degraded:
        sides = [(change_of(record, clean, "ap").side(), record) for record in degraded]
        if any(side is not None for side, _ in sides):
            same = [name_of(record) for side, record in sides if side == 0]
            names = f" ({listed(same)})" if same else ""
            parts.append(f"{len(same)} of {len(degraded)} conditions from clean images{names}")
    study = [record for record in degraded if record["suite"] == "study"]
    pairs = list(itertools.combinations(study, 2))
    sides = [change_of(one, two, "ap").side() for one, two in pairs]
    if any(side is not None for side in sides):
        same = [
            f"{name_of(one)} from {name_of(two)}"
            for (one, two), side in zip(pairs, sides, strict=True)
            if side == 0
        ]
        names = f" ({listed(same)})" if same else ""
        parts.append(f"{len(same)} of {len(pairs)} pairs of the study's conditions{names}")
    return f"AP does not tell apart: {'; '.join(parts)}." if parts else None


def _mpc(records: list[dict], clean: dict | None) -> str | None:
    """Return mPC and rPC of each suite."""
    parts = []
    for suite, found in by_suite(records).items():
        aps = {record["condition"]: estimate(record, "detected", "ap") for record in found}
        mpc = suite_mean(found, aps)
        if mpc.value is None:
            continue
        rpc = mpc / estimate(clean, "detected", "ap") if clean else Estimate(None)
        share = "" if rpc.value is None else f", rPC {as_percent(rpc)}"
        parts.append(f"{SUITES[suite]}: mPC {figure_text(mpc)}{share}")
    told = "; ".join(parts)
    return f"Mean AP under corruption (mPC) and its share of clean AP (rPC). {told}." if parts else None


def _intervals(records: list[dict]) -> str | None:
    note = records[0]["interval"]["note"]
    return f"Differences are told as measured, and none is claimed: {note}." if note else None


def _unreadable(records: list[dict]) -> str | None:
    count = max(len(record["unreadable"]) for record in records)
    return f"Images that could not be read: {count}." if count else None


def condition_findings(records: list[dict], clean: dict | None) -> dict[str, str | None]:
    """Return sentences by id on what each condition costs, None where there are no data.

    records: one or more, as accuracy_tables.read_scores gives them. clean: the one of clean images.
    """
    found = {"clean": "Clean images were not evaluated: no loss can be told."}
    if clean:
        found["clean"] = f"Clean images ({clean['images']}): {_scores(clean, None)}."
    found["intervals"] = _intervals(records)
    for name, (title, corruptions) in FAMILIES.items():
        found[f"family_{name}"] = _family(title, corruptions, records, clean)
    return found | {
        "coco_c": _coco_c(records, clean),
        "mpc": _mpc(records, clean),
        "worst": _worst(records, clean),
        "same": _same(records, clean),
        "holds": _holds(records, clean),
        "disagree": _disagree(records, clean),
        "unreadable": _unreadable(records),
    }
