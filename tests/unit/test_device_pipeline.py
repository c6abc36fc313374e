"""The pipeline as torch operations against the one with OpenCV, step by step and as a whole, on the CPU."""

import time
from dataclasses import replace

import cv2
import demo_models
import numpy as np
import pytest
import torch
from demo_models import DETECTOR, POSE
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from posegauge import backends
from posegauge.backends import assemble
from posegauge.backends.base import Options
from posegauge.errors import PoseGaugeError, Unavailable
from posegauge.pipeline import device_pipeline, pipeline, steps
from posegauge.pipeline import device_steps as ops
from posegauge.pipeline.conventions import DEFAULT
from posegauge.pipeline.device_pipeline import DevicePipeline, Timeline
from posegauge.pipeline.pipeline import StageClock
from posegauge.pipeline.steps import Settings
from posegauge.study import STAGES, Artifact

CONSTANTS = ops.Constants.on("cpu", DEFAULT)
POSE_SIZE = (192, 256)
LOW = Settings(score_thr=0.05, bbox_thr=0.3, nms_thr=0.6, max_persons=100)


class OnDevice:
    """A session of arrays as one of tensors on the CPU; like a real one it writes where it wrote before."""

    def __init__(self, session):
        self.session = session
        self.batches = []
        self.memory = {}

    def run_device(self, batch):
        self.batches.append(len(batch))
        for name, array in self.session.run(batch.numpy()).items():
            held = self.memory.get(name)
            if held is None or held.shape != array.shape:
                self.memory[name] = torch.from_numpy(array.copy())
            else:
                held.copy_(torch.from_numpy(array))
        return self.memory


@pytest.fixture(scope="module")
def host():
    return demo_models.torch_pipeline(LOW)


@pytest.fixture
def device(host):
    sessions = OnDevice(host.detector), OnDevice(host.pose)
    return DevicePipeline(*sessions, host.detector_size, host.pose_size, host.settings, "cpu")


@pytest.fixture(scope="module")
def scenes():
    """Scenes with persons of two sizes, uint8 BGR."""
    from posegauge.data.scenes.scenes import render_scene

    images = [
        render_scene(seed=77, index=index, persons=persons)[0] for index, persons in enumerate((1, 3, 5))
    ]
    images[1] = cv2.resize(images[1], (500, 333))
    return images


def picture(seed: int, height: int, width: int, smooth: bool = False) -> np.ndarray:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.GaussianBlur(image, (9, 9), 3) if smooth else image


# ------------------------------------------------------------------------------------------------ steps


@given(*[st.integers(8, 700)] * 2, st.sampled_from([(320, 320), (640, 640), (256, 192)]), st.integers(0, 9))
@settings(deadline=None, max_examples=40)
def test_the_detectors_input_has_the_same_bits(height, width, input_size, seed):
    image = picture(seed, height, width)
    expected, scale = steps.detector_input(image, input_size)
    how = ops.Letterbox.of((height, width), input_size, "cpu")
    batch = ops.blank_input(1, input_size, CONSTANTS)
    resized = ops.detector_input(torch.from_numpy(image), how, CONSTANTS)
    batch[0, :, : how.size[1], : how.size[0]] = resized
    np.testing.assert_array_equal(batch.numpy(), expected)
    np.testing.assert_array_equal(how.to_image.numpy(), np.float32(1 / np.tile(scale, 2)))


numbers = st.floats(-50, 250, width=32)


@given(
    arrays(np.float32, (2, 2), elements=numbers),
    arrays(np.float32, (2, 2), elements=st.floats(4, 300, width=32)),
)
@settings(deadline=None, max_examples=60)
def test_crops_are_those_of_opencv(corners, sizes):
    image = picture(1, 150, 200, smooth=True)
    boxes = np.hstack([corners, corners + sizes])
    center, size = steps.padded_box(boxes, POSE_SIZE)
    ours = ops.padded_box(torch.from_numpy(boxes), POSE_SIZE)
    for one, other in zip(ours, (center, size), strict=True):
        np.testing.assert_array_equal(one.numpy(), other)
    expected = steps.pose_input(image, center, size, POSE_SIZE)
    crops = ops.pose_input(torch.from_numpy(image), *ours, POSE_SIZE, CONSTANTS).numpy()
    deviation = np.array(DEFAULT.pose.std)[:, None, None]
    # Lines on the limit between two roundings lie 1/32 px elsewhere: a grey level or two in a smooth picture.
    difference = (abs(crops - expected) * deviation).round()
    assert difference.max() <= 3
    assert (difference > 0).mean() < 0.05


def test_crops_of_ordinary_boxes_have_the_same_bits():
    image, generator = picture(2, 427, 640), np.random.default_rng(5)
    center, size = generator.uniform(0, 600, (40, 2)), generator.uniform(20, 400, (40, 2))
    boxes = np.hstack([center - size / 2, center + size / 2]).astype(np.float32)
    expected = steps.pose_input(image, *steps.padded_box(boxes, POSE_SIZE), POSE_SIZE)
    ours = ops.padded_box(torch.from_numpy(boxes), POSE_SIZE)
    crops = ops.pose_input(torch.from_numpy(image), *ours, POSE_SIZE, CONSTANTS).numpy()
    same = (crops == expected).all(axis=(1, 2, 3))
    assert same.mean() >= 0.9


def select(boxes, scores, scale, settings) -> tuple:
    """The boxes of one image as DevicePipeline makes them from a detector without NMS."""
    only = DevicePipeline(None, None, (320, 320), POSE_SIZE, settings, "cpu")
    only.detector = OnDevice(None)
    outputs = {"boxes": torch.from_numpy(boxes)[None], "scores": torch.from_numpy(scores)[None, :, None]}
    only.detector.run_device = lambda batch: outputs
    image = np.zeros((int(320 / scale[1]), int(320 / scale[0]), 3), np.uint8)
    return only.detect(image)


some_boxes = arrays(
    np.float32, st.tuples(st.integers(0, 40), st.just(4)), elements=st.floats(-20, 360, width=32)
)


@given(some_boxes, st.integers(0, 2**32 - 1), st.sampled_from([0.3, 0.6]), st.sampled_from([1, 4, 100]))
@settings(deadline=None, max_examples=80)
def test_boxes_are_selected_as_with_opencv(boxes, seed, nms_thr, max_persons):
    generator = np.random.default_rng(seed)
    # With ties, with boxes that are turned inside out, and with scores below the threshold.
    scores = (generator.integers(0, 12, len(boxes)) / 11).astype(np.float32)
    chosen = Settings(nms_thr=nms_thr, max_persons=max_persons)
    outputs = {"boxes": boxes[None], "scores": scores[None, :, None]}
    expected = steps.select_boxes(outputs, np.array([0.5, 0.5], np.float32), (320, 320), chosen)
    for ours, theirs in zip(select(boxes, scores, (0.5, 0.5), chosen), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "count, step",
    [(40, 20.0), (1500, 20.0), (1500, 0.5)],
    ids=["a chain longer than the rounds", "more boxes than a block", "both"],
)
@pytest.mark.parametrize("max_persons", [30, 3000])
def test_nms_is_exact_where_the_first_rounds_do_not_settle_it(count, step, max_persons):
    # Each box overlaps the next: that the 41st is kept hangs on the first.
    low = np.arange(count, dtype=np.float32) * step
    boxes = np.stack([low, low, low + 100, low + 100], 1)
    good = torch.ones(count, dtype=torch.bool)
    keep = ops.greedy_nms(torch.from_numpy(boxes), good, 0.3, max_persons)
    scores = np.linspace(1, 0.5, count, dtype=np.float32)
    expected = steps.nms(boxes, scores, 0.3)[:max_persons]
    np.testing.assert_array_equal(np.flatnonzero(keep.numpy()), expected)
    # And by way of the pipeline, in image pixels of a detector input that is as large as these boxes.
    chosen = Settings(nms_thr=0.3, max_persons=max_persons)
    outputs = {"boxes": boxes[None], "scores": scores[None, :, None]}
    wanted = steps.select_boxes(outputs, np.ones(2, np.float32), (320, 320), chosen)
    for ours, theirs in zip(select(boxes, scores, (1, 1), chosen), wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_rounds_do_not_settle_a_long_chain():
    low = torch.arange(40) * 20.0
    boxes = torch.stack([low, low, low + 100, low + 100], 1)
    assert not ops.nms_block(boxes, torch.ones(40, dtype=torch.bool), 0.3)[2]
    assert ops.nms_block(boxes[:3], torch.ones(3, dtype=torch.bool), 0.3)[2]


def test_boxes_of_a_network_with_nms_inside(host):
    boxes = np.array([[0, 0, 50, 50], [100, 100, 160, 200], [-5, 3, 40, 330]], np.float32)
    dets = np.concatenate([boxes, np.array([[0.4], [0.9], [0.05]], np.float32)], 1)[None]
    inside = DevicePipeline(None, None, (320, 320), POSE_SIZE, Settings(), "cpu")
    inside.detector = OnDevice(None)
    inside.detector.run_device = lambda batch: {"dets": torch.from_numpy(dets)}
    expected = steps.select_boxes({"dets": dets}, np.array([0.5, 0.5]), (320, 320), Settings())
    for ours, theirs in zip(inside.detect(np.zeros((640, 640, 3), np.uint8)), expected, strict=True):
        np.testing.assert_allclose(ours, theirs)


@given(*[arrays(np.float32, (2, 17, 24), elements=st.floats(-1, 1, width=32))] * 4)
@settings(deadline=None, max_examples=30)
def test_simcc_and_the_flip_test_have_the_same_bits(x, y, mirrored_x, mirrored_y):
    tensors = [torch.from_numpy(array) for array in (x, y, mirrored_x, mirrored_y)]
    expected = steps.mean_of_mirrored((x, y), (mirrored_x, mirrored_y))
    mean = ops.mean_of_mirrored(tensors[:2], tensors[2:], CONSTANTS)
    for simcc, wanted in (((tensors[0], tensors[1]), (x, y)), (mean, expected)):
        for ours, theirs in zip(
            ops.decode_simcc(*simcc, POSE_SIZE), steps.decode_simcc(*wanted, POSE_SIZE), strict=True
        ):
            np.testing.assert_array_equal(ours.numpy(), theirs)


# ------------------------------------------------------------------------------------------- as a whole


@pytest.mark.parametrize("flip", [False, True])
def test_it_finds_the_same_persons(host, device, scenes, flip):
    host_settings = host.settings
    host.settings = device.settings = replace(LOW, flip_test=flip)
    try:
        for image in [scenes[2]] if flip else [*scenes, np.zeros((200, 300, 3), np.uint8)]:
            theirs, ours = host(image), device(image)
            assert len(ours) == len(theirs)
            np.testing.assert_allclose(ours.bboxes, theirs.bboxes, atol=1e-3)
            np.testing.assert_allclose(ours.bbox_scores, theirs.bbox_scores, atol=1e-6)
            np.testing.assert_allclose(ours.keypoint_scores, theirs.keypoint_scores, atol=5e-3)
            assert ours.keypoints.shape == theirs.keypoints.shape
            assert abs(ours.keypoints - theirs.keypoints).max(initial=0) < 0.1
            assert (ours.keypoints.dtype, ours.bboxes.dtype) == (np.float32, np.float32)
        assert len(host(scenes[2])) > 1
    finally:
        host.settings = host_settings


def test_the_methods_are_those_of_the_pipeline_on_the_host(host, device, scenes):
    image = scenes[1]
    boxes, scores = device.detect(image)
    theirs, their_scores = host.detect(image)
    np.testing.assert_allclose(boxes, theirs, atol=1e-3)
    np.testing.assert_allclose(scores, their_scores, atol=1e-6)
    for ours, theirs in zip(device.estimate(image, boxes), host.estimate(image, boxes), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=0.1)
    given_boxes = device(image, boxes[:1])
    np.testing.assert_array_equal(given_boxes.bbox_scores, [1.0])
    np.testing.assert_array_equal(given_boxes.keypoints, device.estimate(image, boxes[:1])[0])
    with pytest.raises(PoseGaugeError, match="no detector"):
        DevicePipeline(None, device.pose, None, POSE_SIZE, LOW, "cpu")(image)


def test_many_images_are_one_batch_and_give_what_each_gives_alone(device, scenes):
    boxes = [
        np.tile(np.float32([[40, 30, 160, 300]]), (count, 1)) + np.arange(count)[:, None]
        for count in (0, 3, 33)
    ]
    boxes = [array.astype(np.float32) for array in boxes]
    found = device.run(scenes, boxes, always_detect=True)
    assert device.detector.batches == [3]
    assert device.pose.batches == [32, 4]
    for image, image_boxes, ours in zip(scenes, boxes, found, strict=True):
        poses = ours.keypoints, ours.keypoint_scores
        for one, other in zip(poses, device.estimate(image, image_boxes), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-3)


def test_it_runs_on_the_sessions_that_take_tensors(host, scenes):
    artifact = Artifact("pytorch", "cpu", images="device")
    sessions = [backends.load(network, artifact, 1) for network in (DETECTOR, POSE)]
    real = DevicePipeline(*sessions, DETECTOR.input_size, POSE.input_size, host.settings, "cpu")
    ours, theirs = real(scenes[1]), host(scenes[1])
    assert len(ours) == len(theirs) > 0
    np.testing.assert_allclose(ours.bboxes, theirs.bboxes, atol=1e-2)
    assert abs(ours.keypoints - theirs.keypoints).max() < 0.1
    boxes = [ours.bboxes, ours.bboxes[:1]]
    found = real.run([scenes[1], scenes[0]], boxes)
    np.testing.assert_allclose(found[0].keypoints, ours.keypoints, atol=1e-2)
    told = real.provenance()
    assert (told["pose"]["execution"], told["steps"]["device"]) == ({"mode": "eager"}, "cpu")
    assert set(host.provenance()) == {"detector", "pose"}


def test_images_of_other_shapes_leave_nothing_behind(device, scenes):
    first = device.detect(scenes[0])
    device.detect(np.full((900, 300, 3), 255, np.uint8))
    for one, other in zip(device.detect(scenes[0]), first, strict=True):
        np.testing.assert_array_equal(one, other)
    flipped = np.ascontiguousarray(scenes[0][:, ::-1])
    for one, other in zip(device.detect(scenes[0][:, ::-1]), device.detect(flipped), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_stages_sum_up_to_the_whole(device, scenes):
    begin = time.perf_counter()
    persons = device(scenes[1])
    wall = (time.perf_counter() - begin) * 1e3
    assert set(persons.stages_ms) == set(STAGES)
    assert all(persons.stages_ms[stage] > 0 for stage in STAGES)
    assert sum(persons.stages_ms.values()) <= wall
    assert persons.device_ms == {}
    clock = StageClock()
    device.detect(scenes[1], clock)
    assert clock.ms["detect"] > 0 and clock.ms["pose"] == 0


def test_on_a_gpu_the_stages_are_between_events(monkeypatch):
    waited, made = [], []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing
            made.append(self)

        def record(self):
            self.at = 10.0 * len(made)

        def synchronize(self):
            waited.append(self)

        def elapsed_time(self, other):
            return other.at - self.at

    monkeypatch.setattr(torch.cuda, "Event", Event)
    timeline = Timeline("cuda")
    for stage in ("copy", "detect", "nms", "copy"):
        timeline.mark(stage)
    assert waited == []  # marks do not wait
    clock = StageClock()
    timeline.add_to(clock)
    assert waited == [made[-1]]
    assert (clock.ms["copy"], clock.ms["detect"], clock.ms["nms"], clock.ms["pose"]) == (20, 10, 10, 0)
    assert clock.device_ms == {"detect": 10}


def test_the_pipeline_on_the_host_passes_the_networks_time_on_a_gpu_on(host, scenes, monkeypatch):
    monkeypatch.setattr(host.detector, "device_ms", 2.5, raising=False)
    monkeypatch.setattr(host.pose, "device_ms", 1.5, raising=False)
    many = np.tile(np.float32([[40, 30, 160, 300]]), (33, 1))
    monkeypatch.setattr(host, "always_detect", True)
    assert host(scenes[0], many).device_ms == {"detect": 2.5, "pose": 3.0}  # two batches of persons


# --------------------------------------------------------------------------------------- where it is used


def test_an_artifact_with_images_on_the_device_gets_it(monkeypatch):
    monkeypatch.setattr(assemble.backends, "load", lambda *_: OnDevice(None))
    monkeypatch.setattr(assemble, "network", lambda *_: None)
    monkeypatch.setattr(assemble, "backend_options", lambda *_: Options())
    size = {"input_size": [320, 320]}
    config = {"models": {"detector": size, "pose": size}, "pipeline": {}}
    onnx = {"detector": None, "pose": None}
    for images, kind in (("host", pipeline.Pipeline), ("device", DevicePipeline)):
        artifact = Artifact("pytorch", "cpu", images=images)
        assert type(assemble.build_pipeline(config, artifact, 1, onnx)) is kind


def test_what_it_cannot_use_is_said(host, monkeypatch):
    parts = host.detector_size, host.pose_size, LOW
    with pytest.raises(Unavailable, match="takes no images that are on the device already"):
        DevicePipeline(None, object(), *parts, "cpu")
    monkeypatch.setattr(device_pipeline.torch.cuda, "is_available", lambda: False)
    with pytest.raises(Unavailable, match="cannot use the CUDA device"):
        DevicePipeline(None, None, *parts, "cuda")
