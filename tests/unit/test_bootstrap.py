"""Bootstrap over images: the draws, the intervals, and paired differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posegauge.errors import PoseGaugeError
from posegauge.score import bootstrap
from posegauge.score.estimate import Estimate


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(0, 40))
def test_each_resample_draws_as_many_images_as_there_are(seed, images, resamples):
    weights = bootstrap.weights(seed, images, resamples)
    assert weights.shape == (resamples, images) and weights.dtype.kind == "i"
    assert (weights >= 0).all() and (weights.sum(1) == images).all()


def test_the_draws_depend_on_the_seed_alone_and_go_on_where_fewer_end():
    weights = bootstrap.weights(7, 30, 20)
    assert (weights == bootstrap.weights(7, 30, 50)[:20]).all()
    assert (weights != bootstrap.weights(8, 30, 20)).any()


def test_every_image_is_as_likely_as_the_others():
    weights = bootstrap.weights(1, 50, 20000)
    # A count has the variance n p (1 - p) = .98; 5 standard errors of the mean of 20000.
    assert abs(weights.mean(0) - 1).max() < 5 * np.sqrt(0.98 / 20000)
    assert weights.var() == pytest.approx(0.98, rel=0.02)


def test_the_interval_of_a_mean_is_that_of_theory():
    values = np.random.default_rng(0).normal(3, 2, 400)
    means = bootstrap.weights(0, 400, 4000) @ values / 400
    low, high = bootstrap.interval(means)
    error = values.std() / np.sqrt(400)
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_the_first_row_is_the_images_themselves():
    rows = bootstrap.sample_and_resamples(3, 12, 5)
    assert (rows[0] == 1).all()
    assert (rows[1:] == bootstrap.weights(3, 12, 5)).all()


def test_few_images_are_not_resampled_and_the_note_says_so():
    assert bootstrap.note(bootstrap.MIN_IMAGES) is None
    assert bootstrap.note(6) == "no intervals: 6 images, a bootstrap needs 10"
    assert "1 image," in bootstrap.note(1)
    assert bootstrap.sample_and_resamples(3, 6, 100).tolist() == [[1] * 6]
    assert len(bootstrap.sample_and_resamples(3, bootstrap.MIN_IMAGES, 100)) == 101


def test_interval_is_the_middle_95_percent():
    assert bootstrap.interval(np.arange(1001.0)) == pytest.approx((25, 975))
    assert bootstrap.interval([0.5, 0.5]) == (0.5, 0.5)


@pytest.mark.parametrize("replicates", [None, [], [np.nan], [1.0, np.nan, np.nan]])
def test_where_most_replicates_are_undefined_there_is_no_interval(replicates):
    assert bootstrap.interval(replicates) == (None, None)


def test_undefined_replicates_are_left_out():
    replicates = np.arange(1001.0)
    gaps = np.full(1001, np.nan)  # half of them: still enough
    assert bootstrap.interval(np.concatenate([replicates, gaps])) == pytest.approx((25, 975))


def test_an_undefined_score_has_no_interval():
    nothing = {"value": None, "low": None, "high": None}
    assert bootstrap.estimate(None, [1.0, 2.0]) == nothing
    assert bootstrap.estimate(np.nan, [np.nan]) == nothing
    one, known = np.ones(1), Estimate(1.0, np.ones(1))
    assert (Estimate(None) - known).interval() == (known - Estimate(None, one)).interval() == nothing


def test_a_difference_is_paired():
    a = np.random.default_rng(0).normal(0.7, 0.2, 1000)
    found = (Estimate(0.7, a) - Estimate(0.6, a - 0.1)).interval()
    # Each replicate moves both by the same amount, so their difference does not move at all.
    assert [found[key] for key in ("value", "low", "high")] == pytest.approx([0.1] * 3)
    assert bootstrap.interval(a)[1] - bootstrap.interval(a)[0] > 0.5


def test_a_difference_without_replicates_is_a_value_alone():
    alone = {"value": 0.25, "low": None, "high": None}
    assert (Estimate(0.75) - Estimate(0.5)).interval() == alone
    assert (Estimate(0.75, np.ones(1)) - Estimate(0.5)).interval() == alone


def test_replicates_of_other_resamples_cannot_be_paired():
    with pytest.raises(PoseGaugeError, match=r"3 and 2 bootstrap replicates .* bootstrap\.resamples"):
        Estimate(1.0, np.ones(3)) - Estimate(0.5, np.ones(2))
