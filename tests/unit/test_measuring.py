"""Timing the pipeline, with a pipeline that computes nothing."""

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
