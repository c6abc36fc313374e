"""Several processes put together as one row of the latency table."""

import copy

import numpy as np
import pytest
from fake_results import fake_latency
from fake_runs import latency, samples

from posegauge.errors import PoseGaugeError
from posegauge.measure.latency import merge
from posegauge.report import records
from posegauge.report.latency import benchmark_table
from posegauge.score import intervals
from posegauge.store import machine
from posegauge.store.files import write_json

PARTS = [latency("onnx_full_cpu", samples(20 + number, runs=30, seed=number)) for number in range(3)]


def test_the_samples_of_each_process_stay_apart(tmp_path):
    merged = merge(PARTS)
    write_json(tmp_path / "row.json", merged, "latency.schema.yaml")
    (record,) = records.read_latency([tmp_path / "row.json"])
    assert (record["processes"], record["runs"]) == (3, 90)
    apart = intervals.split(record["latency_ms"], record["processes"])
    for runs, part in zip(apart, PARTS, strict=True):
        assert runs.tolist() == part["latency_ms"]
    assert record["stages_ms"]["pose"] == [ms for part in PARTS for ms in part["stages_ms"]["pose"]]
    assert len(record["provenance"]["processes"]) == len(record["measured_under"]) == 3
    assert benchmark_table([record])["runs"].tolist() == [90]


def test_one_process_keeps_its_samples():
    merged = merge(PARTS[:1])
    assert merged["processes"] == 1
    assert merged | {"processes": None, "provenance": None} == PARTS[0] | {
        "processes": None,
        "provenance": None,
    }


def test_a_row_runs_only_when_all_its_processes_do():
    failed = fake_latency("onnx_full_cpu", ran=False)
    assert merge([PARTS[0], failed, PARTS[1]]) == failed


def test_processes_on_different_machines_are_told():
    """A cluster may give each process another node; run.json then names the row."""
    other = copy.deepcopy(PARTS[1])
    other["provenance"]["machine"]["cpu"]["model"] = "Fake 4000"
    merged = merge([PARTS[0], other])
    assert len(merged["provenance"]["machines"]) == 2
    assert "measure_onnx_full_cpu" in machine.difference(machine.compare([merged]))
    assert "machines" not in merge(PARTS)["provenance"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"persons": 9}, "persons differs between processes (3, 9)"),
        ({"warmup": 0}, "warmup differs between processes (10, 0)"),
        ({"provenance": {"artifacts": {"pose": {"sha256": "0"}}}}, "ran different artifacts"),
    ],
)
def test_processes_that_did_something_else_are_refused(change, message):
    other = copy.deepcopy(PARTS[1]) | change
    with pytest.raises(PoseGaugeError) as caught:
        merge([PARTS[0], other])
    assert message in str(caught.value) and "latency/processes/" in str(caught.value)


def test_the_bootstrap_knows_how_processes_differ():
    """Five processes that differ by 5 % leave the median less sure than one long process."""
    times = np.array(samples(20, runs=40, processes=5, seed=4, spread=0.05))
    widths = []
    for count in (1, 5):
        ends = intervals.interval(intervals.resample(intervals.split(times, count))["median"])
        widths.append(ends["high"] - ends["low"])
    assert widths[1] > widths[0]
