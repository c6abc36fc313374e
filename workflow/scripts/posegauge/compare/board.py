"""The board: detect+pose rows of any number of finished runs, with their AP, times, energy and cost.

Needs nothing but the runs' folders, as compare.py does, and refuses what cannot be set side by side.
"""

import functools
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from posegauge.compare import published_pairs
from posegauge.compare.compare import Run, read_run
from posegauge.compare.front import cost_per_million, on_front
from posegauge.compare.gate import differing
from posegauge.errors import PoseGaugeError
from posegauge.report.latency import benchmark_table
from posegauge.report.parity import TIER_COLUMNS
from posegauge.score import intervals, tiers
from posegauge.store.machine import describe
from posegauge.study import BENCHMARKS, PIPELINE_TITLES, ROLES

# Where a row's AP comes from, or why it has none.
MEASURED, PUBLISHED, UNKNOWN = "measured", "published", "not known"
# Of these an artifact gives what its source gives, so their share of AP is noise.
SAME = (tiers.SOURCE, tiers.EXACT)
# A published AP, of weights in FP32, says nothing about what computes in another precision.
FAITHFUL = ("fp32", "fp16")

COLUMNS = (
    "run", "machine", "detector", "pose", "benchmark", "title", "runtime", "device", "precision", "threads",
    "persons", "status", "reason", "samples", "ms_mean", "ms_p5", "ms_p50", "ms_p50_low", "ms_p50_high",
    "ms_p95", "ap", "ap_low", "ap_high", "ap_kind", "ap_note", *TIER_COLUMNS, "joules_per_frame",
    "joules_per_frame_total", "idle_watts", "power_source", "energy_without", "energy_reason",
    "price_per_hour", "currency", "cost_per_million", "front", "front_of_machine", "measured_again_in",
    "made_at", "git_revision",
)  # fmt: skip

# What the latency table says of tier and energy.
FURTHER = (
    *TIER_COLUMNS, "joules_per_frame", "joules_per_frame_total", "idle_watts", "power_source",
    "energy_without", "energy_reason",
)  # fmt: skip


@dataclass(eq=False)
class Row:
    """One row of the board: what its table shows, and what it is compared by."""

    shown: dict  # of COLUMNS
    run: Run
    samples: np.ndarray | None  # milliseconds, float64 [processes, runs]
    alike: dict  # the things in which rows may differ, each of one value: changes.BY_ROWS and all others

    @functools.cached_property
    def drawn(self) -> np.ndarray:
        """Bootstrap replicates of its median, float64 [resamples]."""
        return intervals.resample(self.samples)["median"]

    @property
    def counts(self) -> bool:
        """Whether it may stand on the front: it holds, and its AP is known."""
        return self.holds and self.shown["ap"] is not None

    @property
    def holds(self) -> bool:
        """Whether it ran, keeps the models' results, and no later run of the board has it, too."""
        row = self.shown
        return row["status"] == "ok" and row["tier"] != tiers.FAILS and row["measured_again_in"] is None


def read_runs(paths) -> list[Run]:
    """Read run folders; PoseGaugeError lists every one that is no run, was changed, or of another version."""
    found, faults = [], []
    for path in paths:
        try:
            run = read_run(path, needs=("latency",))
        except PoseGaugeError as error:
            faults.append(str(error))
            continue
        if run.published:
            faults.append(f"{path}: is no run; say board.published: true to see what the study published")
        found.append(run)
    names = [run.name for run in found]
    faults += [
        f"{len([n for n in names if n == name])} folders are named {name}: rename one, so that their rows "
        "can be told apart"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    faults += [] if faults else common_faults(found)
    if faults:
        raise PoseGaugeError(
            "\n".join(["the board refuses these runs:", *(f"  - {line}" for line in faults)])
        )
    return found


def common_faults(runs: list[Run]) -> list[str]:
    """Return why runs cannot be set side by side: other data, settings, images, or numbers of persons."""
    if not any(_timed(run) for run in runs):
        return ["no detect+pose row ran in any of them; make one with a row like onnx_full_cpu"]
    faults = []
    what = {
        "no common data set, so neither AP nor times can be compared: the annotations differ": _annotations,
        "AP is of other images": _scored_images,
        "other images are timed": _timed_image,
        "other numbers of persons are timed (benchmark.boxes: annotated times the same for all)": _persons,
    }
    for text, key in what.items():
        groups: dict = {}
        for run in runs:
            if (value := key(run)) is not None:
                groups.setdefault(value, []).append(run.name)
        if len(groups) > 1:
            told = "; ".join(f"{value}: {', '.join(names)}" for value, names in groups.items())
            faults.append(f"{text} ({told})")
    first, *others = runs
    for run in others:
        settings = [of.record["config"].get("pipeline") or {} for of in (first, run)]
        faults += [
            f"pipeline.{line['key']} is {line['baseline']} in {first.name}, {line['candidate']} in {run.name}"
            for line in differing("pipeline", *settings)
        ]
    return faults


def _timed(run: Run) -> list[dict]:
    """Return the detect+pose records that ran."""
    return [
        record
        for record in run.latency.values()
        if record["status"] == "ok" and record["pipeline"] == PIPELINE_TITLES["full"]
    ]


def _annotations(run: Run) -> str:
    data = run.record["dataset"]
    return f"{data.get('name')} ({str(data.get('annotations_sha256'))[:12]})"


def _scored_images(run: Run) -> str | None:
    clean = run.scores.get("clean")
    return clean and f"{clean['images']} images ({clean['images_sha256'][:12]})"


def _timed_image(run: Run) -> str | None:
    images = dict.fromkeys(
        f"{of['image']['file_name']}, {of['image']['width']}×{of['image']['height']}" for of in _timed(run)
    )
    return " and ".join(images) or None


def _persons(run: Run) -> str | None:
    return " and ".join(dict.fromkeys(str(record["persons"]) for record in _timed(run))) or None


# --------------------------------------------------------------------------------------------------- the rows


def make_rows(runs: list[Run], pairs: dict, settings: dict) -> list[Row]:
    """Return the detect+pose rows of runs, the front marked.

    pairs: of published_pairs.read. settings: the group `board` of the config. PoseGaugeError when one price
    is given for several machines.
    """
    rows = [row for run in runs for row in _rows_of(run, pairs)]
    machines = list(dict.fromkeys(row.shown["machine"] for row in rows if row.shown["status"] == "ok"))
    price = settings["price_per_hour"]
    if price is not None and not isinstance(price, dict) and len(machines) > 1:
        raise PoseGaugeError(
            f"board.price_per_hour: is one number, but the runs are of {len(machines)} machines "
            f"({'; '.join(machines)}); give one for each run, like "
            f"{{{', '.join(f'{run.name}: 1' for run in runs)}}}"
        )
    for row in rows:
        shown = row.shown
        if shown["status"] == "ok":
            paid = price.get(shown["run"]) if isinstance(price, dict) else price
            shown |= {
                "price_per_hour": paid,
                "currency": settings["currency"] if paid is not None else None,
                "cost_per_million": cost_per_million(paid, shown["ms_mean"]),
            }
    for group in series(rows):
        for row in group[:-1]:
            row.shown["measured_again_in"] = group[-1].shown["run"]
    mark_front(rows)
    return rows


def series(rows: list[Row]) -> list[list[Row]]:
    """Return the rows that ran, those together that are alike in all things, in the order of measuring."""
    groups: dict = {}
    for row in rows:
        if row.shown["status"] == "ok":
            groups.setdefault((row.shown["benchmark"], *row.alike.values()), []).append(row)
    return [sorted(group, key=_when) for group in groups.values()]


def _when(row: Row) -> str:
    return row.shown["made_at"] or ""


def mark_front(rows: list[Row]) -> None:
    """Mark what is on the front, of all machines and of its own; measured and published AP do not mix."""
    for column, key in (("front", _kind), ("front_of_machine", _kind_and_machine)):
        groups: dict = {}
        for row in rows:
            row.shown[column] = False
            if row.counts:
                groups.setdefault(key(row.shown), []).append(row.shown)
        for group in groups.values():
            for shown, on_it in zip(group, on_front(group), strict=True):
                shown[column] = on_it


def _kind(shown: dict) -> tuple:
    return (shown["ap_kind"],)


def _kind_and_machine(shown: dict) -> tuple:
    return shown["ap_kind"], shown["machine"]


def table(rows: list[Row]) -> pd.DataFrame:
    """Return the rows as a table of COLUMNS; times in milliseconds, AP from 0 to 1."""
    found = pd.DataFrame([row.shown for row in rows], columns=list(COLUMNS))
    whole = dict.fromkeys(("threads", "persons", "samples"), "Int64")
    return found.astype(whole)


def _rows_of(run: Run, pairs: dict) -> list[Row]:
    latency = benchmark_table(list(run.latency.values()), list(run.parity.values())).to_dict("records")
    rows = []
    for line in latency:
        record = run.latency[line["benchmark"]]
        if line["pipeline"] != PIPELINE_TITLES["full"]:
            continue
        networks = {role: network(run, role) for role in ROLES}
        shown = dict.fromkeys(COLUMNS) | {
            "run": run.name,
            "machine": describe(record["provenance"]["machine"]),
            **{role: name for role, (name, _) in networks.items()},
            **{key: line[key] for key in ("benchmark", "title", "runtime", "device", "precision", "status")},
            "reason": line["reason"],
            **{key: _known(line[key]) for key in FURTHER},
            "made_at": record["provenance"].get("made_at"),
            "git_revision": record["provenance"].get("git_revision"),
        }
        samples = None
        if line["status"] == "ok":
            where = f"{run.name}: {line['benchmark']}"
            samples = intervals.split(record["latency_ms"], record.get("processes", 1), where)
            shown |= _times(record, samples)
            shown |= ap_of(run, shown, pairs)
        artifact = BENCHMARKS[line["benchmark"]].artifact
        alike = {
            "machine": shown["machine"],
            **{role: identity for role, (_, identity) in networks.items()},
            "runtime": artifact.runtime,
            "precision": artifact.precision,
            "rest": (artifact.device, artifact.execution, artifact.images, shown["threads"]),
        }
        rows.append(Row(shown, run, samples, alike))
    return rows


def _times(record: dict, samples: np.ndarray) -> dict:
    """Return the columns of a row's times; the interval of the median holds how processes differ."""
    p5, p50, p95 = np.percentile(samples, (5, 50, 95)).tolist()
    low, high = intervals.median_between_processes(samples)
    return {
        "threads": record["provenance"].get("threads"),
        "persons": record["persons"],
        "samples": samples.size,
        "ms_mean": float(samples.mean()),
        "ms_p5": p5,
        "ms_p50": p50,
        "ms_p50_low": low,
        "ms_p50_high": high,
        "ms_p95": p95,
    }


def _known(value):
    """Return a cell of the latency table, None for nothing."""
    return None if value is None or (not isinstance(value, str) and pd.isna(value)) else value


def network(run: Run, role: str) -> tuple[str, tuple]:
    """Return (name for readers, what makes it that network) of a run's detector or pose network.

    Random weights are those of the config, since no time depends on them.
    """
    given = (run.record["config"].get("models") or {}).get(role) or {}
    made = run.record["models"].get(role) or {}
    size = tuple(made.get("input_size") or given.get("input_size") or ())
    name = given.get("name") or made.get("name") or role
    weights = made.get("checkpoint_sha256") or made.get("onnx_sha256")
    return name, (name, given.get("config") or "", "random" if given.get("random") else weights, size)


def ap_of(run: Run, shown: dict, pairs: dict) -> dict:
    """Return ap, ap_low, ap_high, ap_kind and ap_note of a row that ran.

    Measured: keypoint AP on the run's clean images. One artifact predicted them, so a row whose own artifact
    gives other results has that AP times its share of it, as parity measured it on the same images; an
    artifact of a tier of SAME has the AP itself. Published: where the weights are random, that of the pair
    with the same configs.
    """
    unknown = {"ap": None, "ap_low": None, "ap_high": None, "ap_kind": UNKNOWN}
    clean = run.scores.get("clean")
    if clean is None:
        pair = published_pair(run, pairs)
        if pair is None:
            return unknown | {"ap_note": "random weights, and no pair of these networks is published"}
        if shown["precision"] not in FAITHFUL:
            return unknown | {"ap_note": f"the published AP is not that of {shown['precision'].upper()}"}
        told = f"as published for this pair ({pairs['ap']}), not measured here"
        return unknown | {"ap": pair["ap"], "ap_kind": PUBLISHED, "ap_note": told}
    value = clean["scores"]["detected"]["ap"]
    if value["value"] is None:
        return unknown | {"ap_note": "the run's clean images have no AP"}
    if shown["tier"] == tiers.NOT_CHECKED and shown["precision"] not in FAITHFUL:
        return unknown | {"ap_note": f"{shown['precision'].upper()} counts where parity was checked"}
    share, note = 1.0, None
    if shown["tier"] not in (*SAME, tiers.NOT_CHECKED):
        if shown["ap_share"] is None:
            return unknown | {"ap_note": "what share of the AP the artifact keeps is not known"}
        # Fewer bits add nothing to a network: what is above its source is chance, as with those of SAME.
        share = min(shown["ap_share"], 1.0)
        note = "the run's AP times the artifact's share, which is 1 at most"
    if shown["tier"] == tiers.NOT_CHECKED:
        note = "the run's AP; whether the artifact keeps it was not checked"
    ends = {
        f"ap{end}": None if value[key] is None else share * value[key]
        for end, key in (("", "value"), ("_low", "low"), ("_high", "high"))
    }
    return unknown | ends | {"ap_kind": MEASURED, "ap_note": note}


def published_pair(run: Run, pairs: dict) -> dict | None:
    """Return the published pair whose configs a run's networks have; None where there is none."""
    models = run.record["config"].get("models") or {}
    configs = [PurePosixPath((models.get(role) or {}).get("config") or "").stem for role in ROLES]
    if (run.record["config"].get("pipeline") or {}).get("flip_test"):
        return None  # published without
    return published_pairs.find(pairs, *configs)


def read(paths, pairs_file, settings: dict) -> tuple[list[Run], list[Row], dict]:
    """Return (runs, rows, published pairs) of run folders; pairs_file, settings: see make_rows."""
    pairs = published_pairs.read(pairs_file)
    runs = read_runs(list(map(Path, paths)))
    return runs, make_rows(runs, pairs, settings), pairs
