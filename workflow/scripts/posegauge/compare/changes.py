"""Which change is worth what: rows of the board that differ in one thing alone, set against each other."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from posegauge.compare import every
from posegauge.compare.board import MEASURED, PUBLISHED, SAME, Row
from posegauge.score import bootstrap, intervals
from posegauge.study import RUNTIME_TITLES

FACTORS = {
    "detector": "Detector",
    "pose": "Pose network",
    "runtime": "Runtime",
    "precision": "Precision",
    every.FACTOR: "Detection interval",
}
# Those that rows of the board can differ in.
BY_ROWS = [factor for factor in FACTORS if factor != every.FACTOR]
COLUMNS = (
    "factor", "from", "to", "ratio", "low", "high", "pairs", "overlapping", "ap_change", "ap_change_low",
    "ap_change_high", "ap_kind", "measured_on",
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """Two rows that differ in one thing alone."""

    factor: str
    old: Row
    new: Row


def pairs_of(rows: list[Row]) -> list[Pair]:
    """Return every pair of rows that hold (board.Row.holds) and differ in one of BY_ROWS alone."""
    found = []
    for factor in BY_ROWS:
        groups: dict = {}
        for row in filter(_holds, rows):
            others = tuple(value for key, value in row.alike.items() if key != factor)
            groups.setdefault(others, []).append(row)
        for group in groups.values():
            found += [
                Pair(factor, old, new) for number, old in enumerate(group) for new in group[number + 1 :]
            ]
    return found


def _holds(row: Row) -> bool:
    return row.holds


def level(row: Row, factor: str) -> str:
    """Return the value of a factor in words: RTMDet-nano, ONNX Runtime, INT8."""
    value = row.alike[factor]
    if factor in ("detector", "pose"):
        return row.shown[factor]
    if factor == "runtime":
        return RUNTIME_TITLES[value]
    return value.upper()


def changes(rows: list[Row], films: pd.DataFrame) -> pd.DataFrame:
    """Return what each change is worth, as one line per two values of a factor (COLUMNS), the largest first.

    `to` is the faster of the two. ratio: geometric mean over the pairs of rows of the median time with `to` /
    that with `from`, with a 95 % interval; overlapping: pairs whose ranges from P5 to P95 meet. ap_change:
    the mean difference of AP, `to` - `from`, None where one is not known; its interval is paired by image.
    films: of every.table, which tells what the detector's interval is worth, on the films of measured_on.
    """
    groups: dict = {}
    for pair in pairs_of(rows):
        names = level(pair.old, pair.factor), level(pair.new, pair.factor)
        if names[0] == names[1]:  # networks of one name, but other weights
            names = f"{names[0]} in {pair.old.run.name}", f"{names[1]} in {pair.new.run.name}"
        # One direction for all pairs of two values, by their names.
        ahead = names[0] <= names[1]
        key = (pair.factor, *(names if ahead else reversed(names)))
        groups.setdefault(key, []).append((pair.old, pair.new) if ahead else (pair.new, pair.old))
    lines = [_line(*key, both) for key, both in groups.items()] + every.changes(films)
    lines.sort(key=lambda line: line["ratio"])
    return pd.DataFrame(lines, columns=list(COLUMNS)).astype(dict.fromkeys(("pairs", "overlapping"), "Int64"))


def _line(factor: str, one: str, other: str, pairs: list[tuple[Row, Row]]) -> dict:
    mean = intervals.geometric_mean([_ratio(old, new) for old, new in pairs])
    if mean["ratio"] > 1:  # told towards the faster
        return _line(factor, other, one, [(new, old) for old, new in pairs])
    line = {"factor": factor, "from": one, "to": other, "pairs": len(pairs)}
    line |= {key: mean[key] for key in ("ratio", "low", "high")}
    line["overlapping"] = sum(_overlap(old.shown, new.shown) for old, new in pairs)
    return line | _ap_change(pairs)


def _ratio(old: Row, new: Row) -> dict:
    return intervals.ratio(old.samples, new.samples, (old.drawn, new.drawn))


def _overlap(old: dict, new: dict) -> bool:
    return old["ms_p5"] <= new["ms_p95"] and new["ms_p5"] <= old["ms_p95"]


def _ap_change(pairs: list[tuple[Row, Row]]) -> dict:
    """Return ap_change with its interval and its kind, of the pairs of which both AP are known."""
    pairs = [pair for pair in pairs if all(row.shown["ap"] is not None for row in pair)]
    line = dict.fromkeys(("ap_change", "ap_change_low", "ap_change_high", "ap_kind"))
    kinds = {row.shown["ap_kind"] for pair in pairs for row in pair}
    if len(kinds) != 1 or kinds not in ({MEASURED}, {PUBLISHED}):
        return line
    # What is published is of the networks; whatever else runs them was not scored.
    if kinds == {PUBLISHED} and any(old.run is new.run for old, new in pairs):
        return line
    differences = [new.shown["ap"] - old.shown["ap"] for old, new in pairs]
    line |= {"ap_change": float(np.mean(differences)), "ap_kind": kinds.pop()}
    drawn = [_drawn(old, new) for old, new in pairs]
    if all(found is not None for found in drawn):
        low, high = bootstrap.interval(np.mean(drawn, axis=0))
        line |= {"ap_change_low": low, "ap_change_high": high}
    return line


def _drawn(old: Row, new: Row) -> np.ndarray | None:
    """Return bootstrap replicates of new - old; None where they are not of the same images and draws.

    A share of AP that parity measured has no replicates: it is taken as it stands between two runs, and
    within one, where it alone makes the difference, there is no interval.
    """
    if old.run is new.run and any(row.shown["tier"] not in SAME for row in (old, new)):
        return None
    records = [row.run.scores.get("clean") for row in (old, new)]
    replicates = [record and record["replicates"].get("detected.ap") for record in records]
    if any(found is None for found in replicates):
        return None
    one, other = (record["interval"] for record in records)
    if one != other or old.run.images != new.run.images:
        return None
    whole = [record["scores"]["detected"]["ap"]["value"] for record in records]
    if not all(whole):
        return None
    return replicates[1] * (new.shown["ap"] / whole[1]) - replicates[0] * (old.shown["ap"] / whole[0])
