"""The reader of annotations: what can be meant in one way is read, all else is refused, all at once."""

import copy
import gzip
import json
import os
import re
import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posegauge.data import annotations, coco, keypoint_names
from posegauge.data.given import check_given
from posegauge.data.keypoint_names import NAMES
from posegauge.errors import PoseGaugeError
from posegauge.store.files import write_json

ROOT = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("POSEGAUGE_REAL", ROOT.parent / "shared" / "real")) / "coco"
REAL_ANNOTATIONS = REAL / "annotations" / "person_keypoints_val2017.json"
needs_real = pytest.mark.skipif(not REAL_ANNOTATIONS.is_file(), reason=f"no real photographs at {REAL}")

# A standing person in a box of 40 x 100, as shares of it.
STANDING = np.array(
    [
        (0.5, 0.1), (0.55, 0.08), (0.45, 0.08), (0.6, 0.1), (0.4, 0.1), (0.75, 0.22), (0.25, 0.22),
        (0.9, 0.38), (0.1, 0.38), (0.95, 0.52), (0.05, 0.52), (0.65, 0.55), (0.35, 0.55), (0.66, 0.75),
        (0.34, 0.75), (0.66, 0.96), (0.34, 0.96),
    ]
)  # fmt: skip


def person(number, image, left=20, top=15, width=40, height=100, **changes):
    points = STANDING * (width, height) + (left, top)
    keypoints = np.hstack([points, np.full((17, 1), 2)]).ravel().tolist()
    entry = {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "bbox": [left, top, width, height],
        "iscrowd": 0,
    }
    return entry | {"area": width * height / 2, "keypoints": keypoints, "num_keypoints": 17} | changes


@pytest.fixture
def data():
    """Five images, listed out of order; persons in 1, 3 (a crowd) and 4, something else in 2."""
    return {
        "images": [
            {"id": i, "file_name": f"{i:03d}.jpg", "width": 320, "height": 240} for i in (4, 2, 5, 3, 1)
        ],
        "annotations": [
            person(1, 1),
            person(2, 3, iscrowd=1),
            person(3, 4, left=200),
            person(4, 4, left=120, top=60, width=60, height=150),
            {"id": 6, "image_id": 2, "category_id": 18, "bbox": [0, 0, 1, 1]},
        ],
        "categories": [
            {"id": 1, "name": "person", "keypoints": list(NAMES)},
            {"id": 18, "name": "dog"},
        ],
    }


@pytest.fixture
def write(tmp_path):
    def write_data(data):
        path = tmp_path / "annotations.json"
        path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
        return path

    return write_data


@pytest.fixture
def read(write):
    """Reads data; returns (the persons in COCO's form, the notes), and has no fault."""

    def read_data(data, images=None):
        found = annotations.read(write(data), images)
        assert found.faults == []
        return found.data["annotations"], found.notes

    return read_data


def faults(path, images=None) -> str:
    """All faults of a file as one text; none are of our own making."""
    try:
        found = annotations.read(path, images).faults
    except PoseGaugeError as error:
        found = [str(error)]
    assert all(str(path) in line for line in found)
    return "\n".join(found)


def the_persons(data):
    return [entry for entry in data["annotations"] if entry["category_id"] == 1]


def names(record):
    return [image["file_name"] for image in record["images"]]


# --------------------------------------------------------------------------------------- person images


def test_person_images(data, write, tmp_path):
    record = coco.filter_person_images(write(data), "toy", expected=3, target=tmp_path / "read.json")
    assert names(record) == ["001.jpg", "003.jpg", "004.jpg"]
    assert (record["images_total"], record["person_images"]) == (5, 3)
    assert record["images"][0] == {"id": 1, "file_name": "001.jpg", "width": 320, "height": 240}
    write_json(tmp_path / "person_images.json", record, "person_images.schema.yaml")
    again = annotations.read(tmp_path / "read.json")
    assert (again.notes, again.faults) == ([], []) and again.data["info"]["notes"] == record["notes"]
    assert again.data["annotations"] == annotations.read_annotations(write(data))["annotations"]


def test_max_images_is_taken_after_the_count(data, write):
    record = coco.filter_person_images(write(data), "toy", expected=3, max_images=2)
    assert names(record) == ["001.jpg", "003.jpg"] and record["person_images"] == 3
    assert len(coco.filter_person_images(write(data), "toy", max_images=99)["images"]) == 3
    with pytest.raises(PoseGaugeError, match="max_images is 0"):
        coco.filter_person_images(write(data), "toy", max_images=0)


def test_unexpected_count(data, write):
    with pytest.raises(
        PoseGaugeError, match=r"annotations.json: 3 person images, but .* is 2693.* to null"
    ) as caught:
        coco.filter_person_images(write(data), "toy", expected=2693)
    assert "delete" not in str(caught.value)


def test_no_person_at_all(data, write):
    data["annotations"] = data["annotations"][-1:]
    with pytest.raises(PoseGaugeError, match="none of its 5 images has a person"):
        coco.filter_person_images(write(data), "toy")


def test_person_boxes(data, read):
    persons, _ = read(data)
    boxes = coco.person_boxes({"annotations": persons}, 4)
    assert boxes.dtype == np.float32 and boxes.tolist() == [[200, 15, 240, 115], [120, 60, 180, 210]]
    assert coco.person_boxes({"annotations": persons}, 3).shape == (0, 4)
    assert coco.person_boxes({"annotations": persons}, 2).shape == (0, 4)


# -------------------------------------------------------------------------------- meant in one way only


def test_what_is_right_is_taken_as_it_is(data, read):
    persons, notes = read(data)
    assert notes == [] and persons == [{**p, "keypoints": p["keypoints"]} for p in the_persons(data)]


def each(change):
    """A change of every person."""

    def change_all(data):
        for entry in the_persons(data):
            change(entry)

    return change_all


def nested(entry):
    entry["keypoints"] = np.reshape(entry["keypoints"], (17, 3)).tolist()


def texts(entry):
    entry |= {key: [str(value) for value in entry[key]] for key in ("bbox", "keypoints")}
    entry |= {"area": str(entry["area"]), "iscrowd": str(entry["iscrowd"])}


def null_points(entry):
    entry["keypoints"][:3] = [None, None, 0]
    entry["keypoints"][3:6] = [float("nan"), float("nan"), 0]


def from_zero(data):
    data["categories"][0]["id"] = 0
    for entry in the_persons(data):
        entry["category_id"] = 0


def without_categories(data):
    del data["categories"]
    data["annotations"] = the_persons(data)


def twice(data):
    data["annotations"].insert(0, copy.deepcopy(data["annotations"][0]))


def same_image_twice(data):
    data["images"].append(dict(data["images"][0]))


def placed_nowhere(entry):
    entry["keypoints"][:3] = [0, 0, 1]


# What changes, and what is said of it.
READ = {
    "num_keypoints": (each(lambda e: e.update(num_keypoints=0)), "num_keypoints is missing or another"),
    "num_keypoints none": (
        each(lambda e: e.pop("num_keypoints")),
        "4 annotations: num_keypoints|3 ann.*counted",
    ),
    "num_keypoints null": (each(lambda e: e.update(num_keypoints=None)), "counted"),
    "iscrowd bool": (each(lambda e: e.update(iscrowd=bool(e["iscrowd"]))), "iscrowd is no whole number"),
    "nested": (each(nested), "lists of their own"),
    "texts": (each(texts), "texts"),
    "category text": (each(lambda e: e.update(category_id="1")), "category_id is a text"),
    "category float": (each(lambda e: e.update(category_id=1.0)), ""),
    "category from zero": (from_zero, ""),
    "no categories": (without_categories, "no 'categories'"),
    "category Person": (lambda d: d["categories"][0].update(name="Person"), ""),
    "category human": (lambda d: d["categories"][0].update(name="Human"), '\'?"Human" is taken for persons'),
    "category by keypoints": (lambda d: d["categories"][0].update(name="skeleton"), "taken for persons"),
    "names": (
        lambda d: d["categories"][0].update(keypoints=[n.replace("_", " ").title() for n in NAMES]),
        "",
    ),
    "names of objects": (lambda d: d["categories"][0].update(keypoints=[{"name": n} for n in NAMES]), ""),
    "names one text": (lambda d: d["categories"][0].update(keypoints=", ".join(NAMES)), ""),
    "names none": (
        lambda d: d["categories"][0].update(keypoints=[]),
        "no names of keypoints: taken in COCO's",
    ),
    "names numbers": (
        lambda d: d["categories"][0].update(keypoints=[f"k{i}" for i in range(17)]),
        "no names",
    ),
    "ids of annotations twice": (each(lambda e: e.update(id=1)), "an id that another annotation has"),
    "ids of annotations none": (each(lambda e: e.pop("id")), ""),
    "ids of annotations large": (each(lambda e: e.update(id=(1 << 60) + e["id"])), ""),
    "ids of annotations hashes": (each(lambda e: e.update(id=f"{e['id']:032x}")), ""),
    "annotation twice": (twice, "the same annotation is there again"),
    "image twice": (same_image_twice, "listed again"),
    "sizes text": (lambda d: d["images"][0].update(width="320"), "'width' is a text"),
    "sizes float": (lambda d: d["images"][0].update(width=320.0), ""),
    "image ids float": (lambda d: [i.update(id=float(i["id"])) for i in d["images"]], ""),
}


@pytest.mark.parametrize("name", READ)
def test_what_can_be_meant_in_one_way_is_read(data, read, name):
    expected, _ = read(data)
    change, said = READ[name]
    change(data)
    persons, notes = read(data)
    for entry, right in zip(persons, expected, strict=True):
        right["id"] = entry["id"]
        assert entry == right and type(entry["image_id"]) is int
    assert re.search(said, "\n".join(notes)) if said else notes == []


def test_keypoints_without_a_place_are_not_labelled(data, read):
    each(null_points)(data)
    persons, notes = read(data)
    assert persons[0]["num_keypoints"] == 15 and persons[0]["keypoints"][:6] == [0] * 6
    assert any("null or NaN" in note for note in notes)
    each(placed_nowhere)(data)
    persons, notes = read(data)
    assert persons[0]["num_keypoints"] == 15 and any("at 0, 0 or -1, -1" in note for note in notes)


@pytest.mark.parametrize("value", [None, 0, float("nan"), "", "absent"])
def test_an_area_is_derived(data, read, value):
    """As COCO has it, of the segmentation; else so much of the box as COCO's segments have."""
    left, top, width, height = data["annotations"][0]["bbox"]
    square = [left, top, left + width, top, left + width, top + height, left, top + height]
    data["annotations"][0] |= {"area": value, "segmentation": [square]}
    data["annotations"][2] |= {"area": value}
    for entry in data["annotations"]:
        if entry.get("area") == "absent":
            del entry["area"]
    persons, notes = read(data)
    assert persons[0]["area"] == width * height and persons[2]["area"] == pytest.approx(0.53 * 40 * 100)
    assert any("area is missing or 0: taken from the segmentation" in note for note in notes)
    assert any("0.53 of the box" in note for note in notes)


def test_a_box_is_taken_from_the_segmentation_alone(data, read, write):
    data["annotations"][0] |= {"bbox": None, "segmentation": [[20, 15, 60, 15, 60, 115, 20, 115]]}
    persons, notes = read(data)
    assert persons[0]["bbox"] == [20, 15, 40, 100] and any("no 'bbox'" in note for note in notes)
    del data["annotations"][0]["segmentation"]
    assert "no 'bbox', and no segmentation" in faults(write(data))


def test_areas_of_boxes_are_said(data, read):
    each(lambda e: e.update(area=e["bbox"][2] * e["bbox"][3]))(data)
    assert any("every area is that of the box" in note for note in read(data)[1])


@given(
    order=st.permutations(range(17)), extra=st.lists(st.integers(0, 17), max_size=4), style=st.integers(0, 4)
)
@settings(max_examples=40, deadline=None)
def test_keypoints_are_read_by_name(order, extra, style, tmp_path_factory):
    """In any order, among others, in any spelling."""
    spell = [
        str,
        str.upper,
        lambda name: name.replace("_", "-"),
        lambda name: re.sub("_(.)", lambda found: found[1].upper(), name),
        lambda name: "_".join(reversed(name.split("_"))),
    ][style]
    listed = [spell(NAMES[place]) for place in order]
    entry = person(1, 1)
    points = [np.reshape(entry["keypoints"], (17, 3))[place].tolist() for place in order]
    for number, place in enumerate(extra):
        listed.insert(place, f"toe_{number}")
        points.insert(place, [1, 1, 2])
    expected = entry["keypoints"]
    entry["keypoints"] = np.ravel(points).tolist()
    data = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 320, "height": 240}],
        "annotations": [entry],
        "categories": [{"id": 1, "name": "person", "keypoints": listed}],
    }
    path = tmp_path_factory.mktemp("order") / "a.json"
    write_json(path, data)
    found = annotations.read(path)
    assert found.faults == [] and found.data["annotations"][0]["keypoints"] == expected
    assert found.data["annotations"][0]["num_keypoints"] == 17


@pytest.mark.parametrize(
    ("encode", "said"),
    [
        (lambda text: text.encode("utf-8-sig"), None),
        (lambda text: text.encode("utf-16"), "UTF-16"),
        (lambda text: text.encode("utf-16-le"), "UTF-16-LE"),
        (lambda text: text.encode("utf-32"), "UTF-32"),
        (lambda text: text.encode("latin-1"), "Windows-1252"),
        (lambda text: gzip.compress(text.encode()), "gzip"),
        (lambda text: text.replace('"area": 2000.0', '"area": NaN').encode(), "area is missing"),
    ],
)
def test_encodings_of_text(data, read, encode, said):
    data["images"][4]["file_name"] = "Zoë.jpg"
    _, notes = read(encode(json.dumps(data, ensure_ascii=False)))
    assert any(said in note for note in notes) if said else notes == []


# ------------------------------------------------------------------------------------------ the images


@pytest.fixture
def folder(data, tmp_path):
    """The images of the data in a folder, with a folder inside."""
    path = tmp_path / "images"
    (path / "set one").mkdir(parents=True)
    for image in data["images"]:
        cv2.imwrite(str(path / image["file_name"]), np.zeros((240, 320, 3), np.uint8))
    return path


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("set one/a.jpg", "set one\\a.jpg"),
        ("set one/a.jpg", ".\\set one\\a.jpg"),
        ("set one/a.jpg", "C:\\Users\\me\\data\\set one\\a.jpg"),
        ("set one/a.jpg", "a.jpg"),
        ("set one/a.jpg", "set%20one/a.jpg"),
        ("set one/a.jpg", "file:///home/me/set%20one/a.jpg"),
        ("a.jpg", "/home/me/data/a.jpg"),
        ("a.jpg", "../images/a.jpg"),
        ("a.jpg", "images/a.jpg"),
        ("a.jpg", "https://host/data/a.jpg"),
        ("a.JPG", "a.jpg"),
        ("a.jpg", "A.JPG"),
        (unicodedata.normalize("NFD", "Zoë.jpg"), unicodedata.normalize("NFC", "Zoë.jpg")),
        (unicodedata.normalize("NFC", "Zoë.jpg"), unicodedata.normalize("NFD", "Zoë.jpg")),
    ],
)
def test_file_names_of_other_systems(data, write, folder, file, name):
    (folder / "001.jpg").rename(folder / file)
    data["images"][-1]["file_name"] = name
    record = coco.filter_person_images(write(data), "toy", images=folder)
    assert [i["file_name"] for i in record["images"] if i["id"] == 1] == [file]
    assert any(
        "001.jpg" not in note and ("spelling" in note or "backslash" in note) for note in record["notes"]
    )


def test_a_name_that_fits_no_file_or_several(data, write, folder):
    (folder / "set two").mkdir()
    for place in ("set one", "set two"):
        (folder / place / "a.jpg").write_bytes(b"x")
    data["images"][-1]["file_name"] = "a.jpg"
    told = faults(write(data), folder)
    assert "fits several files (a.jpg: set one/a.jpg and set two/a.jpg)" in told
    # A name in another folder means another file.
    data["images"][-1]["file_name"] = "set three/a.jpg"
    data["images"][0]["file_name"] = "004.png"
    told = faults(write(data), folder)
    assert "lacks 2 of the 3 images" in told and "set three/a.jpg" in told and "(there is 004.jpg)" in told
    assert "set dataset.images" in told.lower()


def test_an_image_without_persons_need_not_be_there(data, write, folder):
    (folder / "005.jpg").unlink()
    assert faults(write(data), folder) == ""


def test_sizes_are_read_from_the_files(data, write, folder):
    for image in data["images"]:
        image.pop("width")
        image["height"] = 0
    record = coco.filter_person_images(write(data), "toy", images=folder)
    assert {(i["width"], i["height"]) for i in record["images"]} == {(320, 240)}
    assert any("read from the file" in note for note in record["notes"])
    (folder / "004.jpg").write_bytes(b"no image")
    assert "none to be read from the file" in faults(write(data), folder)


# ----------------------------------------------------------------------------------------------- refused


def corners(entry):
    left, top, width, height = entry["bbox"]
    entry["bbox"] = [left, top, left + width, top + height]


def centres(entry):
    left, top, width, height = entry["bbox"]
    entry["bbox"] = [left + width / 2, top + height / 2, width, height]


def shares(entry):
    size = np.array([320, 240])
    entry["bbox"] = (np.reshape(entry["bbox"], (2, 2)) / size).ravel().tolist()
    points = np.reshape(entry["keypoints"], (17, 3)).astype(float)
    points[:, :2] /= size
    entry["keypoints"] = points.ravel().tolist()


def another_box(entry):
    entry["bbox"] = [290 if entry["bbox"][0] < 150 else 0, 190, 20, 40]


def shuffled(entry):
    points = np.reshape(entry["keypoints"], (17, 3))
    entry["keypoints"] = points[ORDERS["from below"]].ravel().tolist()


def without_visibility(entry):
    entry["keypoints"] = np.reshape(entry["keypoints"], (17, 3))[:, :2].ravel().tolist()


def scores(entry):
    entry["keypoints"][2::3] = [0.9] * 17


def not_labelled(entry):
    entry["keypoints"][2::3] = [0] * 17


def more_persons(data):
    """So many that an order of keypoints can be judged."""
    data["annotations"] += [person(n, 5, left=30 * n) for n in range(7, 10)]


REFUSED = {
    "bbox short": (
        each(lambda e: e.update(bbox=[1, 2, 3])),
        "4 annotations: expected 4 numbers under 'bbox'",
    ),
    "bbox inf": (each(lambda e: e.update(bbox=[1, 2, 3, float("inf")])), "expected 4 numbers under 'bbox'"),
    "bbox NaN": (each(lambda e: e.update(bbox=[1, 2, 3, float("nan")])), "expected 4 numbers under 'bbox'"),
    "bbox bool": (each(lambda e: e.update(bbox=[1, 2, 3, True])), "expected 4 numbers under 'bbox'"),
    "bbox words": (each(lambda e: e.update(bbox=["a", 2, 3, 4])), "expected 4 numbers under 'bbox'"),
    "bbox huge": (each(lambda e: e.update(bbox=[1, 2, 3, 10**400])), "expected 4 numbers under 'bbox'"),
    "keypoints huge": (each(lambda e: e["keypoints"].__setitem__(0, 1e308)), "no number"),
    "keypoints of objects": (
        each(lambda e: e.update(keypoints=[{"x": 1}, [1, 1, 1]])),
        "expected 51 numbers",
    ),
    "bbox negative": (each(lambda e: e.update(bbox=[60, 2, -30, 4])), "cannot be negative"),
    "bbox empty": (each(lambda e: e.update(bbox=[60, 20, 0, 40])), "an empty box"),
    "area negative": (each(lambda e: e.update(area=-1)), "'area' must be a number"),
    "area inf": (each(lambda e: e.update(area=float("inf"))), "'area' must be a number"),
    "area words": (each(lambda e: e.update(area="large")), "'area' must be a number"),
    "area bool": (each(lambda e: e.update(area=True)), "'area' must be a number"),
    "area share": (each(lambda e: e.update(area=0.05)), "less than a hundredth of the box"),
    "area large": (each(lambda e: e.update(area=1e6)), "larger than the box"),
    "iscrowd 2": (each(lambda e: e.update(iscrowd=2)), "'iscrowd' must be 0 or 1"),
    "iscrowd words": (each(lambda e: e.update(iscrowd="maybe")), "'iscrowd' must be 0 or 1"),
    "all crowds": (each(lambda e: e.update(iscrowd=1)), "all 4 persons have iscrowd 1|all 3 persons"),
    "keypoints short": (each(lambda e: e["keypoints"].pop()), "expected 51 numbers under 'keypoints'"),
    "keypoints words": (each(lambda e: e["keypoints"].__setitem__(0, "x")), "no number"),
    "keypoints inf": (each(lambda e: e["keypoints"].__setitem__(0, float("inf"))), "no number"),
    "keypoints null": (each(lambda e: e["keypoints"].__setitem__(0, None)), "no number"),
    "keypoints pairs": (each(without_visibility), "they have no visibility"),
    "visibility 3": (
        each(lambda e: e["keypoints"].__setitem__(2, 3)),
        "visibility, 0 .not labelled., 1 or 2",
    ),
    "visibility -1": (each(lambda e: e["keypoints"].__setitem__(2, -1)), "visibility"),
    "visibility scores": (each(scores), "look like scores, so predictions"),
    "not labelled": (
        each(not_labelled),
        "none of 3 persons has a labelled keypoint .*though there are coordinates",
    ),
    "no keypoints": (each(lambda e: e.pop("keypoints")), "none of 3 persons has a labelled keypoint"),
    "image unknown": (each(lambda e: e.update(image_id=77)), "image_id is not among the ids of 'images'"),
    "image bool": (each(lambda e: e.update(image_id=True)), "image_id is not among"),
    "category unknown": (
        each(lambda e: e.update(category_id=3)),
        "category_id must be the id of one of 'cat",
    ),
    "category words": (
        each(lambda e: e.update(category_id="person")),
        "category_id must be the id of one of",
    ),
    "category bool": (each(lambda e: e.update(category_id=True)), "category_id must be"),
    "category none": (each(lambda e: e.update(category_id=None)), "category_id must be"),
    "category names": (
        lambda d: d["categories"][0].update(name="cat", keypoints=[]),
        "name 'person' once; found 1: ",
    ),
    "category twice": (
        lambda d: d["categories"].append({"id": 3, "name": "Person", "keypoints": list(NAMES)}),
        "'person' once",
    ),
    "keypoints subset": (
        lambda d: d["categories"][0]["keypoints"].pop(),
        "has 16 keypoints, .*no right_ankle",
    ),
    "keypoints of others": (
        lambda d: d["categories"][0].update(keypoints=["kopf", *NAMES[1:]]),
        "it has no nose .found kopf, left_eye",
    ),
    "two images one id": (lambda d: d["images"][0].update(id=5), "two images have the same id"),
    "one file two ids": (
        lambda d: d["images"][0].update(file_name="005.jpg"),
        "same file_name under two ids",
    ),
    "image id none": (lambda d: d["images"][0].pop("id"), "number or text as 'id'"),
    "file_name none": (lambda d: d["images"][0].pop("file_name"), "no text under 'file_name' .id 4"),
    "file_name outside": (lambda d: d["images"][0].update(file_name="../x.jpg"), "inside the image folder"),
    "file_name absolute": (lambda d: d["images"][0].update(file_name="/x.jpg"), "inside the image folder"),
    "width none": (lambda d: d["images"][0].pop("width"), "no 'width' and 'height'"),
    "width negative": (lambda d: d["images"][0].update(width=-3), "'width' must be a whole number of pixels"),
    "width bool": (lambda d: d["images"][0].update(width=True), "'width' must be a whole number of pixels"),
    "width broken": (lambda d: d["images"][0].update(width=3.5), "'width' must be a whole number of pixels"),
    "boxes as corners": (each(corners), "look like left, top, right, bottom"),
    "boxes by their centre": (each(centres), "look like x and y of the centre"),
    "shares of the image": (each(shares), "'bbox' and 'keypoints' are from 0 to 1, expected pixels"),
    "boxes of others": (each(another_box), "far outside the person's own box"),
    "boxes outside": (each(lambda e: e["bbox"].__setitem__(0, 400)), "outside its image|far outside"),
    "keypoints outside": (
        each(lambda e: e["keypoints"].__setitem__(0, 500)),
        "labelled keypoints outside their image",
    ),
    "order": (lambda d: (more_persons(d), each(shuffled)(d)), "not in the order of the category's names"),
    "order without names": (
        lambda d: (d["categories"][0].pop("keypoints"), each(shuffled)(d)),
        "do not look as if in COCO's order",
    ),
    "no images": (lambda d: d.pop("images"), "expected a list under 'images'"),
    "annotations object": (lambda d: d.update(annotations={}), "expected a list under 'annotations'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_meant_is_refused(data, write, name):
    change, told = REFUSED[name]
    change(data)
    found = faults(write(data))
    assert re.search(told, found), found
    assert "delete" not in found.lower()


def test_all_faults_are_told_at_once_with_their_number(data, write, folder):
    data["annotations"][0]["bbox"] = None
    data["annotations"][2]["area"] = data["annotations"][3]["area"] = "x"
    data["images"][0]["width"] = -1
    (folder / "001.jpg").unlink()
    found = faults(write(data), folder)
    assert len(found.splitlines()) == 4
    for told in (
        "no 'bbox'",
        "2 annotations: 'area' must",
        '(id 3 has "x", id 4 has "x")',
        "'width'",
        "lacks 1",
    ):
        assert told in found, found


def test_few_odd_annotations_are_noted_and_stay(data, write):
    """Real data have some: what one of many has is no fault."""
    data["annotations"] += [person(n, 5, left=n) for n in range(10, 60)]
    data["annotations"][0]["bbox"] = [300, 15, 40, 100]
    found = annotations.read(write(data))
    assert found.faults == []
    assert any("far outside the person's own box; left as it is (id 1 has" in note for note in found.notes)
    assert found.data["annotations"][0]["bbox"] == [300, 15, 40, 100]


def test_boxes_of_whole_persons_may_leave_the_image(data, write):
    data["annotations"][3]["bbox"] = [120, 60, 60, 200]
    found = annotations.read(write(data))
    assert found.faults == [] and any("the box leaves its image" in note for note in found.notes)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b'{"images": [', "ends too early"),
        (b'{"images": [] "a"}', "Mend that place"),
        (b'{"a": 1}\n{"a": 2}', "JSON Lines"),
        (b"[]", "JSON object"),
        (b"0 0.5 0.5 0.2 0.3 0.1 0.1 2", "YOLO"),
        (b"path: data\nnames:\n  0: person\nkpt_shape: [17, 3]\n", "YAML"),
        (b"<annotation><folder>x</folder></annotation>", "Pascal VOC XML"),
        (b"<?xml version='1.0'?>\n<annotations><version>1.1</version></annotations>", "CVAT's own XML"),
        (b"<!DOCTYPE html><html></html>", "HTML"),
        (b"image,x,y\na.jpg,1,2\n", "CSV"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
        (b"PK\x03\x04....", "zip archive"),
        (b"\x1f\x8bxxxx", "damaged gzip"),
        (b"\x89PNG....", "PNG image"),
        (b'{"shapes": [], "imagePath": "a.jpg"}', "LabelMe"),
        (b'{"_via_img_metadata": {}}', "VGG Image Annotator"),
        (b'[{"image_id": 1, "keypoints": [], "score": 1}]', "predictions"),
        (b'[{"id": 1, "data": {}, "annotations": []}]', "Label Studio"),
        (b'{"people": [], "version": 1.3}', "OpenPose"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_other_files_are_refused_by_what_they_are(write, content, told):
    found = faults(write(content))
    assert told in found and "delete" not in found.lower()


def test_folders_are_refused_by_what_they_hold(tmp_path):
    assert "without a JSON file" in faults(tmp_path)
    for ending, told in ((".xml", "Pascal VOC"), (".txt", "YOLO"), (".json", "holds a.json: name that file")):
        (tmp_path / f"a{ending}").touch()
        assert told in faults(tmp_path)
    with pytest.raises(PoseGaugeError, match="No such file"):
        annotations.read(tmp_path / "none.json")


# --------------------------------------------------------------------------------------- before any job


def test_good_data_are_not_read_twice(data, write, folder, tmp_path, monkeypatch):
    path, verdict = write(data), tmp_path / "state" / "given.json"
    dataset = {
        "annotations": str(path),
        "images": str(folder),
        "max_images": None,
        "expected_person_images": 3,
        "unreadable": "error",
        "exif": "auto",
    }
    rest = {"suites": [], "conditions": [], "coco_c": {}, "models": {"detector": {"input_size": [320, 320]}}}
    rest |= {"benchmark": {"image": None}, "grids": {"scene": None, "images": None}}
    each(lambda e: e.update(iscrowd=None))(data)
    write(data)
    found = check_given({"dataset": dataset, **rest}, verdict)
    assert len(found.notes) == 1 and "iscrowd" in found.notes[0]
    with monkeypatch.context() as patched:
        patched.setattr(annotations, "read", None)
        assert check_given({"dataset": dataset, **rest}, verdict) == found
    # Another picture, or another key: everything is looked at again.
    (folder / "001.jpg").unlink()
    with pytest.raises(PoseGaugeError, match="lacks 1 of the 3 images"):
        check_given({"dataset": dataset, **rest}, verdict)
    with pytest.raises(PoseGaugeError, match="lacks 1"):
        check_given({"dataset": dataset | {"expected_person_images": 4}, **rest}, verdict)


ORDERS = {
    "body first": [*range(5, 17), *range(5)],
    "left first": [0, 1, 3, 5, 7, 9, 11, 13, 15, 2, 4, 6, 8, 10, 12, 14, 16],
    "from below": list(range(16, -1, -1)),
    "as OpenPose": [0, 14, 15, 16, 16, 2, 5, 3, 6, 4, 7, 8, 11, 9, 12, 10, 13],
}


def test_the_order_of_keypoints_shows_in_the_proportions():
    points = np.reshape(person(1, 1)["keypoints"], (1, 17, 3))
    assert keypoint_names.proportions(points).sure()
    for order in ORDERS.values():
        found = keypoint_names.proportions(points[:, order])
        assert found.doubtful() or not found.sure()
    nothing = keypoint_names.proportions(points * 0)
    assert not nothing.sure() and not nothing.doubtful()


# ------------------------------------------------------------------------------------------------ real COCO


@needs_real
def test_real_annotations_are_right_as_they_are():
    found = annotations.read(REAL_ANNOTATIONS, REAL / "val2017")
    assert (found.notes, found.faults) == ([], [])
    given = json.loads(REAL_ANNOTATIONS.read_text())["annotations"]
    for entry, right in zip(found.data["annotations"], given, strict=True):
        assert entry == {key: right[key] for key in entry}


@needs_real
def test_the_order_of_real_keypoints_shows():
    persons = json.loads(REAL_ANNOTATIONS.read_text())["annotations"]
    points = np.array([p["keypoints"] for p in persons], float).reshape(-1, 17, 3)
    assert keypoint_names.proportions(points).sure()
    for name, order in ORDERS.items():
        assert keypoint_names.proportions(points[:, order]).doubtful(), name


@needs_real
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (corners, "left, top, right, bottom"),
        (centres, "x and y of the centre"),
        (shuffled, "not in the order"),
    ],
)
def test_real_annotations_in_another_form_are_refused(write, change, told):
    data = json.loads(REAL_ANNOTATIONS.read_text())
    for entry in data["annotations"]:
        change(entry)
    assert told in faults(write(data))
