"""The conditions of the study: their parameters, their seeds, and that each does what its name says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from posegauge.data import corruptions
from posegauge.errors import PoseGaugeError
from posegauge.study import CONDITIONS

images = arrays(np.uint8, st.tuples(st.integers(32, 80), st.integers(32, 80), st.just(3)))


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(1).integers(0, 256, (120, 160, 3), np.uint8)


@given(images, st.sampled_from(list(CONDITIONS)), st.integers(0, 2**31), st.integers(0, 10**6))
@settings(deadline=None, max_examples=60)
def test_is_a_pure_function_of_seed_condition_and_image_id(image, condition, seed, image_id):
    before = image.copy()
    first = corruptions.apply(condition, image, seed, image_id)
    np.testing.assert_array_equal(image, before)
    assert first.shape == image.shape and first.dtype == np.uint8
    np.testing.assert_array_equal(first, corruptions.apply(condition, image, seed, image_id))


@pytest.mark.parametrize("condition", ["noise_moderate", "noise_heavy", "occlusion"])
def test_seed_and_image_id_matter(condition, image):
    one = corruptions.apply(condition, image, 0, 1)
    assert (one != corruptions.apply(condition, image, 0, 2)).any()
    assert (one != corruptions.apply(condition, image, 1, 1)).any()


def test_clean_changes_nothing(image):
    np.testing.assert_array_equal(corruptions.apply("clean", image, 0, 1), image)


@pytest.mark.parametrize(("condition", "length"), [("motion_blur_light", 15), ("motion_blur_heavy", 30)])
def test_motion_blur_is_a_horizontal_line(condition, length):
    image = np.zeros((64, 128, 3), np.uint8)
    image[32, 64] = 255
    blurred = corruptions.apply(condition, image, 0, 1)
    assert set(np.flatnonzero(blurred.any(axis=(1, 2)))) == {32}
    assert np.count_nonzero(blurred[32, :, 0]) == length
    assert blurred[32, 64, 0] == round(255 / length)


@pytest.mark.parametrize(("condition", "gamma"), [("low_light_moderate", 2.0), ("low_light_severe", 4.0)])
def test_low_light_is_a_truncated_gamma_curve(condition, gamma):
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    dark = corruptions.apply(condition, ramp, 0, 1)
    np.testing.assert_array_equal(dark[0, :, 0], [int((i / 255) ** gamma * 255) for i in range(256)])


def test_overexposure_multiplies_and_clips():
    image = np.array([[[0, 1, 3], [101, 102, 200]]], np.uint8)
    np.testing.assert_array_equal(
        corruptions.apply("overexposure", image, 0, 1), [[[0, 2, 7], [252, 255, 255]]]
    )


@pytest.mark.parametrize(("condition", "sigma"), [("noise_moderate", 50), ("noise_heavy", 100)])
def test_noise_is_normal_per_pixel_and_channel(condition, sigma):
    grey = np.full((400, 400, 3), 128, np.uint8)
    noisy = corruptions.apply(condition, grey, 0, 1).astype(int)
    # Clipping at 0 and 255 cuts the tails, so the sigma is told by the quartiles: .6745 of it each way.
    low, high = np.percentile(noisy, [25, 75])
    assert abs((high - low) / 2 - 0.6745 * sigma) < 1.5
    assert abs(np.corrcoef(noisy[..., 0].ravel(), noisy[..., 1].ravel())[0, 1]) < 0.02


def test_occlusion_covers_about_a_quarter():
    white = np.full((480, 640, 3), 255, np.uint8)
    shares = [
        np.mean(corruptions.apply("occlusion", white, 0, image_id)[..., 0] == 0) for image_id in range(40)
    ]
    assert abs(np.mean(shares) - 0.26) < 0.02


def test_unknown_condition_names_the_nearest(image):
    with pytest.raises(PoseGaugeError, match=r"no condition 'noise_hevy'.*did you mean 'noise_heavy'"):
        corruptions.apply("noise_hevy", image, 0, 1)


def test_an_occlusion_covers_something_from_its_least_size_on():
    side = corruptions.least_size("occlusion")[0]
    assert (corruptions.apply("occlusion", np.full((side, side, 3), 9, np.uint8), 1, 1) == 0).any()
    assert (corruptions.apply("occlusion", np.full((side - 1, side - 1, 3), 9, np.uint8), 1, 1) == 9).all()
