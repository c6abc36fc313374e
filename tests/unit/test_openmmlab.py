"""What stands in for xtcocotools: COCO's evaluation with the sigmas of a data set, and nothing half-done."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from posegauge.models import openmmlab

openmmlab.install()


def annotations(keypoints: list[int]) -> COCO:
    """One person of 17 keypoints in one image."""
    person = {
        "id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 2500.0, "bbox": [10, 10, 50, 50],
        "num_keypoints": 17, "keypoints": keypoints,
    }  # fmt: skip
    found = COCO()
    found.dataset = {"images": [{"id": 1}], "annotations": [person], "categories": [{"id": 1}]}
    with contextlib.redirect_stdout(io.StringIO()):
        found.createIndex()
    return found


def oks(evaluation, sigmas: tuple) -> float:
    """The OKS of a detection that is 3 pixels beside the person at every keypoint."""
    truth = annotations([20, 30, 2] * 17)
    result = {"image_id": 1, "category_id": 1, "keypoints": [23.0, 30.0, 1.0] * 17, "score": 0.9}
    with contextlib.redirect_stdout(io.StringIO()):
        run = evaluation(truth, truth.loadRes([result]), "keypoints", *sigmas)
        run.evaluate()
    return float(run.ious[1, 1][0, 0])


def test_mmposes_evaluation_is_pycocotools_with_the_sigmas_of_the_data_set():
    from mmpose.evaluation.metrics import coco_metric

    assert coco_metric.COCOeval is openmmlab.KeypointEvaluation
    assert coco_metric.COCO is COCO
    assert oks(coco_metric.COCOeval, ()) == oks(COCOeval, ())
    # exp(-d^2 / (2 s^2 k^2)) with k = 2 sigma, by hand
    expected = np.exp(-9 / (2 * 2500 * (2 * 0.05) ** 2))
    assert oks(coco_metric.COCOeval, ([0.05] * 17,)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "arguments, told",
    [
        (("keypoints_wholebody",), "iou_type 'keypoints_wholebody'"),
        (("keypoints", None, False), "use_area=False"),
    ],
)
def test_what_pycocotools_cannot_do_is_refused(arguments, told):
    with pytest.raises(NotImplementedError, match=told):
        openmmlab.KeypointEvaluation(None, None, *arguments)
