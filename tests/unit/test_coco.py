"""Annotations, the person filter, the archives and the reading of images; on invented and on real data."""

import json
import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from posegauge.data import coco
from posegauge.errors import PoseGaugeError
from posegauge.store.files import write_json

ROOT = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("POSEGAUGE_REAL", ROOT.parent / "shared" / "real")) / "coco"
REAL_ANNOTATIONS = REAL / "annotations" / "person_keypoints_val2017.json"
needs_real = pytest.mark.skipif(not REAL_ANNOTATIONS.is_file(), reason=f"no real photographs at {REAL}")


def person(number, image, **changes):
    box = {"bbox": [1.0, 2.0, 20.0, 30.0], "area": 300.0, "iscrowd": 0}
    pose = {"keypoints": [1, 1, 2] * 17, "num_keypoints": 17}
    return {"id": number, "image_id": image, "category_id": 1, **box, **pose, **changes}


@pytest.fixture
def data():
    """Five images, listed out of order; persons in 1, 3 (a crowd) and 4, something else in 2."""
    return {
        "images": [
            {"id": i, "file_name": f"{i:03d}.jpg", "width": 64, "height": 48} for i in (4, 2, 5, 3, 1)
        ],
        "annotations": [
            person(1, 1),
            person(2, 3, iscrowd=1),
            person(3, 4),
            person(4, 4, bbox=[5, 5, 0, 10]),
            person(5, 4, bbox=[10, 20, 4, 8]),
            {"id": 6, "image_id": 2, "category_id": 18, "bbox": [0, 0, 1, 1]},
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": [str(i) for i in range(17)]}],
    }


@pytest.fixture
def write(tmp_path):
    def write_data(data):
        path = tmp_path / "annotations.json"
        path.write_text(json.dumps(data))
        return path

    return write_data


def names(record):
    return [image["file_name"] for image in record["images"]]


# ------------------------------------------------------------------------------------------ the annotations


def test_person_images(data, write, tmp_path):
    record = coco.filter_person_images(write(data), "toy", expected=3)
    assert names(record) == ["001.jpg", "003.jpg", "004.jpg"]
    assert (record["images_total"], record["person_images"]) == (5, 3)
    assert record["images"][0] == {"id": 1, "file_name": "001.jpg", "width": 64, "height": 48}
    write_json(tmp_path / "person_images.json", record, "person_images.schema.yaml")


def test_max_images_is_taken_after_the_count(data, write):
    record = coco.filter_person_images(write(data), "toy", expected=3, max_images=2)
    assert names(record) == ["001.jpg", "003.jpg"] and record["person_images"] == 3
    assert len(coco.filter_person_images(write(data), "toy", max_images=99)["images"]) == 3
    with pytest.raises(PoseGaugeError, match="max_images is 0"):
        coco.filter_person_images(write(data), "toy", max_images=0)


def test_unexpected_count(data, write):
    with pytest.raises(PoseGaugeError, match=r"annotations.json: 3 person images, but .* is 2693.* to null"):
        coco.filter_person_images(write(data), "toy", expected=2693)


def test_no_person_at_all(data, write):
    data["annotations"] = data["annotations"][-1:]
    with pytest.raises(PoseGaugeError, match="none of its 5 images has a person"):
        coco.filter_person_images(write(data), "toy")


def test_person_boxes(data):
    boxes = coco.person_boxes(data, 4)
    assert boxes.dtype == np.float32
    assert boxes.tolist() == [[1, 2, 21, 32], [10, 20, 14, 28]]
    assert coco.person_boxes(data, 3).shape == (0, 4)
    assert coco.person_boxes(data, 2).shape == (0, 4)


def spoil_categories(data):
    data["categories"][0]["keypoints"].pop()


def spoil_keypoints(data):
    del data["categories"][0]["keypoints"]


def spoil_person(data):
    data["categories"][0]["id"] = 0


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda d: d.pop("images"), "expected a list under 'images'"),
        (lambda d: d.update(annotations={}), "expected a list under 'annotations'"),
        (lambda d: d.pop("categories"), "'categories'"),
        (spoil_categories, "has 16 keypoints, expected the 17"),
        (spoil_keypoints, "has no keypoints"),
        (spoil_person, "must hold id 1 with the name 'person' once; found 0: person"),
        (lambda d: d["images"][0].pop("id"), "without a whole number as 'id'"),
        (lambda d: d["images"][0].pop("file_name"), "id 4 has no 'file_name'"),
        (lambda d: d["images"][0].update(file_name="../x.jpg"), "inside the image folder"),
        (lambda d: d["images"][0].update(file_name="/x.jpg"), "inside the image folder"),
        (lambda d: d["images"][0].update(width=0), "has no 'width' in pixels; given: 0"),
        (lambda d: d["images"][0].update(id=5), "id 5 occurs 2 times"),
        (lambda d: d["images"][0].update(file_name="005.jpg"), "file_name 005.jpg occurs 2 times"),
        (lambda d: d["annotations"][0].update(id=0), "annotations: id 0: expected a whole number from 1"),
        (lambda d: d["annotations"][0].update(id=2), "annotations: id 2: expected"),
        (lambda d: d["annotations"][0].update(image_id=77), "id 1: image_id 77 is not among 'images'"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, 3]), "expected 4 numbers under 'bbox'"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, 3, float("nan")]), "no number"),
        (lambda d: d["annotations"][0].update(keypoints=[0] * 50), "expected 51 numbers under 'keypoints'"),
        (lambda d: d["annotations"][0].update(keypoints=["1"] * 51), "no number"),
        (lambda d: d["annotations"][0].pop("num_keypoints"), "'num_keypoints'"),
        (lambda d: d["annotations"][0].pop("iscrowd"), "'iscrowd'"),
    ],
)
def test_bad_annotations(data, write, spoil, told):
    spoil(data)
    with pytest.raises(PoseGaugeError) as caught:
        coco.read_annotations(write(data))
    assert "annotations.json" in str(caught.value) and told in str(caught.value)


def test_unreadable_annotations(tmp_path):
    path = tmp_path / "annotations.json"
    with pytest.raises(PoseGaugeError, match="no such file"):
        coco.read_annotations(path)
    path.write_text('{"images": [')
    with pytest.raises(PoseGaugeError, match="not valid JSON"):
        coco.read_annotations(path)
    path.write_text("[]")
    with pytest.raises(PoseGaugeError, match="JSON object"):
        coco.read_annotations(path)


# ------------------------------------------------------------------------------------------- the folder

IMAGES = [{"id": i, "file_name": f"{i:03d}.jpg"} for i in range(30)]


def test_folder_without_some_images(tmp_path):
    for image in IMAGES[:25]:
        (tmp_path / image["file_name"]).touch()
    coco.check_images_exist(tmp_path, IMAGES[:25])
    with pytest.raises(PoseGaugeError, match=r"lacks 5 of the 30 images .*: 025.jpg, .*029.jpg$"):
        coco.check_images_exist(tmp_path, IMAGES)
    with pytest.raises(PoseGaugeError, match="no such image folder"):
        coco.check_images_exist(tmp_path / "typo", IMAGES)


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
    record = coco.filter_person_images(REAL_ANNOTATIONS, "real", expected=44)
    assert record["images_total"] == 54 and names(record)[0] == "000000000139.jpg"
    coco.check_images_exist(REAL / "val2017", record["images"])
    data = coco.read_annotations(REAL_ANNOTATIONS)
    for image in data["images"]:
        coco.read_image(REAL / "val2017" / image["file_name"], image["width"], image["height"])
    boxes = sum(len(coco.person_boxes(data, image["id"])) for image in record["images"])
    assert boxes == sum(not a["iscrowd"] for a in data["annotations"])
