"""Finished runs compared, and set on a board, by the workflow, from invented result folders."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from fake_runs import NAMES, latency, samples, write_run


@pytest.fixture(scope="module")
def prepared(session_workspace):
    """A workspace with three invented runs: a, the same again, and one of half the threads."""
    workspace = session_workspace("compare")
    for name, factor, threads in (("a", 1.0, 2), ("again", 1.01, 2), ("slow", 1.6, 1)):
        records = [
            latency(row, samples(20 * factor, seed=len(name) + number), threads=threads)
            for number, row in enumerate(NAMES)
        ]
        write_run(workspace.path / "results" / name, records)
    return workspace


def compare(workspace, *words: str):
    """Run what `make compare` runs."""
    return subprocess.run(
        [sys.executable, "workflow/compare.py", *words],
        cwd=workspace.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600,
    )  # fmt: skip


def test_planning_needs_neither_data_nor_models_nor_this_configs_results(prepared):
    words = ("--dry-run", "--config", "baseline=a", "candidate=again")
    output = prepared.snakemake("compare", options=words).stdout
    assert "compare_runs" in output
    for rule in ("download_asset", "measure_", "time_", "predict_", "export_", "make_published_run"):
        assert rule not in output, rule


def test_the_verdict_is_printed_written_and_the_exit_code(prepared):
    for candidate, code, verdict in (("again", 0, "no regression"), ("slow", 1, "regression")):
        done = compare(prepared, "a", candidate)
        assert done.returncode == code, done.stdout
        assert f"{candidate} against a: {verdict} (exit code {code})" in done.stdout
        folder = prepared.path / "results/compare" / f"a-vs-{candidate}"
        assert json.loads((folder / "compare.json").read_text())["exit_code"] == code
        for name in ("compare.md", "compare.csv", "compare.png"):
            assert (folder / name).stat().st_size > 100
    assert "slower" in done.stdout


def test_a_copy_from_elsewhere_is_compared_again_when_it_changed(prepared, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(prepared.path / "results" / "a", copy)
    assert compare(prepared, "a", str(copy)).returncode == 0
    write_run(copy, [latency(row, samples(40, seed=9)) for row in NAMES])
    assert compare(prepared, "a", str(copy)).returncode == 1


def test_the_published_study_is_made_and_set_beside_a_run(prepared):
    done = compare(prepared, "published-t4", "a")
    assert done.returncode == 2, done.stdout
    assert "not comparable" in done.stdout
    record = json.loads((prepared.path / "results/published-t4/latency/onnx_full_cpu.json").read_text())
    assert (record["kind"], record["status"], record["latency_ms_mean"]) == ("published", "published", 648.07)
    text = (prepared.path / "results/compare/published-t4-vs-a/compare.md").read_text()
    assert "648.1" in text and "published, not measured here" in text


def test_bad_runs_are_told_from_regressions(prepared):
    done = compare(prepared, "a", "agian")
    assert done.returncode == 3 and "no run 'agian'" in done.stdout and "did you mean 'again'?" in done.stdout
    shutil.copytree(prepared.path / "results" / "a", prepared.path / "results" / "edited")
    file = prepared.path / "results/edited/latency/onnx_full_cpu.json"
    file.write_text(file.read_text().replace('"persons": 3', '"persons": 4'))
    done = compare(prepared, "a", "edited")
    assert done.returncode == 3 and "latency/onnx_full_cpu.json changed after the run ended" in done.stdout
    assert "Traceback" not in done.stdout
    assert compare(prepared, "a").returncode == 3


def test_without_names_the_target_says_how(prepared):
    done = prepared.snakemake("compare", check=False)
    assert done.returncode != 0
    assert "snakemake compare --config baseline=<run> candidate=<run>" in done.stdout
    done = prepared.snakemake("compare", options=("--config", "baseline=nobody", "candidate=a"), check=False)
    assert "baseline: no run 'nobody'" in done.stdout and "Traceback" not in done.stdout


def test_a_board_of_finished_runs_runs_nothing_else(prepared):
    words = ("--config", "runs=[a,again]", "board={max_ms: 30, price_per_hour: 0.1, currency: EUR}")
    output = prepared.snakemake("board", options=("--dry-run", *words)).stdout
    assert "draw_board" in output
    for rule in ("download_asset", "measure_", "predict_", "export_", "compare_runs", "make_published_run"):
        assert rule not in output, rule
    output = prepared.snakemake("board", options=words).stdout
    assert "For 30 ms per frame at P95 (measured AP)" in output and "Runtime: " in output
    folder = prepared.path / "results/board"
    record = json.loads((folder / "board.json").read_text())
    assert [run["run"] for run in record["runs"]] == ["a", "again"]
    assert all((folder / name).is_file() for name in record["files"])


def test_a_board_names_every_bad_run_and_how_to_ask(prepared):
    words = ("--config", "runs=[a,agian,published-t4]", "board={price_per_hour: {b: 1}}")
    done = prepared.snakemake("board", options=words, check=False)
    assert "runs: no run 'agian'" in done.stdout and "did you mean 'again'?" in done.stdout
    assert "board.currency: is null, but board.price_per_hour is set" in done.stdout
    assert "board.price_per_hour: 'b' is none of runs" in done.stdout and "Traceback" not in done.stdout
    assert "runs: 'published-t4' is no run" in done.stdout
    done = prepared.snakemake("board", check=False)
    assert "snakemake board --config runs=[<run>,<run>]. Runs here: a, again" in done.stdout


def test_each_process_is_a_job_of_its_own(prepared):
    options = (
        "--dry-run",
        "--config",
        "benchmark={'processes': 3}",
        "benchmarks=[onnx_full_cpu, onnx_pose_cpu]",
    )
    output = prepared.snakemake(
        "measure_onnx_full_cpu", configs=("config/demo.yaml",), options=options
    ).stdout
    for process in (1, 2, 3):
        assert f"Measure ONNX Full CPU, process {process} of 3" in output
