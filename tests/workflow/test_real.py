"""The whole workflow on real photographs with real weights, against an independent implementation's figures.

RTMDet-nano (official weights) and TinyPose (not RTMPose) on 44 person images of COCO val2017, as described in
the README beside the data. Clean and the five conditions without randomness have published figures there.
"""

import json

import pandas as pd
import pytest

from posegauge import study

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


@pytest.fixture(scope="module")
def run(real, session_workspace):
    workspace = session_workspace("real")
    workspace.snakemake(configs=("tests/config/real.yaml",))
    return workspace.path / "results" / "real"


@pytest.fixture(scope="module")
def table(run):
    return pd.read_csv(run / "tables" / "robustness.csv").set_index("condition")


@pytest.mark.parametrize("condition", EXPECTED)
def test_figures_agree_with_an_independent_implementation(table, condition):
    detected, ap = EXPECTED[condition]
    row = table.loc[condition]
    assert row.images == 44
    assert abs(row.images_detected - detected) <= 1
    assert abs(row.ap - ap) <= 0.01


def test_all_conditions_were_run(table):
    assert list(table.index) == [*EXPECTED, "noise_heavy", "coco_c_fog_3"]


@pytest.fixture(scope="module")
def loss(run):
    return pd.read_csv(run / "tables" / "loss.csv").set_index("condition")


def test_given_boxes_agree_with_an_independent_implementation(loss):
    assert abs(loss.loc["clean", "ap_annotated"] - EXPECTED_GIVEN_BOXES_AP) <= 0.01


def test_annotated_boxes_beat_detected_boxes(loss):
    # In heavy noise next to nothing is left, and boxes make no difference that can be told from chance.
    told = loss.loc[list(EXPECTED)]
    assert (told.ap_annotated > told.ap_detected).all()
    assert loss.loc["clean", "annotated_gap_low"] > 0


@pytest.mark.parametrize("condition", ["motion_blur_light", "motion_blur_heavy"])
def test_the_loss_under_motion_blur_sums_as_documented(loss, condition):
    row = loss.loc[condition]
    assert row.total_loss == pytest.approx(loss.loc["clean", "ap_detected"] - row.ap_detected, abs=1e-9)
    assert row.pose_loss == pytest.approx(loss.loc["clean", "ap_clean_boxes"] - row.ap_clean_boxes, abs=1e-9)
    assert row.detector_loss == pytest.approx(row.ap_clean_boxes - row.ap_detected, abs=1e-9)
    assert row.total_loss == pytest.approx(row.pose_loss + row.detector_loss, abs=1e-9)
    assert row.total_loss_low < row.total_loss < row.total_loss_high
    assert row.pose_loss_low > 0
    if condition == "motion_blur_heavy":
        assert row.detector_loss_low > 0


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
