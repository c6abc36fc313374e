"""Which latency rows are results, and what their speed-ups are against, from invented records."""

import json

import pandas as pd
import pytest
from fake_results import fake_latency, fake_parity

from posegauge.report.findings import key_findings
from posegauge.report.latency import benchmark_markdown, benchmark_table
from posegauge.report.latency_figure import plot_latency
from posegauge.report.machine import machine_markdown, machine_table
from posegauge.report.records import read_latency
from posegauge.study import BENCHMARKS, source_title, sources

ON_CPU = [name for name, row in BENCHMARKS.items() if row.artifact.device == "cpu"]
ONNX_ROWS = [name for name in ON_CPU if not name.startswith("pytorch")]


def given_as(detector: str, pose: str, names=ON_CPU) -> list[dict]:
    """Rows of networks that were given so; those on PyTorch run where all of theirs have a checkpoint."""
    records = []
    for name in names:
        full = BENCHMARKS[name].pipeline == "full"
        source = {"detector": detector, "pose": pose} if full else {"pose": pose}
        torch = BENCHMARKS[name].artifact.runtime == "pytorch"
        ran = not torch or set(source.values()) == {"pytorch"}
        reason = {} if ran else {"reason": "Fake-m is given as ONNX only: no PyTorch model"}
        records.append(fake_latency(name, ran, source=source, **reason))
    return records


def table_of(records, parity=()) -> pd.DataFrame:
    return benchmark_table(records, parity).set_index("benchmark", drop=False)


def test_networks_given_as_onnx_have_their_speedup_against_that_file():
    source = {"detector": "onnxruntime", "pose": "onnxruntime"}
    parity = [
        fake_parity("openvino_cpu_fp32", source=source),
        fake_parity("onnxruntime_cpu_int8", ("max_ap_diff",), source=source),
    ]
    records = given_as("onnxruntime", "onnxruntime")
    table = table_of(records, parity)
    assert set(table.tier[["onnx_full_cpu", "onnx_pose_cpu"]]) == {"source"}
    assert table.speedup_against["onnx_full_cpu"] == "onnx_full_cpu" and table.speedup["onnx_full_cpu"] == 1
    assert table.speedup_against["openvino_full_cpu"] == "onnx_full_cpu"
    assert table.speedup_against["openvino_pose_cpu"] == "onnx_pose_cpu"
    assert table.speedup_against["onnx_int8_full_cpu"].startswith("fails: 95.81 %")
    assert pd.isna(table.speedup["openvino_int8_full_cpu"]), "INT8 counts where it was compared"
    text = benchmark_markdown(table, records)
    assert "Speed-up: mean of the named ONNX Runtime row of the same pipeline" in text
    found = {finding["id"]: finding["text"] for finding in key_findings(table, [], parity)}
    told = "the given ONNX files in ONNX Runtime on the CPU: 1 of 2 compared artifacts are exact"
    assert told in found["parity"]


def test_a_row_on_the_gpu_has_a_speedup_against_the_given_file_on_the_cpu_where_no_other_ran():
    names = ["onnx_full_cpu", "tensorrt_full_fp16"]
    table = table_of(given_as("onnxruntime", "onnxruntime", names), [fake_parity("tensorrt_cuda_fp16")])
    assert table.speedup_against["tensorrt_full_fp16"] == "onnx_full_cpu"
    table = table_of(given_as("onnxruntime", "onnxruntime", [*names, "onnx_full_gpu"]))
    assert set(table.speedup_against) == {"onnx_full_gpu"}


@pytest.mark.parametrize(
    ("detector", "pose", "pose_row"),
    [("onnxruntime", "pytorch", "pytorch_pose_cpu"), ("pytorch", "onnxruntime", "onnx_pose_cpu")],
)
def test_of_a_mixed_run_each_pipeline_has_the_row_of_its_own_networks(detector, pose, pose_row):
    records = given_as(detector, pose)
    table = table_of(records, [fake_parity("onnxruntime_cpu_fp32"), fake_parity("openvino_cpu_fp32")])
    assert table.tier["onnx_full_cpu"] == "exact", "one of its networks was exported"
    assert table.speedup_against["openvino_full_cpu"] == "onnx_full_cpu"
    assert table.speedup_against["openvino_pose_cpu"] == pose_row
    assert table.tier[pose_row] == "source"
    plain = benchmark_markdown(table, records).split("mean of the named ")[1]
    assert {"ONNX Runtime", "PyTorch"} <= set(plain.split(" row")[0].split(" or ")) or pose != "pytorch"


def test_the_source_of_each_network_is_its_checkpoint_or_else_its_onnx_file():
    models = {"detector": {"checkpoint": "a.pth"}, "pose": {"checkpoint": None, "onnx": "b.onnx"}}
    assert {role: source.name for role, source in sources(models).items()} == {
        "detector": "pytorch_cpu_fp32",
        "pose": "onnxruntime_cpu_fp32",
    }
    assert source_title(None) == source_title({"pose": "pytorch"}) == "PyTorch"
    assert source_title({"pose": "onnxruntime"}) == "the given ONNX file in ONNX Runtime"


# ------------------------------------------------------------------------------------- rows without a result


def read_back(records, folder) -> list[dict]:
    paths = [folder / f"{record['benchmark']}.json" for record in records]
    for path, record in zip(paths, records, strict=True):
        path.write_text(json.dumps(record))
    return read_latency(paths)


@pytest.mark.parametrize(
    ("persons", "reason"),
    [
        (0, "finds no persons in the image, where PyTorch Full CPU finds 3"),
        (1, "finds 1 person in the image, where PyTorch Full CPU finds 3"),
        (4, "finds 4 persons in the image, where PyTorch Full CPU finds 3"),
    ],
)
def test_a_row_that_finds_others_than_its_reference_is_no_result(persons, reason, tmp_path):
    names = ["pytorch_full_cpu", "onnx_full_cpu", "onnx_pose_cpu", "onnx_int8_full_cpu"]
    records = [fake_latency(name) for name in names]
    records[-1] |= {"persons": persons, "latency_ms": [1.0] * 200}
    records = read_back(records, tmp_path)
    table = table_of(records, [fake_parity("onnxruntime_cpu_int8"), fake_parity("onnxruntime_cpu_fp32")])
    row = table.loc["onnx_int8_full_cpu"]
    assert (row.status, row.reason, row.persons) == ("no result", reason, persons)
    assert (row.tier, row.tier_note) == ("fails", reason), "whatever its AP on other images"
    assert row[["latency_ms_mean", "fps", "speedup", "stage_detect_ms"]].isna().all()
    assert list(table.status[names[:3]]) == ["ok"] * 3
    text = benchmark_markdown(table, records)
    assert f"| *no result: {reason}* |" in text
    found = {finding["id"]: finding["text"] for finding in key_findings(table, [])}
    assert found["no_result"] == f"1 of 4 benchmark rows gave no result: ONNX INT8 Full CPU ({reason})."
    assert "not_run" not in found and "ONNX Full CPU is the fastest of 2" in found["fastest_full"]
    plot_latency(records, tmp_path / "latency.png")
    assert "ONNX INT8" not in machine_markdown(machine_table(records, table.reset_index(drop=True)), records)


def test_the_given_onnx_row_is_the_reference_where_there_is_no_pytorch(tmp_path):
    records = given_as("onnxruntime", "onnxruntime", ONNX_ROWS)
    records[ONNX_ROWS.index("openvino_int8_full_cpu")]["persons"] = 2
    status = table_of(read_back(records, tmp_path)).status
    assert list(status[status != "ok"].index) == ["openvino_int8_full_cpu"]


def test_a_row_without_a_reference_is_taken_as_it_is(tmp_path):
    (record,) = read_back([fake_latency("openvino_full_cpu", persons=1)], tmp_path)
    assert record["status"] == "ok"


def test_a_record_of_a_row_that_found_nobody_says_so_itself(tmp_path):
    """As the job writes it: the samples are kept, and are no result whatever the other rows found."""
    row = fake_latency("onnx_full_cpu", persons=0, status="no result", reason="finds no person in a.jpg")
    records = read_back([row, fake_latency("openvino_full_cpu")], tmp_path)
    assert "*no result: finds no person in a.jpg*" in benchmark_markdown(benchmark_table(records), records)
    assert records[1]["status"] == "ok", "its reference is PyTorch"
    source = {"detector": "onnxruntime", "pose": "onnxruntime"}
    _, other = read_back([row | {"source": source}, records[1] | {"source": source}], tmp_path)
    assert other["reason"] == "finds 3 persons in the image, where ONNX Full CPU finds none"
