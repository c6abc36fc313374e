"""The study's protocol against MMPose's own inferencer, and the properties of its steps."""

import demo_models
import numpy as np
import pytest
from demo_models import DETECTOR, POSE
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from posegauge.data import corruptions
from posegauge.errors import PoseGaugeError
from posegauge.pipeline import study_protocol
from posegauge.pipeline.steps import Settings, detector_input, select_boxes
from posegauge.pipeline.study_protocol import STUDY, STUDY_BBOX_NMS_THR, study_boxes, study_persons

CONDITIONS = ("clean", "noise_heavy", "motion_blur_heavy", "low_light_severe")
PERSONS = (1, 3, 5, 2, 4, 0)


@pytest.fixture(scope="module")
def images():
    """(name, uint8 BGR) of six synthetic scenes, one of them empty, in four conditions."""
    from posegauge.data.scenes.scenes import render_scene

    scenes = [render_scene(seed=77, index=index, persons=persons)[0] for index, persons in enumerate(PERSONS)]
    return [
        (f"scene {index}, {condition}", corruptions.apply(condition, scene, 2017, index))
        for index, scene in enumerate(scenes)
        for condition in CONDITIONS
    ]


@pytest.fixture(scope="module")
def torch_pipeline():
    """The corrected protocol in PyTorch, as in config/config.yaml."""
    return demo_models.torch_pipeline(Settings())


@pytest.fixture(scope="module")
def found(torch_pipeline, images):
    """(Persons, source) of every image by the study's protocol in PyTorch."""
    return [run_study(torch_pipeline, image) for _, image in images]


def run_study(pipeline, image):
    batch, scale = detector_input(image, pipeline.detector_size)
    return study_persons(pipeline, image, pipeline.detector.run(batch), scale)


@pytest.fixture(scope="module")
def inferencer():
    """MMPose's inferencer with the demo models."""
    from posegauge.models import build, openmmlab

    openmmlab.install()
    from mmpose.apis.inferencers import Pose2DInferencer

    inferencer = Pose2DInferencer(
        model=str(build.config_path(POSE.config)),
        det_model=str(build.config_path(DETECTOR.config)),
        det_cat_ids=[0],
        device="cpu",
    )
    build.load_weights(inferencer.model, POSE)
    build.load_weights(inferencer.detector.model, DETECTOR)
    return inferencer


def test_persons_are_those_of_mmposes_inferencer(inferencer, images, found):
    for (name, image), (ours, source) in zip(images, found, strict=True):
        theirs = next(inferencer(image, return_datasamples=True))["predictions"][0].pred_instances
        assert len(ours) == len(theirs.bboxes) > 0, name
        # The same sums in the same order: a box with another last bit (3e-5 px) can move one pixel of a noisy
        # crop by some grey levels, and with it a score by 9e-4. Float64 is 9e-5 px and 1.7e-3 away from both.
        np.testing.assert_array_equal(ours.bboxes, theirs.bboxes, err_msg=name)
        np.testing.assert_allclose(ours.bbox_scores, theirs.bbox_scores, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(ours.keypoint_scores, theirs.keypoint_scores, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(ours.keypoints, theirs.keypoints, atol=1e-3, err_msg=name)
        # No detected box of these scenes has exactly the size of the image and the score 1.
        height, width = image.shape[:2]
        whole = theirs.bbox_scores[0] == 1 and (theirs.bboxes[0] == [0, 0, width, height]).all()
        assert (source == "whole_image") == whole, name
    # Both ways were compared, in good conditions and in bad ones.
    sources = [source for _, source in found]
    assert 4 <= sources.count("whole_image") <= len(sources) - 4
    assert max(len(persons) for persons, _ in found) > 3


def test_the_corrected_protocol_does_not_fall_back(torch_pipeline, images, found):
    fallen = 0
    for (name, image), (_, source) in zip(images, found, strict=True):
        corrected = torch_pipeline(image)
        assert (corrected.bbox_scores > torch_pipeline.settings.bbox_thr).all()
        if source == "whole_image":
            assert len(corrected) == 0, name
            fallen += 1
    assert fallen > 0


def test_onnx_runtime_gives_the_same_persons(tmp_path, images, found):
    onnx = demo_models.onnx_pipeline(tmp_path, Settings())
    distances = []
    for (name, image), (persons, source) in zip(images, found, strict=True):
        ours, ours_source = run_study(onnx, image)
        assert (len(ours), ours_source) == (len(persons), source), name
        np.testing.assert_allclose(ours.bboxes, persons.bboxes, atol=0.01, err_msg=name)
        np.testing.assert_allclose(ours.bbox_scores, persons.bbox_scores, atol=1e-4, err_msg=name)
        # From the same boxes on: a box that is .001 px elsewhere changes a grey level of the crop.
        keypoints, scores = onnx.estimate(image, persons.bboxes, flip=True)
        np.testing.assert_allclose(scores, persons.keypoint_scores, atol=1e-3, err_msg=name)
        distances.append(np.linalg.norm(keypoints - persons.keypoints, axis=-1).ravel())
    # A tie of two SimCC bins may fall the other way for a keypoint or two.
    assert np.percentile(np.concatenate(distances), 99) < 0.01


# ------------------------------------------------------------------------------------------------ the boxes


def head_outputs(level_scores, distances):
    """Raw outputs of an RTMDet with an input of 320 x 320.

    level_scores: three float arrays of 1600, 400 and 100; distances: float32 [2100, 4] in input pixels.
    Returns (outputs as of a session, class scores and distances per level as of MMDetection's head).
    """
    import torch

    sides = [320 // stride for stride in study_protocol.STRIDES]
    scores = np.concatenate(level_scores).astype(np.float32)
    logits = torch.logit(torch.from_numpy(scores))
    cells = np.concatenate(
        [
            np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2) * stride
            for side, stride in zip(sides, study_protocol.STRIDES, strict=True)
        ]
    ).astype(np.float32)
    boxes = np.hstack([cells - distances[:, :2], cells + distances[:, 2:]])
    counts = [side * side for side in sides]
    classes = [part.reshape(1, 1, side, side) for part, side in zip(logits.split(counts), sides, strict=True)]
    sizes = [
        part.T.reshape(1, 4, side, side)
        for part, side in zip(torch.from_numpy(distances).split(counts), sides, strict=True)
    ]
    outputs = {"boxes": boxes[None], "scores": logits.sigmoid().numpy()[None, :, None]}
    return outputs, classes, sizes


@pytest.fixture(scope="module")
def detector_head():
    from posegauge.models import build

    return build.load_model(DETECTOR).bbox_head


def random_head(seed: int, share: float, spread: float):
    """Level scores and distances for head_outputs: boxes reach up to `spread` cells to each side.

    A `share` of the scores lies between .02 and .99, no two of these are equal; the others are .01.
    """
    rng = np.random.default_rng(seed)
    ranked = 0.02 + 0.97 * (rng.permutation(2100) + 0.5) / 2100
    scores = np.where(rng.random(2100) < share, ranked, 0.01)
    stride = np.repeat(study_protocol.STRIDES, (1600, 400, 100))[:, None]
    return np.split(scores, (1600, 2000)), (rng.uniform(0.1, spread, (2100, 4)) * stride).astype(np.float32)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.01, 0.2, 1.0]), st.sampled_from([0.4, 2, 12]))
@example(seed=0, share=0.0, spread=2).via("nothing above the threshold")
@example(seed=0, share=1.0, spread=0.4).via("more than max_persons boxes left by the NMS")
@example(seed=0, share=1.0, spread=12).via("more than NMS_PRE boxes of a level")
@settings(deadline=None, max_examples=12)
def test_boxes_are_those_of_mmdetections_head_and_mmposes_nms(detector_head, seed, share, spread):
    check_boxes(detector_head, *random_head(seed, share, spread))


def test_boxes_past_the_first_thousand_of_a_level_are_left_out(detector_head):
    # A thousand strong boxes at one place, and weaker ones elsewhere that no NMS would drop.
    distances = np.full((2100, 4), 3, np.float32)
    cells = np.stack(np.meshgrid(np.arange(40), np.arange(40)), -1).reshape(-1, 2).astype(np.float32) * 8
    strong = np.arange(1600) < 1000
    distances[:1600][strong] = np.hstack([cells, 300 - cells])[strong]
    finest = np.where(strong, 0.9, 0.5) + np.linspace(0, 0.05, 1600)
    levels = [finest, np.full(400, 0.01), np.full(100, 0.01)]
    assert check_boxes(detector_head, levels, distances) == 1
    outputs, _, _ = head_outputs(levels, distances)
    everything, _ = select_boxes(outputs, np.ones(2), (320, 320), STUDY)
    assert len(everything) == STUDY.max_persons


def check_boxes(head, levels, distances) -> int:
    """Compare study_boxes with MMDetection's head and MMPose's steps; return how many boxes there are."""
    from mmpose.evaluation.functional import nms

    outputs, classes, sizes = head_outputs(levels, distances)
    scale = np.array([0.5, 0.5])
    meta = {"img_shape": (320, 320), "scale_factor": (0.5, 0.5)}
    result = head.predict_by_feat(classes, sizes, batch_img_metas=[meta], rescale=True)[0].numpy()
    theirs = np.concatenate([result.bboxes, result.scores[:, None]], 1)
    theirs = theirs[theirs[:, 4] > 0.3]
    theirs = theirs[nms(theirs, 0.3)]
    bboxes, scores, source = study_boxes(outputs, scale, (320, 320), (640, 600, 3))
    if len(theirs) == 0:
        assert source == "whole_image"
        assert bboxes.tolist() == [[0, 0, 600, 640]] and scores.tolist() == [1]
        return 0
    assert source == "detected"
    assert bboxes.dtype == scores.dtype == np.float32
    np.testing.assert_allclose(bboxes, theirs[:, :4], atol=1e-3)
    np.testing.assert_allclose(scores, theirs[:, 4], atol=1e-5)
    return len(bboxes)


def test_boxes_of_a_network_with_nms_inside_get_mmposes_nms_too():
    bboxes = [[0, 0, 50, 50], [100, 100, 160, 200], [110, 100, 170, 200], [200, 0, 230, 60]]
    dets = np.hstack([np.float32(bboxes), np.float32([[0.4], [0.9], [0.8], [0.3]])])[None]
    scale = np.array([0.5, 0.5])
    kept, scores, source = study_boxes({"dets": dets}, scale, (320, 320), (640, 640, 3))
    assert source == "detected"
    np.testing.assert_allclose(kept, [[200, 200, 320, 400], [0, 0, 100, 100]])
    np.testing.assert_allclose(scores, [0.9, 0.4])
    none = {"dets": np.empty((1, 0, 5), np.float32)}
    kept, scores, source = study_boxes(none, scale, (320, 320), (480, 640, 3))
    assert (kept.tolist(), scores.tolist(), source) == ([[0, 0, 640, 480]], [1], "whole_image")


def test_a_detector_with_other_levels_is_refused():
    outputs = {"boxes": np.zeros((1, 2125, 4), np.float32), "scores": np.zeros((1, 2125, 1), np.float32)}
    with pytest.raises(
        PoseGaugeError, match=r"gives 2125 boxes, .* 320 x 320 gives 2100: set models\.detector"
    ):
        study_boxes(outputs, np.ones(2), (320, 320), (320, 320, 3))


# Whole numbers make equal overlaps and equal scores.
corners = st.one_of(st.integers(0, 40).map(float), st.floats(0, 40, width=32))
boxes_and_scores = arrays(np.float32, st.tuples(st.integers(0, 25), st.just(5)), elements=corners)


@given(boxes_and_scores, st.sampled_from([STUDY_BBOX_NMS_THR, 0.0, 0.5, 1.0]))
@settings(deadline=None, max_examples=150)
def test_the_second_nms_is_exactly_mmposes(dets, iou_thr):
    from posegauge.models import openmmlab

    openmmlab.install()
    from mmpose.evaluation.functional import nms

    dets[:, 2:4] += dets[:, :2]
    ours = study_protocol.nms_plus_one(dets[:, :4], dets[:, 4].copy(), iou_thr)
    np.testing.assert_array_equal(ours, nms(dets, iou_thr))
