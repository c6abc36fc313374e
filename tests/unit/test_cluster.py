"""What rules ask a scheduler for, and what the check before the first job finds."""

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posegauge.errors import PoseGaugeError
from posegauge.settings import cluster
from posegauge.store.machine import compare, difference

NOTHING = {"partition": None, "gpus": True, "gpu_partition": None, "gpu_model": None}
SINFO = """\
cpu*|1:00:00|up|(null)
gpu|2-00:00:00|up|gpu:a100:4(S:0-1),mps:2
gpu|2-00:00:00|up|gpu:4
closed|infinite|down|(null)
"""
CONFIG = "AccountingStorageType   = accounting_storage/{kept}\nMinJobAge               = {age} sec\n"


def plain(asked: dict, attempt: int = 1) -> dict:
    """The resources of a try."""
    return {key: value(None, attempt) if callable(value) else value for key, value in asked.items()}


def test_a_rule_asks_for_time_and_memory_and_for_more_memory_when_tried_again():
    asked = cluster.needs(NOTHING, minutes=30, mem_mb=2000)
    assert plain(asked) == {"runtime": 30, "mem_mb": 2000}
    assert plain(asked, attempt=3) == {"runtime": 30, "mem_mb": 6000}
    # The names by which the workflow hands these over.
    assert list(inspect.signature(asked["mem_mb"]).parameters) == ["wildcards", "attempt"]


def test_a_measurement_asks_for_a_node_alone_and_cuda_for_a_gpu():
    chosen = {"partition": "cpu", "gpus": True, "gpu_partition": "gpu", "gpu_model": "a100"}
    asked = plain(cluster.needs(chosen, 30, 2000, device="cuda", alone=True))
    assert asked["slurm_extra"] == "--exclusive"
    assert (asked["slurm_partition"], asked["gpu"], asked["gpu_model"]) == ("gpu", 1, "a100")
    asked = plain(cluster.needs(chosen, 30, 2000, device="cpu"))
    assert asked == {"runtime": 30, "mem_mb": 2000, "slurm_partition": "cpu"}


def test_without_gpus_the_rows_that_need_one_run_where_the_others_run():
    chosen = {"partition": "cpu", "gpus": False, "gpu_partition": "gpu", "gpu_model": "a100"}
    assert plain(cluster.needs(chosen, 30, 2000, "cuda")) == plain(cluster.needs(chosen, 30, 2000, "cpu"))


@given(days=st.integers(0, 400), minutes=st.integers(0, 24 * 60 - 1))
def test_times_as_slurm_writes_them(days, minutes):
    hours, rest = divmod(minutes, 60)
    assert cluster.minutes(f"{days}-{hours:02}:{rest:02}:30") == days * 1440 + minutes + 0.5
    assert cluster.minutes(f"{hours}:{rest:02}:00") == minutes
    assert cluster.minutes(f"{minutes}:00") == minutes


def test_no_limit():
    assert cluster.minutes("infinite") is None and cluster.minutes("n/a") is None


def test_partitions():
    found = cluster.read_partitions(SINFO)
    assert [name for name, partition in found.items() if partition.default] == ["cpu"]
    assert found["cpu"].minutes == 60 and found["gpu"].minutes == 2880 and found["closed"].minutes is None
    assert found["gpu"].gpu_models == {"a100", ""} and not found["cpu"].gpu_models
    assert not found["closed"].up


@pytest.fixture
def answers(monkeypatch):
    """A cluster whose commands answer as written here."""
    said = {"sinfo": SINFO, "scontrol": CONFIG.format(kept="none", age=300), "squeue": "", "scancel": ""}
    said["calls"] = []

    def slurm(*words):
        said["calls"].append(words)
        return said[words[0]]

    monkeypatch.setattr(cluster, "slurm", slurm)
    monkeypatch.setattr(cluster.shutil, "which", lambda name: f"/bin/{name}")
    return said


def check(*jobs, command="squeue", **options) -> str:
    """What the check finds, or an empty text."""
    try:
        cluster.check_slurm(jobs, command, **options)
    except PoseGaugeError as error:
        return str(error)
    return ""


def test_jobs_that_can_run(answers):
    on_gpu = {"name": "b", "slurm_partition": "gpu", "runtime": 600, "gpu": 1, "gpu_model": "a100"}
    assert check({"name": "a", "runtime": 60}, on_gpu) == ""


@pytest.mark.parametrize(
    ("job", "message"),
    [
        ({"slurm_partition": "gpus"}, "no partition 'gpus' (did you mean 'gpu'?): set cluster.partition"),
        ({"slurm_partition": "x"}, "no partition 'x'; there are cpu, gpu, closed"),
        ({"runtime": 61}, "partition 'cpu' ends jobs after 60 minutes, 61 are asked for"),
        ({"gpu": 1}, "partition 'cpu' has no GPU: set cluster.gpu_partition"),
        ({"slurm_partition": "gpu", "gpu": 1, "gpu_model": "h100"}, "no GPU 'h100' but a100"),
        ({"slurm_partition": "closed"}, "partition 'closed' takes no jobs now"),
    ],
)
def test_jobs_that_could_never_run(answers, job, message):
    found = check({"name": "first", **job}, {"name": "second", **job})
    assert message in found
    assert found.count("\n") == 1 and "wanted by first, second" in found


def test_many_jobs_with_one_problem_are_counted(answers):
    found = check(*({"name": f"job{number}", "gpu": 1} for number in range(9)))
    assert "wanted by job0, job1, job2 and 6 more" in found


def test_a_cluster_without_a_default_partition(answers):
    answers["sinfo"] = SINFO.replace("*", "")
    assert "no partition is the default: set cluster.partition" in check({"name": "a"})
    assert check({"name": "a"}, chosen_elsewhere=True) == ""


@pytest.mark.parametrize(
    ("kept", "age", "command", "message"),
    [
        ("none", 300, "squeue", ""),
        ("slurmdbd", 2, "sacct", ""),
        ("none", 300, "sacct", "say --slurm-status-command squeue"),
        ("slurmdbd", 100, "squeue", "say --slurm-status-command sacct"),
        ("none", 100, "squeue", "MinJobAge above"),
    ],
)
def test_the_end_of_jobs_must_be_seen(answers, kept, age, command, message):
    answers["scontrol"] = CONFIG.format(kept=kept, age=age)
    found = check(command=command)
    assert message in found and bool(found) == bool(message)


def test_only_jobs_of_this_folder_and_project_are_cancelled(answers, tmp_path):
    answers["squeue"] = (
        f"1|posegauge_1-2|{tmp_path}\n2|posegauge_1-2|{tmp_path}/other\n3|mine|{tmp_path}\n"
        f"4_[1-3]|posegauge_5|{tmp_path}\n"
    )
    assert cluster.cancel_left_jobs(tmp_path) == ["1", "4_[1-3]"]
    assert answers["calls"][-1] == ("scancel", "1", "4_[1-3]")
    answers["squeue"] = ""
    assert cluster.cancel_left_jobs(tmp_path) == []
    assert answers["calls"][-1][0] == "squeue"


def test_a_machine_without_slurm(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no command sinfo, sbatch, srun" in check()


def test_slurm_that_fails_or_hangs(monkeypatch, tmp_path):
    for name in cluster.COMMANDS:
        (tmp_path / name).write_text("#!/bin/sh\necho no controller >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert "Slurm: sinfo" in check() and "failed: no controller" in check()

    def hang(words, **_):
        raise cluster.subprocess.TimeoutExpired(words, 60)

    monkeypatch.setattr(cluster.subprocess, "run", hang)
    assert "sinfo does not answer" in check()


def test_what_the_config_must_say():
    said = {"run": "mine", "threads": 4, "robustness": {"device": "cpu"}}
    cluster.check_config(said)
    with pytest.raises(PoseGaugeError) as caught:
        cluster.check_config({"run": "auto", "threads": "auto", "robustness": {"device": "auto"}})
    for key in ("run: auto", "threads: auto", "robustness.device: auto"):
        assert key in str(caught.value)
    with pytest.raises(PoseGaugeError) as caught:
        cluster.check_config({**said, "threads": "auto"})
    assert "run: auto" not in str(caught.value)


# ------------------------------------------------------------------------------------- the same hardware


def measured(name, model="Xeon", cores=8, device="cpu", gpus=(), kind="benchmark", **more) -> dict:
    machine = {
        "cpu": {"model": model, "logical_cores": cores, "physical_cores": cores, "usable_cores": 2},
        "memory_bytes": 64 * 2**30,
        "gpus": [{"name": gpu, "memory_mib": 40960, "driver_version": "570.1"} for gpu in gpus],
    }
    return {kind: name, "device": device, "provenance": {"machine": machine, **more}}


def test_the_same_hardware_in_another_state_is_the_same():
    records = [measured("a"), measured("clean", kind="condition")]
    records[0]["provenance"]["machine"] |= {"load_average": [9, 9, 9], "memory_bytes": 64 * 2**30 + 4096}
    records[0]["provenance"]["machine"]["cpu"] |= {"frequency_mhz": 800, "usable_cores": 1}
    found = compare(records)
    assert found["same"] and difference(found) is None
    assert found["processors"] == [
        {"hardware": "Xeon, 8 cores (8 physical), 64 GiB", "jobs": ["measure_a", "predict_clean"]}
    ]


def test_jobs_on_another_processor_are_named():
    records = [measured("a"), measured("b"), measured("x", model="EPYC", kind="artifact")]
    found = compare(records)
    assert not found["same"]
    text = difference(found)
    assert "EPYC, 8 cores (8 physical), 64 GiB: check_parity_x" in text and "measure_a" not in text


def test_a_gpu_counts_for_those_that_ran_on_it():
    """On a cluster a job without a GPU may see none, or one that it does not use."""
    on_gpu = [measured(name, device="cuda", gpus=["A100"]) for name in "ab"]
    assert compare([*on_gpu, measured("c"), measured("d", gpus=["T4"])])["same"]
    found = compare([*on_gpu, measured("c", device="cuda", gpus=["T4"])])
    assert not found["same"] and "T4 (40960 MiB, driver 570.1): measure_c" in difference(found)


def test_rows_that_did_not_run_do_not_count_and_shards_do():
    away = {**measured("a", model="EPYC"), "status": "not run"}
    assert compare([away, measured("b")])["same"]
    machines = [measured("x", model=model)["provenance"]["machine"] for model in ("Xeon", "EPYC")]
    assert not compare([measured("clean", kind="condition", machines=machines)])["same"]
