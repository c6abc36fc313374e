"""Key findings on latency and parity, from invented records."""

import pytest
from fake_results import CENTRES_MS, fake_latency, fake_limits, fake_parity, fake_scores

from posegauge.report.findings import key_findings
from posegauge.report.latency import benchmark_table
from posegauge.study import STUDY_BENCHMARKS

ON_CPU = [name for name, row in STUDY_BENCHMARKS.items() if row.artifact.device == "cpu"]


def findings(latency, parity=(), scores=(), sweep=None, limits=None) -> dict[str, str]:
    benchmark = benchmark_table(latency, parity, limits)
    found = key_findings(benchmark, list(scores), parity, sweep)
    return {finding["id"]: finding["text"] for finding in found}


def test_findings_of_a_full_study():
    found = findings([fake_latency(name) for name in STUDY_BENCHMARKS])
    assert found["fastest_full"].startswith("TensorRT Full FP16 is the fastest of 5 detect+pose rows")
    assert "× the speed of PyTorch Full GPU" in found["fastest_full"]
    assert found["fastest_pose"].startswith("TensorRT Pose FP16")
    assert "pose-only rows only" in found["fastest_pose"]
    assert "2 of 5" in found["real_time"] and "ONNX Full GPU" in found["real_time"]
    assert "detector takes 70 %" in found["bottleneck"]
    assert "not_run" not in found and "parity" not in found


def test_the_floor_and_the_host_overhead_are_told():
    limits = {"cpu": fake_limits(fp32=1e11, copy=1e12)}
    found = findings([fake_latency(name) for name in STUDY_BENCHMARKS], limits=limits)
    assert found["floor"].startswith("Of the detect+pose rows ONNX Full CPU comes closest to its floor: ")
    assert "× the 25 ms that" in found["floor"]
    assert (
        found["overhead"].startswith("In TensorRT Full FP16 the networks take")
        and "19 %" in found["overhead"]
    )
    assert not {"floor", "overhead"} & set(findings([fake_latency("onnx_full_cpu")]))


def test_findings_follow_the_data():
    slow = fake_latency("onnx_full_cpu", latency_ms=[2000.0, 2001.0])
    found = findings([fake_latency("pytorch_full_cpu"), slow])
    assert found["fastest_full"].startswith("PyTorch Full CPU is the fastest of 2")
    assert "× the speed" not in found["fastest_full"]


def test_an_overlap_of_the_samples_is_told():
    near = fake_latency("onnx_full_cpu", latency_ms=[CENTRES_MS["pytorch_full_cpu"] * 1.02] * 20)
    found = findings([fake_latency("pytorch_full_cpu"), near])
    assert "ranges of their samples overlap" in found["fastest_full"]


def test_findings_without_a_gpu_name_the_rows_that_did_not_run():
    found = findings([fake_latency(name, name in ON_CPU) for name in STUDY_BENCHMARKS])
    assert "against" not in found["fastest_full"]
    assert "× the speed of PyTorch Full CPU" in found["fastest_full"]
    assert found["not_run"].startswith("6 of 10") and "(no CUDA device)" in found["not_run"]
    assert "PyTorch Full GPU, ONNX Full GPU, PyTorch Pose GPU, ONNX Pose GPU, TensorRT" in found["not_run"]


def test_findings_of_nothing():
    assert findings([]) == {}
    found = findings([fake_latency(name, False) for name in STUDY_BENCHMARKS])
    assert set(found) == {"fastest_full", "fastest_pose", "not_run"}
    assert found["fastest_full"] == "No detect+pose row ran, or none that keeps 99 % of its source's AP."


def test_what_fails_is_never_the_fastest():
    latency = [fake_latency(name) for name in STUDY_BENCHMARKS]
    parity = [fake_parity("tensorrt_cuda_fp16", ("max_ap_diff",)), fake_parity("onnxruntime_cuda_fp32")]
    found = findings(latency, parity)
    assert found["fastest_full"].startswith("ONNX Full GPU is the fastest of 4 detect+pose rows")
    assert found["real_time"].startswith("Detect+pose rows that reach 30 FPS: 1 of 4")
    assert found["parity"] == (
        "Parity with PyTorch on the CPU: 1 of 2 compared artifacts are exact; "
        "TensorRT GPU FP16 fails (95.81 % [94.30, 97.40] of its source's AP). "
        "The latency findings leave out rows that fail."
    )


def test_artifacts_that_were_not_compared_are_named_with_the_reason():
    parity = [
        fake_parity("pytorch_cuda_fp32", reason="no CUDA device"),
        fake_parity("onnxruntime_cuda_fp32", reason="no CUDA device"),
        fake_parity("onnxruntime_cpu_fp32"),
    ]
    assert findings([], parity)["parity"] == (
        "Parity with PyTorch on the CPU: 1 of 1 compared artifacts are exact; not compared: "
        "PyTorch GPU FP32 and ONNX Runtime GPU FP32 (no CUDA device)."
    )
    assert "compared artifacts" not in findings([], parity[:2])["parity"]


@pytest.mark.parametrize("name", ["clean", "occlusion"])
def test_findings_of_accuracy_come_behind_those_of_latency(name):
    found = list(findings([fake_latency("onnx_full_cpu")], scores=[fake_scores(name)]))
    assert found[0] == "fastest_full" and found.index("clean") > found.index("fastest_pose")


def sweep_of(low: float | None, high: float | None, ratios: int = 1) -> dict:
    ratio = {"way": "fast", "condition": "noise_heavy", "ratio": 1.62, "low": low, "high": high}
    ways = [
        {"way": "original", "title": "Original", "sets": []},
        {"way": "fast", "title": "Sweep, fake", "sets": ["detected", "original"]},
    ]
    return {"ways": ways, "ratios": [ratio] * ratios}


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        (1.55, 1.7, "1.62× [1.55, 1.70] on Noise Heavy."),
        (0.9, 2.2, "1.62× [0.90, 2.20], not distinguishable, on Noise Heavy."),
        (None, None, "1.62× on Noise Heavy."),
    ],
)
def test_the_speed_of_the_sweep_is_told_with_its_interval(low, high, told):
    text = findings([], sweep=sweep_of(low, high))["sweep"]
    assert text.startswith("Images per second against MMPose's inferencer on one image after the other")
    assert text.endswith(f"Sweep, fake (2 sets) {told}")


def test_without_the_original_no_speed_of_the_sweep_is_told():
    assert "sweep" not in findings([], sweep=sweep_of(None, None, ratios=0))
