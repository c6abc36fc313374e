"""The reading of images; on invented and on real data."""

import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from posegauge.data import coco
from posegauge.data.annotations import read_annotations
from posegauge.errors import PoseGaugeError

ROOT = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("POSEGAUGE_REAL", ROOT.parent / "shared" / "real")) / "coco"
REAL_ANNOTATIONS = REAL / "annotations" / "person_keypoints_val2017.json"
needs_real = pytest.mark.skipif(not REAL_ANNOTATIONS.is_file(), reason=f"no real photographs at {REAL}")


# ----------------------------------------------------------------------------------------------- the images


def encoded(kind=".jpg", *options):
    image = np.random.default_rng(1).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    return cv2.imencode(kind, cv2.blur(image, (9, 9)), options)[1].tobytes()


def with_thumbnail(content):
    """Put a whole small JPEG, end marker included, into an APP1 segment, as cameras do."""
    segment = b"Exif\0\0" + cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + content[2:]


JPEGS = {
    "baseline": encoded(),
    "progressive": encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "restarts": encoded(".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
    "thumbnail": with_thumbnail(encoded()),
}


@pytest.mark.parametrize("name", JPEGS)
def test_whole_and_truncated_jpegs(tmp_path, name):
    path = tmp_path / "image.jpg"
    for tail in (b"", b"\0" * 100, b"\r\n", b"trailing rubbish \xff\xd8\xff\xe0"):
        path.write_bytes(JPEGS[name] + tail)
        image = coco.read_image(path, 64, 48)
        assert image.dtype == np.uint8 and image.shape == (48, 64, 3)
        assert np.array_equal(image, cv2.imread(str(path), cv2.IMREAD_COLOR))
    size = len(JPEGS[name])
    for kept in (2, 3, 100, size // 2, size - 40, size - 2, size - 1):
        path.write_bytes(JPEGS[name][:kept])
        with pytest.raises(PoseGaugeError, match=r"image.jpg: the JPEG is truncated"):
            coco.read_image(path)


@pytest.mark.parametrize("kind", [".png", ".bmp", ".webp"])
def test_other_formats(tmp_path, kind):
    path = tmp_path / f"image{kind}"
    path.write_bytes(encoded(kind))
    assert coco.read_image(path, 64, 48).shape == (48, 64, 3)
    path.write_bytes(encoded(kind)[:-200])
    with pytest.raises(PoseGaugeError, match="cannot be decoded"):
        coco.read_image(path)


def test_grey_and_transparent_images_become_bgr(tmp_path):
    for shape in ((48, 64), (48, 64, 4)):
        cv2.imwrite(str(tmp_path / "image.png"), np.full(shape, 7, np.uint8))
        assert coco.read_image(tmp_path / "image.png").shape == (48, 64, 3)


def test_unreadable_images(tmp_path):
    path = tmp_path / "image.jpg"
    with pytest.raises(PoseGaugeError, match=r"image.jpg: cannot read the image \(No such file"):
        coco.read_image(path)
    path.touch()
    with pytest.raises(PoseGaugeError, match="is empty"):
        coco.read_image(path)
    path.write_text("<html>")
    with pytest.raises(PoseGaugeError, match="cannot be decoded"):
        coco.read_image(path)
    with pytest.raises(PoseGaugeError, match="Is a directory"):
        coco.read_image(tmp_path)


def test_size_other_than_in_the_annotations(tmp_path):
    path = tmp_path / "image.jpg"
    path.write_bytes(encoded())
    with pytest.raises(PoseGaugeError, match="has 64x48 pixels, the annotations say 48x64"):
        coco.read_image(path, 48, 64)


# ------------------------------------------------------------------------------------------------ real COCO


@needs_real
def test_real_photographs():
    record = coco.filter_person_images(REAL_ANNOTATIONS, "real", expected=44, images=REAL / "val2017")
    assert record["images_total"] == 54 and record["images"][0]["file_name"] == "000000000139.jpg"
    assert record["notes"] == []
    data = read_annotations(REAL_ANNOTATIONS)
    for image in data["images"]:
        coco.read_image(REAL / "val2017" / image["file_name"], image["width"], image["height"])
    boxes = sum(len(coco.person_boxes(data, image["id"])) for image in record["images"])
    assert boxes == sum(not a["iscrowd"] for a in data["annotations"])
