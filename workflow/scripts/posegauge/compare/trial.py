"""The trial of a GPU (make gpu-trial): its steps in order of value, and the table of what ran and what not.

Two runs make it: RTMDet-m + RTMPose-m with random weights, for speed; the demo's trained models, for parity.
Its page is made of the records that there are: ten minutes seldom suffice for all steps.
"""

import math
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from posegauge.measure import gpu_smoke
from posegauge.report import latency, pages, parity, readme
from posegauge.report.batches import batches_table
from posegauge.report.cameras import cameras_table
from posegauge.report.findings import all_findings
from posegauge.report.markdown import cell, machines, markdown
from posegauge.report.peers import peers_table
from posegauge.report.records import Run
from posegauge.store.files import atomic_path, write_json, write_text
from posegauge.study import BENCHMARKS, Artifact

ROWS, PARITY = "gpu-trial", "gpu-trial-parity"
# What is laid over config/config.yaml for each.
CONFIGS = {
    ROWS: ("config/timing.yaml", "config/gpu-trial.yaml"),
    PARITY: ("config/demo.yaml", "config/gpu-trial-parity.yaml"),
}
ARCHIVE = "records.zip"
NO_GPU = "no CUDA device"
AGAIN = "say `make gpu-trial` again, which goes on from here"


@dataclass(frozen=True)
class Step:
    """A part of the trial that is cut when it takes longer than `limit_s`."""

    name: str
    title: str
    limit_s: int
    run: str | None = None  # None: the smoke checks
    targets: tuple[str, ...] = ()  # of Snakemake
    shows: tuple[str, ...] = ()  # benchmarks or artifacts that have a line each in the table


@dataclass(frozen=True)
class _Kind:
    """Rows that go together."""

    name: str
    title: str
    limit_s: int
    parity_limit_s: int
    holds: Callable[[Artifact], bool]


# Half as long again as they took on an H100 with 16 cores; TensorRT's were never seen.
_KINDS = (
    _Kind("pytorch", "PyTorch", 240, 80, lambda a: a.runtime == "pytorch" and a.execution == "plain"),
    _Kind(
        "onnx", "ONNX Runtime", 200, 120, lambda a: a.runtime == "onnxruntime" and a.execution != "tensorrt"
    ),
    _Kind("compiled", "PyTorch, compiled", 240, 90, lambda a: a.execution == "compiled"),
    _Kind("tensorrt", "TensorRT", 200, 60, lambda a: "tensorrt" in (a.runtime, a.execution)),
)


def steps(benchmarks: list[str], compared: list[str]) -> list[Step]:
    """Return the steps, the one that says most first.

    benchmarks: rows of the run ROWS, by name; compared: those of PARITY, whose artifacts are compared.
    """
    made, later = [Step("smoke", "Driver and libraries", 60)], []
    for kind in _KINDS:
        rows = tuple(name for name in benchmarks if kind.holds(BENCHMARKS[name].artifact))
        artifacts = dict.fromkeys(BENCHMARKS[name].artifact for name in compared)
        names = tuple(artifact.name for artifact in artifacts if kind.holds(artifact))
        made.append(
            Step(
                kind.name,
                f"{kind.title}: rows",
                kind.limit_s,
                ROWS,
                tuple(f"measure_{n}" for n in rows),
                rows,
            )
        )
        files = tuple(f"results/{PARITY}/parity/{name}.json" for name in names)
        compare = Step(
            f"{kind.name}-parity", f"{kind.title}: parity", kind.parity_limit_s, PARITY, files, names
        )
        # Of the first two, without which their rows say little.
        (made if kind.name in ("pytorch", "onnx") else later).append(compare)
    folder = f"results/{ROWS}"
    return [
        *made,
        Step("roofline", "What the GPU can do at best", 40, ROWS, (f"{folder}/roofline/cuda.json",)),
        Step("peers", "Beside other programs", 200, ROWS, (f"{folder}/peers/cuda.json",)),
        Step("batches", "Persons and batches", 150, ROWS, ("measure_batches",)),
        *later,
        Step("cameras", "Cameras", 120, ROWS, ("measure_cameras",)),
    ]


def why_not(state: dict | None, log: Path | None = None) -> str:
    """Return why there is no record. state: {"status", ...} of its step; None: not begun. log: of its job."""
    if state is None:
        return f"no time was left: {AGAIN}"
    if state["status"] == "cut":
        return f"cut after {state['seconds']:.0f} s: {AGAIN}"
    if state["status"] == "no device":
        return NO_GPU
    if log and log.is_file() and (said := log.read_text(errors="replace").strip()):
        return f"failed: {said.splitlines()[-1][:200]} ({log})"
    return f"{'failed' if state['status'] == 'failed' else 'nothing was made'}: see {state['log']}"


def table(plan: list[Step], states: dict[str, dict], smoke: list[dict], results="results") -> list[dict]:
    """Return the lines of the table: {"step", "what", "ran", "ms", "p95", "speedup", "parity", "said"}.

    states: {name of a step: {"status", "seconds", "log"}} of those that were begun. smoke: of gpu_smoke.run.
    results: the folder of the runs. A record that is not there has the reason of its step.
    """
    runs = {name: Run.of_folder(Path(results) / name) for name in CONFIGS}
    compared = {record["artifact"]: record for record in runs[PARITY].parity}
    rows = latency.benchmark_table(runs[ROWS].latency, list(compared.values()))
    found = {row["benchmark"]: row for row in rows.to_dict("records")}
    verdicts = parity.parity_table(list(compared.values())).set_index("artifact")
    lines = []
    for step in plan:
        state = states.get(step.name)
        reason = why_not(state)
        if step.run is None:
            of_step = _smoke_lines(smoke, reason)
        elif step.shows:
            job = "check_parity" if step.run == PARITY else "measure"
            logs = {name: Path(results) / step.run / "logs" / f"{job}_{name}.log" for name in step.shows}
            of_step = [
                _parity_line(name, compared.get(name), verdicts, why_not(state, logs[name]))
                if step.run == PARITY
                else _row_line(name, found.get(name), compared, verdicts, why_not(state, logs[name]))
                for name in step.shows
            ]
        else:
            of_step = _OTHERS[step.name](runs[ROWS], reason)
        lines += [{"step": step.name} | line for line in of_step]
    return lines


def _line(what: str, said: str = "", ran: bool = True, **numbers) -> dict:
    return {
        "what": what,
        "ran": ran,
        **dict.fromkeys(("ms", "p95", "speedup", "parity")),
        "said": said,
    } | numbers


def _smoke_lines(smoke: list[dict], reason: str) -> list[dict]:
    made = {check["check"]: check for check in smoke}
    return [
        _line(name, made[name]["found"], made[name]["status"] == "ok")
        if name in made
        else _line(name, reason, False)
        for name in gpu_smoke.CHECKS
    ]


def _row_line(name: str, row: dict | None, compared: dict, verdicts, reason: str) -> dict:
    title = BENCHMARKS[name].title
    if row is None or row["status"] != "ok":
        return _line(title, reason if row is None else row["reason"], False)
    artifact = BENCHMARKS[name].artifact.name
    return _line(
        title,
        f"{row['fps']:.1f} images/s",
        ms=row["latency_ms_p50"],
        p95=row["latency_ms_p95"],
        speedup=None if math.isnan(row["speedup"] or math.nan) else row["speedup"],
        parity=_parity_text(artifact, compared.get(artifact), verdicts),
    )


def _parity_text(artifact: str, record: dict | None, verdicts) -> str | None:
    if record is None or record["status"] != "ok":
        return None
    row = verdicts.loc[artifact]
    word = "passes" if record["passes"] else "fails"
    return f"{word}: AP {row['ap_diff']:+.4f}, keypoints P95 {row['keypoint_px_p95']:.2f} px"


def _parity_line(name: str, record: dict | None, verdicts, reason: str) -> dict:
    if record is None or record["status"] != "ok":
        return _line(name, reason if record is None else record["reason"], False)
    row = verdicts.loc[name]
    return _line(name, f"{row['images']} images", parity=_parity_text(name, record, verdicts))


def _roofline_lines(run: Run, reason: str) -> list[dict]:
    record = run.roofline.get("cuda")
    if record is None or record["status"] != "ok":
        return [_line("Matrix products, copies", reason if record is None else record["reason"], False)]
    rates = {f"Matrix products, {name.upper()}": rate for name, rate in record["rates"]["matrix"].items()}
    lines = [_line(name, f"{rate['best_per_s'] / 1e12:.1f} TFLOP/s") for name, rate in rates.items()]
    return [*lines, _line("Copies", f"{record['rates']['copy']['best_per_s'] / 1e9:.0f} GB/s")]


def _batch_lines(run: Run, reason: str) -> list[dict]:
    if run.batches is None:
        return [_line("Persons and batches", reason, False)]
    lines = []
    for title, rows in batches_table(run.batches).groupby("title", sort=False):
        if (ran := rows[rows["status"] == "ok"]).empty:
            lines.append(_line(title, rows.iloc[0]["reason"], False))
            continue
        told = [
            f"{row['images_per_s']:.0f} images/s ({row[row['series']]} {row['series']})"
            for row in ran.groupby("series", sort=False).tail(1).to_dict("records")
        ]
        lines.append(_line(title, ", ".join(told)))
    return lines


def _peer_lines(run: Run, reason: str) -> list[dict]:
    records = [record for record in run.peers if record["device"] == "cuda"]
    if not records:
        return [_line("Other programs", reason, False)]
    rows = peers_table(records)
    lines = []
    for title, of_way in rows.groupby("title", sort=False):
        if of_way.iloc[0]["status"] != "ok":
            lines.append(_line(title, of_way.iloc[0]["reason"], False))
            continue
        last = of_way[of_way["pipeline"] == "detect+pose"].iloc[-1]
        said = (
            f"{last['persons']} persons; posegauge takes {last['ratio']:.2f} of its time; {last['provider']}"
        )
        lines.append(_line(title, said, ms=last["latency_ms_p50"]))
    return lines


def _camera_lines(run: Run, reason: str) -> list[dict]:
    if run.cameras is None:
        return [_line("Cameras", reason, False)]
    firsts = cameras_table(run.cameras).groupby("title", sort=False).head(1)
    return [
        _line(row["title"], f"{row['streams_served']} cameras served")
        if row["status"] == "ok"
        else _line(row["title"], row["reason"], False)
        for row in firsts.to_dict("records")
    ]


_OTHERS = {
    "roofline": _roofline_lines,
    "batches": _batch_lines,
    "peers": _peer_lines,
    "cameras": _camera_lines,
}


def text(lines: list[dict], plan: list[Step], states: dict[str, dict], about: list[str]) -> str:
    """Return the trial's table as Markdown: what it ran on, the lines, and how long each step took.

    lines: of `table`. about: sentences on the machine, above it.
    """
    titles = {step.name: step.title for step in plan}
    columns = {"Step": "left", "What": "left", "P50 (ms)": "right", "P95 (ms)": "right", "Speed-up": "right"}
    columns |= {"Parity": "left", "Result": "left"}
    shown, last = [], None
    for line in lines:
        shown.append(
            {
                "Step": titles[line["step"]] if line["step"] != last else "",
                "What": cell(line["what"]),
                "P50 (ms)": cell(line["ms"]) if line["ms"] is not None else "",
                "P95 (ms)": cell(line["p95"]) if line["p95"] is not None else "",
                "Speed-up": f"{line['speedup']:.2f}×" if line["speedup"] is not None else "",
                "Parity": line["parity"] or "",
                "Result": cell(line["said"]) if line["ran"] else f"*{cell(line['said'])}*",
            }
        )
        last = line["step"]
    took = [
        f"{name} {state['seconds']:.0f} s ({state['status']})"
        for name, state in states.items()
        if state["status"] != "no device"
    ]
    ran = sum(line["ran"] for line in lines)
    return "\n\n".join(
        [
            *about,
            f"{ran} of {len(lines)} lines ran.",
            markdown(shown, columns),
            "Rows: RTMDet-m + RTMPose-m with random weights, the median of the timed runs; speed-up: of the "
            "mean, against PyTorch, eager, on the same GPU. Parity: the demo's trained models on rendered "
            "scenes against PyTorch in FP32 on the CPU. In italics: what did not run, and why.",
            f"Steps: {', '.join(took) or 'none'}.",
        ]
    )  # fmt: skip


# --------------------------------------------------------------------------------------------------- the page

PAGE, FINDINGS = "trial.md", "findings.json"
# Of the README, which a trial may fill.
BLOCKS = ("gpu",)
COMMAND = "make gpu-trial"
DETECTOR, POSE, DATASET, SEED = "RTMDet-m", "RTMPose-m", "Synthetic scenes (timing)", 2017
TITLE = f"{DETECTOR} + {POSE} on {DATASET}"
# What a finished run says of itself in run.json.
ABOUT = {
    "config": {
        "models": {"detector": {"name": DETECTOR}, "pose": {"name": POSE}},
        "dataset": {"title": DATASET, "kind": "scenes"},
    },
    "git_revision": None,
}
# What the parity section compares is not what the rows time.
OTHER_MODELS = (
    "Parity is that of the demo's trained models, each with the same runtime, precision and device."
)


def records(results="results") -> tuple[Run, list[str]]:
    """Return what both runs have measured as the records of one, and the kinds of which there are any."""
    rows, compared = (Path(results) / name for name in CONFIGS)
    files = {
        "latency": sorted((rows / "latency").glob("*.json")),
        "parity": sorted((compared / "parity").glob("*.json")),
        "roofline": sorted((rows / "roofline").glob("*.json")),
        "peers": sorted((rows / "peers").glob("*.json")),
    }
    files |= {kind: rows / f"{kind}.json" for kind in ("batches", "cameras")}
    there = {
        kind: found
        for kind, found in files.items()
        if (found if isinstance(found, list) else found.is_file())
    }
    # Rows without a comparison or a floor have neither; a subject of its own is not shown empty.
    return Run({"latency": [], "parity": [], "roofline": []} | there), list(there)


def write_page(table_text: str, results="results") -> list[str]:
    """Write the trial's page with its figures and findings, of the records that there are.

    table_text: of `text`. Nothing but that table is in it where no row ran. Returns the kinds of records.
    """
    folder = Path(results) / ROWS
    run, kinds = records(results)
    measured = ", ".join(machines(run.latency))
    parts = [f"# Trial of a GPU{measured and f': {measured}'}", table_text.strip()]
    findings = []
    if any(record["status"] == "ok" for record in run.latency):
        notice = run.latency[0]["provenance"].get("weights")
        shown = [page for page in pages.shown({*kinds, "parity", "roofline"}) if set(page.reads) & set(kinds)]
        shown = [page for page in shown if page.module != "parity" or "parity" in kinds]
        findings = all_findings(run)
        tables, links = {}, {}
        for page in shown:
            if page.table:
                about = f"{TITLE}. {OTHER_MODELS}" if page.module == "parity" else TITLE
                tables[page.table] = pages.load(page, "text")(
                    pages.load(page, "table")(run), run, about, notice
                )
            if page.figure:
                file = folder / "figures" / f"{page.figure}.png"
                pages.load(page, "plot")(run, file, TITLE, notice)
                links[page.figure] = f"figures/{file.name}"
        facts = readme.make_facts(run.latency, DATASET, SEED, COMMAND)
        parts.append(readme.section(shown, tables, findings, links, facts, {}, notice).strip())
    write_json(folder / FINDINGS, findings)
    write_text(folder / PAGE, "\n\n".join(parts) + "\n")
    return kinds


# ------------------------------------------------------------------------------------------------ the archive

# Not packed: networks, engines, arrays, predictions.
LEFT_OUT = {".onnx", ".pth", ".npz", ".npy", ".engine", ".cache", ".profile", ".zip", ".data"}
MOST_BYTES = 5_000_000
# What is packed first, so that it is in where not all is.
FIRST = (".md", ".json", ".csv", ".txt", ".tsv", ".log", ".png")


def pack(target, results="results", most_bytes: int = MOST_BYTES, logs: bool = True) -> list[str]:
    """Write a zip of the small files of both runs; return those that had no room, by path.

    The file is below `most_bytes`. logs: with the logs, in which paths of the machine stand.
    """
    results = Path(results)
    found = [
        path
        for name in CONFIGS
        for path in sorted((results / name).rglob("*"))
        if path.is_file()
        and path.suffix not in LEFT_OUT | (set() if logs else {".log"})
        and "engines" not in path.relative_to(results).parts
    ]
    found.sort(key=lambda path: FIRST.index(path.suffix) if path.suffix in FIRST else len(FIRST))
    left = []
    with atomic_path(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        used = 0
        for path in found:
            name = path.relative_to(results).as_posix()
            content = path.read_bytes()
            # The name stands in it twice, with at most 200 bytes about it.
            size = len(zlib.compress(content)) + 2 * len(name.encode()) + 200
            if used + size > most_bytes:
                left.append(name)
                continue
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
            used += size
    return left
