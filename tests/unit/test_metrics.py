"""Scores against annotations: known answers, agreement with pycocotools, images that count several times."""

import contextlib
import copy
import io
import json
import logging
import runpy
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from posegauge import logs
from posegauge.data.keypoint_names import NAMES
from posegauge.errors import PoseGaugeError
from posegauge.score import bootstrap, metrics
from posegauge.score.doubt import doubt
from posegauge.score.truth import Truth
from posegauge.store import image_ids
from posegauge.store.files import SCHEMAS, read_json, sha256_json, write_json
from posegauge.study import PREDICTION_SETS

CATEGORIES = [{"id": 1, "name": "person", "keypoints": list(NAMES), "skeleton": []}]


# --------------------------------------------------------------------------------------- small data sets


def dataset(persons: list[dict], image_ids) -> dict:
    """A COCO annotation file; the persons get ids from 1 on."""
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 200, "height": 200} for i in image_ids]
    persons = [{**person, "id": number} for number, person in enumerate(persons, 1)]
    info = {"annotations_sha256": "a" * 64, "notes": []}
    return {"info": info, "images": images, "annotations": persons, "categories": CATEGORIES}


def truth(data: dict) -> Truth:
    return Truth(copy.deepcopy(data))


def plain(data: dict) -> COCO:
    annotations = COCO()
    annotations.dataset = copy.deepcopy(data)
    annotations.createIndex()
    return annotations


def annotate(image_id, left=20, top=10, size=100, visible=17, crowd=0):
    """A person whose keypoints run down its box, the first `visible` of them labelled."""
    place = np.r_[np.linspace(0, 0.1, 5), np.linspace(0.2, 1, 12)]  # the face is small
    xs, ys = left + size / 2 * place, top + size * place
    labels = np.where(np.arange(17) < visible, 2, 0)
    return {
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": crowd,
        "area": size * size / 2,
        "bbox": [left, top, size / 2, size],
        "keypoints": np.stack([xs, ys, labels], 1).reshape(-1).tolist(),
        "num_keypoints": visible,
    }


def predict(person, shift=0.0, score=0.72, box_score=0.9, keypoint_score=0.8, source="detected"):
    """A prediction of an annotated person, `shift` pixels beside it."""
    keypoints = np.array(person["keypoints"], float).reshape(17, 3)
    keypoints[:, 0] += shift
    keypoints[:, 2] = keypoint_score
    left, top, width, height = person["bbox"]
    return {
        "image_id": person["image_id"],
        "category_id": 1,
        "bbox": [left + shift, top, width, height],
        "keypoints": keypoints.reshape(-1).tolist(),
        "score": score,
        "box_score": box_score,
        "box_source": source,
    }


TWO = dataset([annotate(1, 20), annotate(2, 60), annotate(3, 0, 0, 60, 0, crowd=1)], [1, 2, 3])


def perfect(image_ids=(1, 2), **changes):
    return [predict(person, **changes) for person in TWO["annotations"] if person["image_id"] in image_ids]


def score(data, predictions, image_ids, weights=None, person_thr=0.5, fallback=None):
    """Scores of detected boxes; `predictions` stand in for all four sets."""
    weights = np.ones((1, len(image_ids)), int) if weights is None else weights
    found = metrics.read_predictions(predictions, image_ids, "predictions.json")
    fallback = np.zeros(len(image_ids), bool) if fallback is None else fallback
    thresholds = {"detected": person_thr, "original": person_thr}
    sets = dict.fromkeys(PREDICTION_SETS, found)
    return metrics.score_sets(truth(data), sets, image_ids, fallback, thresholds, weights)


def detected(*arguments, **settings):
    """The same as plain numbers, of the first row."""
    scores, counts, _ = score(*arguments, **settings)
    return SimpleNamespace(**{key: row[0] for key, row in scores["detected"].items()}, **counts["detected"])


# ----------------------------------------------------------------------------------------- known answers


def test_perfect_predictions_score_one():
    found = detected(TWO, perfect(), [1, 2, 3])
    for name in (*metrics.KEYPOINT_METRICS, "box_ap"):
        expected = 1 if name != "ap_large" else np.nan  # none of them is large
        assert getattr(found, name) == pytest.approx(expected, nan_ok=True), name
    assert found.person_recall == found.mean_similarity == 1
    assert found.false_positives_per_image == found.missed_person_rate == 0
    assert found.images_detected == found.persons == 2
    assert found.detection_rate == found.persons_per_image == pytest.approx(2 / 3)
    assert found.mean_confidence == pytest.approx(0.8)
    assert found.ece == pytest.approx(0.2)


def test_a_missed_person_halves_recall():
    found = detected(TWO, perfect((1,)), [1, 2])
    assert found.ar == found.person_recall == found.missed_person_rate == 0.5
    assert found.ap == pytest.approx(0.5, abs=0.01)


def test_nothing_found_is_zero_not_a_crash():
    found = detected(TWO, [], [1, 2])
    assert found.ap == found.box_ap == found.ar == found.detection_rate == found.person_recall == 0
    assert found.missed_person_rate == 1
    assert np.isnan([found.mean_confidence, found.mean_similarity, found.ece]).all()


@pytest.mark.parametrize("results", [[], perfect((1,))], ids=["nothing found", "something found"])
def test_where_there_is_nothing_to_find_there_is_no_ap(results):
    results = [{**result, "image_id": 3} for result in results]
    found = detected(TWO, results, [3])
    assert np.isnan([found.ap, found.ar, found.box_ap, found.person_recall, found.missed_person_rate]).all()
    assert found.images_detected == len(results)


def test_boxes_below_the_threshold_are_not_persons_but_count_for_ap():
    found = detected(TWO, perfect(box_score=0.49), [1, 2])
    assert found.images_detected == found.person_recall == 0
    assert found.ap == found.box_ap == pytest.approx(1)


def test_displaced_keypoints_cost_keypoint_ap_only():
    results = perfect()
    for result in results:
        result["keypoints"] = [
            value + 40 if index % 3 == 0 else value for index, value in enumerate(result["keypoints"])
        ]
    found = detected(TWO, results, [1, 2])
    assert found.ap < 0.2 and found.mean_similarity < 0.2
    assert found.box_ap == pytest.approx(1)


def test_only_boxes_that_match_nobody_are_false():
    crowd = TWO["annotations"][2]
    results = [
        *perfect(),
        predict(TWO["annotations"][0], box_score=0.6),  # a second box of the same person
        predict(annotate(2, 140, 150, 40), box_score=0.6),
        predict(annotate(2, 100, 150, 40), box_score=0.4),  # too weak to be a person
        predict(crowd, box_score=0.6),
        predict(crowd, box_score=0.6),
    ]
    found = detected(TWO, results, [1, 2, 3])
    assert found.false_positives_per_image == pytest.approx(2 / 3)
    assert found.person_recall == 1  # the crowd is nobody to be found


def test_a_box_in_a_crowd_does_not_make_up_for_a_missed_person():
    data = dataset([annotate(1, 20), annotate(1, 120, 100, 60, 0, crowd=1)], [1])
    found = detected(data, [predict(data["annotations"][1])], [1])
    assert (found.person_recall, found.missed_person_rate, found.false_positives_per_image) == (0, 1, 0)


def test_a_stronger_weak_box_takes_no_person_away():
    # The weaker box lies better, but the stronger one is matched first, as if the weaker did not exist.
    person = TWO["annotations"][0]
    results = [predict(person, box_score=0.55, shift=10), predict(person, box_score=0.45)]
    found = detected(TWO, results, [1])
    assert (found.person_recall, found.false_positives_per_image) == (1, 0)


def test_a_person_without_keypoints_is_to_be_detected_but_not_to_be_posed():
    data = dataset([annotate(1, 20), annotate(1, 120, visible=0)], [1])
    found = detected(data, [predict(data["annotations"][0])], [1])
    assert found.ap == pytest.approx(1) and found.missed_person_rate == 1
    assert found.person_recall == 0.5 and found.box_ap < 0.6


def test_the_study_s_fall_backs_are_counted():
    scores, counts, _ = score(TWO, perfect((1,)), [1, 2, 3], fallback=np.array([False, True, True]))
    assert counts["original"] == {"images_detected": 1, "persons": 1, "fallback_images": 2}
    assert scores["original"]["fallback_rate"] == pytest.approx(2 / 3)
    assert set(scores) == set(PREDICTION_SETS)


def test_the_predictions_and_annotations_are_left_as_they_were():
    predictions = perfect()
    before = json.dumps(predictions)
    annotations = truth(TWO)
    first = metrics.keypoint_scores(annotations, predictions, [1, 2, 3])
    assert json.dumps(predictions) == before
    metrics.evaluate(annotations, metrics.box_results(predictions), [1, 2, 3], "bbox", ["all"])
    again = metrics.keypoint_scores(annotations, predictions, [1, 2, 3])
    np.testing.assert_equal(first, again)


# -------------------------------------------------------------------------------- as pycocotools has it


def reference(data, results, image_ids, iou_type) -> dict:
    """The figures of COCOeval.summarize; NaN where it says -1."""
    with contextlib.redirect_stdout(io.StringIO()):
        annotations = plain(data)
        empty = plain({**data, "annotations": []})
        found = annotations.loadRes(copy.deepcopy(results)) if results else empty
        evaluation = COCOeval(annotations, found, iou_type)
        evaluation.params.imgIds, evaluation.params.catIds = image_ids, [1]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    stats = np.where(evaluation.stats < 0, np.nan, evaluation.stats)
    names = {"ap": 0, "ap50": 1, "ap75": 2, "ap_medium": 3, "ap_large": 4, "ar": 5}
    if iou_type == "bbox":
        names = {"ap": 0, "ap50": 1, "ap75": 2, "ap_medium": 4, "ap_large": 5, "ar": 8}
    return {name: stats[index] for name, index in names.items()}


def assert_same(found: dict, expected: dict, row=0):
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name][row], value, rtol=0, atol=1e-12, err_msg=name)


def average_precision(data, predictions, image_ids, iou_type, weights=None):
    """Ours, for all areas of the kind."""
    weights = np.ones((1, len(image_ids)), int) if weights is None else weights
    convert = metrics.keypoint_results if iou_type == "keypoints" else metrics.box_results
    areas = ("all", "medium", "large")
    evaluation = metrics.evaluate(truth(data), convert(predictions), image_ids, iou_type, areas)
    return metrics.average_precision(evaluation, image_ids, weights)


# Few values, so that scores tie and places coincide; sizes in each of COCO's area ranges.
PLACES = st.sampled_from([0, 30, 60, 120])
KINDS = st.sampled_from([(17, 0), (17, 0), (4, 0), (0, 0), (0, 1)])  # (labelled keypoints, crowd)
PERSONS = st.builds(
    lambda left, top, size, kind: (left, top, size, *kind),
    PLACES, PLACES, st.sampled_from([20, 60, 120, 200]), KINDS,
)  # fmt: skip
SHIFTS = st.sampled_from([0, 0, 1, 2, 5, 9, 30])
GRID = [0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.9, 1.0]


@st.composite
def datasets(draw, ties=True):
    """Annotation file, predictions, image ids in some order; without `ties` an image's scores all differ."""
    image_ids = draw(st.lists(st.integers(1, 500), min_size=1, max_size=5, unique=True))
    persons, predictions = [], []
    for image_id in image_ids:
        here = [annotate(image_id, *person) for person in draw(st.lists(PERSONS, max_size=4))]
        persons += here
        others = [annotate(image_id, *person) for person in draw(st.lists(PERSONS, max_size=2))]
        chosen = draw(st.lists(st.sampled_from(here + others), max_size=len(GRID))) if here + others else []
        scores = st.lists(st.sampled_from(GRID), min_size=len(chosen), max_size=len(chosen), unique=not ties)
        for person, value, box in zip(chosen, draw(scores), draw(scores), strict=True):
            shift = draw(SHIFTS) * person["bbox"][3] / 60
            predictions.append(predict(person, shift, value, box, keypoint_score=box))
    return dataset(persons, image_ids), predictions, image_ids


@pytest.mark.parametrize("iou_type", ["keypoints", "bbox"])
@settings(deadline=None, max_examples=60)
@given(case=datasets())
def test_with_every_image_once_the_figures_are_those_of_pycocotools(iou_type, case):
    data, predictions, image_ids = case
    convert = metrics.keypoint_results if iou_type == "keypoints" else metrics.box_results
    expected = reference(data, convert(predictions), image_ids, iou_type)
    assert_same(average_precision(data, predictions, image_ids, iou_type), expected)


@pytest.mark.parametrize("iou_type", ["keypoints", "bbox"])
def test_only_the_best_detections_of_an_image_count_as_in_pycocotools(iou_type):
    generator = np.random.default_rng(0)
    data = dataset([annotate(1, 20), annotate(1, 90), annotate(2, 20)], [1, 2])
    predictions = [
        predict(data["annotations"][number % 3], generator.normal(0, 8), *generator.random(2))
        for number in range(400)
    ]
    convert = metrics.keypoint_results if iou_type == "keypoints" else metrics.box_results
    assert_same(
        average_precision(data, predictions, [1, 2], iou_type),
        reference(data, convert(predictions), [1, 2], iou_type),
    )
    # The boxes past the 100 best of an image are neither found nor false; nor are they calibrated.
    scores, _, calibration = score(data, predictions, [1, 2], person_thr=0)
    assert scores["detected"]["person_recall"] == 1
    assert scores["detected"]["false_positives_per_image"] == (200 - 3) / 2
    assert calibration["keypoints"] == 200 * 17


@settings(deadline=None, max_examples=40)
@given(case=datasets())
def test_oks_of_all_detections_at_once_is_that_of_pycocotools(case):
    data, predictions, image_ids = case
    annotations, entries = truth(data), metrics.keypoint_results(predictions)
    evaluation = metrics.evaluate(annotations, entries, image_ids, "keypoints", ["all"])
    for image_id in image_ids:
        number = annotations.numbers[image_id]
        expected = COCOeval.computeOks(evaluation, number, 1)
        np.testing.assert_allclose(evaluation.ious[number, 1], expected, rtol=1e-14)


# -------------------------------------------------------------------------- images that count several times


def repeated(data, predictions, image_ids, counts):
    """The same with each image `counts` times, under new ids in the same order."""
    new_ids = {}
    for image_id, count in sorted(zip(image_ids, counts, strict=True)):
        start = sum(map(len, new_ids.values())) + 1
        new_ids[image_id] = range(start, start + count)

    def copies(entries):
        return [{**entry, "image_id": new} for entry in entries for new in new_ids[entry["image_id"]]]

    all_ids = [new for ids in new_ids.values() for new in ids]
    return dataset(copies(data["annotations"]), all_ids), copies(predictions), all_ids


@st.composite
def counted_datasets(draw):
    """A data set without ties inside an image, and how often each image counts: at least one does."""
    case = draw(datasets(ties=False))
    size = len(case[2])
    counts = st.lists(st.integers(0, 4), min_size=size, max_size=size).filter(any)
    return case, draw(counts)


@pytest.mark.parametrize("iou_type", ["keypoints", "bbox"])
@settings(deadline=None, max_examples=60)
@given(counted=counted_datasets())
def test_weights_give_the_figures_of_pycocotools_for_repeated_images(iou_type, counted):
    case, counts = counted
    data, predictions, image_ids = repeated(*case, counts)
    convert = metrics.keypoint_results if iou_type == "keypoints" else metrics.box_results
    expected = reference(data, convert(predictions), image_ids, iou_type)
    weights = np.array([[1] * len(counts), counts, [0] * len(counts)])
    found = average_precision(*case, iou_type, weights)
    assert_same(found, expected, row=1)
    assert_same(found, average_precision(*case, iou_type), row=0)
    assert np.isnan([row[2] for row in found.values()]).all()


@settings(deadline=None, max_examples=30)
@given(counted=counted_datasets())
def test_every_score_with_weights_is_that_of_repeated_images(counted):
    case, counts = counted
    fallback = np.array(case[2]) % 2 == 0
    found, _, _ = score(*case, np.array([counts]), fallback=fallback)
    in_order = np.argsort(case[2])
    expected, _, _ = score(
        *repeated(*case, counts), fallback=np.repeat(fallback[in_order], np.array(counts)[in_order])
    )
    for box_set, figures in expected.items():
        # The bins of the ECE are those of the images counted once: see the tests of the calibration.
        for name in figures.keys() - {"ece"}:
            np.testing.assert_allclose(
                found[box_set][name], figures[name], rtol=0, atol=1e-12, err_msg=f"{box_set}.{name}"
            )


def test_more_rows_than_fit_into_one_chunk_are_all_scored():
    counts = np.arange(3 * (metrics.CHUNK + 5)).reshape(-1, 3) % 4
    together = metrics.keypoint_scores(truth(TWO), perfect((1,)), [1, 2, 3], counts)
    for row, weights in enumerate(counts):
        alone = metrics.keypoint_scores(truth(TWO), perfect((1,)), [1, 2, 3], weights[None])
        np.testing.assert_equal([v[row] for v in together.values()], [v[0] for v in alone.values()])


# --------------------------------------------------------------------------------------------- bad input


def test_predictions_of_another_image_set_are_refused():
    with pytest.raises(
        PoseGaugeError, match=r"a\.json: holds 1 images that the data set lacks, the first is 2"
    ):
        metrics.read_predictions(perfect(), [1], "a.json")


@pytest.mark.parametrize("key", ["score", "box_score", "bbox", "keypoints"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(key, value):
    results = perfect()
    results[1][key] = value if "score" in key else [*results[1][key][:-1], value]
    with pytest.raises(PoseGaugeError, match=f"a.json: image 2: '{key}' holds .* in 1 of 2 results"):
        metrics.read_predictions(results, [1, 2], "a.json")


def test_results_with_too_few_keypoints_are_refused():
    results = [{**entry, "keypoints": entry["keypoints"][:48]} for entry in perfect()]
    with pytest.raises(PoseGaugeError, match=r"image 1: expected 51 numbers under 'keypoints' .* found 48"):
        metrics.read_predictions(results, [1, 2], "a.json")


@pytest.mark.parametrize(
    ("image_ids", "message"),
    [
        ([], "lists no image"),
        ([1, 2, 1], "lists image 1 more than once"),
        ([1, 2, 8, 9], "lists 2 images that the annotations lack, the first is 8"),
    ],
)
def test_images_that_do_not_fit_the_annotations_are_refused(image_ids, message):
    with pytest.raises(PoseGaugeError, match=rf"record\.json: {message}"):
        metrics.check_images(truth(TWO), image_ids, "record.json")


@pytest.mark.parametrize(
    "rename",
    [
        lambda number: (1 << 63) + 7 * number,
        lambda number: f"set one/{number}",
        lambda number: -number,
        lambda number: number if number < 2 else f"{number}",
    ],
)
def test_ids_only_tell_things_apart(rename):
    """Of any size or kind, those of persons also: the figures stay, recall and calibration among them."""
    persons = [annotate(1, 20), annotate(2, 60), annotate(2, 120), annotate(3, 0, 0, 60, 0, crowd=1)]
    data, predictions = dataset(persons, [1, 2, 3]), [predict(person, 2) for person in persons[:2]]
    expected = score(data, predictions, [1, 2, 3])
    for entry in (*data["images"], *data["annotations"], *predictions):
        key = "image_id" if "image_id" in entry else "id"
        entry[key] = rename(entry[key])
    for number, person in enumerate(data["annotations"]):
        person["id"] = (1 << 60) + 2 * number
    found = score(data, predictions, [rename(number) for number in (1, 2, 3)])
    assert found[0]["detected"]["person_recall"][0] == pytest.approx(2 / 3)
    np.testing.assert_equal(found, expected)


def test_ids_are_kept_beside_the_replicates(tmp_path):
    for ids in ([3, 1, 2], [1 << 63, 1 << 60], ["b", "a/1", 7], [-4, 0]):
        np.savez(tmp_path / "ids.npz", images=image_ids.ids_array(ids))
        with np.load(tmp_path / "ids.npz", allow_pickle=False) as arrays:
            assert image_ids.ids_of(arrays["images"]) == ids
    assert image_ids.ids_sha256([3, 1, 2]) == sha256_json([1, 2, 3])


@pytest.mark.parametrize(
    ("condition", "keypoints", "boxes", "told"),
    [
        ("clean", 0.0, 0.913, "keypoint AP in annotated boxes is 0.000, though box AP is 0.913"),
        ("clean", None, 0.4, "none at all"),
        ("clean", 0.3, 0.4, None),
        ("clean", 0.0, 0.05, None),
        ("noise_heavy", 0.0, 0.4, None),
    ],
)
def test_scores_that_cannot_be_are_doubted(condition, keypoints, boxes, told):
    scores = {"annotated": {"ap": {"value": keypoints}}, "detected": {"box_ap": {"value": boxes}}}
    record = {"condition": condition, "scores": scores, "images": 100}
    found = doubt(record | {"counts": {"detected": {"images_detected": 50}}})
    assert found is None if told is None else told in found


# ------------------------------------------------------------------------------------------- the whole job


class Job:
    """Runs score_condition.py on `images` images with one person each."""

    def __init__(self, folder, monkeypatch, images):
        self.folder = folder
        monkeypatch.setattr(logs, "start", lambda path: logging.getLogger("posegauge"))
        image_ids = list(range(100 + images, 100, -1))  # an order of its own
        self.data = dataset([annotate(image_id) for image_id in image_ids], image_ids)
        write_json(folder / "annotations.json", self.data)
        for number, name in enumerate(PREDICTION_SETS):
            persons = self.data["annotations"][number:]  # each set misses one person more
            self.write(name, [predict(person, person["id"] % 5, source=name) for person in persons])
        measured = {
            "persons": 1,
            "latency_ms": 20.0,
            "stages_ms": {},
            "corruption_ms": 3.0,
            "fallback": False,
        }
        self.record = {
            "schema_version": 2,
            "kind": "predictions",
            "condition": "noise_heavy",
            "annotations_sha256": "a" * 64,
            "settings": {"person_thr": 0.5, "score_thr": 0.1, "nms_thr": 0.6},
            "images": [{"image_id": image_id, **measured} for image_id in image_ids],
            "unreadable": ["broken.jpg"],
            "wall_s": 8.0,
            "inference_s": 6.0,
            "provenance": {},
        }

    def write(self, name, entries):
        write_json(self.folder / f"{name}.json", entries)

    def run(self) -> tuple[dict, dict]:
        """(the record of scores, the arrays of the replicates)"""
        self.write("record", self.record)
        names = (*PREDICTION_SETS, "record", "annotations")
        files = {name: str(self.folder / f"{name}.json") for name in names}
        outputs = {"scores": self.folder / "out.json", "replicates": self.folder / "out.npz"}
        job = SimpleNamespace(
            input=Files(files),
            output=SimpleNamespace(**outputs),
            params=SimpleNamespace(config={"bootstrap": {"resamples": 40}, "seed": 3}),
            wildcards=SimpleNamespace(condition="noise_heavy"),
            log=["none"],
        )
        script = SCHEMAS.parent / "scripts" / "score_condition.py"
        runpy.run_path(str(script), init_globals={"snakemake": job})
        with np.load(outputs["replicates"]) as arrays:
            return read_json(outputs["scores"]), dict(arrays)


class Files(dict):
    """Named files as a script gets them: by key and by attribute."""

    __getattr__ = dict.__getitem__


def test_a_job_writes_scores_with_intervals_and_replicates(tmp_path, monkeypatch):
    job = Job(tmp_path, monkeypatch, images=20)
    record, arrays = job.run()
    image_ids = [entry["image_id"] for entry in job.record["images"]]
    assert arrays.pop("images").tolist() == image_ids
    assert record["images_sha256"] == sha256_json(sorted(image_ids))
    assert record["interval"] == {"level": 0.95, "resamples": 40, "seed": 3, "note": None}
    assert (record["suite"], record["corruption"], record["severity"]) == ("study", "noise", None)
    assert (record["inference_share"], record["corruption_ms_mean"], record["fps"]) == (0.75, 3, 50)
    assert record["unreadable"] == ["broken.jpg"]
    scores = record["scores"]
    recalls = [scores[name]["ar"]["value"] for name in ("detected", "clean", "annotated")]
    assert recalls == sorted(recalls, reverse=True) and len(set(recalls)) == 3
    assert scores["detected"]["ap_large"] == {"value": None, "low": None, "high": None}
    assert set(arrays) == {f"{box_set}.{metric}" for box_set in scores for metric in scores[box_set]}
    for box_set, figures in scores.items():
        for metric, figure in figures.items():
            replicates = arrays[f"{box_set}.{metric}"]
            assert replicates.shape == (40,) and replicates.dtype == np.float64
            assert bootstrap.estimate(figure["value"], replicates) == figure
    # The persons per image vary with the resample, and a replicate is the mean over the images drawn.
    drawn = bootstrap.weights(3, 20, 40)
    assert arrays["original.persons_per_image"] == pytest.approx(drawn[:, 3:].sum(1) / 20)


def test_few_images_get_scores_but_no_intervals(tmp_path, monkeypatch):
    record, arrays = Job(tmp_path, monkeypatch, images=6).run()
    assert list(arrays) == ["images"]
    assert record["interval"]["note"] == "no intervals: 6 images, a bootstrap needs 10"
    assert record["interval"]["resamples"] == 0
    assert record["scores"]["detected"]["ap"]["value"] > 0.5
    assert all(figure["low"] is figure["high"] is None for figure in record["scores"]["detected"].values())


def test_predictions_of_other_annotations_are_refused(tmp_path, monkeypatch):
    job = Job(tmp_path, monkeypatch, images=3)
    job.record["annotations_sha256"] = "b" * 64
    with pytest.raises(
        PoseGaugeError, match=r"record\.json: annotations_sha256 .*annotations\.json was made"
    ):
        job.run()


def test_predictions_of_another_condition_are_refused(tmp_path, monkeypatch):
    job = Job(tmp_path, monkeypatch, images=3)
    job.record["condition"] = "clean"
    with pytest.raises(PoseGaugeError, match=r"record\.json: is of clean, expected noise_heavy"):
        job.run()


def test_a_set_of_other_images_is_refused(tmp_path, monkeypatch):
    job = Job(tmp_path, monkeypatch, images=3)
    job.record["images"] = job.record["images"][:2]
    with pytest.raises(PoseGaugeError, match=r"detected\.json: holds 1 images .* the first is 101"):
        job.run()
    assert not (tmp_path / "out.json").exists()
