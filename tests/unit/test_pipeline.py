"""The pipeline against MMDetection's and MMPose's own code, and the properties of its steps."""

from dataclasses import replace

import cv2
import demo_models
import numpy as np
import pytest
from demo_models import DETECTOR, POSE
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from posegauge import study
from posegauge.errors import PoseGaugeError
from posegauge.pipeline import pipeline, steps
from posegauge.pipeline.conventions import PIXELS
from posegauge.pipeline.keypoint_sets import COCO
from posegauge.pipeline.pipeline import Persons, Pipeline
from posegauge.pipeline.steps import Settings

# RTMDet-nano's own test settings.
MMDET = Settings(score_thr=0.05, bbox_thr=0.05, nms_thr=0.6, max_persons=100)


@pytest.fixture(scope="module")
def scenes():
    """Three synthetic scenes with persons, uint8 BGR."""
    from posegauge.data.scenes.scenes import render_scene

    return [render_scene(seed=77, index=index, persons=persons)[0] for index, persons in enumerate((1, 3, 5))]


@pytest.fixture(scope="module")
def torch_pipeline():
    return demo_models.torch_pipeline(MMDET)


@pytest.fixture(scope="module")
def onnx_pipeline(tmp_path_factory):
    return demo_models.onnx_pipeline(tmp_path_factory.mktemp("onnx"), MMDET)


def test_boxes_are_those_of_mmdetection(torch_pipeline, scenes):
    from mmdet.apis import inference_detector
    from mmengine.registry import init_default_scope

    from posegauge.models import build

    model = build.load_model(DETECTOR)
    for image in scenes:
        init_default_scope("mmdet")
        theirs = inference_detector(model, image).pred_instances
        bboxes, scores = torch_pipeline.detect(image)
        assert len(bboxes) == len(theirs.bboxes) > 0
        np.testing.assert_allclose(scores, theirs.scores.numpy(), atol=1e-6)
        np.testing.assert_allclose(bboxes, theirs.bboxes.numpy(), atol=1e-3)


@pytest.mark.parametrize("flip", [False, True])
def test_keypoints_are_those_of_mmpose(torch_pipeline, scenes, flip):
    from mmpose.apis import inference_topdown

    from posegauge.models import build

    model = build.load_model(POSE)
    model.test_cfg["flip_test"] = flip
    for image in scenes:
        bboxes, _ = torch_pipeline.detect(image)
        bboxes = bboxes[:6]
        theirs = [sample.pred_instances for sample in inference_topdown(model, image, bboxes)]
        keypoints, scores = torch_pipeline.estimate(image, bboxes, flip=flip)
        np.testing.assert_allclose(keypoints, np.concatenate([t.keypoints for t in theirs]), atol=1e-3)
        np.testing.assert_allclose(scores, np.concatenate([t.keypoint_scores for t in theirs]), atol=1e-5)


def test_images_at_once_give_what_each_gives_alone(torch_pipeline, scenes):
    plain = torch_pipeline
    sure = Pipeline(
        plain.detector, plain.pose, plain.detector_size, plain.pose_size, replace(MMDET, bbox_thr=0.3)
    )
    images = [scenes[0], np.zeros((200, 300, 3), np.uint8), *scenes[1:]]
    together = sure.run(images)
    assert [len(persons) > 0 for persons in together] == [True, False, True, True]
    for image, persons in zip(images, together, strict=True):
        alone = sure(image)
        for name in ("bboxes", "bbox_scores", "keypoints", "keypoint_scores"):
            one, other = getattr(persons, name), getattr(alone, name)
            assert (one.shape, one.dtype) == (other.shape, other.dtype)
            np.testing.assert_allclose(one, other, atol=1e-3)
        assert persons.stages_ms == together[0].stages_ms and persons.stages_ms["pose"] > 0


def test_onnx_runtime_finds_what_pytorch_finds(torch_pipeline, onnx_pipeline, scenes):
    for image in scenes:
        ours, theirs = onnx_pipeline(image), torch_pipeline(image)
        assert len(ours) == len(theirs) > 0
        np.testing.assert_allclose(ours.bboxes, theirs.bboxes, atol=0.01)
        # From the same boxes on: a box that is .001 px elsewhere changes a grey level of the crop.
        keypoints, scores = onnx_pipeline.estimate(image, theirs.bboxes)
        np.testing.assert_allclose(scores, theirs.keypoint_scores, atol=1e-3)
        # One SimCC bin is half a crop pixel; a tie may fall the other way for a keypoint or two.
        distance = np.linalg.norm(keypoints - theirs.keypoints, axis=-1)
        assert np.percentile(distance, 95) < 0.01


def test_batched_persons_equal_single_persons(onnx_pipeline, scenes):
    bboxes, _ = onnx_pipeline.detect(scenes[2])
    together, _ = onnx_pipeline.estimate(scenes[2], bboxes)
    alone = np.concatenate([onnx_pipeline.estimate(scenes[2], box[None])[0] for box in bboxes])
    assert np.percentile(np.abs(together - alone), 95) < 0.01


def test_the_flip_test_is_a_setting_and_an_argument(torch_pipeline, scenes):
    plain = torch_pipeline
    flipping = Pipeline(
        plain.detector, plain.pose, DETECTOR.input_size, POSE.input_size, replace(MMDET, flip_test=True)
    )
    bboxes, _ = plain.detect(scenes[0])
    without, with_flip = plain.estimate(scenes[0], bboxes), plain.estimate(scenes[0], bboxes, flip=True)
    assert np.abs(without[1] - with_flip[1]).max() > 1e-3
    np.testing.assert_array_equal(flipping.estimate(scenes[0], bboxes)[1], with_flip[1])
    np.testing.assert_array_equal(flipping.estimate(scenes[0], bboxes, flip=False)[1], without[1])


def test_with_the_flip_test_a_mirrored_image_has_mirrored_keypoints(torch_pipeline, scenes):
    image = cv2.resize(scenes[1], (640, 480))
    mirrored = np.ascontiguousarray(image[:, ::-1])
    # Boxes whose crops are cut without scaling, at whole pixels: mirrored crops have the same greys.
    centers = np.array([[200, 250], [320, 240], [431, 260]], np.float32)
    half = np.array(POSE.input_size, np.float32) / steps.BBOX_PADDING / 2
    # Crop pixel i shows image pixel center - 96 + i; pixel 191 - i of the other crop must show the same.
    flipped_centers = np.stack([len(image[0]) - centers[:, 0], centers[:, 1]], 1)
    there, back = (np.hstack([middle - half, middle + half]) for middle in (centers, flipped_centers))
    distances = {}
    for flip in (True, False):
        keypoints, scores = torch_pipeline.estimate(image, there, flip=flip)
        others, other_scores = torch_pipeline.estimate(mirrored, back, flip=flip)
        others, other_scores = others[:, list(COCO.mirrored)], other_scores[:, list(COCO.mirrored)]
        # SimCC bin b of 384 becomes bin 383 - b, half a pixel off the mirrored pixel.
        others[..., 0] = len(image[0]) - 0.5 - others[..., 0]
        distances[flip] = np.linalg.norm(keypoints - others, axis=-1).max()
        if flip:
            np.testing.assert_allclose(scores, other_scores, atol=1e-5)
    assert distances[True] < 1e-3 < distances[False]


def test_no_person_gives_empty_arrays(onnx_pipeline):
    persons = onnx_pipeline(np.full((200, 300, 3), 114, np.uint8))
    assert persons.keypoints.shape == (len(persons), 17, 2)
    assert set(persons.stages_ms) == set(study.STAGES)


def test_pose_only_pipeline_asks_for_boxes(onnx_pipeline, scenes):
    pose_only = Pipeline(None, onnx_pipeline.pose, None, POSE.input_size, MMDET)
    assert len(pose_only(scenes[0], np.array([[10, 10, 100, 200]], np.float32))) == 1
    with pytest.raises(PoseGaugeError, match="no detector"):
        pose_only(scenes[0])


# ------------------------------------------------------------------------------------------------ the steps


@given(st.integers(8, 1500), st.integers(8, 1500), st.sampled_from([(320, 320), (640, 640), (416, 256)]))
@settings(deadline=None, max_examples=40)
def test_letterbox_fits_and_is_mmcvs(height, width, input_size):
    import mmcv

    image = np.full((height, width, 3), 7, np.uint8)
    batch, scale = steps.detector_input(image, input_size, PIXELS["yolox"])  # bytes as they are
    assert batch.shape == (1, 3, input_size[1], input_size[0])
    new_width, new_height = round(scale[0] * width), round(scale[1] * height)
    assert new_width == input_size[0] or new_height == input_size[1]
    if input_size[0] == input_size[1]:  # of other sizes mmcv takes width and height for each other
        assert mmcv.imrescale(image, input_size).shape[:2] == (new_height, new_width)
    assert (batch[..., :new_height, :new_width] == 7).all()
    assert (batch[..., new_height:, :] == 114).all()
    assert (batch[..., new_width:] == 114).all()


def test_normalisation_has_the_bits_of_float32_arithmetic():
    image = np.random.default_rng(0).integers(0, 256, (320, 320, 3), np.uint8)
    batch, _ = steps.detector_input(image, (320, 320))
    mean, std = np.float32(PIXELS["rtmdet"].mean), np.float32(PIXELS["rtmdet"].std)
    expected = (image.astype(np.float32) - mean) / std
    np.testing.assert_array_equal(batch[0], expected.transpose(2, 0, 1))


boxes = arrays(np.float32, st.tuples(st.integers(0, 30), st.just(4)), elements=st.floats(0, 200, width=32))


@given(boxes, st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=60)
def test_nms_is_that_of_mmcvs_definition(corners, seed):
    import torch

    from posegauge.models.openmmlab import _nms

    corners[:, 2:] = corners[:, :2] + np.abs(corners[:, 2:] - corners[:, :2]) + 1
    scores = np.random.default_rng(seed).permutation(len(corners)).astype(np.float32) + 1
    ours = steps.nms(corners, scores, 0.6)
    theirs = _nms(torch.from_numpy(corners), torch.from_numpy(scores), 0.6).numpy()
    np.testing.assert_array_equal(ours, theirs)


@given(boxes, st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=60)
def test_selected_boxes_are_those_of_plain_arithmetic(corners, seed):
    generator = np.random.default_rng(seed)
    scores = generator.permutation(len(corners)).astype(np.float32) / 30
    scale, size, chosen = generator.uniform(0.3, 3, 2), (160, 120), Settings(nms_thr=1.0, max_persons=9)
    expected = []
    for box, score in zip(corners - np.float32(20), scores, strict=True):
        box = np.float32([min(max(edge, 0), size[i % 2]) for i, edge in enumerate(box)])
        box = box * np.float32([1 / scale[i % 2] for i in range(4)])
        if score > np.float32(chosen.score_thr) and box[2] > box[0] and box[3] > box[1]:
            expected.append((score, box))
    expected = sorted(expected, key=lambda one: -one[0])[:9]
    outputs = {"boxes": corners[None] - np.float32(20), "scores": scores[None, :, None]}
    bboxes, kept = steps.select_boxes(outputs, scale, size, chosen)
    assert bboxes.dtype == kept.dtype == np.float32
    np.testing.assert_array_equal(kept, [score for score, _ in expected])
    np.testing.assert_array_equal(bboxes, np.reshape([box for _, box in expected], (-1, 4)))


def test_neighbours_do_not_suppress_each_other():
    # The original gave x1, y1, x2, y2 to a function that reads x, y, width, height.
    bboxes = np.array([[300, 100, 360, 300], [370, 100, 430, 300]], np.float32)
    assert len(steps.nms(bboxes, np.array([0.9, 0.8], np.float32), 0.3)) == 2


@given(arrays(np.float32, (2, 17, 384), elements=st.floats(-1, 1, width=32)))
@settings(deadline=None, max_examples=20)
def test_simcc_decoding_is_mmposes(simcc_x):
    from posegauge.models import openmmlab

    openmmlab.install()
    from mmpose.codecs.utils import get_simcc_maximum

    simcc_y = np.ascontiguousarray(np.pad(simcc_x, ((0, 0), (0, 0), (0, 128)))[..., ::-1])
    locations, scores = get_simcc_maximum(simcc_x.copy(), simcc_y.copy())
    points, ours = steps.decode_simcc(simcc_x, simcc_y, POSE.input_size)
    np.testing.assert_array_equal(points, locations / 2)
    np.testing.assert_array_equal(ours, scores)


simcc = arrays(np.float32, (2, 17, 8), elements=st.floats(-1, 1, width=32))


@given(simcc, simcc)
@settings(deadline=None, max_examples=20)
def test_the_mean_of_the_flip_test_is_that_of_mmposes_head(simcc_x, mirrored_x):
    import torch

    from posegauge.models import build

    coco = build.config_path("mmpose::configs/_base_/datasets/coco.py")
    from mmpose.datasets.datasets.utils import parse_pose_metainfo
    from mmpose.models.utils.tta import flip_vectors

    indices = parse_pose_metainfo({"from_file": str(coco)})["flip_indices"]
    straight, mirrored = (simcc_x, simcc_x[..., 2:].copy()), (mirrored_x, mirrored_x[..., 2:].copy())
    back = flip_vectors(*(torch.from_numpy(axis) for axis in mirrored), indices)
    ours = steps.mean_of_mirrored(straight, mirrored)
    for one, other, mean in zip(straight, back, ours, strict=True):
        np.testing.assert_array_equal(mean, (one + other.numpy()) * np.float32(0.5))


@given(st.tuples(*[st.floats(0, 400, width=32)] * 2), st.tuples(*[st.floats(4, 300, width=32)] * 2))
@settings(deadline=None, max_examples=60)
def test_crop_is_that_of_mmpose(corner, size):
    from posegauge.models import openmmlab

    openmmlab.install()
    from mmpose.datasets.transforms import GetBBoxCenterScale, TopdownAffine

    box = np.array([[*corner, corner[0] + size[0], corner[1] + size[1]]], np.float32)
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    theirs = GetBBoxCenterScale(padding=1.25)({"img": image, "bbox": box})
    theirs = TopdownAffine(input_size=(192, 256))(theirs)
    center, scale = steps.padded_box(box, (192, 256))
    np.testing.assert_allclose(center[0], theirs["input_center"], rtol=1e-6)
    np.testing.assert_allclose(scale[0], theirs["input_scale"], rtol=1e-6)
    (matrix,) = steps.crop_matrices(center, scale, (192, 256))
    assert abs(cv2.warpAffine(image, matrix, (192, 256)).astype(int) - theirs["img"]).max() <= 1


def test_nms_inside_the_graph_gives_the_same_boxes():
    bboxes = np.array([[0, 0, 50, 50], [100, 100, 160, 200], [-5, 3, 40, 330]], np.float32)
    scores = np.array([0.4, 0.9, 0.05], np.float32)
    raw = {"boxes": bboxes[None], "scores": scores[None, :, None]}
    inside = {"dets": np.concatenate([bboxes, scores[:, None]], 1)[None]}
    scale = np.array([0.5, 0.5])
    for outputs in (raw, inside):
        kept, kept_scores = steps.select_boxes(outputs, scale, (320, 320), Settings())
        np.testing.assert_allclose(kept, [[200, 200, 320, 400], [0, 0, 100, 100]])
        np.testing.assert_allclose(kept_scores, [0.9, 0.4])


def test_instance_score_is_that_of_mmposes_metric():
    keypoint_scores = np.full((2, 17), 0.1, np.float32)
    keypoint_scores[0, :4] = [0.5, 0.7, 0.9, 0.2]
    persons = Persons(
        np.zeros((2, 4), np.float32), np.array([0.8, 0.6], np.float32), np.zeros((2, 17, 2)), keypoint_scores
    )
    np.testing.assert_allclose(pipeline.instance_scores(persons, 0.2), [0.8 * 0.7, 0], rtol=1e-6)


def test_crops_are_the_same_on_any_number_of_threads(scenes):
    boxes = np.float32([[10 * i, 5 * i, 10 * i + 90, 5 * i + 140] for i in range(1, 12)])
    before, found = cv2.getNumThreads(), []
    try:
        for threads in (1, 2, 5):
            cv2.setNumThreads(threads)
            found.append(steps.pose_input(scenes[0], *steps.padded_box(boxes, (192, 256)), (192, 256)))
    finally:
        cv2.setNumThreads(before)
    assert len(found[0]) == 11
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


@pytest.mark.parametrize("threads", [1, 3])
def test_work_on_threads_is_done_once_each_and_its_error_is_raised(threads):
    def fail(number):
        if number == 3:
            raise ValueError("three")

    before, done = cv2.getNumThreads(), []
    try:
        cv2.setNumThreads(threads)
        steps.for_each(50, done.append)
        assert sorted(done) == list(range(50))
        steps.for_each(0, fail)
        with pytest.raises(ValueError, match="three"):
            steps.for_each(50, fail)
    finally:
        cv2.setNumThreads(before)
