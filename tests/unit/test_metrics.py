"""Scores against annotations: known answers, and agreement with an independent count."""

import json

import numpy as np
import pytest

from posebench import metrics
from posebench.errors import PoseBenchError


@pytest.fixture
def annotations(tmp_path):
    """Two images with one person each, a third with a crowd only."""
    persons = []
    for image_id, left in ((1, 20), (2, 60)):
        xs, ys = np.linspace(left, left + 60, 17), np.linspace(10, 150, 17)
        keypoints = np.stack([xs, ys, np.full(17, 2)], 1).reshape(-1).tolist()
        persons.append(
            {
                "id": image_id,
                "image_id": image_id,
                "category_id": 1,
                "iscrowd": 0,
                "area": 6000.0,
                "bbox": [left, 10, 60, 140],
                "keypoints": keypoints,
                "num_keypoints": 17,
            }
        )
    persons.append(
        {
            "id": 3,
            "image_id": 3,
            "category_id": 1,
            "iscrowd": 1,
            "area": 900.0,
            "bbox": [0, 0, 30, 30],
            "keypoints": [0] * 51,
            "num_keypoints": 0,
        }
    )
    path = tmp_path / "annotations.json"
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 200, "height": 200} for i in (1, 2, 3)]
    categories = [{"id": 1, "name": "person", "keypoints": ["k"] * 17, "skeleton": []}]
    path.write_text(
        json.dumps({"info": {}, "images": images, "annotations": persons, "categories": categories})
    )
    return metrics.load_annotations(path)


def perfect(annotations, image_ids=(1, 2), box_score=0.9, keypoint_score=0.8):
    results = []
    for image_id in image_ids:
        truth = annotations.imgToAnns[image_id][0]
        keypoints = np.array(truth["keypoints"], float).reshape(17, 3)
        keypoints[:, 2] = keypoint_score
        results.append(
            {
                "image_id": image_id,
                "category_id": 1,
                "bbox": truth["bbox"],
                "score": box_score * 0.8,
                "box_score": box_score,
                "keypoints": keypoints.reshape(-1).tolist(),
                "box_source": "detected",
            }
        )
    return results


def test_perfect_predictions_score_one(annotations):
    scores = metrics.score_condition(annotations, perfect(annotations), [1, 2, 3], 0.5)
    assert scores["ap"] == scores["ap50"] == scores["ar"] == scores["box_ap"] == pytest.approx(1)
    assert scores["images"] == 3
    assert scores["images_detected"] == scores["persons"] == 2
    assert scores["detection_rate"] == pytest.approx(2 / 3)
    assert scores["mean_confidence"] == pytest.approx(0.8)
    assert scores["persons_per_image"] == pytest.approx(2 / 3)


def test_a_missed_person_halves_recall(annotations):
    scores = metrics.score_condition(annotations, perfect(annotations, (1,)), [1, 2], 0.5)
    assert scores["ar"] == pytest.approx(0.5)
    assert scores["ap"] == pytest.approx(0.5, abs=0.01)


def test_nothing_found_is_zero_not_a_crash(annotations):
    scores = metrics.score_condition(annotations, [], [1, 2], 0.5)
    assert scores["ap"] == scores["box_ap"] == scores["detection_rate"] == 0
    assert scores["mean_confidence"] is None


def test_where_there_is_nothing_to_find_there_is_no_ap(annotations):
    results = [{**perfect(annotations)[0], "image_id": 3}]
    scores = metrics.score_condition(annotations, results, [3], 0.5)
    assert scores["ap"] is None and scores["box_ap"] is None
    assert scores["images_detected"] == 1


def test_boxes_below_the_threshold_are_not_persons_but_count_for_ap(annotations):
    scores = metrics.score_condition(annotations, perfect(annotations, box_score=0.49), [1, 2], 0.5)
    assert scores["images_detected"] == 0
    assert scores["ap"] == pytest.approx(1)


def test_displaced_keypoints_cost_keypoint_ap_only(annotations):
    results = perfect(annotations)
    for result in results:
        result["keypoints"] = [
            value + 40 if index % 3 == 0 else value for index, value in enumerate(result["keypoints"])
        ]
    scores = metrics.score_condition(annotations, results, [1, 2], 0.5)
    assert scores["ap"] < 0.2
    assert scores["box_ap"] == pytest.approx(1)


def test_predictions_of_another_image_set_are_refused(annotations):
    with pytest.raises(PoseBenchError, match="1 images that the data set lacks, the first is 2"):
        metrics.score_condition(annotations, perfect(annotations), [1], 0.5)


def test_the_predictions_are_left_as_they_were(annotations):
    results = perfect(annotations)
    before = json.dumps(results)
    metrics.score_condition(annotations, results, [1, 2], 0.5)
    assert json.dumps(results) == before
