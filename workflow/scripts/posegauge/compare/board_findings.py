"""The board in sentences: which change is worth what, what is on the front, and what to take for a budget."""

import pandas as pd

from posegauge.compare.board import MEASURED, PUBLISHED, Row
from posegauge.compare.changes import FACTORS
from posegauge.compare.front import answer
from posegauge.report.markdown import cell, listed
from posegauge.report.readme import bullets, short_revision


def name_of(shown: dict, several: bool) -> str:
    """Return 'RTMDet-nano + RTMPose-t, OpenVINO Full CPU', with the machine where there are several."""
    where = f" on {shown['machine']}" if several else ""
    return f"{shown['detector']} + {shown['pose']}, {shown['title']}{where}"


def _time(shown: dict) -> float:
    return shown["ms_p50"]


def block(record: dict, told: list[dict], page: str) -> str:
    """Return the README's block of the board: what the changes are worth, the largest first, and the front.

    record: board.json. told: of findings. page: link to the board's page.
    """
    shown = [line for line in told if line["id"] in FACTORS] + [
        line for line in told if line["id"] == "front"
    ]
    runs = record["runs"]
    machines = "; ".join(dict.fromkeys(run["machine"] for run in runs))
    revisions = dict.fromkeys(filter(None, (run["git_revision"] for run in runs)))
    about = [
        f"{len(runs)} run{'s' if len(runs) > 1 else ''}",
        machines,
        f"revision {', '.join(map(short_revision, revisions))}" if revisions else "",
        f"[the board: every row, figure and table]({page})",
    ]
    notice = f" {record['notice']}" if record["notice"] else ""
    lines = bullets(cell(line["text"]) for line in shown)
    return f"{lines}\n\n*{' · '.join(filter(None, about))}.{notice}*\n"


def summary(told: list[dict]) -> str:
    """Return findings in a few lines for a terminal."""
    return "\n".join(f"  {line['text']}" for line in told)


def findings(rows: list[Row], changes: pd.DataFrame, settings: dict) -> list[dict]:
    """Return [{"id", "text"}]: each kind of change, the largest first, the front, the budget."""
    found = []
    lines = changes.to_dict("records")
    known = dict.fromkeys(line["factor"] for line in lines)
    for factor in known:
        found.append({"id": factor, "text": _factor([line for line in lines if line["factor"] == factor])})
    if without := [title.lower() for factor, title in FACTORS.items() if factor not in known]:
        found.append({"id": "without", "text": f"No two rows differ in this alone: {listed(without, 9)}."})
    usable = [row.shown for row in rows if row.counts]
    if usable:
        found.append({"id": "front", "text": _front(usable)})
    return found + [{"id": "budget", "text": text} for text in budget(rows, settings)]


def _factor(lines: list[dict]) -> str:
    """Return the sentence on one kind of change; lines: of changes.changes, the largest first."""
    largest = lines[0]
    noun = FACTORS[largest["factor"]]
    sure = pd.isna(largest["high"]) or largest["high"] < 1
    times, low, high = 1 / largest["ratio"], 1 / largest["high"], 1 / largest["low"]
    pairs = f"{largest['pairs']} pair{'s' if largest['pairs'] > 1 else ''} of rows"
    meet = f"; of {largest['overlapping']} the P5 to P95 ranges overlap" if largest["overlapping"] else ""
    digits = 1 if times >= 10 else 2
    interval = "" if pd.isna(low) else f" [{low:.{digits}f}, {high:.{digits}f}]"
    text = (
        f"{noun}: {largest['to']} in place of {largest['from']} is {times:.{digits}f}× as fast"
        f"{interval}{_ap_sentence(largest)}"
        f" ({pairs} that differ in nothing else{meet})"
    )
    if not sure:
        text += "; the interval holds 1, so this is no sure difference"
    if not pd.isna(largest["measured_on"]):
        text += f", on the film {largest['measured_on']}"
    if len(lines) > 1:
        least = lines[-1]
        change = f"{least['from']} to {least['to']}: {1 / least['ratio']:.2f}×"
        text += f". The smallest of {len(lines)} such changes, {change}"
    return f"{text}."


def _ap_sentence(line: dict) -> str:
    change = line["ap_change"]
    if change is None or pd.isna(change):
        return "; what it does to AP is not known"
    kind = " as published" if line["ap_kind"] == PUBLISHED else ""
    if round(change, 3) == 0:
        return f" at the same AP{kind}"
    low, high = line["ap_change_low"], line["ap_change_high"]
    ends = "" if low is None or pd.isna(low) else f" [{low:+.3f}, {high:+.3f}]"
    return f" and changes AP by {change:+.3f}{ends}{kind}"


def _front(usable: list[dict]) -> str:
    several = len({row["machine"] for row in usable}) > 1
    told = []
    for kind in (MEASURED, PUBLISHED):
        group = sorted((row for row in usable if row["ap_kind"] == kind), key=_time)
        front = [row for row in group if row["front"]]
        if front:
            names = [f"{name_of(row, several)} ({row['ms_p50']:.1f} ms, AP {row['ap']:.3f})" for row in front]
            told.append(f"the front ({kind} AP) has {len(front)} of {len(group)} rows: {listed(names, 6)}")
    text = "; ".join(told)
    return f"{text[0].upper()}{text[1:]}."


def budget(rows: list[Row], settings: dict) -> list[str]:
    """Return what to take for the budget, of all machines and of each, and what holds it back."""
    max_ms, min_ap = settings["max_ms"], settings["min_ap"]
    if max_ms is None and min_ap is None:
        return []
    usable = [row.shown for row in rows if row.counts]
    machines = list(dict.fromkeys(row["machine"] for row in usable))
    several, told = len(machines) > 1, []
    for kind in (MEASURED, PUBLISHED):
        of_kind = [row for row in usable if row["ap_kind"] == kind]
        for machine in [None, *machines] if several else [None]:
            group = [row for row in of_kind if machine in (None, row["machine"])]
            if group:
                where = "" if machine is None else f" on {machine}"
                told.append(_answer(group, max_ms, min_ap, kind, where, several and machine is None))
    return told or ["No row has an AP, so none can be named for the budget."]


def _answer(group: list[dict], max_ms, min_ap, kind: str, where: str, several: bool) -> str:
    asked = [f"{max_ms:g} ms per frame at P95"] if max_ms is not None else []
    asked += [f"AP {min_ap:g}"] if min_ap is not None else []
    head = f"For {' and '.join(asked)}{where} ({kind} AP)"
    found = answer(group, max_ms, min_ap)
    if best := found["best"]:
        times = f"{best['ms_p50']:.1f} ms, P95 {best['ms_p95']:.1f} ms"
        text = f"{head}: {name_of(best, several)}, {times}, AP {best['ap']:.3f}."
        if min_ap is not None and best["ap_low"] is not None and best["ap_low"] < min_ap:
            text += f" The interval of its AP goes down to {best['ap_low']:.3f}, below the budget."
        if better := found["better"]:
            text += (
                f" What holds it back is time: {name_of(better, several)} has AP {better['ap']:.3f}, and at "
                f"P95 misses the budget by {found['misses_ms']:.1f} ms."
            )
        if faster := found["faster"]:
            text += (
                f" {'And' if better else 'What holds it back is'} AP: {name_of(faster, several)} takes "
                f"{faster['ms_p50']:.1f} ms, and misses the budget by {found['misses_ap']:.3f}."
            )
        if not (better or faster):
            text += " Nothing holds it back: no row on the board is " + (
                "more accurate." if max_ms is not None else "faster."
            )
        return text
    text = f"{head}: nothing fits."
    if row := found["in_time"]:
        text += f" In time, {name_of(row, several)} comes closest: AP {row['ap']:.3f}, "
        text += f"{found['misses_ap']:.3f} too low."
    if row := found["accurate"]:
        text += (
            f" {'Accurate enough' if min_ap is not None else 'Closest'} is {name_of(row, several)}: "
            f"P95 {row['ms_p95']:.1f} ms, {found['misses_ms']:.1f} ms too slow."
        )
    if found["in_time"] is None and found["accurate"] is None:
        text += " No row is in time, and none is accurate enough."
    return text
