"""Calibration of keypoint scores: samples, bins of equal count, and the error."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools.cocoeval import COCOeval

from posegauge.score import calibration
from posegauge.score.calibration import BINS, Samples

SCORES = st.lists(st.sampled_from([0.1, 0.2, 0.25, 0.5, 0.9, 1.3]) | st.floats(0, 1), max_size=60)


def annotation(visible=17, crowd=0, area=5000.0):
    keypoints = np.stack([np.linspace(10, 90, 17), np.linspace(20, 180, 17), np.arange(17) < visible], 1)
    return {
        "keypoints": keypoints.reshape(-1).tolist(),
        "num_keypoints": visible,
        "area": area,
        "bbox": [10, 20, 80, 160],
        "iscrowd": crowd,
    }


def person(truth, shift=0.0, score=0.8):
    points = np.reshape(truth["keypoints"], (17, 3)).astype(float)
    points[:, 0] += shift
    points[:, 2] = score
    return points


def collect(*pairs):
    """Samples of (keypoints, matched annotation) pairs, the n-th in image n."""
    points, matches = zip(*pairs, strict=True)
    return calibration.collect(np.arange(len(pairs)), np.stack(points), list(matches))


@pytest.mark.parametrize("visible", [1, 9, 17])
def test_the_mean_similarity_of_a_person_is_its_oks(visible):
    truth = annotation(visible)
    found = person(truth) + np.random.default_rng(visible).normal(0, 8, (17, 3))
    evaluation = COCOeval(iouType="keypoints")
    evaluation._gts[1, 1] = [truth]
    evaluation._dts[1, 1] = [{"keypoints": found.reshape(-1), "score": 1}]
    assert collect((found, truth)).similarity.mean() == pytest.approx(evaluation.computeOks(1, 1)[0, 0])


def test_similarity_falls_with_distance_and_grows_with_the_person():
    truth = annotation()
    near, far = (calibration.similarity(person(truth, shift), truth) for shift in (3, 9))
    assert (calibration.similarity(person(truth), truth) == 1).all()
    assert (far < near).all() and (near < 1).all()
    assert (calibration.similarity(person(truth, 3), annotation(area=9000.0)) > near).all()


def test_whom_a_person_is_matched_to_decides_which_keypoints_count():
    truth = annotation(visible=5)
    shown = person(truth, score=0.7)
    samples = collect(
        (shown, truth),
        (shown, None),
        (shown, annotation(crowd=1)),
        (shown, annotation(visible=0)),
    )
    assert np.bincount(samples.column, minlength=4).tolist() == [5, 17, 0, 0]
    assert samples.similarity.tolist() == [1] * 5 + [0] * 17
    assert (samples.score == 0.7).all()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(0, 2), min_size=1, max_size=80, unique=True))
def test_bins_have_equal_counts_and_ascending_scores(scores):
    scores = np.array(scores)
    numbers = calibration.bin_numbers(scores)
    counts = np.bincount(numbers)
    assert len(counts) == min(BINS, len(scores))
    assert counts.max() - counts.min() <= 1
    assert (np.diff(numbers[np.argsort(scores)]) >= 0).all()


@settings(deadline=None, max_examples=60)
@given(SCORES)
def test_equal_scores_share_a_bin_and_no_score_is_lost(scores):
    scores = np.array(scores)
    similarities = np.linspace(0, 1, len(scores))
    bins = calibration.table(Samples(np.zeros(len(scores), int), scores, similarities))
    assert len(bins) <= BINS
    assert sum(entry["count"] for entry in bins) == len(scores)
    for lower, upper in itertools.pairwise(bins):
        assert lower["score_low"] <= lower["score_high"] < upper["score_low"]
        assert lower["mean_score"] < upper["mean_score"]


def test_scores_that_say_what_they_are_worth_have_no_error():
    worth = np.linspace(0, 1, 200)
    found = calibration.figures(Samples(np.zeros(200, int), worth, worth), np.ones((1, 1), int))
    assert found["ece"] == pytest.approx([0])
    assert found["mean_similarity"] == pytest.approx([0.5])


def test_errors_in_both_directions_do_not_cancel():
    scores = np.repeat([0.2, 0.8], 50)
    samples = Samples(np.zeros(100, int), scores, np.repeat([0.5, 0.5], 50))
    found = calibration.figures(samples, np.ones((1, 1), int))
    assert found["ece"] == pytest.approx([0.3])


@settings(deadline=None, max_examples=40)
@given(SCORES, st.data())
def test_the_error_is_the_mean_over_bins_by_their_count(scores, data):
    scores = np.array(scores)
    similarities = data.draw(arrays(float, len(scores), elements=st.floats(0, 1)))
    samples = Samples(np.zeros(len(scores), int), scores, similarities)
    bins = calibration.table(samples)
    found = calibration.figures(samples, np.ones((1, 1), int))
    if not bins:
        assert np.isnan(found["ece"]) and np.isnan(found["mean_similarity"])
        return
    shares = np.array([entry["count"] for entry in bins]) / len(scores)
    gaps = [abs(entry["mean_score"] - entry["mean_similarity"]) for entry in bins]
    assert found["ece"][0] == pytest.approx(shares @ gaps)
    assert found["mean_similarity"][0] == pytest.approx(similarities.mean())


def test_weights_count_the_samples_of_an_image_again_in_the_bins_of_all():
    scores, similarities = np.linspace(0, 1, 40), np.linspace(1, 0, 40) ** 2
    column = np.tile([0, 1], 20)
    weights = np.array([[1, 1], [3, 1], [0, 2], [0, 0]])
    found = calibration.figures(Samples(column, scores, similarities), weights)
    numbers = calibration.bin_numbers(scores)
    for row, counts in enumerate(weights[:3]):
        again = counts[column]
        gaps = [abs((again * (scores - similarities))[numbers == number].sum()) for number in range(BINS)]
        assert found["ece"][row] == pytest.approx(sum(gaps) / again.sum())
        assert found["mean_similarity"][row] == pytest.approx(np.average(similarities, weights=again))
    assert np.isnan(found["ece"][3])
