"""The profile slurm on a Slurm of one node: every kind of job runs there, and what goes wrong is survived."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import datetime

import one_node
import pandas as pd
import pytest

CONFIGS = ("config/demo.yaml", "tests/config/slurm.yaml")
RUN = "results/slurm"
ON_SLURM = (
    "render_scenes",
    "export_model",
    "measure_onnx_pose_cpu",
    "measure_pytorch_pose_cpu",
    "measure_onnx_pose_gpu",
    "measure_throughput",
    "check_parity",
    "predict_clean",
    "predict_occlusion",
    "score_condition",
)
# Polled more often than on a real cluster, whose controller serves many.
QUICK = ("--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "20")

pytestmark = pytest.mark.slurm


@pytest.fixture(scope="session")
def slurm():
    """A running Slurm of one node.

    SLURM_TESTS says what to do where it is missing: "install" it or fail, "try" to install it, else skip.
    Without the variable the tests are skipped: a test run must not install system packages unasked.
    """
    wish = os.environ.get("SLURM_TESTS", "")
    if packages := one_node.missing():
        lacking = f"Slurm is not installed: {', '.join(packages)} missing"
        if wish not in ("install", "try"):
            pytest.skip(f"{lacking} (make test-slurm installs it)")
        if reason := one_node.why_not_installable() or one_node.install():
            (pytest.fail if wish == "install" else pytest.skip)(f"{lacking}, and {reason}")
    with one_node.OneNode() as node:
        yield node


def command(*words: str, configs=CONFIGS) -> list[str]:
    """The call behind `make demo PROFILE=slurm`."""
    return [sys.executable, "workflow/run.py", "--profile=slurm", *QUICK, *words, "--configfile", *configs]


def start(slurm, workspace, log) -> subprocess.Popen:
    """Start the workflow in the background; what it says goes to a file."""
    with log.open("wb") as output:
        return subprocess.Popen(
            command(), cwd=workspace.path, env=slurm.environment, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip


def wait_for_job(slurm, rule: str, process, log, seconds: float = 900) -> dict:
    """Return the first running job of a rule."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        for job in slurm.queue():
            if job["rule"].startswith(f"rule_{rule}") and job["state"] == "RUNNING":
                return job
        time.sleep(0.2)
    pytest.fail(f"no job of {rule} was running\n{log.read_text()[-5000:]}\n{slurm.logs()}")


def ids(jobs: list[dict], rule: str) -> list[str]:
    return [job["id"] for job in jobs if job["rule"].startswith(f"rule_{rule}")]


@pytest.fixture(scope="module")
def finished(slurm, session_workspace):
    """A whole run in small whose Snakemake was killed, and one of whose jobs was cancelled in the middle."""
    # Its plugin hands jobs over between double quotes.
    workspace = session_workspace("slurm", folder="repository")
    workspace.run = workspace.path / RUN
    log = workspace.path / "first.log"
    process = start(slurm, workspace, log)
    workspace.left = wait_for_job(slurm, "export_model", process, log)["id"]
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    log = workspace.path / "second.log"
    process = start(slurm, workspace, log)
    try:
        workspace.cancelled = wait_for_job(slurm, "measure_throughput", process, log)["id"]
        slurm.run("scancel", workspace.cancelled)
        returned = process.wait(timeout=900)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    workspace.output = log.read_text()
    logs = sorted((workspace.path / ".snakemake/slurm_logs").rglob("*.log"))
    tails = "\n".join(f"--- {file.name}\n{file.read_text()[-1500:]}" for file in logs)
    assert returned == 0, f"{workspace.output[-6000:]}\n{tails}"
    workspace.jobs = slurm.queue()
    workspace.records = {record["JobId"]: record for record in slurm.finished()}
    return workspace


def test_the_jobs_ran_through_slurm(finished):
    done = {job["rule"] for job in finished.jobs if finished.records[job["id"]]["JobState"] == "COMPLETED"}
    for rule in ON_SLURM:
        assert any(name.startswith(f"rule_{rule}") for name in done), rule
    # Downloads, tables and figures are work for the machine that starts the run.
    assert not [name for name in done if re.match("rule_(make_|write_|draw_|plot_|filter_|download_)", name)]


def test_a_measurement_has_the_node_alone(finished):
    spans = {
        job["id"]: [
            datetime.fromisoformat(finished.records[job["id"]][key]) for key in ("StartTime", "EndTime")
        ]
        for job in finished.jobs
        if finished.records[job["id"]]["StartTime"] != "Unknown"
    }
    measuring = set(ids(finished.jobs, "measure_")) & set(spans)
    assert len(measuring) >= 4
    for one in measuring:
        for other in set(spans) - {one}:
            apart = spans[one][1] <= spans[other][0] or spans[other][1] <= spans[one][0]
            assert apart, (one, other, finished.jobs, spans)


def test_jobs_that_a_killed_run_left_are_cancelled(finished):
    assert f"Cancelled job {finished.left}, which a killed run left behind" in finished.output
    assert finished.records[finished.left]["JobState"] == "CANCELLED"


def test_a_cancelled_job_is_tried_again(finished):
    assert finished.records[finished.cancelled]["JobState"] == "CANCELLED"
    states = [finished.records[job]["JobState"] for job in ids(finished.jobs, "measure_throughput")]
    assert sorted(states) == ["CANCELLED", "COMPLETED"]
    # What it asks for grows from try to try.
    asked = [
        finished.records[job]["Tres"] for job in sorted(ids(finished.jobs, "measure_throughput"), key=int)
    ]
    assert "mem=6000M" in asked[0] and "mem=12000M" in asked[1]


def test_the_run_is_whole(finished):
    table = pd.read_csv(finished.run / "tables/benchmark.csv").set_index("benchmark")
    assert dict(table.status) == {"onnx_pose_cpu": "ok", "pytorch_pose_cpu": "ok", "onnx_pose_gpu": "not run"}
    assert len(pd.read_csv(finished.run / "tables/robustness.csv")) == 2
    again = subprocess.run(
        command("--dry-run"), cwd=finished.path, capture_output=True, text=True, timeout=120
    )
    assert "Nothing to be done" in again.stdout + again.stderr


def test_the_run_says_that_its_hardware_is_the_same(finished):
    hardware = json.loads((finished.run / "run.json").read_text())["hardware"]
    assert hardware["same"] and hardware["gpus"] == []
    (group,) = hardware["processors"]
    assert {"measure_onnx_pose_cpu", "measure_throughput", "predict_clean", "predict_occlusion"} <= set(
        group["jobs"]
    )
    assert "same hardware" not in (finished.run / "readme.md").read_text()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("cluster: {partition: smal}", "there is no partition 'smal' (did you mean 'small'?)"),
        ("cluster: {partition: short}", "partition 'short' ends jobs after 1 minutes"),
        ("cluster: {gpus: true}", "partition 'small' has no GPU"),
        ("run: auto", "run: auto"),
        ("threads: auto", "threads: auto"),
    ],
)
def test_what_cannot_run_is_said_before_a_job_is_submitted(slurm, session_workspace, config, message):
    workspace = session_workspace("asked")
    workspace.write("asked.yaml", config)
    before = {job["id"] for job in slurm.queue()}
    done = subprocess.run(
        command(configs=(*CONFIGS, "asked.yaml")), cwd=workspace.path, env=slurm.environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode != 0
    assert message in done.stdout
    assert "Traceback" not in done.stdout and "submitted" not in done.stdout
    # Slurm forgets old ones meanwhile.
    assert {job["id"] for job in slurm.queue()} <= before


def test_a_cluster_that_does_not_answer(slurm, session_workspace):
    workspace = session_workspace("away")
    config = workspace.write("slurm.conf", (slurm.folder / "slurm.conf").read_text().replace(
        next(line for line in (slurm.folder / "slurm.conf").read_text().splitlines() if "ldPort" in line),
        "SlurmctldPort=1\nMessageTimeout=2",
    ))  # fmt: skip
    done = subprocess.run(
        command(), cwd=workspace.path, env={**slurm.environment, "SLURM_CONF": str(config)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode != 0
    assert "Slurm: sinfo" in done.stdout
