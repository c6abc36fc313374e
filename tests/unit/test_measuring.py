"""Predicting a data set and timing the pipeline, with a pipeline that computes nothing."""

import cv2
import numpy as np
import pytest

from posebench import networks, predictions, timing
from posebench.errors import PoseBenchError
from posebench.pipeline import Persons, Settings
from posebench.study import STAGES


class FakePipeline:
    """Finds one sure and one doubtful person in every image, at the image's mean grey level."""

    settings = Settings()
    calls = 0

    def __call__(self, image, bboxes=None):
        self.calls += 1
        level = float(image.mean())
        bboxes = np.array([[1, 2, 30.123456, 40], [5, 5, level, 50]], np.float32)
        keypoints = np.tile(np.float32([level, 10.987654]), (2, 17, 1))
        scores = np.full((2, 17), 0.51234567, np.float32)
        return Persons(bboxes, np.float32([0.9, 0.2]), keypoints, scores, dict.fromkeys(STAGES, 2.0))

    evaluate = __call__


@pytest.fixture
def images(tmp_path):
    entries = []
    for number in (1, 2, 3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((60, 80, 3), 50 * number, np.uint8))
        entries.append({"id": number, "file_name": f"{number}.png", "width": 80, "height": 60})
    return entries


def test_every_image_is_predicted_in_order(images, tmp_path):
    results, record = predictions.predict_condition(FakePipeline(), images, tmp_path, "clean", 0, "error")
    assert [result["image_id"] for result in results] == [1, 1, 2, 2, 3, 3]
    assert [entry["image_id"] for entry in record["images"]] == [1, 2, 3]
    assert all(entry["persons"] == 1 for entry in record["images"])  # the doubtful one is not in use
    assert record["images"][0]["latency_ms"] == 12.0
    assert record["unreadable"] == []
    first = results[0]
    assert first["bbox"] == [1, 2, 29.12, 38]
    assert first["keypoints"][:3] == [50, 10.99, 0.512346]
    assert first["score"] == pytest.approx(0.9 * 0.512346, abs=1e-5)
    assert first["box_score"] == 0.9 and first["box_source"] == "detected"


def test_an_unreadable_image_is_an_error_or_listed(images, tmp_path):
    (tmp_path / "2.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(PoseBenchError, match=r"2\.png.*dataset\.unreadable: skip"):
        predictions.predict_condition(FakePipeline(), images, tmp_path, "clean", 0, "error")
    results, record = predictions.predict_condition(FakePipeline(), images, tmp_path, "clean", 0, "skip")
    assert record["unreadable"] == ["2.png"]
    assert {result["image_id"] for result in results} == {1, 3}


def test_nothing_readable_is_an_error_even_when_skipping(images, tmp_path):
    for entry in images:
        (tmp_path / entry["file_name"]).unlink()
    with pytest.raises(PoseBenchError, match="none of the 3 images"):
        predictions.predict_condition(FakePipeline(), images, tmp_path, "clean", 0, "skip")


def test_fps_is_the_inverse_of_the_mean_latency():
    figures = predictions.latency_figures([{"latency_ms": 10.0}, {"latency_ms": 30.0}, {"latency_ms": 11.0}])
    assert figures["latency_ms_mean"] == pytest.approx(17)
    assert figures["latency_ms_p50"] == 11
    assert figures["fps"] == pytest.approx(1000 / 17)


def test_every_sample_is_kept_and_warm_up_is_not():
    pipeline = FakePipeline()
    figures = timing.measure(pipeline, np.zeros((60, 80, 3), np.uint8), None, warmup=3, runs=7)
    assert pipeline.calls == 10
    assert len(figures["latency_ms"]) == 7 and min(figures["latency_ms"]) > 0
    assert figures["stages_ms"] == {stage: [2.0] * 7 for stage in STAGES}
    assert figures["persons"] == 2


def test_threads_are_all_or_as_asked_and_never_more_than_there_are():
    assert networks.thread_count("auto", 2) == 2
    assert networks.thread_count(1, 2) == 1
    assert cv2.getNumThreads() == 1
    with pytest.raises(PoseBenchError, match="threads: 4 asked for, the job has 2; give --cores 4"):
        networks.thread_count(4, 2)
