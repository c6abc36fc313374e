"""The latency table, from invented records."""

import json

import numpy as np
import pandas as pd
import pytest
from fake_results import fake_latency, fake_limits, fake_parity, fake_state

from posegauge.errors import PoseGaugeError
from posegauge.report import latency
from posegauge.report.findings import key_findings
from posegauge.report.machine import machine_markdown, machine_table
from posegauge.report.parity import gates_passed
from posegauge.report.records import read_latency
from posegauge.store import files
from posegauge.study import BENCHMARKS, STAGES, STUDY_BENCHMARKS

ON_CPU = [name for name, row in BENCHMARKS.items() if row.artifact.device == "cpu"]


def benchmark(names=tuple(BENCHMARKS), parity=()) -> pd.DataFrame:
    """The table of a study in which only `names` ran."""
    records = [fake_latency(name, name in names) for name in BENCHMARKS]
    return latency.benchmark_table(records, parity).set_index("benchmark", drop=False)


# ------------------------------------------------------------------------------------------- the files


@pytest.mark.parametrize("name", BENCHMARKS)
@pytest.mark.parametrize("ran", [True, False])
def test_latency_records_fit_the_schema(tmp_path, name, ran):
    files.write_json(tmp_path / "row.json", fake_latency(name, ran), "latency.schema.yaml")


def test_a_row_that_was_not_run_may_name_its_image_and_empty_stages(tmp_path):
    record = fake_latency("onnx_full_gpu", ran=False, stages_ms={stage: [] for stage in STAGES}, runs=0)
    record["image"] = {"file_name": "fake.jpg", "width": 640, "height": 426}
    files.write_json(tmp_path / "row.json", record, "latency.schema.yaml")


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
    with pytest.raises(PoseGaugeError, match="does not fit"):
        files.write_json(
            tmp_path / "row.json", fake_latency("onnx_full_cpu") | changes, "latency.schema.yaml"
        )
    assert list(tmp_path.iterdir()) == []


def write(path, record) -> str:
    path.write_text(json.dumps(record))
    return str(path)


def test_records_come_in_the_order_of_the_study(tmp_path):
    paths = [write(tmp_path / f"{name}.json", fake_latency(name)) for name in reversed(BENCHMARKS)]
    assert [record["benchmark"] for record in read_latency(paths)] == list(BENCHMARKS)


def test_bad_files_are_named(tmp_path):
    good = fake_latency("onnx_full_cpu")
    bad = write(tmp_path / "bad.json", good | {"benchmark": "onnx_ful_cpu"})
    with pytest.raises(PoseGaugeError, match=r"bad\.json.*onnx_ful_cpu.*did you mean 'onnx_full_cpu'"):
        read_latency([bad])
    one, two = (write(tmp_path / f"{number}.json", good) for number in (1, 2))
    with pytest.raises(PoseGaugeError, match=r"2\.json.*twice"):
        read_latency([one, two])
    damaged = write(tmp_path / "damaged.json", good | {"latency_ms": "many"})
    with pytest.raises(PoseGaugeError, match=r"damaged\.json.*latency_ms"):
        read_latency([damaged])


# ----------------------------------------------------------------------------------------- the latency table


def test_figures_are_those_of_numpy():
    record = fake_latency("onnx_full_cpu", latency_ms=[float(ms) for ms in range(1, 102)], persons=4)
    row = latency.benchmark_table([record]).iloc[0]
    assert row.latency_ms_mean == 51 and row.latency_ms_p50 == 51
    assert (row.latency_ms_p5, row.latency_ms_p95) == (6, 96)
    assert row.latency_ms_std == pytest.approx(np.arange(1, 102).std())
    assert row.fps == pytest.approx(1000 / 51)
    assert (row.runs, row.persons, row.threads) == (101, 4, 2)
    assert row.stage_detect_ms == pytest.approx(np.mean(record["stages_ms"]["detect"]))


def test_p99_needs_662_runs():
    few, enough = ([float(ms) for ms in range(1, runs + 1)] for runs in (661, 662))
    table = latency.benchmark_table(
        [fake_latency("onnx_full_cpu", latency_ms=few), fake_latency("onnx_pose_cpu", latency_ms=enough)]
    )
    assert pd.isna(table.latency_ms_p99[0]) and table.latency_ms_p99[1] == np.percentile(enough, 99)


def test_the_floor_stands_beside_the_mean():
    limits = {"cpu": fake_limits(fp32=1e11, copy=1e12)}
    names = ("onnx_full_cpu", "onnx_pose_cpu", "onnx_full_gpu", "onnx_int8_full_cpu")
    records = [fake_latency(name) for name in names]
    table = latency.benchmark_table(records, (), limits).set_index("benchmark")
    # 10 ms of detector, and 5 ms for each of three persons
    assert table.floor_ms["onnx_full_cpu"] == pytest.approx(25)
    assert table.floor_ms["onnx_pose_cpu"] == pytest.approx(15)
    assert table.times_floor["onnx_full_cpu"] == pytest.approx(table.latency_ms_mean["onnx_full_cpu"] / 25)
    assert table.floor_ms[["onnx_full_gpu", "onnx_int8_full_cpu"]].isna().all()
    assert table.floor_reason["onnx_full_gpu"] == "the roofline of the device was not measured"
    text = latency.benchmark_markdown(table.reset_index(), records)
    assert rows_of(text)["ONNX Full CPU"][-3:-1] == ["25.00", f"{table.times_floor['onnx_full_cpu']:.1f}×"]
    assert rows_of(text)["ONNX INT8 Full CPU"][-3:-1] == ["–", "–"]
    assert "No floor: the INT8 rate of the device was not measured (ONNX INT8 Full CPU)." in text
    assert "Floor: the least time" in text and "Below it (" not in text


def test_a_row_below_its_floor_says_that_the_rate_was_not_the_best():
    limits = {"cpu": fake_limits(fp32=1e9, copy=1e12)}
    records = [fake_latency("onnx_full_cpu"), fake_latency("onnx_full_gpu")]
    table = latency.benchmark_table(records, (), limits)
    assert table.times_floor[0] < 1
    assert "Below it (ONNX Full CPU): the runtime needs less" in latency.benchmark_markdown(table, records)


def test_host_overhead_is_what_the_networks_do_not_take_on_the_gpu():
    table = benchmark()
    # The fakes' networks take nine tenths of stages that are nine tenths of a full run.
    assert table.host_overhead["onnx_full_gpu"] == pytest.approx(1 - 0.9 * 0.9)
    assert table.device_ms_mean["onnx_full_gpu"] == pytest.approx(
        0.81 * table.latency_ms_mean["onnx_full_gpu"]
    )
    assert table.host_overhead[ON_CPU].isna().all()


def test_files_of_older_versions_can_be_read(tmp_path):
    record = fake_latency("onnx_full_gpu")
    for key in ("device_ms", "measured_under"):
        del record[key]
    (record,) = read_latency([write(tmp_path / "old.json", record)])
    table = latency.benchmark_table([record])
    assert table.host_overhead.isna().all() and table.latency_ms_mean.notna().all()
    assert "after 10 for warm-up" in latency.benchmark_markdown(table, [record])
    shown = machine_table([record], table)
    assert "ONNX Full GPU" in machine_markdown(shown, [record])


def test_rows_are_compared_with_pytorch_on_the_gpu_within_their_pipeline():
    table = benchmark()
    table = table[~table.precision.str.startswith("int8")]
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
    figures = [name for name in latency.BENCHMARK_COLUMNS[8:] if not name.startswith("tier")]
    assert absent[figures].isna().all()
    assert table.latency_ms_mean[ON_CPU].notna().all() and table.reason[ON_CPU].isna().all()


def test_the_empty_table_has_all_columns():
    assert list(latency.benchmark_table([]).columns) == list(latency.BENCHMARK_COLUMNS)
    assert "No benchmark row" in latency.benchmark_markdown(latency.benchmark_table([]), [])


def latency_text(records, parity=(), **texts) -> str:
    return latency.benchmark_markdown(latency.benchmark_table(records, parity), records, **texts)


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
    assert rows["ONNX Full CPU"][6] == "– ¹"
    assert rows["TensorRT Full FP16"][2:] == ["GPU (TensorRT FP16)", *"––––––", "*not run: no CUDA device*"]
    assert "Fake-m on fakes · Machine: Fake 3000, 2 cores, 8 GiB, no GPU · threads: 2" in text
    assert "persons in it: 3 · timed runs: 200, after 20 for warm-up" in text
    assert "¹ P99 is shown from 662 runs on: of 200 runs it would rest on the slowest 2." in text
    assert text.rstrip().endswith("*All of it is invented.*")


def test_persons_are_told_by_pipeline_when_the_detector_finds_others():
    text = latency_text([fake_latency("onnx_full_cpu", persons=5), fake_latency("onnx_pose_cpu")])
    assert "persons in it: 5 (detect+pose), 3 (pose only)" in text


def test_a_row_in_whose_course_the_machine_slowed_down_says_so():
    slow, steady = fake_latency("onnx_full_cpu"), fake_latency("openvino_full_cpu")
    steady["latency_ms"] = [20.0, 20.0, 20.0, 100.0] * 50  # single slow runs are P95's
    slow["latency_ms"] = [65.0] * 30 + [137.0] * 170
    text = latency_text([slow, steady])
    assert "Unsteady: ONNX Full CPU (medians of its tenths from 65.0 to 137.0 ms)." in text
    assert "OpenVINO Full CPU (medians" not in text
    slow["latency_ms"] = [65.0] * 200
    assert "Unsteady" not in latency_text([slow, steady])


def test_rows_that_were_timed_again_are_named():
    once, twice, never = (fake_latency(f"{name}_full_cpu") for name in ("onnx", "openvino", "pytorch"))
    (state,) = once["measured_under"]
    again = state | {"unsteady": [[1.0] * 10]}
    once["measured_under"], twice["measured_under"] = [again, state | {"unsteady": []}], [again, state, again]
    text = latency_text([once, twice, never])
    assert (
        "Timed again, since the machine changed its speed meanwhile: ONNX Full CPU, OpenVINO Full CPU (2×)."
        in text
    )
    assert "Timed again" not in latency_text([never])


@pytest.mark.parametrize(
    ("runs", "told"), [(5, "slowest one"), (201, "slowest 3"), (661, "slowest 7"), (662, None)]
)
def test_p99_footnote(runs, told):
    text = latency_text([fake_latency("onnx_full_cpu", runs=runs)])
    assert (told or "P99 (ms) |") in text
    assert (rows_of(text)["ONNX Full CPU"][6] == "– ¹") == (told is not None)
    assert ("¹" in text) == (told is not None)


ALL_GATES = ("max_ap_diff", "max_keypoint_p95_px", "max_box_p95_px")


def test_rows_say_whether_their_artifact_passes_parity():
    parity = [
        fake_parity("onnxruntime_cpu_fp32"),
        fake_parity("pytorch_cuda_fp32", reason="no CUDA device"),
        fake_parity("tensorrt_cuda_fp16", ("max_ap_diff", "max_keypoint_p95_px")),
    ]
    table = benchmark(parity=parity)
    assert set(table.tier[["onnx_full_cpu", "onnx_pose_cpu"]]) == {"exact"}
    assert set(table.tier[["pytorch_full_cpu", "pytorch_pose_cpu"]]) == {"source"}
    assert tuple(table.loc["pytorch_full_gpu", ["tier", "tier_note"]]) == (
        "not checked",
        "no CUDA device",
    )
    assert table.tier_note["onnx_full_gpu"] == "not compared with PyTorch"
    assert table.tier["tensorrt_pose_fp16"] == "fails"
    told = "95.81 % [94.30, 97.40] of its source's AP, keypoints P95 4.2 px"
    assert table.tier_note["tensorrt_pose_fp16"] == told


def test_what_fails_has_no_speedup():
    failing = ["onnx_full_cpu", "onnx_pose_cpu"]
    table = benchmark(ON_CPU, [fake_parity("onnxruntime_cpu_fp32", ("max_ap_diff",))])
    assert table.speedup[failing].isna().all()
    assert table.fps[failing].notna().all(), "its speed is still told"
    records = [fake_latency(name, name in ON_CPU) for name in STUDY_BENCHMARKS]
    text = latency_text(records, [fake_parity("onnxruntime_cpu_fp32", ALL_GATES)])
    told = "fails: 95.81 % [94.30, 97.40] of its source's AP, keypoints P95 4.2 px, boxes P95 7.25 px"
    assert rows_of(text)["ONNX Full CPU"][-1] == told
    assert rows_of(text)["PyTorch Full CPU"][-1] == "1.00× (baseline)"
    assert "what keeps less fails" in text and "Tier not checked" not in text


@pytest.mark.parametrize("gate", ALL_GATES[1:])
def test_what_is_off_in_pixels_but_keeps_its_ap_has_its_speedup_with_its_tier(gate):
    parity = [fake_parity("onnxruntime_cpu_fp32", (gate,))]
    table = benchmark(ON_CPU, parity)
    assert table.tier["onnx_full_cpu"] == "99.9 %" and table.speedup["onnx_full_cpu"] > 1
    text = latency_text([fake_latency(name, name in ON_CPU) for name in STUDY_BENCHMARKS], parity)
    assert rows_of(text)["ONNX Full CPU"][-1] == "1.44× · 99.9 % (vs PyTorch Full CPU)"
    off = {"max_keypoint_p95_px": "keypoints P95 4.2 px", "max_box_p95_px": "boxes P95 7.25 px"}[gate]
    assert f"ONNX Full CPU: 100.01 % [99.97, 100.04] of its source's AP, {off}." in text


def test_int8_has_no_speedup_where_parity_was_not_checked():
    unchecked = fake_parity("openvino_cpu_int8", reason="random weights", status="no accuracy")
    table = benchmark(ON_CPU, [unchecked, fake_parity("onnxruntime_cpu_int8")])
    assert pd.isna(table.speedup["openvino_int8_full_cpu"])
    assert "compared" in table.speedup_against["openvino_int8_full_cpu"]
    assert table.speedup["onnx_int8_full_cpu"] > 0
    assert table.speedup["openvino_full_cpu"] > 0, "unchecked FP32 has one, and a note"
    found = {finding["id"]: finding["text"] for finding in key_findings(table, [])}
    assert "OpenVINO INT8" not in found["fastest_full"]


def test_what_fails_parity_is_no_baseline():
    wrong = [fake_parity("pytorch_cuda_fp32", ("max_ap_diff",)), fake_parity("onnxruntime_cpu_fp32")]
    table = benchmark(parity=wrong)
    assert table.speedup_against["onnx_full_cpu"] == "pytorch_full_cpu"
    assert pd.isna(table.speedup["onnx_full_gpu"])
    assert table.speedup_against["onnx_full_gpu"] == "PyTorch Full GPU fails"


def test_rows_without_a_source_keep_their_speedup_and_are_named():
    records = [fake_latency(name, name in ON_CPU) for name in BENCHMARKS]
    reason = "no PyTorch source: Fake-m given as ONNX only"
    record = fake_parity("onnxruntime_cpu_fp32", reason=reason, status="no source")
    text = latency_text(records, [record])
    assert rows_of(text)["ONNX Full CPU"][-1].endswith("× (vs PyTorch Full CPU)")
    assert f"Tier not checked: {reason} (ONNX Full CPU, ONNX Pose CPU)." in text
    assert "ONNX Full GPU" not in text.split("Tier not checked")[1], "a row that did not run needs no tier"


def test_a_difference_that_is_no_number_is_told_in_words():
    record = fake_parity("onnxruntime_cpu_fp32", ("max_box_p95_px",), box_px_p95=None)
    assert gates_passed(record) == "no boxes in common"


def test_662_runs_are_enough_for_one_above_p99():
    def at_most_one_above(runs):
        return 0.99**runs + runs * 0.01 * 0.99 ** (runs - 1)

    assert at_most_one_above(latency.RUNS_FOR_P99) < 0.01 <= at_most_one_above(latency.RUNS_FOR_P99 - 1)


def test_text_cannot_break_the_table():
    text = latency_text([fake_latency("onnx_full_gpu", ran=False, reason="no <dev> |\nfound")])
    assert "no &lt;dev> \\| found" in text


# ---------------------------------------------------------------------------- what was measured under what


def machine(names, **changes) -> tuple[pd.DataFrame, str]:
    """The table of rows with changed fields, by row, and its text."""
    records = [fake_latency(name, **changes) for name in names]
    table = machine_table(records, latency.benchmark_table(records))
    return table.set_index("benchmark"), machine_markdown(table, records, notice="Invented.")


def test_machine_table_of_a_gpu():
    table, text = machine(["onnx_full_gpu", "onnx_full_cpu"])
    row = table.loc["onnx_full_gpu"]
    assert (row.sm_clock_mhz_min, row.sm_clock_mhz_median, row.sm_clock_max_mhz) == (1500, 1545, 1600)
    assert (row.power_w_max, row.power_w_median, row.temperature_c_max, row.gpu_samples) == (
        65.5,
        60.5,
        61,
        2,
    )
    assert (row.gpu_peak_mib, row.host_peak_mib, row.warmup_runs) == (700, 512.5, 20)
    assert (row.load_before, row.load_after) == (0.1, 1.1)
    cells = rows_of(text)
    assert cells["ONNX Full GPU"][4:] == ["19.0 %", "700", "1545 of 1600", "61", "60", "no"]
    assert cells["ONNX Full CPU"][4:] == ["–"] * 6
    assert text.rstrip().endswith("*Invented.*")


def test_machine_table_tells_what_held_the_clocks_back():
    state = fake_state("cuda")
    state["gpu"]["samples"][0]["throttle"] = ["idle", "software power cap"]
    table, text = machine(["onnx_full_gpu"], measured_under=[fake_state("cuda"), state])
    assert table.throttle["onnx_full_gpu"] == "software power cap"
    assert table.processes["onnx_full_gpu"] == 2 and table.gpu_samples["onnx_full_gpu"] == 4
    assert rows_of(text)["ONNX Full GPU"][-1] == "software power cap"


def test_machine_table_without_nvml_and_without_a_gpu():
    state = fake_state("cuda", reason="NVML: Driver Not Loaded", samples=[])
    state["memory"] |= {"gpu_peak_mib": None, "gpu_peak_of": None}
    state["warm_up"]["stable"] = False
    _, text = machine(["onnx_full_gpu"], measured_under=[state])
    assert "No state of the GPU: NVML: Driver Not Loaded (ONNX Full GPU)." in text
    assert rows_of(text)["ONNX Full GPU"][1] == "20 ¹" and "¹ Not stable" in text
    _, text = machine(["onnx_full_cpu"])
    assert "SM clock" not in text and "¹" not in text
    assert len(rows_of(text)["ONNX Full CPU"]) == 4


def test_machine_table_of_nothing():
    _, text = machine(["onnx_full_cpu"], ran=False)
    assert "No row of the latency table ran." in text
