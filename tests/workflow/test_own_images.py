"""The user's own images: what does not fit is told before the first job; what changes is made again."""

import json
import re

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

LIST = "data/mine/person_images.json"
DATASET = {
    "kind": "folder",
    "name": "mine",
    "images": "mine/images",
    "annotations": "mine/annotations.json",
    "expected_person_images": None,
}


def pixels(number):
    noise = np.random.default_rng(number).integers(0, 256, (240, 320, 3), np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 4)


def standing(number):
    """The keypoints of a person who stands upright, head above."""
    x = [60, 63, 57, 66, 54, 75, 45, 82, 38, 84, 36, 70, 50, 71, 49, 72, 48]
    y = [40, 37, 37, 40, 40, 60, 60, 90, 90, 118, 118, 120, 120, 160, 160, 200, 200]
    return [
        value for point in zip(np.array(x) + number, y, [2] * 17, strict=True) for value in map(int, point)
    ]


@pytest.fixture(scope="module")
def mine(session_workspace):
    workspace = session_workspace("mine")
    folder = workspace.path / "mine/images"
    folder.mkdir(parents=True)
    names = [f"{number}.jpg" for number in range(3)]
    for number, name in enumerate(names):
        cv2.imwrite(str(folder / name), pixels(number))
    (workspace.path / "mine/annotations.json").write_text(
        json.dumps(
            {
                "images": [
                    {"id": n, "file_name": name, "width": 320, "height": 240} for n, name in enumerate(names)
                ],
                "annotations": [
                    {
                        "id": n + 1, "image_id": n, "category_id": 1, "iscrowd": 0, "num_keypoints": 17,
                        "bbox": [30 + n, 30, 60, 180], "area": 6000, "keypoints": standing(n),
                    }
                    for n in range(3)
                ],
                "categories": [{"id": 1, "name": "person", "keypoints": [], "skeleton": []}],
            }
        )
    )  # fmt: skip
    workspace.write("mine.yaml", yaml.safe_dump({"dataset": DATASET, "video": {"input": None}}))
    workspace.write("skip.yaml", "dataset: {unreadable: skip}\nsuites: [study, coco_c]\n")
    workspace.snakemake(LIST, configs=("config/demo.yaml", "mine.yaml"))
    return workspace


def again(mine, *configs, check=True, options=("-n",)):
    """The output of a run that makes the list of images, in which nothing is done."""
    configs = ("config/demo.yaml", "mine.yaml", *configs)
    return mine.snakemake(LIST, configs=configs, options=options, check=check).stdout


def test_a_changed_image_makes_the_list_again_and_a_foreign_file_does_not(mine):
    folder = mine.path / "mine/images"
    (folder / "Thumbs.db").write_bytes(b"made by a file manager")
    (folder / "notes.txt").write_text("of the user")
    assert "Nothing to be done" in again(mine)
    cv2.imwrite(str(folder / "1.jpg"), pixels(7))
    told = again(mine, options=())
    assert "List the images with persons" in told and "Params have changed" in re.sub(r"\s+", " ", told)


def test_every_fault_of_the_images_is_told_before_the_first_job(mine):
    folder = mine.path / "mine/images"
    whole = {name: (folder / name).read_bytes() for name in ("0.jpg", "1.jpg", "2.jpg")}
    (folder / "0.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    content = bytearray(whole["1.jpg"])
    content[len(content) // 3 : -len(content) // 3] = bytes(
        len(content[len(content) // 3 : -len(content) // 3])
    )
    (folder / "1.jpg").write_bytes(content)
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.open(folder / "2.jpg").save(folder / "2.jpg", exif=exif.tobytes())
    told = again(mine, check=False)
    assert "1 of 3 images: HEIC/HEIF, which is not read: 0.jpg" in told
    assert "1 of 3 images: damaged: 1.jpg (Corrupt JPEG data" in told
    assert "2.jpg (orientation 3)" in told and "dataset.exif: applied" in told
    mine.write("exif.yaml", "dataset: {exif: ignored}\n")
    again(mine, "skip.yaml", "exif.yaml", options=())
    record = json.loads((mine.path / LIST).read_text())
    assert record["unreadable"] == ["0.jpg", "1.jpg"] and [i["file_name"] for i in record["images"]] == [
        "2.jpg"
    ]
    assert any("annotated as stored" in note for note in record["notes"])
    read = json.loads((mine.path / "data/mine/read_annotations.json").read_text())
    (person,) = [a for a in read["annotations"] if a["image_id"] == 2]
    assert person["bbox"] == [320 - 32 - 60, 240 - 30 - 180, 60, 180]
    assert person["keypoints"][:3] == [319 - 62, 239 - 40, 2]
    for name, content in whole.items():
        (folder / name).write_bytes(content)
