"""Models without weights: what is planned, what is refused, and a latency row from nothing."""

import json

import pytest
import yaml

TIMING = "config/timing.yaml"
TINY = {
    "run": "tiny",
    "dataset": {"name": "scenes-tiny", "expected_person_images": 2, "scenes": {"images": 2}},
    "models": {
        "detector": {
            "name": "RTMDet-nano",
            "config": "mmpose::demo/mmdetection_cfg/rtmdet_nano_320-8xb32_coco-person.py",
            "input_size": [320, 320],
        },
        "pose": {
            "name": "RTMPose-t",
            "config": "mmpose::configs/body_2d_keypoint/rtmpose/coco/rtmpose-t_8xb256-420e_coco-256x192.py",
        },
    },
    "benchmarks": ["onnx_full_cpu", "onnx_pose_cpu"],
    "benchmark": {"warmup": 1, "max_warmup": 1, "runs": 3, "processes": 1},
}


@pytest.fixture(scope="module")
def timing(session_workspace):
    workspace = session_workspace("timing")
    workspace.write("tiny.yaml", yaml.safe_dump(TINY))
    return workspace


def test_the_plan_has_times_and_no_scores(timing):
    output = timing.snakemake(configs=(TIMING,), options=("--dry-run",)).stdout
    for name in (
        "make_random_weights",
        "measure_pytorch_full_cpu",
        "measure_peers",
        "measure_cameras",
        "write_run",
    ):
        assert f"\n{name} " in output, name
    for name in ("predict_clean", "score_condition", "measure_throughput", "draw_grids", "download_asset"):
        assert name not in output, name


@pytest.mark.parametrize("target", ["results/tiny/figures/robustness.png", "measure_throughput"])
def test_what_needs_trained_weights_is_refused_before_any_job(timing, target):
    done = timing.snakemake(target, configs=(TIMING, "tiny.yaml"), check=False)
    assert done.returncode != 0 and "Job stats" not in done.stdout
    assert "models.detector and models.pose have random weights" in done.stdout


def test_a_row_is_timed_and_says_what_it_is(timing):
    timing.snakemake("measure_onnx_full_cpu", configs=(TIMING, "tiny.yaml"))
    run = timing.path / "results" / "tiny"
    row = json.loads((run / "latency/onnx_full_cpu.json").read_text())
    annotations = json.loads((timing.path / "data/scenes-tiny/annotations.json").read_text())
    first = min(image["file_name"] for image in annotations["images"])
    (image_id,) = (image["id"] for image in annotations["images"] if image["file_name"] == first)
    boxes = [entry for entry in annotations["annotations"] if entry["image_id"] == image_id]
    assert row["status"] == "ok" and row["persons"] == len(boxes) > 0
    assert min(row["stages_ms"]["detect"]) > 0 and min(row["stages_ms"]["nms"]) > 0
    assert row["provenance"]["weights"].startswith("Random weights, timing only")
    assert row["provenance"]["boxes"] == "annotated"
    assert 50 < row["provenance"]["detector"]["candidates"] < 200
    model = json.loads((run / "models/detector.json").read_text())
    assert model["source"].startswith("random weights, timing only")
    assert model["checkpoint_sha256"] and model["network"]["checkpoint"].endswith("detector_random.pth")
