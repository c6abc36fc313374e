"""AP over all images beside AP over those with persons: list, scores, page, external check."""

import contextlib
import copy
import io
from pathlib import Path

import numpy as np
import pytest
from fake_results import MACHINE, fake_scores, write_scores
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from posegauge.compare.published import external_check, read_published
from posegauge.data.coco import list_other_images
from posegauge.data.keypoint_names import NAMES
from posegauge.errors import PoseGaugeError
from posegauge.report import all_images, pages
from posegauge.report.records import Run
from posegauge.score.all_images import score_all_images
from posegauge.store.files import write_json

ROOT = Path(__file__).resolve().parents[2]
RECORD = {
    "settings": {"person_thr": 0.5},
    "unreadable": [],
    "provenance": {"machine": MACHINE, "versions": {}},
}


# A person who stands in the box 20, 10, 50, 100.
BODY = [
    (45, 18), (48, 15), (42, 15), (51, 17), (39, 17), (57, 32), (33, 32), (62, 48), (28, 48), (64, 62),
    (26, 62), (53, 62), (37, 62), (54, 84), (36, 84), (55, 106), (35, 106),
]  # fmt: skip


def person(image_id: int, number: int) -> dict:
    keypoints = np.column_stack([BODY, np.full(17, 2)])
    return {
        "id": number, "image_id": image_id, "category_id": 1, "iscrowd": 0, "area": 5000,
        "bbox": [20, 10, 50, 100], "keypoints": keypoints.reshape(-1).tolist(), "num_keypoints": 17,
    }  # fmt: skip


def found(image_id: int, score: float, shift: float = 0.0) -> dict:
    """What the pipeline found: a person at the place of `person`, `shift` pixels beside it."""
    keypoints = np.array(person(image_id, 1)["keypoints"], float).reshape(17, 3)
    keypoints[:, 0] += shift
    return {
        "image_id": image_id, "category_id": 1, "bbox": [20 + shift, 10, 50, 100], "score": score,
        "keypoints": keypoints.reshape(-1).tolist(), "box_score": score, "box_source": "detected",
    }  # fmt: skip


@pytest.fixture
def data(tmp_path):
    """Twelve images, in file order with a person each in the even ones."""
    content = {
        "images": [
            {"id": 100 - n, "file_name": f"{n:02}.jpg", "width": 200, "height": 200} for n in range(12)
        ],
        "annotations": [person(100 - n, n + 1) for n in range(0, 12, 2)],
        "categories": [{"id": 1, "name": "person", "keypoints": list(NAMES), "skeleton": []}],
    }
    write_json(tmp_path / "read.json", {**content, "info": {"annotations_sha256": "a" * 64, "notes": []}})
    return content, tmp_path / "read.json"


def person_images(content: dict, most: int | None = None) -> dict:
    """As filter_person_images lists them."""
    known = {entry["image_id"] for entry in content["annotations"]}
    images = [image for image in content["images"] if image["id"] in known]
    return {
        "schema_version": 1, "dataset": "mine", "annotations_sha256": "a" * 64, "notes": [], "unreadable": [],
        "images_total": len(content["images"]), "person_images": len(images), "images": images[:most],
    }  # fmt: skip


def names(record: dict) -> list[str]:
    return [entry["file_name"] for entry in record["images"]]


def test_the_other_images_are_those_without_persons(data, tmp_path):
    content, path = data
    persons = person_images(content)
    others = list_other_images(path, persons)
    assert names(others) == [f"{n:02}.jpg" for n in range(1, 12, 2)]
    assert len(persons["images"]) + len(others["images"]) == persons["images_total"] == 12
    write_json(tmp_path / "other_images.json", others, "person_images.schema.yaml")


def test_of_the_first_person_images_only_what_lies_between_is_added(data):
    content, path = data
    others = list_other_images(path, person_images(content, 3))
    assert names(others) == ["01.jpg", "03.jpg"]  # the third image with a person is 04.jpg
    with pytest.raises(PoseGaugeError, match=r"set dataset\.score_images: persons"):
        list_other_images(path, person_images(content, 1))


@pytest.fixture
def scored(data):
    """Every person found, at .6, and at .9 a false one in two images with nobody."""
    content, path = data
    with_persons, others = ([100 - n for n in range(first, 12, 2)] for first in (0, 1))
    results = [found(image, 0.6) for image in with_persons] + [found(image, 0.9) for image in others[:2]]
    record = RECORD | {
        "images": [{"image_id": image} for image in with_persons + others],
        "annotations_sha256": "a" * 64,
    }
    return score_all_images(path, record, results, len(with_persons), 7, 100), content, results, record


def test_false_persons_on_images_without_persons_count_over_all_images(scored):
    record, *_ = scored
    value = {
        name: {side: known["value"] for side, known in found.items()}
        for name, found in record["scores"].items()
    }
    assert (record["images"], record["person_images"]) == (12, 6)
    assert value["ap"]["persons"] == value["box_ap"]["persons"] == 1.0
    # Two false ones come first: precision is at best 6 / 8, at the last person.
    assert value["ap"]["all"] == value["box_ap"]["all"] == pytest.approx(0.75)
    assert value["ap"]["difference"] == pytest.approx(-0.25)
    assert value["ar"] == {"all": 1.0, "persons": 1.0, "difference": 0.0}
    assert value["false_positives_per_image"]["all"] == pytest.approx(2 / 12)
    assert value["false_positives_per_image"]["persons"] == 0
    # Paired, on draws of all twelve images.
    low, high = (record["scores"]["ap"]["difference"][end] for end in ("low", "high"))
    assert low < -0.25 < high <= 0 and record["interval"]["resamples"] == 100


def test_over_all_images_it_is_what_pycocotools_says(scored):
    record, content, results, _ = scored
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(content)
        truth.createIndex()
        known = [{key: r[key] for key in ("image_id", "category_id", "keypoints", "score")} for r in results]
        evaluation = COCOeval(truth, truth.loadRes(known), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    for name, index in (("ap", 0), ("ap50", 1), ("ap75", 2), ("ar", 5)):
        assert record["scores"][name]["all"]["value"] == pytest.approx(evaluation.stats[index], abs=1e-12)


def test_predictions_of_other_annotations_are_refused(scored, data):
    *_, results, record = scored
    with pytest.raises(PoseGaugeError, match="predict again"):
        score_all_images(data[1], record | {"annotations_sha256": "0" * 64}, results, 6, 7, 100)


@pytest.fixture
def run(scored, tmp_path):
    """The folder of a run with scores of clean images over both."""
    (tmp_path / "run/robustness").mkdir(parents=True)
    write_scores(tmp_path / "run/robustness", [fake_scores("clean")])
    write_json(tmp_path / "run/all_images.json", scored[0], "all_images.schema.yaml")
    return Run.of_folder(tmp_path / "run")


def test_the_page_says_over_which_images_each_is(run):
    table = all_images.table(run)
    assert list(table.columns) == list(all_images.COLUMNS) and len(table) == len(all_images.TITLES)
    text = all_images.text(table, run, "Fake-m on fakes", "Invented.")
    assert "| Clean images | All 12 images | The 6 with persons | Difference |" in text
    assert "| AP | 0.750 [" in text and "| 1.000 [1.000, 1.000] | -0.250 [" in text
    assert "Fake-m on fakes · 12 images, 6 of them with persons" in text and text.endswith("*Invented.*\n")


def test_the_page_is_shown_where_all_images_are_scored():
    times = ["latency", "parity", "roofline", "peers", "batches", "cameras"]
    tables = [page.table for page in pages.shown([*times, "scores", "throughput"])]
    assert "all_images" not in tables and "robustness" in tables and "detect_every" not in tables
    assert "all_images" in [page.table for page in pages.shown([*times, "scores", "all_images"])]
    assert "all_images" not in [page.table for page in pages.shown(times)]
    assert "detect_every" in [page.table for page in pages.shown([*times, "detect_every"])]


CHECKPOINT = "data/downloads/rtmpose-m_simcc-coco_pt-aic-coco_420e-256x192-d8dd5ca4_20230127.pth"


def test_a_published_ap_stands_beside_that_of_a_run_with_the_checkpoint(run, tmp_path):
    published = read_published(ROOT / "config/published_t4.yaml")
    assert Path(CHECKPOINT).name in (ROOT / "config/config.yaml").read_text()
    text = external_check(published, run, CHECKPOINT, flip_test=False)
    assert "publish AP 0.746 (with flip test, in boxes of a detector with person AP 0.564" in text
    assert "over all 5,000 images of COCO val2017" in text and "rtmpose_coco" in text
    assert "This run, without flip test" in text
    assert "over the 100 images with persons and 0.750 over all 12 images" in text
    write_scores(tmp_path, [fake_scores("clean")])
    only = external_check(published, Run({"scores": [tmp_path / "clean.json"]}), CHECKPOINT, flip_test=True)
    assert "a little above that over all images" in only and "This run, with flip test" in only
    assert external_check(published, run, "data/demo/rtmpose_t_demo.pth", False) is None
    assert external_check(published, run, None, False) is None
