"""The images that set the ranges of INT8: of COCO train2017, or of a folder of the user's."""

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers_config import load
from posegauge.data import annotations, calibration, coco, given
from posegauge.data.calibration import choose_own, choose_train
from posegauge.data.download import IN_PARTS, read_table
from posegauge.data.scenes.scenes import write_scenes
from posegauge.errors import PoseGaugeError
from posegauge.store.files import read_json, write_json

ROOT = Path(__file__).resolve().parents[2]
# A person who stands upright, as shares of the box.
X = [0.5, 0.55, 0.45, 0.6, 0.4, 0.75, 0.25, 0.9, 0.1, 0.95, 0.05, 0.65, 0.35, 0.66, 0.34, 0.66, 0.34]
Y = [0.1, 0.08, 0.08, 0.1, 0.1, 0.22, 0.22, 0.38, 0.38, 0.52, 0.52, 0.55, 0.55, 0.75, 0.75, 0.96, 0.96]


def person(number: int, image: int, labelled: int = 17, **changes) -> dict:
    """An annotation as in COCO's own file, segmentation and all."""
    points = np.zeros((17, 3), int)
    points[:labelled] = np.stack([20 + 40 * np.array(X), 15 + 100 * np.array(Y), [2] * 17], 1)[:labelled]
    return {
        "segmentation": [[20.5, 15.25, 60, 15, 60, 115, 20, 115]],
        "num_keypoints": labelled,
        "area": 2000.5,
        "iscrowd": 0,
        "keypoints": points.ravel().tolist(),
        "image_id": image,
        "bbox": [20, 15, 40, 100],
        "category_id": 1,
        "id": number,
    } | changes


def train_file(path, images: int, persons) -> Path:
    """Write a file in the form of person_keypoints_train2017.json, its images out of order."""
    entries = [
        {
            "license": 3, "file_name": f"{i:012d}.jpg", "coco_url": f"http://host/{i}.jpg", "height": 240,
            "width": 320, "date_captured": "2013-11-14 11:18:45", "flickr_url": "http://host/", "id": i,
        }
        for i in reversed(range(images))
    ]  # fmt: skip
    person_category = {"supercategory": "person", "id": 1, "name": "person", "keypoints": list(coco_names())}
    data = {
        "info": {"year": 2017},
        "licenses": [{"url": "http://host", "id": 3, "name": "a licence"}],
        "images": entries,
        "annotations": list(persons),
        "categories": [person_category | {"skeleton": [[16, 14]]}],
    }
    path.write_text(json.dumps(data))
    return path


def coco_names():
    from posegauge.data.keypoint_names import NAMES

    return NAMES


def ids(entries) -> list[int]:
    return [entry["id"] for entry in entries]


# ------------------------------------------------------------------------------------------------ train2017


def test_images_of_train2017_are_spread_over_those_with_annotated_keypoints(tmp_path):
    persons = [person(i + 1, i) for i in range(0, 100, 2)]
    # Not taken: nobody with keypoints, a crowd, an empty box.
    persons += [person(201, 1, 0), person(202, 3, iscrowd=1), person(203, 5, bbox=[20, 15, 0, 100])]
    data, chosen = choose_train(train_file(tmp_path / "a.json", 100, persons), 5)
    assert ids(chosen) == [10, 30, 50, 70, 90], "the middles of five stretches of the 50"
    assert chosen[0] == {"id": 10, "file_name": f"{10:012d}.jpg", "width": 320, "height": 240}
    assert ids(data["images"]) == list(range(0, 100, 2)), "more than are taken, to be judged among"
    assert len(data["annotations"]) == 50 and "segmentation" not in data["annotations"][0]
    again = choose_train(tmp_path / "a.json", 5)
    assert again == (data, chosen)
    assert len(choose_train(tmp_path / "a.json", 64)[1]) == 50, "all, where there are fewer"


def test_what_is_chosen_of_train2017_is_read_like_all_annotations(tmp_path):
    """One odd annotation, here a box far outside, is noted; alone it would be a fault."""
    persons = [person(i + 1, i) for i in range(60)]
    persons[30] |= {"bbox": [500, 15, 40, 100]}
    data, chosen = choose_train(train_file(tmp_path / "a.json", 60, persons), 1)
    assert ids(chosen) == [30]
    write_json(tmp_path / "read.json", data)
    read = annotations.read_annotations(tmp_path / "read.json")
    assert len(coco.person_boxes(read, chosen[0]["id"])) == 1
    write_json(tmp_path / "alone.json", data | {"annotations": [persons[30]]})
    with pytest.raises(PoseGaugeError, match="outside its image"):
        annotations.read_annotations(tmp_path / "alone.json")


def test_all_persons_of_a_chosen_image_are_kept(tmp_path):
    persons = [person(1, 0), person(2, 0, 0), person(3, 0, iscrowd=1), person(4, 1)]
    data, _ = choose_train(train_file(tmp_path / "a.json", 2, persons), 1)
    assert [a["id"] for a in data["annotations"] if a["image_id"] == 0] == [1, 2, 3]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "is no person_keypoints_train2017.json (JSONDecodeError"),
        ("[]", "is no person_keypoints_train2017.json (TypeError"),
        ('{"images": []}', "is no person_keypoints_train2017.json (KeyError"),
        ('{"images": [], "annotations": [{"image_id": 3}], "categories": []}', "(KeyError: 'id')"),
        (
            '{"images": [], "annotations": [], "categories": []}',
            "no image has a person with annotated keypoints",
        ),
    ],
)
def test_another_file_than_that_of_train2017(tmp_path, content, told):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(PoseGaugeError) as caught:
        choose_train(tmp_path / "a.json", 3)
    assert f"{tmp_path}/a.json: " in str(caught.value) and told in str(caught.value)
    assert "precision.calibration: scenes" in str(caught.value)


def test_real_annotations_in_place_of_those_of_train2017(tmp_path, real):
    path = real / "coco/annotations/person_keypoints_val2017.json"
    whole = read_json(path)
    data, chosen = choose_train(path, 8)
    with_keypoints = {a["image_id"] for a in whole["annotations"] if a["num_keypoints"] and not a["iscrowd"]}
    assert len(chosen) == 8 and set(ids(chosen)) <= with_keypoints == set(ids(data["images"]))
    write_json(tmp_path / "read.json", data)
    read = annotations.read_annotations(tmp_path / "read.json")
    assert len(read["annotations"]) == sum(a["image_id"] in with_keypoints for a in whole["annotations"])


def test_the_archive_of_train2017_is_known_and_fetched_in_parts_alone():
    row = read_table(ROOT / "config/downloads.tsv").loc[calibration.TRAIN_ARCHIVE]
    assert row["bytes"] == 19_336_861_798 and len(row["sha256"]) == 64
    assert calibration.TRAIN_ARCHIVE in IN_PARTS


# ------------------------------------------------------------------------------------ a folder of the user's


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    """A folder with two data sets, own/ (8 images, two of them empty) and scored/ (4), of other seeds."""
    folder = tmp_path_factory.mktemp("int8")
    for name, count, empty, seed in (("own", 8, 2, 3), ("scored", 4, 0, 4)):
        write_scenes(folder / name / "images", folder / name / "annotations.json", count, empty, seed)
    return folder


@pytest.fixture
def config(scenes, tmp_path) -> dict:
    """A config of a copy of both: a data set of kind folder, and images for INT8."""
    shutil.copytree(scenes, tmp_path, dirs_exist_ok=True)
    found = load("config/config.yaml")
    paths = {
        name: {"images": f"{tmp_path}/{name}/images", "annotations": f"{tmp_path}/{name}/annotations.json"}
        for name in ("own", "scored")
    }
    found["dataset"] |= {"kind": "folder", "expected_person_images": None, **paths["scored"]}
    found["precision"]["calibration"] = paths["own"]
    return found


def own(config, key) -> Path:
    return Path(config["precision"]["calibration"][key])


def refused(config) -> str:
    """What is said; each line names the key."""
    with pytest.raises(PoseGaugeError) as caught:
        given.check_calibration(config)
    assert all(line.startswith("precision.calibration: ") for line in str(caught.value).splitlines())
    return str(caught.value)


@pytest.mark.parametrize(("count", "taken"), [(1, 1), (3, 3), (6, 6), (64, 6)])
def test_images_of_the_users_are_spread_evenly(config, count, taken):
    data, chosen = choose_own(own(config, "annotations"), own(config, "images"), count)
    with_persons = sorted(
        {a["image_id"] for a in data["annotations"]},
        key={i["id"]: i["file_name"] for i in data["images"]}.get,
    )
    assert len(with_persons) == 6 and ids(chosen) == [
        e["id"] for e in coco.spread([{"id": i} for i in with_persons], count)
    ]
    assert len(chosen) == taken
    assert all(len(coco.person_boxes(data, entry["id"])) for entry in chosen)


def test_good_images_of_the_users_pass_and_are_not_looked_at_twice(config, tmp_path, monkeypatch):
    verdict = tmp_path / "verdict.json"
    first = given.check_calibration(config, verdict)
    monkeypatch.setattr(given, "_look", lambda config: pytest.fail("looked again"))
    assert given.check_calibration(config, verdict) == first
    image = next(own(config, "images").glob("*.jpg"))
    os.utime(image, (1, 1))
    with pytest.raises(pytest.fail.Exception, match="looked again"):
        given.check_calibration(config, verdict)


def test_another_image_of_the_data_set_is_a_reason_to_look_again(config, tmp_path):
    verdict = tmp_path / "verdict.json"
    given.check_calibration(config, verdict)
    # The data set gets a copy of an image of the other folder in place of its own.
    scored = sorted(Path(config["dataset"]["images"]).glob("*.jpg"))[0]
    name = calibrated(config)[2]
    shutil.copyfile(own(config, "images") / name, scored)
    with pytest.raises(PoseGaugeError, match="calibration and scores would share images"):
        given.check_calibration(config, verdict)


def calibrated(config) -> list[str]:
    _, chosen = choose_own(own(config, "annotations"), own(config, "images"), 64)
    return [entry["file_name"] for entry in chosen]


def test_images_that_are_scored_too_are_named(config):
    folder, scored = own(config, "images"), Path(config["dataset"]["images"])
    names = calibrated(config)
    theirs = sorted(path.name for path in scored.glob("*.jpg"))
    # The same content under another name; a change of one byte at the same length is another image.
    shutil.copyfile(folder / names[4], scored / theirs[1])
    shutil.copyfile(folder / names[2], scored / theirs[3])
    line = refused(config)
    assert "calibration and scores would share images: 2 are also images of the data set: " in line
    assert f": {names[2]} = {theirs[3]}, {names[4]} = {theirs[1]}; take them out" in line
    assert str(folder) in line
    content = bytearray((folder / names[2]).read_bytes())
    content[-2:] = b"\xff\xd8"
    (folder / names[2]).write_bytes(content)
    pairs = calibration.shared(folder, names, scored, [*theirs, "missing.jpg"])
    assert pairs == [(names[4], theirs[1])]


def test_a_data_set_cannot_calibrate_itself(config):
    config["precision"]["calibration"] = {key: config["dataset"][key] for key in ("images", "annotations")}
    assert "would share images: 4 are also images of the data set" in refused(config)


def test_of_another_kind_the_images_are_compared_in_the_job(config, tmp_path):
    """Those of COCO are not there before the first job."""
    folder, scored = own(config, "images"), Path(config["dataset"]["images"])
    names = calibrated(config)
    theirs = sorted(path.name for path in scored.glob("*.jpg"))
    listed = tmp_path / "person_images.json"
    listed.write_text(json.dumps({"images": [{"file_name": name} for name in theirs]}))
    entries = [{"file_name": name} for name in names]
    calibration.refuse_shared(folder, entries, scored, listed)
    shutil.copyfile(folder / names[0], scored / theirs[0])
    config["dataset"] |= {"kind": "coco", "images": None, "annotations": None}
    given.check_calibration(config)
    with pytest.raises(PoseGaugeError, match=r"^precision.calibration: .*would share images: 1 are"):
        calibration.refuse_shared(folder, entries, scored, listed)


def test_every_fault_of_the_users_images_is_told_with_the_key(config):
    names = calibrated(config)
    (own(config, "images") / names[0]).write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    cv2.imwrite(str(own(config, "images") / names[1]), np.zeros((7, 7, 3), np.uint8))
    lines = refused(config).splitlines()
    assert len(lines) == 2
    assert "HEIC/HEIF, which is not read" in lines[0] + lines[1] and "another size" in lines[0] + lines[1]
    config["dataset"]["unreadable"] = "skip"
    assert given.check_calibration(config).notes
    _, chosen = choose_own(own(config, "annotations"), own(config, "images"), 64, unreadable="skip")
    assert [entry["file_name"] for entry in chosen] == names[2:]


def test_annotations_of_the_users_without_a_usable_person(config):
    path = own(config, "annotations")
    data = read_json(path)
    data["annotations"] = []
    path.write_text(json.dumps(data))
    assert "none of its 8 images has a person annotation" in refused(config)
    path.write_text("<html>")
    assert f"precision.calibration: {path}: is HTML" in refused(config)


def test_keypoints_in_an_empty_box_are_nobodys(config):
    """The reader takes odd boxes among many; ranges need one whose crop can be cut."""
    data = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 320, "height": 240}],
        "annotations": [person(1, 1, iscrowd=1), person(2, 1, 0), person(3, 1, bbox=[20, 15, 40, 0])],
    }
    assert calibration.with_keypoints(data["images"], data) == []
    data["annotations"] += [person(4, 1, 1)]
    assert ids(calibration.with_keypoints(data["images"], data)) == [1]
