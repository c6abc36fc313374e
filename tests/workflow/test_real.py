"""The whole workflow on real photographs with real weights, against an independent implementation's figures.

RTMDet-nano (official weights) and TinyPose (not RTMPose) on 44 person images of COCO val2017, as described in
the README beside the data. Clean and the five conditions without randomness have published figures there.
"""

import json

import pandas as pd
import pytest

from posebench import metrics, networks, pipeline
from posebench.coco import person_boxes, read_annotations, read_image
from posebench.predictions import coco_results
from posebench.study import CONDITIONS

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


def test_all_nine_conditions_were_run(table):
    assert list(table.index) == list(CONDITIONS)


def test_given_boxes_agree_with_an_independent_implementation(run, real):
    path = real / "coco/annotations/person_keypoints_val2017.json"
    config = json.loads((run / "run.json").read_text())["config"]
    onnx = {role: str(run / "models" / f"{role}.onnx") for role in networks.ROLES}
    estimator = networks.build_pipeline(config, "onnxruntime", "cpu", 2, onnx, pose_only=True)
    annotations = read_annotations(path)
    results, image_ids = [], []
    for image in json.loads((run.parents[1] / "data/coco-sample/person_images.json").read_text())["images"]:
        image_ids.append(image["id"])
        pixels = read_image(real / "coco/val2017" / image["file_name"], image["width"], image["height"])
        persons = estimator(pixels, person_boxes(annotations, image["id"]))
        results += coco_results(persons, image["id"], config["pipeline"]["keypoint_thr"], "annotated")
    scores = metrics.score_condition(metrics.load_annotations(path), results, image_ids, 0.5)
    assert abs(scores["ap"] - EXPECTED_GIVEN_BOXES_AP) <= 0.01


def test_rows_without_a_pytorch_model_say_so(run):
    benchmark = pd.read_csv(run / "tables" / "benchmark.csv").set_index("benchmark")
    assert (benchmark.loc[["onnx_full_cpu", "onnx_pose_cpu"], "status"] == "ok").all()
    for name in ("pytorch_full_cpu", "pytorch_pose_cpu"):
        assert benchmark.loc[name, "status"] == "not run"
        assert "ONNX only" in benchmark.loc[name, "reason"]


def test_the_substitute_model_is_named_wherever_its_numbers_stand(run):
    for name in ("tables/robustness.md", "tables/benchmark.md", "readme.md"):
        assert "TinyPose" in (run / name).read_text(), name


def test_stages_are_those_of_the_pipeline(run):
    record = json.loads((run / "predictions" / "clean.meta.json").read_text())
    assert set(record["images"][0]["stages_ms"]) == set(pipeline.STAGES)
