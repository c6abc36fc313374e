"""The whole workflow on real photographs with real weights, against an independent implementation's figures.

RTMDet-nano (official weights) and TinyPose (not RTMPose) on 44 person images of COCO val2017, as described in
the README beside the data. Clean and the five conditions without randomness have published figures there.
"""

import json

import pandas as pd
import pytest

from posegauge import study
from posegauge.backends.assemble import build_pipeline
from posegauge.predict.image_queue import ImageQueue, Preparation
from posegauge.predict.sweep import sweep
from posegauge.score import metrics
from posegauge.score.truth import read_truth
from posegauge.store.files import read_json

# images with a box >= .5, keypoint AP
EXPECTED = {
    "clean": (34, 0.7042),
    "motion_blur_light": (20, 0.3817),
    "motion_blur_heavy": (6, 0.1427),
    "low_light_moderate": (28, 0.6556),
    "low_light_severe": (27, 0.4511),
    "overexposure": (28, 0.5678),
}
EXPECTED_GIVEN_BOXES_AP = 0.7384
# The workflow runs these; of the others the detector's boxes alone are posed, without a job.
WHOLE = ("clean", "motion_blur_heavy")


@pytest.fixture(scope="module")
def run(real, session_workspace):
    workspace = session_workspace("real")
    workspace.snakemake(configs=("config/photographs.yaml", "tests/config/real.yaml"))
    return workspace.path / "results" / "real"


@pytest.fixture(scope="module")
def table(run):
    return pd.read_csv(run / "tables" / "robustness.csv").set_index("condition")


def test_figures_agree_with_an_independent_implementation(table):
    assert list(table.index) == list(WHOLE)
    for condition in WHOLE:
        detected, ap = EXPECTED[condition]
        row = table.loc[condition]
        assert row.images == 44
        assert abs(row.images_detected - detected) <= 1
        assert abs(row.ap - ap) <= 0.01


@pytest.mark.parametrize("condition", [name for name in EXPECTED if name not in WHOLE])
def test_figures_of_a_condition_agree_with_an_independent_implementation(real, run, condition):
    config = json.loads((run / "run.json").read_text())["config"]
    # The fastest of the runtimes that are the given files to the pixel.
    artifact = study.Artifact("openvino", "cpu")
    pipeline = build_pipeline(
        config, artifact, 1, {role: run / "models" / f"{role}.onnx" for role in study.ROLES}
    )
    entries = read_json(run.parents[1] / "data/coco-sample/person_images.json")["images"]
    how = Preparation(real / "coco/val2017", condition, config["seed"], pipeline.detector_size)
    with ImageQueue(0) as images:
        swept = sweep(pipeline, entries, how, images, "error", {}, None, ["detected"])
    ids = [entry["id"] for entry in entries]
    truth = read_truth(real / "coco/annotations/person_keypoints_val2017.json")
    detected, ap = EXPECTED[condition]
    sure = [boxes for boxes in swept["boxes"].values() if any(box[4] >= 0.5 for box in boxes)]
    assert len(ids) == 44 and abs(len(sure) - detected) <= 1
    (found,) = metrics.keypoint_scores(truth, swept["results"]["detected"], ids, None, ("all",))["ap"]
    assert abs(found - ap) <= 0.01


@pytest.fixture(scope="module")
def loss(run):
    return pd.read_csv(run / "tables" / "loss.csv").set_index("condition").loc[list(WHOLE)]


def test_given_boxes_agree_with_an_independent_implementation(loss):
    assert abs(loss.loc["clean", "ap_annotated"] - EXPECTED_GIVEN_BOXES_AP) <= 0.01


def test_annotated_boxes_beat_detected_boxes(loss):
    assert (loss.ap_annotated > loss.ap_detected).all()
    assert loss.loc["clean", "annotated_gap_low"] > 0


def test_the_loss_under_motion_blur_sums_as_documented(loss):
    row = loss.loc["motion_blur_heavy"]
    assert row.total_loss == pytest.approx(loss.loc["clean", "ap_detected"] - row.ap_detected, abs=1e-9)
    assert row.pose_loss == pytest.approx(loss.loc["clean", "ap_clean_boxes"] - row.ap_clean_boxes, abs=1e-9)
    assert row.detector_loss == pytest.approx(row.ap_clean_boxes - row.ap_detected, abs=1e-9)
    assert row.total_loss == pytest.approx(row.pose_loss + row.detector_loss, abs=1e-9)
    assert row.total_loss_low < row.total_loss < row.total_loss_high
    assert row.pose_loss_low > 0 and row.detector_loss_low > 0


def test_the_fall_back_hides_missed_images(run):
    table = pd.read_csv(run / "tables" / "protocols.csv").set_index("condition")
    heavy = table.loc["motion_blur_heavy"]
    assert heavy.fallback_images > 0
    assert heavy.difference_detection_rate_high < 0


def test_rows_without_a_pytorch_model_say_so(run):
    benchmark = pd.read_csv(run / "tables" / "benchmark.csv").set_index("benchmark")
    assert (benchmark.loc[["onnx_full_cpu", "onnx_pose_cpu"], "status"] == "ok").all()
    for name in ("pytorch_full_cpu", "pytorch_pose_cpu"):
        assert benchmark.loc[name, "status"] == "not run"
        assert "ONNX only" in benchmark.loc[name, "reason"]


def test_the_given_files_are_the_reference(run):
    """Of parity and of speed-ups; INT8 of RTMDet-nano has none unless its tier allows it."""
    assert sorted(path.stem for path in (run / "parity").glob("*.json")) == [
        "onnxruntime_cpu_int8",
        "openvino_cpu_fp32",
    ]
    parity = pd.read_csv(run / "tables" / "parity.csv").set_index("artifact")
    assert parity.tier["openvino_cpu_fp32"] == "exact"
    assert "Compared with the given ONNX files in ONNX Runtime" in (run / "tables" / "parity.md").read_text()
    benchmark = pd.read_csv(run / "tables" / "benchmark.csv").set_index("benchmark")
    assert benchmark.loc["onnx_full_cpu", "tier"] == "source"
    assert benchmark.loc["onnx_full_cpu", "speedup"] == pytest.approx(1)
    row = benchmark.loc["openvino_full_cpu"]
    assert (row.status, row.tier, row.persons, row.speedup_against) == ("ok", "exact", 5, "onnx_full_cpu")
    assert row.speedup > 0
    int8 = benchmark.loc["onnx_int8_full_cpu"]
    told = int8.reason if int8.status == "no result" else int8.speedup_against
    fails = "persons in the image, where ONNX Full CPU finds 5" in told or told.startswith("fails: ")
    # Which of both it is depends on the processor.
    assert fails == pd.isna(int8.speedup)
    assert fails or parity.tier["onnxruntime_cpu_int8"] != "fails"


def test_the_substitute_model_is_named_wherever_its_numbers_stand(run):
    for name in (
        "tables/robustness.md",
        "tables/loss.md",
        "tables/protocols.md",
        "tables/benchmark.md",
        "readme.md",
    ):
        assert "TinyPose" in (run / name).read_text(), name


def test_stages_are_those_of_the_pipeline(run):
    record = json.loads((run / "predictions" / "clean" / "record.json").read_text())
    assert set(record["images"][0]["stages_ms"]) == set(study.STAGES)
