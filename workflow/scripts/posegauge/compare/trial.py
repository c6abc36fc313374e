"""The trial of a GPU (make gpu-trial): its steps in order of value, and the table of what ran and what not.

Two runs make it: RTMDet-m + RTMPose-m with random weights, for speed; the demo's trained models, for parity.
"""

import math
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from posegauge.measure import gpu_smoke
from posegauge.report import latency, parity
from posegauge.report.batches import batches_table
from posegauge.report.markdown import cell, markdown
from posegauge.report.peers import peers_table
from posegauge.report.records import Run
from posegauge.store.files import atomic_path
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


_KINDS = (
    _Kind("pytorch", "PyTorch", 150, 90, lambda a: a.runtime == "pytorch" and a.execution == "plain"),
    _Kind(
        "onnx", "ONNX Runtime", 100, 90, lambda a: a.runtime == "onnxruntime" and a.execution != "tensorrt"
    ),
    _Kind("compiled", "PyTorch, compiled", 120, 90, lambda a: a.execution == "compiled"),
    _Kind("tensorrt", "TensorRT", 150, 60, lambda a: "tensorrt" in (a.runtime, a.execution)),
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
        Step("batches", "Persons and batches", 80, ROWS, ("measure_batches",)),
        Step("peers", "Beside other programs", 80, ROWS, (f"{folder}/peers/cuda.json",)),
        *later,
        Step("page", "Tables and figures", 240, ROWS, (f"{folder}/run.json",)),
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
            of_step = _OTHERS[step.name](runs[ROWS], Path(results) / ROWS, reason)
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


def _roofline_lines(run: Run, folder: Path, reason: str) -> list[dict]:
    record = run.roofline.get("cuda")
    if record is None or record["status"] != "ok":
        return [_line("Matrix products, copies", reason if record is None else record["reason"], False)]
    rates = {f"Matrix products, {name.upper()}": rate for name, rate in record["rates"]["matrix"].items()}
    lines = [_line(name, f"{rate['best_per_s'] / 1e12:.1f} TFLOP/s") for name, rate in rates.items()]
    return [*lines, _line("Copies", f"{record['rates']['copy']['best_per_s'] / 1e9:.0f} GB/s")]


def _batch_lines(run: Run, folder: Path, reason: str) -> list[dict]:
    if not (folder / "batches.json").is_file():
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


def _peer_lines(run: Run, folder: Path, reason: str) -> list[dict]:
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


def _page_lines(run: Run, folder: Path, reason: str) -> list[dict]:
    done = (folder / "run.json").is_file()
    return [_line("Tables and figures", f"{folder}/readme.md" if done else reason, done)]


_OTHERS = {
    "roofline": _roofline_lines,
    "batches": _batch_lines,
    "peers": _peer_lines,
    "page": _page_lines,
}


def text(lines: list[dict], plan: list[Step], states: dict[str, dict], about: list[str]) -> str:
    """Return the trial as Markdown: what it ran on, the table, and how long each step took.

    lines: of `table`. about: sentences on the machine, above it.
    """
    titles = {step.name: step.title for step in plan}
    columns = {"Step": "left", "What": "left", "ms": "right", "P95": "right", "Speed-up": "right"}
    columns |= {"Parity": "left", "Result": "left"}
    shown, last = [], None
    for line in lines:
        shown.append(
            {
                "Step": titles[line["step"]] if line["step"] != last else "",
                "What": cell(line["what"]),
                "ms": cell(line["ms"]) if line["ms"] is not None else "",
                "P95": cell(line["p95"]) if line["p95"] is not None else "",
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
            "# Trial of a GPU",
            *about,
            f"{ran} of {len(lines)} lines ran.",
            markdown(shown, columns),
            "Rows: RTMDet-m + RTMPose-m with random weights, the median of the timed runs; speed-up: against "
            "PyTorch, eager, on the same GPU. Parity: the demo's trained models on rendered scenes against "
            "PyTorch in FP32 on the CPU. In italics: what did not run, and why.",
            f"Steps: {', '.join(took) or 'none'}.",
        ]
    ) + "\n"  # fmt: skip


# ------------------------------------------------------------------------------------------------ the archive

# Not packed: networks, engines, arrays, predictions.
LEFT_OUT = {".onnx", ".pth", ".npz", ".npy", ".engine", ".cache", ".profile", ".zip", ".data"}
MOST_BYTES = 5_000_000
# What is packed first, so that it is in where not all is.
FIRST = (".md", ".json", ".csv", ".txt", ".tsv", ".log", ".png")


def pack(target, results="results", most_bytes: int = MOST_BYTES) -> list[str]:
    """Write a zip of the small files of both runs; return those that had no room, by path.

    The file is below `most_bytes`.
    """
    results = Path(results)
    found = [
        path
        for name in CONFIGS
        for path in sorted((results / name).rglob("*"))
        if path.is_file() and path.suffix not in LEFT_OUT and "engines" not in path.relative_to(results).parts
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
