"""The person images, on real data."""

import os
from pathlib import Path

import pytest

from posegauge.data import coco
from posegauge.data.annotations import read_annotations

ROOT = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("POSEGAUGE_REAL", ROOT.parent / "shared" / "real")) / "coco"
REAL_ANNOTATIONS = REAL / "annotations" / "person_keypoints_val2017.json"
needs_real = pytest.mark.skipif(not REAL_ANNOTATIONS.is_file(), reason=f"no real photographs at {REAL}")


@needs_real
def test_real_photographs():
    record = coco.filter_person_images(REAL_ANNOTATIONS, "real", expected=44, images=REAL / "val2017")
    assert record["images_total"] == 54 and record["images"][0]["file_name"] == "000000000139.jpg"
    assert record["notes"] == []
    data = read_annotations(REAL_ANNOTATIONS)
    boxes = sum(len(coco.person_boxes(data, image["id"])) for image in record["images"])
    assert boxes == sum(not a["iscrowd"] for a in data["annotations"])
