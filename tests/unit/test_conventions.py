"""Pixels and keypoints of a network: the same on the host, on a device and in other programs."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import helpers_onnx
from helpers_onnx import SIZE, dets, simcc
from posegauge.backends.assemble import build_pipeline
from posegauge.data.scenes.people import KEYPOINTS
from posegauge.measure.peer_programs import Ours, Rtmlib
from posegauge.models.int8 import Batches
from posegauge.pipeline import device_steps as ops
from posegauge.pipeline import steps
from posegauge.pipeline.conventions import PIXELS, USUAL, Conventions, Pixels, pixels_of
from posegauge.pipeline.keypoint_sets import SETS, of_count
from posegauge.pipeline.pipeline import Persons, instance_scores
from posegauge.predict import draw
from posegauge.predict.image_queue import Preparation, prepare
from posegauge.predict.predictions import coco_results
from posegauge.study import Artifact

IMAGE = np.random.default_rng(0).integers(0, 256, (HEIGHT := 90, 120, 3), np.uint8)
BOX = np.float32([[10, 5, 60, 80], [30, 20, 110, 85]])
UNIT_RGB = {"mean": [0, 0, 0], "std": [255, 255, 255], "to_rgb": True}


def expected(crop: np.ndarray, pixels: Pixels) -> np.ndarray:
    """uint8 BGR [H, W, 3] -> float32 [3, H, W], by arithmetic."""
    plain = crop[..., ::-1] if pixels.to_rgb else crop
    return ((plain.astype(np.float32) - np.float32(pixels.mean)) / np.float32(pixels.std)).transpose(2, 0, 1)


@pytest.mark.parametrize("given", [None, "rtmdet", "rtmpose", "yolox", UNIT_RGB])
def test_pixels_are_as_the_config_says_on_every_path(given, tmp_path):
    for role in ("detector", "pose"):
        assert pixels_of({"pixels": given}, role) == (
            USUAL[role] if given is None else pixels_of({"pixels": given}, "")
        )
    pixels = pixels_of({"pixels": given}, "detector")
    size = (96, 64)
    resized, scale = steps.resize_to_fit(IMAGE, size)
    canvas = np.full((size[1], size[0], 3), 114, np.uint8)
    canvas[: len(resized), : resized.shape[1]] = resized
    batch, told = steps.detector_input(IMAGE, size, pixels)
    np.testing.assert_array_equal(batch[0], expected(canvas, pixels))
    np.testing.assert_array_equal(told, scale)
    center, extent = steps.padded_box(BOX, SIZE)
    crops = steps.pose_input(IMAGE, center, extent, SIZE, pixels)
    matrix = steps.crop_matrices(center, extent, SIZE)[1]
    np.testing.assert_array_equal(crops[1], expected(cv2.warpAffine(IMAGE, matrix, SIZE), pixels))

    # On a device.
    constants = ops.Constants.on("cpu", Conventions(pixels, pixels))
    there = ops.blank_input(1, size, constants)
    letterbox = ops.Letterbox.of(IMAGE.shape[:2], size, "cpu")
    resized = ops.detector_input(torch.from_numpy(IMAGE), letterbox, constants)
    there[0, :, : resized.shape[1], : resized.shape[2]] = resized
    np.testing.assert_allclose(there.numpy(), batch, atol=1e-5)
    box = [torch.from_numpy(part) for part in (center, extent)]
    cut = ops.pose_input(torch.from_numpy(IMAGE), *box, SIZE, constants).numpy()
    assert np.mean(np.abs(cut - crops) < 1e-4 * np.abs(crops).max() + 1e-5) > 0.99

    # Ahead of inference, and where the ranges of INT8 are set.
    cv2.imwrite(str(tmp_path / "a.png"), IMAGE)
    entry = {"id": 1, "file_name": "a.png", "width": 120, "height": HEIGHT}
    ahead = prepare(entry, Preparation(str(tmp_path), "clean", 0, size, pixels))
    np.testing.assert_array_equal(ahead.batch, batch)
    x1, y1, x2, y2 = BOX[0].tolist()
    one = {"image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [x1, y1, x2 - x1, y2 - y1]}
    for role, inputs, input_size in (("detector", batch, size), ("pose", crops[:1], SIZE)):
        batches = Batches(role, input_size, tmp_path, [entry], {"annotations": [one]}, pixels)
        batches.input_name = "image"
        np.testing.assert_array_equal(batches.get_next()["image"], inputs)


@pytest.fixture
def models(tmp_path) -> dict:
    """A config's models of small files, with one bin to a pixel, 26 keypoints and pixels of their own."""
    detector = helpers_onnx.write(
        tmp_path / "detector.onnx", {"dets": dets(2)}, (1, 3, 64, 96), colours=(0, 0, 0)
    )
    pose = helpers_onnx.write(tmp_path / "pose.onnx", simcc(26, bins=1))
    plain = {"name": "Small", "config": None, "checkpoint": None}
    return {
        "detector": plain | {"onnx": detector, "input_size": [96, 64], "pixels": "yolox", "person_label": 0},
        "pose": plain | {"onnx": pose, "input_size": list(SIZE), "pixels": UNIT_RGB, "keypoints": "halpe26"},
    }


def small_pipeline(models):
    config = {"models": models, "pipeline": {}}
    return build_pipeline(
        config, Artifact("onnxruntime", "cpu"), 1, {role: models[role]["onnx"] for role in models}
    )


def test_a_pipeline_of_a_config_has_its_conventions(models):
    pipeline = small_pipeline(models)
    assert pipeline.conventions == Conventions(
        PIXELS["yolox"], pixels_of({"pixels": UNIT_RGB}, "pose"), SETS["halpe26"]
    )
    seen = {}

    class Watched:
        def __init__(self, session, name):
            self.session, self.name = session, name

        def run(self, batch):
            seen[self.name] = batch
            return self.session.run(batch)

    watched = pipeline.on_host(Watched(pipeline.detector, "detector"), Watched(pipeline.pose, "pose"))
    (persons,) = watched.run([IMAGE])
    assert seen["detector"].max() > 200 and seen["pose"].max() <= 1
    # Keypoint k is at the pixel (k, k) of the crop, which the padded box spans.
    center, extent = steps.padded_box(persons.bboxes, SIZE)
    place = np.arange(26)[None, :, None] * np.ones(2) / np.float32(SIZE) * extent[:, None]
    np.testing.assert_allclose(persons.keypoints, center[:, None] + place - extent[:, None] / 2, atol=1e-3)
    assert pipeline.run([IMAGE], [np.empty((0, 4), np.float32)])[0].keypoints.shape == (0, 26, 2)


def test_rtmlib_runs_with_the_same_pixels_and_bins(models):
    pytest.importorskip("rtmlib")
    pipeline = small_pipeline(models)
    files = [models[role]["onnx"] for role in ("detector", "pose")]
    sizes = pipeline.detector_size, pipeline.pose_size
    theirs = Rtmlib(*files, sizes, pipeline.conventions, pipeline.settings, 1)
    assert theirs.detector.mean is None and theirs.pose.std == (255.0, 255.0, 255.0)
    found, own = (way.pose_only(IMAGE, BOX) for way in (theirs, Ours(pipeline)))
    assert found.shape == (2, 26, 2)
    np.testing.assert_allclose(found, own, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "described"),
    [
        ("coco", "coco"),
        ("humanart21", "humanart21"),
        ("halpe26", "halpe26"),
        ("coco_wholebody", "coco_wholebody"),
        ("halpe136", "halpe"),
    ],
)
def test_sets_of_keypoints_are_those_of_mmpose(name, described):
    folder = Path(importlib.util.find_spec("mmpose").submodule_search_locations[0])
    space = {}
    exec((folder / f".mim/configs/_base_/datasets/{described}.py").read_text(), space)
    keypoints = space["dataset_info"]["keypoint_info"]
    number = {keypoints[i]["name"]: i for i in keypoints}
    ours = SETS[name]
    assert ours.count == len(keypoints) and of_count(ours.count) is ours
    assert ours.mirrored == tuple(number.get(keypoints[i]["swap"], i) for i in range(len(keypoints)))
    links = [link["link"] for link in space["dataset_info"]["skeleton_info"].values()]
    assert {frozenset(limb) for limb in ours.limbs} == {
        frozenset(number[end] for end in link) for link in links
    }
    assert [keypoints[i]["name"] for i in range(17)] == list(KEYPOINTS)


def test_of_larger_sets_cocos_17_are_scored_and_all_are_drawn():
    points = np.random.default_rng(0).uniform(5, 80, (1, 133, 2)).astype(np.float32)
    scores = np.full((1, 133), 0.5, np.float32)
    scores[:, 17:] = 0.9
    whole = Persons(BOX[:1], np.float32([0.8]), points, scores)
    body = Persons(BOX[:1], np.float32([0.8]), points[:, :17], scores[:, :17])
    assert instance_scores(whole, 0.2) == instance_scores(body, 0.2)
    (told,), (plain,) = coco_results(whole, 1, 0.2, "detected"), coco_results(body, 1, 0.2, "detected")
    more = told.pop("more_keypoints")
    assert told == plain and len(more) == 3 * 116
    drawn = draw.draw_persons(IMAGE, [told | {"more_keypoints": more}])
    assert (drawn != draw.draw_persons(IMAGE, [plain])).any()
    half = draw.scale_person(told | {"more_keypoints": more}, 0.5, 2)
    np.testing.assert_allclose(
        np.reshape(half["more_keypoints"], (-1, 3)), np.reshape(more, (-1, 3)) * (0.5, 2, 1)
    )


def test_the_flip_test_of_a_larger_set_exchanges_its_own_sides():
    keypoints = SETS["coco_wholebody"]
    x, y = (np.random.default_rng(i).random((1, 133, 8), np.float32) for i in range(2))
    order = list(keypoints.mirrored)
    mirrored = x[:, order, ::-1], y[:, order]
    for one, other in zip(steps.mean_of_mirrored((x, y), mirrored, keypoints), (x, y), strict=True):
        np.testing.assert_array_equal(one, other)
