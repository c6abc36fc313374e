"""The table of the pipeline beside other programs."""

import numpy as np
import pandas as pd

from posebench import tables
from posebench.random_weights import NOTICE
from posebench.tables import cell, machines, markdown, page

PEERS_COLUMNS = (
    "way", "title", "runtime", "pipeline", "persons", "status", "reason", "rounds", "latency_ms_p50",
    "ratio", "ratio_low", "ratio_high", "keypoint_px_p50", "keypoint_px_p95", "keypoint_px_max",
)  # fmt: skip
OURS = "ours"


def read_peers(path) -> dict:
    """Return peers.json; PoseBenchError when it does not fit its schema."""
    (record,) = tables.read_records([path], "peers.schema.yaml", "kind", ("peers",))
    return record


def peers_table(record: dict) -> pd.DataFrame:
    """Return one row per way, pipeline and number of persons (see PEERS_COLUMNS; times in milliseconds).

    `ratio` is the median of this pipeline / the median of the way. A way that was not run has one row.
    """
    rows = []
    for way in record["ways"]:
        about = {key: way[key] for key in ("way", "title", "runtime", "status", "reason")}
        near = way["agreement"] or {}
        about |= {f"keypoint_{name}": near.get(name) for name in ("px_p50", "px_p95", "px_max")}
        rows += [
            about
            | {
                "pipeline": row["pipeline"],
                "persons": row["persons"],
                "rounds": len(row["latency_ms"]),
                "latency_ms_p50": float(np.median(row["latency_ms"])),
                "ratio": row["ratio"]["value"],
                "ratio_low": row["ratio"]["low"],
                "ratio_high": row["ratio"]["high"],
            }
            for row in way["rows"]
        ] or [about]
    table = pd.DataFrame(rows, columns=list(PEERS_COLUMNS))
    return table.astype(dict.fromkeys(("persons", "rounds"), "Int64"))


def ratio_text(row: dict) -> str:
    """Return '0.61× [0.60, 0.63]', without the interval where there is none."""
    known = not pd.isna(row["ratio_low"])
    return f"{row['ratio']:.2f}×" + (f" [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]" if known else "")


def peers_markdown(table: pd.DataFrame, record: dict, title: str = "", notice: str | None = None) -> str:
    """Return the table for people: one line per way and pipeline, columns by number of persons."""
    counts = {number: f"{number} person{'' if number == 1 else 's'}" for number in record["persons"]}
    columns = {"Program": "left", "Pipeline": "left", **dict.fromkeys(counts.values(), "right")}
    columns |= {"Keypoints P50 / P95 (px)": "right"}
    rows = []
    for (way, pipeline), part in table.groupby(["way", "pipeline"], sort=False, dropna=False):
        first = part.iloc[0]
        shown = {"Program": cell(f"{first['title']} ({first['runtime']})")}
        if first["status"] != "ok":
            rows.append(shown | {"Pipeline": f"*not run: {cell(first['reason'])}*"})
            continue
        shown["Pipeline"] = pipeline
        for row in part.to_dict("records"):
            against = "" if way == OURS else f", {ratio_text(row)}"
            shown[counts[row["persons"]]] = f"{row['latency_ms_p50']:.1f} ms{against}"
        if way != OURS and not pd.isna(first["keypoint_px_p50"]):
            shown["Keypoints P50 / P95 (px)"] = (
                f"{cell(first['keypoint_px_p50'])} / {cell(first['keypoint_px_p95'])}"
            )
        rows.append(shown)
    # The two pipelines apart, each in the order of the ways.
    order = {"detect+pose": 0, "pose only": 1}
    rows.sort(key=lambda row: order.get(row["Pipeline"], 2))
    image = record["image"]
    measured = [
        title,
        f"Machine: {'; '.join(machines([record])) or 'not recorded'}",
        f"CPU, threads: {record['threads']}",
        f"image: {image['file_name']} ({image['width']}×{image['height']})",
        f"{record['rounds']} rounds",
    ]
    explained = (
        "Median of the rounds; ×: median of posebench on ONNX Runtime / median of this program, so below 1 "
        "posebench is faster; the 95 % interval is a bootstrap over the rounds. All programs ran in one "
        "process, in turn, with the same weights, boxes and number of threads. In detect+pose detector and "
        "NMS run, and the given boxes take the place of what they find. Keypoints: distance from those of "
        "posebench in the same boxes."
    )
    if record["provenance"].get("weights") == NOTICE:
        explained += " With random weights it only says whether the networks got the same input."
    told = [f"- {cell(way['title'])}: {cell(way['does'])}" for way in record["ways"]]
    return page(
        [markdown(rows, columns), " · ".join(filter(None, measured)), explained, "\n".join(told)], notice
    )


def peers_finding(record: dict) -> str | None:
    """Return in one sentence how posebench stands to the others in detect+pose; None if nothing ran."""
    table = peers_table(record)
    table = table[(table["status"] == "ok") & (table["pipeline"] == "detect+pose") & (table["way"] != OURS)]
    told = []
    for _, part in table.groupby("way", sort=False):
        ratios = [f"{ratio_text(row)} ({row['persons']})" for row in part.to_dict("records")]
        told.append(f"{part.iloc[0]['title']} {', '.join(ratios)}")
    if not told:
        return None
    return (
        "Detect+pose of posebench on ONNX Runtime on the CPU takes, as a part of the time of other programs "
        f"with the same weights, by number of persons (in brackets): {'; '.join(told)}."
    )
