"""The photographs of config/photographs.yaml: what the list says, and taking them out of COCO's archives."""

import json
import zipfile

import pytest
import yaml

from conftest import ROOT
from posegauge.data import photographs
from posegauge.data.archives import ANNOTATIONS_MEMBER, IMAGES_PREFIX
from posegauge.errors import PoseGaugeError
from posegauge.store.files import sha256_file

LISTED = photographs.read_list(ROOT / "config" / "photographs.tsv")
ANNOTATIONS = "coco/annotations/person_keypoints_val2017.json"


def test_the_config_names_only_files_of_the_list():
    config = yaml.safe_load((ROOT / "config" / "photographs.yaml").read_text(encoding="utf-8"))
    listed = {f"data/photographs/{name}" for name in LISTED}
    dataset, models = config["dataset"], config["models"]
    assert {dataset["annotations"], *(model["onnx"] for model in models.values())} <= listed
    assert f"{dataset['images']}/{config['benchmark']['image']}" in listed
    text = (ROOT / "docs" / "photographs.md").read_text(encoding="utf-8")
    assert all(LISTED[name][:12] in text for name in LISTED if name.startswith("models/"))


def archives(folder, images: dict[str, bytes], annotations: dict) -> dict:
    """Write archives laid out like COCO's; return the table that has them."""
    held = {
        "annotations_trainval2017.zip": {ANNOTATIONS_MEMBER: json.dumps(annotations)},
        "val2017.zip": {IMAGES_PREFIX + name: content for name, content in images.items()},
    }
    for file, members in held.items():
        with zipfile.ZipFile(folder / file, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    row = {"url": "http://none.invalid", "bytes": None, "members": ""}
    return {file: row | {"file": file, "sha256": sha256_file(folder / file)} for file in held}


def whole(images) -> dict:
    """Annotations of images with these ids, two of each, mixed up, and of one more."""
    ids = [*images, 99]
    return {
        "info": {"year": 2017},
        "images": [{"id": number, "file_name": f"{number:012d}.jpg"} for number in reversed(ids)],
        "annotations": [{"id": 100 * turn + number, "image_id": number} for turn in (2, 1) for number in ids],
        "categories": [{"id": 1, "name": "person"}],
    }


def test_a_part_of_the_annotations_keeps_all_else():
    found = photographs.subset(whole((7, 3)), {"000000000003.jpg", "000000000007.jpg"})
    assert [image["id"] for image in found["images"]] == [3, 7]
    assert [annotation["id"] for annotation in found["annotations"]] == [203, 103, 207, 107]
    assert found["info"] == {"year": 2017} and found["categories"] == [{"id": 1, "name": "person"}]


def test_photographs_come_out_of_the_archives_and_are_checked(tmp_path):
    pictures = {f"{number:012d}.jpg": b"picture %d" % number for number in (3, 7, 99)}
    table = archives(tmp_path, pictures, whole((7, 3)))
    listed = {f"coco/val2017/{name}": "0" * 64 for name in list(pictures)[:2]} | {ANNOTATIONS: "0" * 64}
    with pytest.raises(PoseGaugeError, match=r"3 of 3 files have another sha256 .* not COCO's of 2017"):
        photographs.take(listed, table, tmp_path, tmp_path / "out")
    listed = {name: sha256_file(tmp_path / "out" / name) for name in listed}
    photographs.take(listed, table, tmp_path, tmp_path / "again")
    assert (tmp_path / "again/coco/val2017/000000000003.jpg").read_bytes() == b"picture 3"
    assert not (tmp_path / "again/coco/val2017/000000000099.jpg").exists()
    with pytest.raises(PoseGaugeError, match=r"not in it: 1 of the 3 files"):
        photographs.take(listed | {"coco/val2017/x.jpg": "0" * 64}, table, tmp_path, tmp_path / "third")


def test_the_real_ones_are_those_of_the_list(real, tmp_path):
    """Taken out of archives that hold nothing else, they are the listed bytes, annotations included."""
    images = {path.name: path.read_bytes() for path in sorted((real / "coco/val2017").glob("*.jpg"))}
    annotations = json.loads((real / ANNOTATIONS).read_bytes())
    photographs.take(LISTED, archives(tmp_path, images, annotations), tmp_path, tmp_path / "out")
    for name in LISTED:
        if name.startswith("models/"):
            assert sha256_file(real / name) == LISTED[name]
