"""Key findings as sentences, each computed from the two tables; no outcome is taken for granted."""

import pandas as pd

from posebench.study import BENCHMARKS, CONDITIONS, PIPELINE_TITLES
from posebench.tables import percent

REAL_TIME_FPS = 30.0
HOLDS_FROM = 0.9  # detection rate from which a condition "holds", as in the original study
DISAGREE_FROM = 0.2  # difference of the kept shares from which detection rate and AP disagree
FAMILIES = {
    "light": ("Lighting", ("low_light", "overexposure")),
    "blur": ("Motion blur", ("motion_blur",)),
    "noise": ("Noise", ("noise",)),
    "occlusion": ("Occlusion", ("occlusion",)),
}


def _listed(items) -> str:
    items = list(items)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _ran(rows: dict, pipeline: str) -> list[dict]:
    """Return the rows of one pipeline that ran."""
    title = PIPELINE_TITLES[pipeline]
    return [row for row in rows.values() if row["pipeline"] == title and row["status"] == "ok"]


def _degraded(rows: dict, key: str) -> list[dict]:
    """Return the conditions other than clean whose `key` is known."""
    return [row for row in rows.values() if row["condition"] != "clean" and not pd.isna(row[key])]


def _speed(row: dict) -> str:
    return f"{row['latency_ms_mean']:.2f} ms per image ({row['fps']:.1f} FPS)"


def _compared(row: dict, rows: dict) -> str:
    """Return how a row compares with its PyTorch row, and whether their samples overlap."""
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
        return f"No row of the kind {title} ran."
    best = min(ran, key=_mean)
    if len(ran) == 1:
        text = f"{best['title']} is the only {title} row that ran: {_speed(best)}"
    else:
        text = f"{best['title']} is the fastest of {len(ran)} {title} rows: {_speed(best)}"
    scope = "; its boxes are given, so it compares with pose-only rows only" if pipeline == "pose" else ""
    return f"{text}{_compared(best, rows)}{scope}."


def _mean(row: dict) -> float:
    return row["latency_ms_mean"]


def _real_time(rows: dict) -> str | None:
    """Return which detect+pose rows reach REAL_TIME_FPS."""
    ran = _ran(rows, "full")
    if not ran:
        return None
    quick = [row["title"] for row in ran if row["fps"] >= REAL_TIME_FPS]
    names = f" ({_listed(quick)})" if quick else ""
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


def _not_run(rows: dict) -> str | None:
    """Return which rows did not run, grouped by reason."""
    reasons = {}
    for row in rows.values():
        if row["status"] != "ok":
            reasons.setdefault(row["reason"], []).append(row["title"])
    if not reasons:
        return None
    told = "; ".join(f"{_listed(titles)} ({reason})" for reason, titles in reasons.items())
    return f"{sum(map(len, reasons.values()))} of {len(rows)} benchmark rows did not run: {told}."


def _value(row: dict, key: str, clean: dict | None) -> str | None:
    """Return 'detection rate 80.2 % (-15.0 points)' or 'AP 0.41 (-0.22)', or None when unknown."""
    if pd.isna(row[key]):
        return None
    known = clean is not None and not pd.isna(clean[key])
    change = row[key] - clean[key] if known else 0
    if key == "ap":
        return f"AP {row[key]:.3f}" + (f" ({change:+.3f})" if known else "")
    return f"detection rate {percent(row[key])}" + (f" ({100 * change:+.1f} points)" if known else "")


def _family(title: str, corruptions: tuple, rows: dict, clean: dict | None) -> str | None:
    """Return the sentence on one family of conditions, against clean images."""
    parts = []
    for name, row in rows.items():
        if CONDITIONS[name].corruption in corruptions:
            told = [text for key in ("detection_rate", "ap") if (text := _value(row, key, clean))]
            name = "" if row["title"] == title else f"{row['title']} "
            parts.append(name + (", ".join(told) if told else "no score"))
    against = " (against clean images)" if clean else ""
    return f"{title}{against}: {'; '.join(parts)}." if parts else None


def _clean(clean: dict) -> str:
    told = [text for key in ("detection_rate", "ap") if (text := _value(clean, key, None))]
    return f"Clean images ({clean['images']}): {', '.join(told) if told else 'no score'}."


def _first(pair: tuple) -> float:
    return pair[0]


def _worst(rows: dict, clean: dict | None) -> str | None:
    """Return which conditions lose most AP, or most detection rate where no AP is known."""
    for key, name, scale, unit in (("ap", "AP", 1, ""), ("detection_rate", "detection rate", 100, " points")):
        scored = _degraded(rows, key)
        if clean is None or pd.isna(clean[key]) or not scored:
            continue
        # sorted() keeps the order of the study among equals.
        drops = sorted((((row[key] - clean[key]) * scale, row["title"]) for row in scored), key=_first)
        if drops[0][0] >= 0:
            return f"No condition lowers {name} below that of clean images."
        digits = 3 if key == "ap" else 1
        told = [f"{title} ({drop:.{digits}f}{unit})" for drop, title in drops[:2] if drop < 0]
        return f"The largest loss of {name} against clean images: {_listed(told)}."
    return None


def _holds(rows: dict) -> str | None:
    """Return which degraded conditions keep a detection rate above HOLDS_FROM."""
    scored = _degraded(rows, "detection_rate")
    if not scored:
        return None
    held = [row["title"] for row in scored if row["detection_rate"] > HOLDS_FROM]
    names = f" ({_listed(held)})" if held else ""
    share = f"a detection rate above {100 * HOLDS_FROM:.0f} %"
    return f"Degraded conditions that keep {share}: {len(held)} of {len(scored)}{names}."


def _disagree(rows: dict, clean: dict | None) -> str | None:
    """Return where persons are still found but their poses are lost, or the other way round."""
    if clean is None or not clean["detection_rate"] or pd.isna(clean["ap"]) or not clean["ap"]:
        return None
    gaps = []
    for row in _degraded(rows, "ap"):
        if pd.isna(row["detection_rate"]):
            continue
        found, posed = row["detection_rate"] / clean["detection_rate"], row["ap"] / clean["ap"]
        text = f"{row['title']} keeps {100 * found:.0f} % of the rate but {100 * posed:.0f} % of AP"
        gaps.append((abs(found - posed), text))
    if not gaps:
        return None
    told = [text for gap, text in sorted(gaps)[::-1] if gap >= DISAGREE_FROM]
    limit = f"{100 * DISAGREE_FROM:.0f} points"
    if not told:
        return (
            f"Detection rate and AP agree: what they keep of their clean values differs by less than {limit}."
        )
    return f"Detection rate and AP disagree, by {limit} or more of their clean values: {'; '.join(told)}."


def _unreadable(rows: dict) -> str | None:
    count = max((row["unreadable"] for row in rows.values()), default=0)
    return f"Images that could not be read: {count}." if count else None


def key_findings(benchmark: pd.DataFrame, robustness: pd.DataFrame) -> list[dict]:
    """Return [{"id", "text"}] from the tables of posebench.tables; sentences without data are left out."""
    rows = {row["benchmark"]: row for row in benchmark.to_dict("records")}
    rows = {name: rows[name] for name in BENCHMARKS if name in rows}
    scores = {row["condition"]: row for row in robustness.to_dict("records")}
    clean = scores.get("clean")
    found = {}
    if rows:
        found["fastest_full"] = _fastest("full", rows)
        found["real_time"] = _real_time(rows)
        found["bottleneck"] = _bottleneck(rows)
        found["fastest_pose"] = _fastest("pose", rows)
        found["not_run"] = _not_run(rows)
    if scores:
        found["clean"] = _clean(clean) if clean else "Clean images were not evaluated: no loss can be told."
        for name, (title, corruptions) in FAMILIES.items():
            found[f"family_{name}"] = _family(title, corruptions, scores, clean)
        found["worst"] = _worst(scores, clean)
        found["holds"] = _holds(scores)
        found["disagree"] = _disagree(scores, clean)
        found["unreadable"] = _unreadable(scores)
    return [{"id": name, "text": text} for name, text in found.items() if text]
