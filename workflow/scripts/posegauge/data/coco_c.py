"""COCO-C: 15 corruptions of 5 severities (Michaelis et al., Benchmarking Robustness in Object Detection).

The corruptions are those of the library imagecorruptions, by the paper's authors. Their last release, 1.1.2
of 2020, does not run on a current scikit-image, and its glass blur is a slow loop. So imagecorruptions-imaug
is used, a fork that is kept up. From the same random numbers it gives the same bytes as 1.1.2, except in fog,
whose map is float32 (about one value in 100 000 is off by one grey level), and in the choice of frost's
picture, which is set right here (FROST_PICTURES).
"""

import threading
from contextlib import contextmanager

import cv2
import numpy as np

from posegauge.errors import PoseGaugeError, nearest
from posegauge.study import COCO_C_CORRUPTIONS, SEVERITIES

MIN_SIDE_PX = 32  # the library's own limit


# Its motion blur stops where the way is longer than the picture, and leaves it darker by the rest.
MOTION_BLUR_PX = {1: 21, 2: 31, 3: 31, 4: 31, 5: 41}


# Its fog fills a square of the next power of two, several times: 4 GB each above this.
LARGEST_FOG_PX = 16_384


# These draw from generators of their own (scikit-image's and Numba's), which np.random.seed does not reach:
# the library takes their seed as an argument, and without one each call gives another image.
SEED_ARGUMENT = ("impulse_noise", "glass_blur")


# Frost first draws one of the library's pictures. The authors' code can draw only the first five of the six,
# and published results were made with it; the fork draws from all six.
FROST_PICTURES, FROST_PICTURES_PUBLISHED = 6, 5


_numpy_state = threading.Lock()


@contextmanager
def numpy_seeded(seed: int):
    """Seed numpy's global generator, from which the library draws, and afterwards put its old state back.

    One thread at a time: the generator belongs to the whole process.
    """
    with _numpy_state:
        before = np.random.get_state()
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before)


def least_side(corruption: str, severity: int) -> int:
    """Return the least side in pixels of a picture that a corruption is right for."""
    return max(MIN_SIDE_PX, MOTION_BLUR_PX[severity] if corruption == "motion_blur" else 0)


def _seed(rng: np.random.Generator, corruption: str) -> int:
    """Return a seed of 32 bits for one call of the library.

    For frost, seeds that would draw the sixth picture are passed over: the other five stay equally likely.
    """
    while True:
        seed = int(rng.integers(2**32))
        if corruption != "frost":
            return seed
        if np.random.RandomState(seed).randint(FROST_PICTURES) < FROST_PICTURES_PUBLISHED:
            return seed


def _check(image: np.ndarray, corruption: str, severity: int) -> None:
    """Raise PoseGaugeError unless the library can do what is asked."""
    if corruption not in COCO_C_CORRUPTIONS:
        raise PoseGaugeError(
            f"COCO-C has no corruption '{corruption}'{nearest(corruption, COCO_C_CORRUPTIONS)}; "
            f"it has {', '.join(COCO_C_CORRUPTIONS)}"
        )
    if severity not in SEVERITIES:
        raise PoseGaugeError(f"COCO-C has no severity {severity!r}; expected a whole number from 1 to 5")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise PoseGaugeError(
            f"COCO-C corrupts images that are uint8 [height, width, 3]; this one is {image.dtype} "
            f"{list(image.shape)}: convert it first"
        )
    height, width = image.shape[:2]
    if min(height, width) < MIN_SIDE_PX:
        raise PoseGaugeError(
            f"COCO-C needs images of at least {MIN_SIDE_PX} x {MIN_SIDE_PX} pixels; this one has {width} x "
            f"{height}: leave it out of the data set, or run without the suite coco_c"
        )


def corrupt(image: np.ndarray, rng: np.random.Generator, corruption: str, severity: int) -> np.ndarray:
    """Return a corrupted copy of an image.

    Args:
        image: uint8 BGR [H, W, 3], both sides at least MIN_SIDE_PX.
        rng: the only source of randomness; numpy's global state is as before afterwards.
        corruption: a key of study.COCO_C_CORRUPTIONS.
        severity: 1 to 5.

    Raises:
        PoseGaugeError: an unknown corruption or severity, or an image that the library does not take.
    """
    _check(image, corruption, severity)
    # Here and not above: it loads Numba and scikit-image, for which a job of the study's own
    # conditions need not wait.
    import imagecorruptions

    seed = _seed(rng, corruption)
    arguments = {"seed": seed} if corruption in SEED_ARGUMENT else {}
    rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    with numpy_seeded(seed):
        corrupted = imagecorruptions.corrupt(rgb, severity, corruption, **arguments)
    return cv2.cvtColor(corrupted, cv2.COLOR_RGB2BGR)
