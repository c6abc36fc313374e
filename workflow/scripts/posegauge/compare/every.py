"""The detector on every n-th frame, of all runs of a board: measured on a film, so apart from its rows.

Such rows are compared with those of the same run, artifact and film that run the detector on every frame.
"""

import numpy as np
import pandas as pd

from posegauge.compare.board import MEASURED, network
from posegauge.compare.compare import Run
from posegauge.report.markdown import DASH, DEVICE_TITLES, cell, markdown, number, ratio_text, spread
from posegauge.store.machine import describe
from posegauge.study import ROLES, RUNTIME_TITLES

FACTOR = "interval"
COLUMNS = (
    "run", "machine", "detector", "pose", "artifact", "title", "film", "frames", "detect_every", "ms_mean",
    "ms_p5", "ms_p95", "speedup", "speedup_low", "speedup_high", "ap", "ap_low", "ap_high", "ap_change",
    "ap_change_low", "ap_change_high",
)  # fmt: skip


def table(runs: list[Run]) -> pd.DataFrame:
    """Return one line per run, artifact and interval (COLUMNS; milliseconds per frame of the film).

    speedup and ap_change: against the detector on every frame. AP: over the annotated frames of the film.
    """
    lines = []
    for run in runs:
        names = {role: network(run, role)[0] for role in ROLES}
        for record in run.detect_every:
            about = {
                "run": run.name,
                "machine": describe(record["provenance"]["machine"]),
                **names,
                "artifact": record["artifact"],
                "title": _title(record),
                "film": _film(record["film"]),
                "frames": record["film"]["frames"],
            }
            for way in record["ways"]:
                if way["way"] == "ours" and way["status"] == "ok":
                    lines += [about | _line(row) for row in way["rows"]]
    return pd.DataFrame(lines, columns=list(COLUMNS)).astype(
        dict.fromkeys(("frames", "detect_every"), "Int64")
    )


def _film(film: dict) -> str:
    """Return 'walk.mp4, SYNTHETIC: people drawn by ...': a drawn film says so in its title."""
    return ", ".join(filter(None, (film["file_name"], film.get("title"))))


def _title(record: dict) -> str:
    """Return 'OpenVINO, CPU, FP32'."""
    precision = record["precision"].upper()
    return f"{RUNTIME_TITLES[record['runtime']]}, {DEVICE_TITLES[record['device']]}, {precision}"


def _line(row: dict) -> dict:
    taken = np.asarray(row["latency_ms"], np.float64)
    p5, p95 = np.percentile(taken, (5, 95)).tolist()
    # As their own page has it: the median over the rounds.
    found = {"detect_every": row["detect_every"], "ms_mean": float(np.median(taken.mean(axis=1)))}
    found |= {"ms_p5": p5, "ms_p95": p95}
    scores = row["scores"] or {}
    estimates = {"speedup": row["speedup"], "ap": scores.get("ap"), "ap_change": row["ap_change"]}
    for name, estimate in estimates.items():
        for end, key in (("", "value"), ("_low", "low"), ("_high", "high")):
            found[name + end] = (estimate or {}).get(key)
    return found


def changes(table: pd.DataFrame) -> list[dict]:
    """Return what each interval is worth against every frame, as lines of changes.COLUMNS.

    Over several runs and artifacts the geometric mean of the speed-ups and the mean change of AP; their
    errors are added up as if independent.
    """
    first = table[table["detect_every"] == 1].set_index(["run", "artifact"])
    lines = []
    for n, rows in table[table["detect_every"] > 1].groupby("detect_every"):
        meet = [
            row["ms_p5"] <= (every := first.loc[(row["run"], row["artifact"])])["ms_p95"]
            and every["ms_p5"] <= row["ms_p95"]
            for row in rows.to_dict("records")
        ]
        # No interval where there were too few rounds.
        logs = {key: -np.log(rows[name].astype(float)) for key, name in _BOUNDS.items()}
        middle, low, high = _mean(logs["ratio"], logs["low"], logs["high"])
        line = {"factor": FACTOR, "from": name_of(1), "to": name_of(int(n)), "pairs": len(rows)}
        line |= {"ratio": np.exp(middle), "low": np.exp(low), "high": np.exp(high), "overlapping": sum(meet)}
        ends = _mean(*(rows[f"ap_change{end}"].astype(float) for end in ("", "_low", "_high")))
        line |= dict(zip(("ap_change", "ap_change_low", "ap_change_high"), ends, strict=True))
        line |= {"ap_kind": None if np.isnan(ends[0]) else MEASURED}
        lines.append(line | {"measured_on": " and ".join(dict.fromkeys(rows["film"]))})
    return lines


# A speed-up's upper end is the lower one of the ratio of the times.
_BOUNDS = {"ratio": "speedup", "low": "speedup_high", "high": "speedup_low"}


def _mean(middle, low, high) -> tuple[float, float, float]:
    """Return (mean, low, high) of estimates, their errors added up; NaN for what is not known of all."""
    values = [np.asarray(part, np.float64) for part in (middle, low, high)]
    mean, count = values[0].mean(), len(values[0])
    below, above = (np.linalg.norm(values[0] - end) / count for end in values[1:])
    return float(mean), float(mean - below), float(mean + above)


def name_of(interval: int) -> str:
    """Return 'every frame' or 'every 5th frame'."""
    return "every frame" if interval == 1 else f"every {interval}{ordinal(interval)} frame"


def ordinal(number: int) -> str:
    """Return 'st', 'nd', 'rd' or 'th'."""
    return "th" if 10 < number % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")


def text(table: pd.DataFrame) -> str:
    """Return the table of `table` as Markdown; empty where no run has a film."""
    if table.empty:
        return ""
    columns = dict.fromkeys(("Networks", "Runs on", "Detector"), "left")
    columns |= dict.fromkeys(("ms per frame", "P95 (ms)", "Speed-up", "AP", "AP change"), "right")
    columns |= {"Film": "left", "Run": "left"}
    lines = []
    for row in table.to_dict("records"):
        first = row["detect_every"] == 1
        speedup = ratio_text(row["speedup"], row["speedup_low"], row["speedup_high"])
        lines.append(
            {
                "Networks": cell(f"{row['detector']} + {row['pose']}"),
                "Runs on": cell(row["title"]),
                "Detector": name_of(row["detect_every"]),
                "ms per frame": number(row["ms_mean"], 2),
                "P95 (ms)": number(row["ms_p95"], 2),
                "Speed-up": DASH if first else speedup,
                "AP": spread(row, "ap"),
                "AP change": DASH if first else spread(row, "ap_change", signed=True),
                "Film": cell(row["film"]),
                "Run": f"`{cell(row['run'])}`",
            }
        )
    told = (
        "Measured on a film, every frame of it, so neither times nor AP compare with the rows above. "
        "Between the detector's frames persons are followed by their keypoints."
    )
    return f"{markdown(lines, columns)}\n\n{told}"
