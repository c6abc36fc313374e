"""Figures of measured times, and the threads they are measured with. The timing itself: test_timing.py."""

import cv2
import pytest

from posegauge.backends import assemble
from posegauge.errors import PoseGaugeError
from posegauge.predict import predictions


def test_fps_is_the_inverse_of_the_mean_latency():
    figures = predictions.latency_figures([{"latency_ms": 10.0}, {"latency_ms": 30.0}, {"latency_ms": 11.0}])
    assert figures["latency_ms_mean"] == pytest.approx(17)
    assert figures["latency_ms_p50"] == 11
    assert figures["fps"] == pytest.approx(1000 / 17)


def test_threads_are_all_or_as_asked_and_never_more_than_there_are():
    assert assemble.thread_count("auto", 2) == 2
    assert assemble.thread_count(1, 2) == 1
    assert cv2.getNumThreads() == 1
    with pytest.raises(PoseGaugeError, match="threads: 4 asked for, the job has 2; give --cores 4"):
        assemble.thread_count(4, 2)
