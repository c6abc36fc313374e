"""Bootstrap over images: how far a score would move with other images of the same kind.

A resample draws as many images as there are, with replacement (Efron and Tibshirani, An Introduction to the
Bootstrap, 1993, chapter 13: percentile intervals). It depends on the seed and the number of images only, so
replicate b stands for the same images in every condition and prediction set: a difference between two of them
is paired by subtracting replicates.
"""

import numpy as np

LEVEL = 0.95


# With fewer images a resample is little more than a few images over and over.
MIN_IMAGES = 10


def note(images: int) -> str | None:
    """Return why there are no intervals, or None when there are enough images."""
    if images >= MIN_IMAGES:
        return None
    return f"no intervals: {images} image{'' if images == 1 else 's'}, a bootstrap needs {MIN_IMAGES}"


def weights(seed: int, images: int, resamples: int) -> np.ndarray:
    """Return how often each image occurs in each resample: int64 [resamples, images].

    Each row sums to `images`. More resamples go on where fewer ended: the first rows are the same.
    """
    return np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=resamples)


def block_weights(seed: int, images: int, resamples: int, length: int) -> np.ndarray:
    """Return how often each frame of a film occurs in each resample: int64 [resamples, images].

    Neighbours in a film are alike, so circular blocks of `length` frames are drawn instead of single ones
    (Politis and Romano, 1992). Each row sums to `images`.
    """
    blocks = -(-images // length)
    starts = np.random.default_rng(seed).integers(images, size=(resamples, blocks, 1))
    drawn = ((starts + np.arange(length)) % images).reshape(resamples, blocks * length)[:, :images]
    counts = np.zeros((resamples, images), np.int64)
    np.add.at(counts, (np.arange(resamples)[:, None], drawn), 1)
    return counts


def sample_and_resamples(seed: int, images: int, resamples: int) -> np.ndarray:
    """Return the weights of the images themselves (ones), then of the resamples: int64 [1 + rows, images].

    There are no resamples with fewer than MIN_IMAGES images.
    """
    drawn = weights(seed, images, 0 if note(images) else resamples)
    return np.vstack([np.ones((1, images), drawn.dtype), drawn])


def interval(replicates) -> tuple[float | None, float | None]:
    """Return the percentile interval (low, high) of replicates, float64 [resamples].

    Replicates in which a score is undefined (NaN) are left out; (None, None) without replicates (None or
    empty), and when more than half are undefined.
    """
    replicates = np.asarray([] if replicates is None else replicates, np.float64)
    defined = replicates[~np.isnan(replicates)]
    if not len(defined) or len(defined) < len(replicates) / 2:
        return None, None
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(defined, (tail, 100 - tail)).tolist()
    return low, high


def estimate(value: float | None, replicates) -> dict:
    """Return {"value", "low", "high"} of a score; all are None when the score itself is undefined."""
    if value is None or np.isnan(value):
        return {"value": None, "low": None, "high": None}
    low, high = interval(replicates)
    return {"value": float(value), "low": low, "high": high}
