"""What to take: the Pareto front of AP and time, the best row for a budget, and what frames cost.

A row here is a dict with ms_p50, ms_p95 and ap; rows without an AP are for the caller to leave out.
"""

MS_PER_HOUR = 3_600_000
FRAMES = 1_000_000


def on_front(rows: list[dict]) -> list[bool]:
    """Say of each row whether it is on the Pareto front: no other is as good in both, and better in one.

    Rows that are equal in both are on it together.
    """
    order = sorted(range(len(rows)), key=lambda index: (rows[index]["ms_p50"], -rows[index]["ap"]))
    found = [False] * len(rows)
    best = None  # the last row on the front: of all that are as fast, the most accurate
    for index in order:
        row = rows[index]
        equal = best is not None and (row["ms_p50"], row["ap"]) == (best["ms_p50"], best["ap"])
        if best is None or row["ap"] > best["ap"] or equal:
            found[index], best = True, row
    return found


def cost_per_million(price_per_hour: float | None, ms_mean: float) -> float | None:
    """Return what a million frames cost on a machine that does nothing else, one frame after the other.

    price_per_hour: of the machine, in any currency; None, and None returned, where it is not known.
    """
    return None if price_per_hour is None else price_per_hour * ms_mean * FRAMES / MS_PER_HOUR


def answer(rows: list[dict], max_ms: float | None, min_ap: float | None) -> dict:
    """Return the best row for a budget, and what holds it back.

    max_ms: most milliseconds per frame at P95, so that 95 of 100 frames are in time. min_ap: least AP. With
    max_ms the best row is the most accurate of those that fit, else the fastest (P50) of them.

    Returns:
        {"best": row or None, "better": row or None, "misses_ms", "faster": row or None, "misses_ap",
        "in_time": row or None, "accurate": row or None}. better: the row of higher AP that misses max_ms by
        least (misses_ms > 0, of P95); faster: of the faster rows that miss min_ap, the one that does by least
        (misses_ap > 0). Where nothing fits: in_time, the most accurate row within max_ms, and accurate, the
        row with least P95 of those with min_ap, each with what it misses.
    """
    in_time = [row for row in rows if max_ms is None or row["ms_p95"] <= max_ms]
    accurate = [row for row in rows if min_ap is None or row["ap"] >= min_ap]
    fits = [row for row in in_time if row in accurate]
    found = dict.fromkeys(("best", "better", "misses_ms", "faster", "misses_ap", "in_time", "accurate"))
    if not fits:
        if in_time and min_ap is not None:
            found["in_time"] = max(in_time, key=_accuracy)
            found["misses_ap"] = min_ap - found["in_time"]["ap"]
        if accurate and max_ms is not None:
            found["accurate"] = min(accurate, key=_tail)
            found["misses_ms"] = found["accurate"]["ms_p95"] - max_ms
        return found
    best = found["best"] = max(fits, key=_accuracy) if max_ms is not None else min(fits, key=_speed)
    if late := [row for row in accurate if row["ap"] > best["ap"] and row not in in_time]:
        found["better"] = min(late, key=_tail)
        found["misses_ms"] = found["better"]["ms_p95"] - max_ms
    if poor := [row for row in in_time if row["ms_p50"] < best["ms_p50"] and row not in accurate]:
        found["faster"] = max(poor, key=_accuracy)
        found["misses_ap"] = min_ap - found["faster"]["ap"]
    return found


def _accuracy(row: dict) -> tuple[float, float]:
    return row["ap"], -row["ms_p50"]


def _speed(row: dict) -> tuple[float, float]:
    return row["ms_p50"], -row["ap"]


def _tail(row: dict) -> tuple[float, float]:
    return row["ms_p95"], -row["ap"]
