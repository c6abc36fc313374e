"""COCO-C: that it is the library's, of one seed only, and what the library's own seeding leaves to chance."""

import inspect
import io
import random
import subprocess
import sys
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import imagecorruptions
import numpy as np
import pytest
from PIL import Image

from posegauge.data import coco_c, corruptions
from posegauge.errors import PoseGaugeError
from posegauge.study import COCO_C_CONDITIONS, COCO_C_CORRUPTIONS, SEVERITIES

SCRIPTS = Path(corruptions.__file__).parents[2]
FIXED = ("defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression")
RANDOM = tuple(name for name in COCO_C_CORRUPTIONS if name not in FIXED)


def textured(height: int, width: int) -> np.ndarray:
    """Return an image, uint8 BGR, that like a photograph has structure of every size."""
    rng = np.random.default_rng(3)
    image = np.zeros((height, width, 3), np.float32)
    for size in (2, 4, 8, 16, 32, 64):
        patch = rng.normal(0, 1 / size, (size, size, 3)).astype(np.float32)
        image += cv2.resize(patch, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


@pytest.fixture(scope="module")
def image():
    image = textured(96, 128)
    image.flags.writeable = False
    return image


@pytest.fixture(scope="module")
def corrupted(image):
    """{condition: the image in it}, of seed 0 and image id 7."""
    return {name: corruptions.apply(name, image, 0, 7) for name in COCO_C_CONDITIONS}


def directly(image, numpy_seed, corruption, severity, **arguments):
    """The library called as it asks to be called: RGB, and numpy seeded before."""
    before = np.random.get_state()
    np.random.seed(numpy_seed)
    try:
        return imagecorruptions.corrupt(image[..., ::-1], severity, corruption, **arguments)[..., ::-1]
    finally:
        np.random.set_state(before)


def test_the_suite_is_the_librarys_common_set():
    assert list(COCO_C_CORRUPTIONS) == imagecorruptions.get_corruption_names("common")
    assert len(COCO_C_CONDITIONS) == 75


@pytest.mark.parametrize("corruption", COCO_C_CORRUPTIONS)
def test_bytes_are_those_of_the_library(image, corruption):
    for severity in SEVERITIES:
        found = coco_c.corrupt(image, np.random.default_rng(severity), corruption, severity)
        seed = coco_c._seed(np.random.default_rng(severity), corruption)
        arguments = {"seed": seed} if corruption in coco_c.SEED_ARGUMENT else {}
        np.testing.assert_array_equal(found, directly(image, seed, corruption, severity, **arguments))


def test_channels_are_not_swapped(image, corrupted):
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image[..., ::-1])).save(file, "JPEG", quality=15)
    found = corrupted["coco_c_jpeg_compression_3"]
    np.testing.assert_array_equal(found[..., ::-1], np.asarray(Image.open(file)))


def test_contrast_is_drawn_towards_the_mean_of_each_channel(image, corrupted):
    mean = image.mean(axis=(0, 1), keepdims=True)
    expected = np.clip((image - mean) * 0.2 + mean, 0, 255)
    assert np.abs(corrupted["coco_c_contrast_3"] - expected).max() <= 1


@pytest.mark.parametrize("order", [list(COCO_C_CONDITIONS)[::-1], list(COCO_C_CONDITIONS)[1::2]])
def test_other_calls_before_change_nothing(image, corrupted, order):
    np.random.seed(len(order))
    for name in order:
        np.random.random(3)
        np.testing.assert_array_equal(corruptions.apply(name, image, 0, 7), corrupted[name], err_msg=name)


def test_threads_change_nothing(image, corrupted):
    names = [name for name in COCO_C_CONDITIONS if name.endswith(("_2", "_4"))]
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(corruptions.apply, names, [image] * len(names), [0] * len(names), [7] * len(names))
        for name, image_found in zip(names, found, strict=True):
            np.testing.assert_array_equal(image_found, corrupted[name], err_msg=name)


def test_another_process_makes_the_same_bytes(image, corrupted, tmp_path):
    np.save(tmp_path / "image.npy", image)
    program = (
        "import sys, zlib, numpy as np\n"
        "from posegauge.data import corruptions\n"
        "image = np.load(sys.argv[1])\n"
        "for name in sys.argv[:1:-1]:\n"
        "    print(name, zlib.crc32(corruptions.apply(name, image, 0, 7)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "image.npy"), *corrupted],
        cwd=SCRIPTS, capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    found = dict(line.split() for line in done.stdout.splitlines())
    assert found == {name: str(zlib.crc32(result)) for name, result in corrupted.items()}


@pytest.mark.parametrize("corruption", COCO_C_CORRUPTIONS)
def test_global_generators_are_left_as_they_were(image, corruption):
    np.random.seed(5)
    np.random.standard_normal()  # leaves a second number in the state, which must be kept too
    before, before_python = np.random.get_state(), random.getstate()
    coco_c.corrupt(image, np.random.default_rng(0), corruption, 2)
    assert random.getstate() == before_python
    for old, new in zip(before, np.random.get_state(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_global_generator_is_put_back_after_an_error():
    before = np.random.get_state()[1].copy()
    with pytest.raises(KeyError), coco_c.numpy_seeded(1):
        raise KeyError
    np.testing.assert_array_equal(before, np.random.get_state()[1])


@pytest.mark.parametrize("corruption", COCO_C_CORRUPTIONS)
def test_numpys_seed_is_not_enough_for_two_of_the_librarys(image, corruption):
    first, second = directly(image, 1, corruption, 3), directly(image, 1, corruption, 3)
    assert (first == second).all() == (corruption not in coco_c.SEED_ARGUMENT)


def test_every_seed_that_the_library_takes_is_given():
    takes = {
        name
        for name in COCO_C_CORRUPTIONS
        if "seed" in inspect.signature(imagecorruptions.corruption_dict[name]).parameters
    }
    assert takes == set(coco_c.SEED_ARGUMENT)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_compiled_glass_blur_is_the_loop_that_it_was_compiled_from(severity, monkeypatch):
    small = textured(40, 48)
    compiled = coco_c.corrupt(small, np.random.default_rng(severity), "glass_blur", severity)
    library = imagecorruptions.corruptions
    loop = library._shuffle_pixels_njit_glass_blur.py_func
    monkeypatch.setattr(library, "_shuffle_pixels_njit_glass_blur", loop)
    found = coco_c.corrupt(small, np.random.default_rng(severity), "glass_blur", severity)
    np.testing.assert_array_equal(compiled, found)


def test_frost_takes_the_five_pictures_of_the_published_benchmark(monkeypatch):
    small, read, imread = textured(40, 40), [], cv2.imread

    def recorded(path):
        picture = imread(path)
        assert picture is not None and min(picture.shape[:2]) > 100, path
        read.append(Path(path).stem)
        return picture

    monkeypatch.setattr(cv2, "imread", recorded)
    for seed in range(100):
        coco_c.corrupt(small, np.random.default_rng(seed), "frost", 1)
    counts = Counter(read)
    assert set(counts) == {f"frost{number}" for number in range(1, 6)}
    # 20 each are expected; the seeds are fixed, so that this passes or fails always.
    assert all(5 <= count <= 40 for count in counts.values())
    read.clear()
    for seed in range(100):
        directly(small, seed, "frost", 1)
    assert "frost6" in read


@pytest.mark.parametrize("corruption", COCO_C_CORRUPTIONS)
def test_seed_and_image_id_matter_where_there_is_chance(image, corrupted, corruption):
    name = f"coco_c_{corruption}_4"
    for seed, image_id in ((0, 8), (1, 7)):
        found = corruptions.apply(name, image, seed, image_id)
        assert (found == corrupted[name]).all() == (corruption in FIXED)


@pytest.mark.parametrize("corruption", COCO_C_CORRUPTIONS)
def test_severities_differ_and_grow(image, corruption):
    distances = np.zeros(len(SEVERITIES))
    for seed in range(4):
        found = [coco_c.corrupt(image, np.random.default_rng(seed), corruption, s) for s in SEVERITIES]
        assert len({result.tobytes() for result in found}) == len(SEVERITIES)
        distances += [np.abs(result.astype(int) - image).mean() for result in found]
    assert distances[0] > 0 and distances[-1] > distances[0]
    # Glass blur has more rounds in 3 than in 4; frost hardly gets stronger from 3 on, while the image fades.
    if corruption not in ("glass_blur", "frost"):
        assert (np.diff(distances) > 0).all(), distances


@pytest.mark.parametrize(("height", "width"), [(427, 640), (640, 427), (333, 500)])
def test_photographs_keep_their_size(height, width):
    image = textured(height, width)
    for corruption in COCO_C_CORRUPTIONS:
        found = coco_c.corrupt(image, np.random.default_rng(0), corruption, 3)
        assert found.shape == image.shape and found.dtype == np.uint8, corruption


@pytest.mark.parametrize(("height", "width"), [(33, 40), (40, 33), (32, 32), (32, 200), (131, 37)])
def test_small_and_narrow_images_keep_their_size(height, width):
    image = textured(height, width)
    for name in COCO_C_CONDITIONS:
        found = corruptions.apply(name, image, 0, 1)
        assert found.shape == image.shape and found.dtype == np.uint8, name


@pytest.mark.parametrize("value", [0, 255])
def test_flat_images_pass(value):
    image = np.full((64, 48, 3), value, np.uint8)
    for name in COCO_C_CONDITIONS:
        assert corruptions.apply(name, image, 0, 1).shape == image.shape


@pytest.mark.parametrize(
    ("shape", "dtype", "corruption", "severity", "message"),
    [
        ((31, 400, 3), np.uint8, "fog", 1, r"at least 32 x 32 pixels; this one has 400 x 31: leave it out"),
        ((400, 31, 3), np.uint8, "glass_blur", 5, r"this one has 31 x 400"),
        ((64, 64), np.uint8, "fog", 1, r"uint8 \[height, width, 3\]; this one is uint8 \[64, 64\]"),
        ((64, 64, 3), np.float32, "fog", 1, r"this one is float32"),
        ((64, 64, 3), np.uint8, "frosst", 1, r"no corruption 'frosst' \(did you mean 'frost'\?\)"),
        ((64, 64, 3), np.uint8, "fog", 6, r"no severity 6; expected a whole number from 1 to 5"),
    ],
)
def test_faults_are_named(shape, dtype, corruption, severity, message):
    with pytest.raises(PoseGaugeError, match=message):
        coco_c.corrupt(np.zeros(shape, dtype), np.random.default_rng(0), corruption, severity)


def test_the_library_is_loaded_only_for_its_own_suite():
    program = (
        "import sys, numpy as np\n"
        "from posegauge.data import corruptions\n"
        "image = np.zeros((40, 40, 3), np.uint8)\n"
        "heavy = {'numba', 'skimage', 'imagecorruptions', 'scipy'}\n"
        "corruptions.apply('noise_heavy', image, 0, 1)\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "corruptions.apply('coco_c_fog_1', image, 0, 1)\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=SCRIPTS, capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout.splitlines() == ["[]", "['imagecorruptions', 'numba', 'scipy', 'skimage']"]


def test_every_condition_can_be_drawn_on_its_least_size():
    for name in COCO_C_CONDITIONS:
        width, height = corruptions.least_size(name)
        image = np.full((height, width, 3), 200, np.uint8)
        assert corruptions.apply(name, image, 1, 1).shape == image.shape, name


def test_coco_c_motion_blur_darkens_nothing_from_its_least_size_on():
    for severity in range(1, 6):
        name = f"coco_c_motion_blur_{severity}"
        side = corruptions.least_size(name)[0]
        for seed in range(4):
            grey = np.full((side, side, 3), 200, np.uint8)
            assert corruptions.apply(name, grey, seed, 1).min() >= 199
