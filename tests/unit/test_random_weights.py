"""Models without weights: what a config then means, and the random weights themselves."""

from dataclasses import replace

import demo_models
import numpy as np
import pytest
import torch
import yaml

from conftest import ROOT
from posegauge import study
from posegauge.data.scenes.scenes import render_scene
from posegauge.measure import parity, parity_source
from posegauge.models import build, random_weights
from posegauge.pipeline import steps
from posegauge.settings import timing_only
from posegauge.store import files

DETECTOR, POSE = (replace(network, random=True) for network in (demo_models.DETECTOR, demo_models.POSE))


def config(detector: dict, pose: dict) -> dict:
    """The keys of a config that matter here."""
    plain = {"checkpoint": None, "onnx": None}
    return {
        "models": {"detector": plain | detector, "pose": plain | pose},
        "notice": "Mine.",
        "benchmark": {"boxes": "detected"},
    }


GIVEN, FILE = {"checkpoint": "a.pth"}, {"onnx": "a.onnx"}


@pytest.mark.parametrize(
    ("detector", "pose", "expected"),
    [({}, {}, ["detector", "pose"]), (GIVEN, {}, ["pose"]), ({}, FILE, ["detector"]), (GIVEN, FILE, [])],
)
def test_what_has_random_weights(detector, pose, expected):
    before = config(detector, pose)
    assert timing_only.roles(before) == expected
    after = timing_only.complete(before, "results/x/models")
    assert before == config(detector, pose)
    for role, entry in after["models"].items():
        assert entry["random"] == (role in expected)
        if role in expected:
            assert entry["checkpoint"] == f"results/x/models/{role}_random.pth"
        else:
            assert entry["checkpoint"] == before["models"][role]["checkpoint"]
    assert after["benchmark"]["boxes"] == ("annotated" if expected else "detected")
    assert after["notice"].startswith("Random weights, timing only") == bool(expected)
    assert after["notice"].endswith("Mine.")


IMAGES = [render_scene(seed=1, index=index, persons=3)[0] for index in range(3)]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Both networks with the checkpoints of seed 7."""
    folder = tmp_path_factory.mktemp("random")
    networks = []
    for network in (DETECTOR, POSE):
        path = folder / f"{network.role}.pth"
        random_weights.write(network, 7, IMAGES, path)
        networks.append(replace(network, checkpoint=str(path)))
    return networks


def test_the_seed_decides(drawn, tmp_path):
    again, other = tmp_path / "again.pth", tmp_path / "other.pth"
    before = torch.random.get_rng_state()
    random_weights.write(POSE, 7, IMAGES, again)
    random_weights.write(POSE, 8, IMAGES, other)
    assert torch.equal(before, torch.random.get_rng_state())
    first, second, third = (
        torch.load(path, weights_only=False)["state_dict"] for path in (drawn[1].checkpoint, again, other)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], third[name]) for name in first)


def test_numbers_have_their_usual_size_and_nms_has_work(drawn):
    detector, pose = (build.build_network(network) for network in drawn)
    batch, scale = steps.detector_input(IMAGES[0], DETECTOR.input_size)
    whole = steps.padded_box(np.array([[9, 9, 200, 300]], np.float32), POSE.input_size)
    crop = steps.pose_input(IMAGES[0], *whole, POSE.input_size)
    with torch.inference_mode():
        boxes, scores = (output.numpy() for output in detector(torch.from_numpy(batch)))
        simcc = [output.numpy() for output in pose(torch.from_numpy(crop))]
    assert np.isfinite(boxes).all() and np.isfinite(scores).all()
    assert all(0.1 < axis.std() < 100 for axis in simcc)
    candidates = scores[0, :, 0] > random_weights.SCORE
    assert np.count_nonzero(candidates) == pytest.approx(random_weights.CANDIDATES, abs=3)
    widths = (boxes[0, :, 2] - boxes[0, :, 0])[candidates]
    assert widths.min() > 2 * 8 and widths.max() < 20 * 32
    kept, _ = steps.select_boxes(
        {"boxes": boxes, "scores": scores}, scale, DETECTOR.input_size, steps.Settings()
    )
    assert 0 < len(kept) < random_weights.CANDIDATES


def test_parity_of_random_weights_is_that_of_raw_outputs(drawn, tmp_path):
    from posegauge.models.export import export_onnx, model_record

    onnx = {}
    for network in drawn:
        onnx[network.role] = str(tmp_path / f"{network.role}.onnx")
        export_onnx(network, onnx[network.role], 17)
    record = model_record(replace(drawn[0], onnx=onnx["detector"]), onnx["detector"])
    assert record["source"].startswith("random weights, timing only")
    files.write_json(tmp_path / "detector.json", record, "model.schema.yaml")
    whole = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    described = demo_models.described(*drawn)
    whole["models"] = {role: entry | {"random": True} for role, entry in described.items()}
    data = demo_models.written_scenes(tmp_path, 2, 0, 3)
    data |= {f"source_{network.role}": network.checkpoint for network in drawn}
    record = parity_source.predict(whole, data, tmp_path / "pytorch.npz", 1)
    files.write_json(tmp_path / "pytorch.json", record, parity_source.SCHEMA)
    source = parity_source.read(tmp_path / "pytorch.json", whole, data, 1)
    found = parity.check_artifact(whole, "onnxruntime_cpu_fp32", data | onnx, source, 1)
    assert (found["status"], found["images"], found["ap_diff"]) == ("no accuracy", 2, None)
    assert 0 < found["raw"]["max_simcc_diff"] < 0.1 and found["raw"]["max_score_diff"] < 0.1
    assert found["provenance"]["weights"] == study.NOTICE
    files.write_json(tmp_path / "parity.json", found, "parity.schema.yaml")


def test_the_refusal_names_what_has_no_weights():
    text = timing_only.refusal("scores", ["pose"])
    assert text.startswith("scores: models.pose has random weights") and "Set the checkpoint" in text
