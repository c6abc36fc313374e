"""What posebench.batch_speed measured, as a table; see batch_figure for the picture."""

import math

import jsonschema
import numpy as np
import pandas as pd

from posebench import results
from posebench.errors import PoseBenchError
from posebench.parity_tables import artifact_title
from posebench.tables import cell, machines, markdown, page

BATCH_COLUMNS = (
    "artifact", "title", "status", "reason", "sweep", "images", "persons", "runs", "turn_ms_p50",
    "images_per_s", "images_per_s_low", "images_per_s_high", "persons_per_s", "parity",
)  # fmt: skip
LEVEL = 0.95
TITLES = {
    "persons": "Images per second by persons in the image, one image at a time",
    "images": "Images per second by images in a batch, {} in each",
}
MARK = " †"


def read_batches(path) -> dict:
    """Return results/<run>/batches.json; PoseBenchError when it does not fit its schema."""
    record = results.read_json(path)
    validator = jsonschema.Draft202012Validator(results.read_schema("batches.schema.yaml"))
    if error := jsonschema.exceptions.best_match(validator.iter_errors(record)):
        where = "/".join(str(part) for part in error.absolute_path) or "top level"
        raise PoseBenchError(
            f"{path}: does not fit its schema at {where}: {error.message}; delete it and run again"
        )
    return record


def median_interval(samples) -> tuple[float | None, float | None]:
    """Return the 95 % interval (low, high) of the median, from order statistics.

    The number of samples below the median is binomial with p = .5, whatever their distribution (Conover,
    Practical Nonparametric Statistics, 1999, section 3.2): the bounds are the samples with as many beyond
    them as leave at least 95 %. (None, None) with fewer than six, which cannot.
    """
    ordered, count = np.sort(np.asarray(samples, np.float64)), len(samples)
    beyond, outside = -1, 0.0
    while (outside := outside + math.comb(count, beyond + 1) / 2**count) <= (1 - LEVEL) / 2:
        beyond += 1
    return (None, None) if beyond < 0 else (float(ordered[beyond]), float(ordered[-1 - beyond]))


def batches_table(record: dict, failing: tuple | set = ()) -> pd.DataFrame:
    """Return one row per point (see BATCH_COLUMNS), one in all for an artifact that was not run.

    record: see read_batches. failing: the artifacts that fail parity.
    """
    rows = []
    for entry in record["artifacts"]:
        same = {"artifact": entry["artifact"], "title": artifact_title(entry)}
        same["parity"] = "fails" if entry["artifact"] in failing else None
        for point in entry["points"] or [{"status": entry["status"], "reason": entry["reason"]}]:
            row = same | {key: point.get(key) for key in ("status", "reason", "sweep", "images", "persons")}
            if point["status"] == "ok":
                speed = 1e3 * point["images_per_turn"] / np.array(point["turn_ms"])
                low, high = median_interval(speed)
                row |= {
                    "runs": len(speed),
                    "turn_ms_p50": float(np.median(point["turn_ms"])),
                    "images_per_s": float(np.median(speed)),
                    "images_per_s_low": low,
                    "images_per_s_high": high,
                    "persons_per_s": float(np.median(speed)) * point["persons"],
                }
            rows.append(row)
    table = pd.DataFrame(rows, columns=list(BATCH_COLUMNS))
    return table.astype(dict.fromkeys(("images", "persons", "runs"), "Int64"))


def heading(sweep: str, record: dict) -> str:
    """Return what one of the sweeps shows."""
    count = record["persons_per_image"]
    return TITLES[sweep].format(f"{count} person{'' if count == 1 else 's'}")


def _counts(table: pd.DataFrame, sweep: str) -> list[int]:
    return list(dict.fromkeys(int(value) for value in table.loc[table["sweep"] == sweep, sweep]))


def _speed(row: dict) -> str:
    if row["status"] != "ok":
        return "not run"
    shown = cell(row["images_per_s"], 1)
    if pd.isna(row["images_per_s_low"]):
        return shown
    return f"{shown} ({cell(row['images_per_s_low'], 1)} to {cell(row['images_per_s_high'], 1)})"


def batches_markdown(table: pd.DataFrame, record: dict, title: str = "", notice: str | None = None) -> str:
    """Return both sweeps for people, with models, machine and notice."""
    parts = []
    for sweep in TITLES:
        counts = _counts(table, sweep)
        columns = {"Artifact": "left"} | {str(count): "right" for count in counts}
        rows = []
        for _, lines in table.groupby("artifact", sort=False):
            first = lines.iloc[0]
            row = {"Artifact": cell(first["title"]) + (MARK if first["parity"] == "fails" else "")}
            found = lines[lines["sweep"] == sweep]
            row |= {str(line[sweep]): _speed(line) for line in found.to_dict("records")}
            if found.empty:
                row["Artifact"] += f": *not run: {cell(first['reason'])}*"
            rows.append(row)
        parts += [f"**{heading(sweep, record)}**", markdown(rows, columns)]
    reasons = [
        f"{row['title']}, {row['images']} images: {row['reason']}"
        for row in table[(table["status"] != "ok") & table["sweep"].notna()].to_dict("records")
    ]
    explained = (
        f"Detector and pose network, boxes given. Medians of {record['runs']} turns, taken in turn"
        + (" (95 % intervals)" if table["images_per_s_low"].notna().any() else "")
        + f". {record['threads']} CPU threads."
        + (" † fails parity: other results than PyTorch's." if (table["parity"] == "fails").any() else "")
    )
    measured = " · ".join(
        filter(None, (title, f"Machine: {'; '.join(machines([record])) or 'not recorded'}"))
    )
    told = "; ".join(map(cell, reasons))
    return page([*parts, measured, explained, f"Not run: {told}." if told else ""], notice)
