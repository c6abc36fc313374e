"""Tables and key findings, from invented records."""

import json

import numpy as np
import pandas as pd
import pytest
from fake_results import CENTRES_MS, fake_latency, fake_robustness

from posebench import results, tables
from posebench.errors import PoseBenchError
from posebench.findings import key_findings
from posebench.study import BENCHMARKS, CONDITIONS, STAGES

ON_CPU = [name for name, row in BENCHMARKS.items() if row.device == "cpu"]


def benchmark(names=tuple(BENCHMARKS), **changes) -> pd.DataFrame:
    """The table of a study in which only `names` ran."""
    records = [fake_latency(name, name in names, **(changes if name in names else {})) for name in BENCHMARKS]
    return tables.benchmark_table(records).set_index("benchmark", drop=False)


def findings(latency, robustness) -> dict[str, str]:
    found = key_findings(tables.benchmark_table(latency), tables.robustness_table(robustness))
    return {finding["id"]: finding["text"] for finding in found}


# ------------------------------------------------------------------------------------------- the files


@pytest.mark.parametrize("name", BENCHMARKS)
@pytest.mark.parametrize("ran", [True, False])
def test_latency_records_fit_the_schema(tmp_path, name, ran):
    results.write_json(tmp_path / "row.json", fake_latency(name, ran), "latency.schema.yaml")


def test_a_row_that_was_not_run_may_name_its_image_and_empty_stages(tmp_path):
    record = fake_latency("onnx_full_gpu", ran=False, stages_ms={stage: [] for stage in STAGES}, runs=0)
    record["image"] = {"file_name": "fake.jpg", "width": 640, "height": 426}
    results.write_json(tmp_path / "row.json", record, "latency.schema.yaml")


@pytest.mark.parametrize(
    "changes",
    [
        {"latency_ms": []},
        {"latency_ms": [1.0, -2.0]},
        {"status": "not run"},
        {"reason": "but it ran"},
        {"persons": None},
        {"pipeline": "full"},
        {"stages_ms": {"thinking": [1.0]}},
        {"provenance": {}},
    ],
)
def test_wrong_latency_records_are_refused(tmp_path, changes):
    with pytest.raises(PoseBenchError, match="does not fit"):
        results.write_json(
            tmp_path / "row.json", fake_latency("onnx_full_cpu") | changes, "latency.schema.yaml"
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "changes", [{"ap": -1.0}, {"detection_rate": 1.2}, {"images": None}, {"kind": "latency"}]
)
def test_wrong_robustness_records_are_refused(tmp_path, changes):
    with pytest.raises(PoseBenchError, match="does not fit"):
        results.write_json(tmp_path / "c.json", fake_robustness("clean") | changes, "robustness.schema.yaml")


def test_unknown_scores_are_null(tmp_path):
    nothing = dict.fromkeys(("ap", "ap50", "ar", "box_ap", "mean_confidence"))
    results.write_json(tmp_path / "c.json", fake_robustness("clean", **nothing), "robustness.schema.yaml")


def write(path, record) -> str:
    path.write_text(json.dumps(record))
    return str(path)


def test_records_come_in_the_order_of_the_study(tmp_path):
    paths = [write(tmp_path / f"{name}.json", fake_latency(name)) for name in reversed(BENCHMARKS)]
    assert [record["benchmark"] for record in tables.read_latency(paths)] == list(BENCHMARKS)
    paths = [write(tmp_path / f"{name}.json", fake_robustness(name)) for name in reversed(CONDITIONS)]
    assert [record["condition"] for record in tables.read_robustness(paths)] == list(CONDITIONS)


def test_bad_files_are_named(tmp_path):
    good = fake_latency("onnx_full_cpu")
    bad = write(tmp_path / "bad.json", good | {"benchmark": "onnx_ful_cpu"})
    with pytest.raises(PoseBenchError, match=r"bad\.json.*onnx_ful_cpu.*did you mean 'onnx_full_cpu'"):
        tables.read_latency([bad])
    one, two = (write(tmp_path / f"{number}.json", good) for number in (1, 2))
    with pytest.raises(PoseBenchError, match=r"2\.json.*twice"):
        tables.read_latency([one, two])
    damaged = write(tmp_path / "damaged.json", good | {"latency_ms": "many"})
    with pytest.raises(PoseBenchError, match=r"damaged\.json.*latency_ms"):
        tables.read_latency([damaged])


# ----------------------------------------------------------------------------------------- the latency table


def test_figures_are_those_of_numpy():
    record = fake_latency("onnx_full_cpu", latency_ms=[float(ms) for ms in range(1, 102)], persons=4)
    row = tables.benchmark_table([record]).iloc[0]
    assert row.latency_ms_mean == 51 and row.latency_ms_p50 == 51
    assert (row.latency_ms_p5, row.latency_ms_p95, row.latency_ms_p99) == (6, 96, 100)
    assert row.latency_ms_std == pytest.approx(np.arange(1, 102).std())
    assert row.fps == pytest.approx(1000 / 51)
    assert (row.runs, row.persons, row.threads) == (101, 4, 2)
    assert row.stage_detect_ms == pytest.approx(np.mean(record["stages_ms"]["detect"]))


def test_rows_are_compared_with_pytorch_on_the_gpu_within_their_pipeline():
    table = benchmark()
    full = table[table.pipeline == "detect+pose"]
    pose = table[table.pipeline == "pose only"]
    assert set(full.speedup_against) == {"pytorch_full_gpu"}
    assert set(pose.speedup_against) == {"pytorch_pose_gpu"}
    mean = table.latency_ms_mean
    assert table.speedup["tensorrt_full_fp16"] == pytest.approx(
        mean["pytorch_full_gpu"] / mean["tensorrt_full_fp16"]
    )
    assert table.speedup["onnx_pose_cpu"] == pytest.approx(mean["pytorch_pose_gpu"] / mean["onnx_pose_cpu"])
    assert table.speedup["pytorch_full_gpu"] == 1


def test_without_a_gpu_rows_are_compared_with_pytorch_on_the_cpu():
    table = benchmark(ON_CPU)
    assert table.speedup_against["onnx_full_cpu"] == "pytorch_full_cpu"
    assert table.speedup_against["onnx_pose_cpu"] == "pytorch_pose_cpu"


@pytest.mark.parametrize(
    ("names", "row", "reason"),
    [
        (["onnx_full_cpu"], "onnx_full_cpu", "no PyTorch row ran"),
        (["onnx_full_gpu", "pytorch_full_cpu"], "onnx_full_gpu", "no PyTorch row ran on the GPU"),
        (["onnx_pose_cpu", "pytorch_full_cpu"], "onnx_pose_cpu", "no PyTorch row ran"),
    ],
)
def test_no_speedup_without_a_fair_baseline(names, row, reason):
    table = benchmark(names)
    assert pd.isna(table.speedup[row])
    assert table.speedup_against[row] == reason


def test_rows_that_did_not_run_keep_their_place_and_reason(tmp_path):
    table = benchmark(ON_CPU)
    table.to_csv(tmp_path / "table.csv", index=False)
    table = pd.read_csv(tmp_path / "table.csv").set_index("benchmark", drop=False)
    assert list(table.index) == list(BENCHMARKS)
    absent = table.loc["tensorrt_full_fp16"]
    assert (absent.status, absent.reason) == ("not run", "no CUDA device")
    numbers = [name for name in tables.BENCHMARK_COLUMNS[8:] if name != "threads"]
    assert absent[numbers].isna().all()
    assert table.latency_ms_mean[ON_CPU].notna().all() and table.reason[ON_CPU].isna().all()


def test_the_empty_table_has_all_columns():
    assert list(tables.benchmark_table([]).columns) == list(tables.BENCHMARK_COLUMNS)
    assert list(tables.robustness_table([]).columns) == list(tables.ROBUSTNESS_COLUMNS)
    assert "No benchmark row" in tables.benchmark_markdown(tables.benchmark_table([]), [])
    assert "No image condition" in tables.robustness_markdown(tables.robustness_table([]), [])


def latency_text(records, **texts) -> str:
    return tables.benchmark_markdown(tables.benchmark_table(records), records, **texts)


def rows_of(text: str) -> dict[str, list[str]]:
    """Cells of a Markdown table by the text of the first one; all rows must have as many."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[part.strip() for part in line[1:-1].split(" | ")] for line in lines]
    assert len({len(row) for row in cells}) == 1
    return {row[0]: row for row in cells}


def test_latency_markdown():
    records = [fake_latency(name, name in ON_CPU) for name in BENCHMARKS]
    text = latency_text(records, title="Fake-m on fakes", notice="All of it is invented.")
    rows = rows_of(text)
    assert rows["ONNX Full CPU"][1:3] == ["detect+pose", "CPU (ONNX Runtime)"]
    assert rows["ONNX Full CPU"][-1].endswith("× (vs PyTorch Full CPU)")
    assert rows["PyTorch Full CPU"][-1] == "1.00× (baseline)"
    assert rows["TensorRT Full FP16"][2:] == ["GPU (TensorRT FP16)", *"––––", "*not run: no CUDA device*"]
    assert "Fake-m on fakes · Machine: Fake 3000, 2 cores, 8 GiB, no GPU · threads: 2" in text
    assert "persons in it: 3 · timed runs: 200, after 10 for warm-up" in text
    assert "P99 of 200 runs rests on the slowest 2; 662 runs" in text
    assert text.rstrip().endswith("*All of it is invented.*")


def test_persons_are_told_by_pipeline_when_the_detector_finds_others():
    text = latency_text([fake_latency("onnx_full_cpu", persons=5), fake_latency("onnx_pose_cpu")])
    assert "persons in it: 5 (detect+pose), 3 (pose only)" in text


@pytest.mark.parametrize(
    ("runs", "told"), [(5, "slowest one"), (201, "slowest 3"), (661, "slowest 7"), (662, None)]
)
def test_p99_footnote(runs, told):
    text = latency_text([fake_latency("onnx_full_cpu", runs=runs)])
    assert (told or "P99 (ms) |") in text
    assert ("¹" in text) == (told is not None)


def test_662_runs_are_enough_for_one_above_p99():
    def at_most_one_above(runs):
        return 0.99**runs + runs * 0.01 * 0.99 ** (runs - 1)

    assert at_most_one_above(tables.RUNS_FOR_P99) < 0.01 <= at_most_one_above(tables.RUNS_FOR_P99 - 1)


def test_text_cannot_break_the_table():
    text = latency_text([fake_latency("onnx_full_gpu", ran=False, reason="no <dev> |\nfound")])
    assert "no &lt;dev> \\| found" in text


# -------------------------------------------------------------------------------------- the robustness table


def test_robustness_table_and_markdown():
    records = [fake_robustness(name) for name in CONDITIONS]
    records[1] |= {"unreadable": ["broken.jpg"], "ap": None, "mean_confidence": None}
    table = tables.robustness_table(records)
    assert list(table.condition) == list(CONDITIONS)
    assert list(table.unreadable) == [0, 1, *[0] * 7]
    text = tables.robustness_markdown(table, records, "Fake-m on fakes", "All of it is invented.")
    rows = rows_of(text)
    assert rows["Clean (baseline)"][1:4] == ["95.0 %", "95 / 100", "0.740"]
    assert rows["Motion Blur Light"][3] == "–"
    assert "broken.jpg" in text and "Fake-m on fakes" in text and "All of it is invented." in text
    assert "unreadable" not in tables.robustness_markdown(table, records[:1]).lower()


# ------------------------------------------------------------------------------------------------ findings


def test_findings_of_a_full_study():
    found = findings(
        [fake_latency(name) for name in BENCHMARKS], [fake_robustness(name) for name in CONDITIONS]
    )
    assert found["fastest_full"].startswith("TensorRT Full FP16 is the fastest of 5 detect+pose rows")
    assert "× the speed of PyTorch Full GPU" in found["fastest_full"]
    assert (
        found["fastest_pose"].startswith("TensorRT Pose FP16")
        and "pose-only rows only" in found["fastest_pose"]
    )
    assert "2 of 5" in found["real_time"] and "ONNX Full GPU" in found["real_time"]
    assert "detector takes 70 %" in found["bottleneck"]
    assert "not_run" not in found and "unreadable" not in found
    assert "Motion Blur Heavy (-0.540) and Noise Heavy (-0.480)" in found["worst"]
    assert "3 of 8 (Low Light Moderate, Low Light Severe and Overexposure)" in found["holds"]
    assert "Low Light Severe keeps 97 % of the rate but 68 % of AP" in found["disagree"]
    assert "Low Light Moderate keeps" not in found["disagree"]
    for family in ("light", "blur", "noise", "occlusion"):
        assert "points" in found[f"family_{family}"]


def test_findings_follow_the_data():
    slow = fake_latency("onnx_full_cpu", latency_ms=[2000.0, 2001.0])
    found = findings([fake_latency("pytorch_full_cpu"), slow], [])
    assert found["fastest_full"].startswith("PyTorch Full CPU is the fastest of 2")
    assert "× the speed" not in found["fastest_full"]
    equal = [fake_robustness(name, detection_rate=0.5, ap=0.5) for name in ("clean", "occlusion")]
    found = findings([], equal)
    assert found["worst"] == "No condition lowers AP below that of clean images."
    assert "agree" in found["disagree"] and "disagree" not in found["disagree"]
    assert "0 of 1" in found["holds"]


def test_an_overlap_of_the_samples_is_told():
    near = fake_latency("onnx_full_cpu", latency_ms=[CENTRES_MS["pytorch_full_cpu"] * 1.02] * 20)
    assert (
        "ranges of their samples overlap"
        in findings([fake_latency("pytorch_full_cpu"), near], [])["fastest_full"]
    )


def test_findings_without_a_gpu_name_the_rows_that_did_not_run():
    found = findings([fake_latency(name, name in ON_CPU) for name in BENCHMARKS], [])
    assert "against" not in found["fastest_full"]
    assert "× the speed of PyTorch Full CPU" in found["fastest_full"]
    assert found["not_run"].startswith("6 of 10") and "(no CUDA device)" in found["not_run"]


def test_findings_of_nothing():
    assert findings([], []) == {}
    found = findings([fake_latency(name, False) for name in BENCHMARKS], [])
    assert set(found) == {"fastest_full", "fastest_pose", "not_run"}


def test_findings_with_nulls_and_without_clean():
    nothing = dict.fromkeys(("ap", "ap50", "ar", "box_ap", "mean_confidence"))
    found = findings([], [fake_robustness(name, **nothing) for name in CONDITIONS])
    assert "AP" not in found["family_blur"] and "detection rate" in found["worst"]
    assert "disagree" not in found
    found = findings([], [fake_robustness("occlusion", detection_rate=None, **nothing)])
    assert "no score" in found["family_occlusion"] and "not evaluated" in found["clean"]
    found = findings([], [fake_robustness(name, ap=0.0, detection_rate=0.0) for name in CONDITIONS])
    assert "0 of 8" in found["holds"]
