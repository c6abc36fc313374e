"""The demo from nothing to README, in small: every rule runs once."""

import json
import re

import cv2
import pandas as pd
import pytest

from posebench.study import BENCHMARKS, CONDITIONS

SMALL = ("config/demo.yaml", "tests/config/small.yaml")
WITH_README = (*SMALL, "readme.yaml")
ROBUSTNESS_COLUMNS = (
    "condition images images_detected detection_rate mean_confidence persons_per_image fps ap ap50 ar box_ap"
)
BENCHMARK_COLUMNS = (
    "benchmark pipeline runtime device precision status reason runs latency_ms_mean latency_ms_p50 "
    "latency_ms_p95 latency_ms_p99 fps speedup speedup_against"
)


@pytest.fixture(scope="module")
def demo(session_workspace):
    """A finished run of the demo with six images; its output is in `.output`."""
    workspace = session_workspace("demo")
    workspace.write("readme.yaml", "readme: {file: README.md, block: demo}\n")
    workspace.output = workspace.snakemake(configs=WITH_README).stdout
    workspace.run = workspace.path / "results" / "small"
    return workspace


def test_says_where_the_results_are(demo):
    assert "Results: results/small/" in demo.output


def test_robustness_table(demo):
    table = pd.read_csv(demo.run / "tables" / "robustness.csv")
    assert set(ROBUSTNESS_COLUMNS.split()) <= set(table.columns)
    assert list(table.condition) == list(CONDITIONS)
    assert (table.images == 6).all()
    clean = table.set_index("condition").loc["clean"]
    assert clean.detection_rate >= 0.8 and clean.ap > 0.6
    assert table.set_index("condition").loc["motion_blur_heavy"].ap < clean.ap


def test_benchmark_table(demo):
    table = pd.read_csv(demo.run / "tables" / "benchmark.csv").set_index("benchmark", drop=False)
    assert set(BENCHMARK_COLUMNS.split()) <= set(table.columns)
    assert list(table.index) == list(BENCHMARKS)
    on_cpu = [name for name, row in BENCHMARKS.items() if row.device == "cpu"]
    assert (table.loc[on_cpu, "status"] == "ok").all()
    assert (table.loc[on_cpu, "runs"] == 5).all()
    assert (table.loc[table.status == "not run", "reason"].str.len() > 0).all()
    if table.loc["pytorch_full_gpu", "status"] == "not run":
        assert table.loc["onnx_full_cpu", "speedup_against"] == "pytorch_full_cpu"
        assert table.loc["onnx_pose_cpu", "speedup_against"] == "pytorch_pose_cpu"
        assert table.loc["pytorch_full_cpu", "speedup"] == pytest.approx(1)


def test_nothing_runs_beside_a_measurement(demo):
    running, seen = {}, 0
    for line in demo.output.splitlines():
        if started := re.match(r"Job (\d+): (.*)", line):
            running[started[1]] = started[2]
            measuring = [what for what in running.values() if re.match("Measure|Predict", what)]
            assert not measuring or len(running) == 1, running
            seen += len(measuring)
        elif finished := re.match(r"Finished jobid: (\d+)", line):
            running.pop(finished[1], None)
    assert seen == len(BENCHMARKS) + len(CONDITIONS)


def test_raw_samples_and_provenance_are_kept(demo):
    result = json.loads((demo.run / "latency" / "onnx_full_cpu.json").read_text())
    assert len(result["latency_ms"]) == len(result["stages_ms"]["detect"]) == 5
    stages = sum(samples[0] for samples in result["stages_ms"].values())
    assert 0 < stages <= result["latency_ms"][0]
    provenance = result["provenance"]
    assert provenance["backend"]["provider"] == "CPUExecutionProvider"
    models = json.loads((demo.run / "run.json").read_text())["models"]
    for role in ("detector", "pose"):
        assert provenance["artifacts"][role]["sha256"] == models[role]["onnx_sha256"]
    # Accuracy and latency come from one and the same file.
    predicted = json.loads((demo.run / "predictions" / "clean.meta.json").read_text())
    assert predicted["provenance"]["artifacts"] == provenance["artifacts"]


def test_the_export_is_compared_with_pytorch(demo):
    pose = json.loads((demo.run / "models" / "pose.json").read_text())["parity"]
    detector = json.loads((demo.run / "models" / "detector.json").read_text())["parity"]
    assert pose["persons"] > 0 and pose["max_keypoint_diff_px"] <= pose["gate_px"]
    assert detector["boxes"] > 0 and detector["max_box_diff_px"] <= detector["gate_px"]


def test_pictures_can_be_opened(demo):
    for name in ("grids/conditions.jpg", "grids/images.jpg", "figures/latency.png", "figures/robustness.png"):
        image = cv2.imread(str(demo.run / name))
        assert image is not None and min(image.shape[:2]) > 300, name


def test_run_json_holds_the_hash_of_every_result(demo):
    from posebench.results import sha256_file

    run = json.loads((demo.run / "run.json").read_text())
    assert {"tables/benchmark.csv", "predictions/clean.json", "latency/onnx_full_cpu.json"} <= set(
        run["files"]
    )
    for name, digest in run["files"].items():
        assert sha256_file(demo.run / name) == digest, name


def test_the_readme_is_filled_between_its_markers(demo):
    text = (demo.path / "README.md").read_text()
    section = re.search(r"<!-- generated:begin demo -->(.*?)<!-- generated:end demo -->", text, re.S)[1]
    assert "ynthetic" in section
    for picture in re.findall(r'(?:src="|\]\()([^")]+\.(?:jpg|png))', section):
        assert (demo.path / picture).is_file(), picture
    for title in ("PyTorch Full CPU", "Motion Blur Heavy", "no CUDA device"):
        assert title in section or (title == "no CUDA device" and "not run" not in section)


def test_nothing_is_left_to_do(demo):
    again = demo.snakemake(configs=WITH_README, options=("--dry-run",)).stdout
    assert "Nothing to be done" in again


def test_predictions_are_byte_identical_in_another_run(demo, session_workspace):
    other = session_workspace("again")
    names = ("clean", "noise_heavy", "occlusion")
    other.snakemake(*(f"predict_{name}" for name in names), configs=SMALL)
    for name in names:
        file = f"results/small/predictions/{name}.json"
        assert (other.path / file).read_bytes() == (demo.path / file).read_bytes(), name


def test_an_edited_library_module_runs_its_rules_again(demo):
    module = demo.path / "workflow/scripts/posebench/metrics.py"
    module.write_text(module.read_text() + "\n# edited\n")
    planned = demo.snakemake(configs=WITH_README, options=("--dry-run",)).stdout
    assert "score_condition" in planned and "predict_clean" not in planned
