"""The sweep: one pass with all box sources, ahead and in order, in shards that merge to the same bytes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import cv2
import demo_models
import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import ROOT
from posegauge.errors import PoseGaugeError, Unavailable
from posegauge.measure import throughput
from posegauge.pipeline.pipeline import Pipeline
from posegauge.pipeline.steps import Settings
from posegauge.predict import predictions
from posegauge.predict.image_queue import ImageQueue, Preparation, Prepared
from posegauge.predict.sweep import RememberingSession, sweep, warm_up
from posegauge.score import intervals
from posegauge.store.files import read_json, write_json
from posegauge.study import BOX_SOURCES, PREDICTION_SETS, STAGES

SIZE = (64, 64)
IMAGES = 5


class FakeDetector:
    """A sure box, a doubtful one, and one as sure as the image is bright. In the dark none is sure."""

    def __init__(self):
        self.calls = 0

    def run(self, batch):
        self.calls += 1
        level = float(batch.mean()) / 5 + 0.5
        boxes = np.float32([[1, 2, 20, 40], [24, 4, 40, 44], [43, 3, 60 + level, 50]])
        scores = np.float32([0.9, 0.2, level]) if level > 0.25 else np.float32([0.25, 0.2, level])
        return {"boxes": boxes[None], "scores": scores[None, :, None]}


class FakePose:
    """Puts every keypoint at places that depend on the crop alone."""

    def __init__(self):
        self.crops = 0

    def run(self, batch):
        self.crops += len(batch)
        outputs = {}
        for name, bins, axis in (("simcc_x", 96, 2), ("simcc_y", 128, 3)):
            profile = batch.mean((1, axis), dtype=np.float64).repeat(2, 1)[:, None, :bins]
            outputs[name] = np.float32(profile + np.linspace(0.1, 0.9, 17)[:, None] * np.sin(np.arange(bins)))
        return outputs


@pytest.fixture
def pipeline():
    return Pipeline(FakeDetector(), FakePose(), SIZE, (48, 64), Settings())


@pytest.fixture
def entries(tmp_path):
    """Images that differ, the first of them dark."""
    found = []
    for number in range(IMAGES):
        image = np.random.default_rng(number).integers(0, 10 + 55 * number, (60, 80, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.png"), image)
        found.append({"id": 100 - number, "file_name": f"{number}.png", "width": 80, "height": 60})
    return found


@pytest.fixture
def how(tmp_path):
    return Preparation(str(tmp_path), "clean", 0, SIZE)


def run(pipeline, entries, how, workers=0, unreadable="error", annotated=None, clean=None, **options):
    with ImageQueue(workers) as images:
        return sweep(pipeline, entries, how, images, unreadable, annotated or {}, clean, **options)


def without_times(swept):
    times = ("latency_ms", "stages_ms", "corruption_ms")
    images = [{key: value for key, value in entry.items() if key not in times} for entry in swept["images"]]
    return {**{key: swept[key] for key in ("results", "boxes", "unreadable")}, "images": images}


# ------------------------------------------------------------------------------------------------ one pass


@pytest.mark.parametrize("workers", [0, 2])
def test_images_are_predicted_in_order_and_timed(pipeline, entries, how, workers):
    swept = run(pipeline, entries, how, workers)
    ids = [entry["id"] for entry in entries]
    assert [entry["image_id"] for entry in swept["images"]] == ids == list(swept["boxes"])
    for name in PREDICTION_SETS:
        found = [result["image_id"] for result in swept["results"][name]]
        assert found == sorted(found, key=ids.index)
    assert pipeline.detector.calls == IMAGES
    assert 0 < swept["inference_s"] < swept["wall_s"]
    for entry in swept["images"]:
        assert set(entry["stages_ms"]) == set(STAGES)
        assert entry["latency_ms"] == pytest.approx(sum(entry["stages_ms"].values()), abs=0.001)


def test_neither_workers_nor_warm_up_change_what_comes_out(pipeline, entries, how):
    how = replace(how, condition="noise_heavy")
    clean = {str(entry["id"]): np.float32([[3, 4, 30, 40, 0.5]]) for entry in entries}
    expected = without_times(run(pipeline, entries, how, clean=clean))
    assert len(expected["results"]["clean"]) == IMAGES
    with ImageQueue(3) as images:
        warm_up(pipeline, entries, how, images)
        for _ in range(2):
            found = sweep(pipeline, entries, how, images, "error", {}, clean)
            assert without_times(found) == expected


def test_clean_boxes_are_the_detected_ones_of_the_clean_image_to_the_bit(pipeline, entries, how, tmp_path):
    swept = run(pipeline, entries, how)
    detected, clean = (swept["results"][name] for name in ("detected", "clean"))
    assert [{**result, "box_source": "clean"} for result in detected] == clean
    write_json(tmp_path / "boxes.json", swept["boxes"])
    boxes = predictions.box_arrays(read_json(tmp_path / "boxes.json"))
    given_back = run(pipeline, entries, how, clean=boxes)
    assert given_back["results"] == swept["results"]
    assert given_back["boxes"] == swept["boxes"]
    # The rounded boxes of the results would not do.
    assert any(
        value != round(value, 2) for found in swept["boxes"].values() for box in found for value in box
    )


def test_boxes_of_the_clean_image_are_posed_on_the_corrupted_one(pipeline, entries, how):
    clean = predictions.box_arrays(run(pipeline, entries, how)["boxes"])
    swept = run(pipeline, entries, replace(how, condition="overexposure"), clean=clean)
    boxes = {name: [result["bbox"] for result in swept["results"][name]] for name in ("clean", "detected")}
    assert len(boxes["clean"]) == sum(map(len, clean.values()))
    assert boxes["clean"] != boxes["detected"]
    scores = [result["box_score"] for result in swept["results"]["clean"]]
    assert scores == pytest.approx(np.concatenate([found[:, 4] for found in clean.values()]), abs=1e-6)


def test_annotated_boxes_are_those_of_the_annotations(pipeline, entries, how):
    person = {"category_id": 1, "iscrowd": 0, "keypoints": [0] * 51}
    annotations = [
        {**person, "image_id": 100, "bbox": [10.25, 5, 20.5, 30]},
        {**person, "image_id": 98, "bbox": [1, 2, 3, 4], "iscrowd": 1},
        {**person, "image_id": 97, "bbox": [7, 8, 9, 0]},
        {**person, "image_id": 97, "bbox": [40, 10, 8, 16]},
        {**person, "image_id": 100, "bbox": [30, 10, 8, 16]},
    ]
    annotated = predictions.annotated_boxes({"annotations": annotations})
    results = run(pipeline, entries, how, annotated=annotated)["results"]["annotated"]
    found = [(result["image_id"], result["bbox"]) for result in results]
    assert found == [(100, [10.25, 5, 20.5, 30]), (100, [30, 10, 8, 16]), (97, [40, 10, 8, 16])]
    assert {result["box_score"] for result in results} == {1.0}


def test_each_set_says_where_its_boxes_are_from(pipeline, entries, how):
    swept = run(pipeline, entries, how, annotated={100: np.float32([[1, 2, 30, 40]])})
    for name in BOX_SOURCES:
        assert {result["box_source"] for result in swept["results"][name]} == {name}
    fallbacks = {entry["image_id"] for entry in swept["images"] if entry["fallback"]}
    assert fallbacks == {100}
    for result in swept["results"]["original"]:
        whole = result["image_id"] in fallbacks
        assert result["box_source"] == ("whole_image" if whole else "detected")
        assert (result["bbox"] == [0, 0, 80, 60]) == whole
    # The pipeline in use has no fall-back, and its doubtful boxes are not in use.
    assert [entry["persons"] for entry in swept["images"]] == [0, 1, 2, 2, 2]
    assert Counter(result["image_id"] for result in swept["results"]["detected"])[98] == 3


def test_no_box_is_posed_twice(pipeline, entries, how):
    first = run(pipeline, entries[2:3], how, sets=("detected",))
    assert pipeline.pose.crops == 3
    pipeline.pose.crops = 0
    boxes = predictions.box_arrays(first["boxes"])["98"]
    annotated = np.concatenate([boxes[1:, :4], np.float32([[5, 5, 50, 50]])])
    swept = run(pipeline, entries[2:3], how, annotated={98: annotated})
    # Three detected boxes, one annotated elsewhere, and the two of the study once more, mirrored.
    assert pipeline.pose.crops == 3 + 1 + 2
    assert swept["results"]["detected"] == first["results"]["detected"]
    detected, annotated = swept["results"]["detected"], swept["results"]["annotated"]
    assert [result["keypoints"] for result in annotated[:2]] == [
        result["keypoints"] for result in detected[1:]
    ]


def test_only_what_is_asked_for_is_made(pipeline, entries, how):
    whole = run(pipeline, entries, how)
    pipeline.pose.crops = 0
    study = run(pipeline, entries, how, sets=("original",))
    assert study["results"] == {"original": whole["results"]["original"]}
    assert pipeline.pose.crops == 2 * len(study["results"]["original"])


@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=5), max_size=4))
@settings(deadline=None, max_examples=40)
def test_what_is_remembered_is_what_would_be_computed(batches):
    # Five inputs; the last three agree where the look-up looks first.
    items = np.random.default_rng(0).random((5, 3, 64, 48), np.float32)
    items[3:] = items[2]
    items[3, 0, 1, 1] += 1
    items[4, 2, 3, 5] += 1
    session = RememberingSession(FakePose())
    for numbers in batches:
        expected = FakePose().run(items[numbers])
        for name, output in session.run(items[numbers]).items():
            np.testing.assert_array_equal(output, expected[name])
    # Twice in one batch may be run twice; in a later batch it is not.
    assert session.session.crops <= sum(map(len, batches[:1])) + 5 * max(len(batches) - 1, 0)


# -------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_an_error_or_listed(pipeline, entries, how, tmp_path, workers):
    (tmp_path / "2.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(PoseGaugeError, match=r"2\.png.*dataset\.unreadable: skip"):
        run(pipeline, entries, how, workers)
    assert pipeline.detector.calls == 2  # the images before it
    swept = run(pipeline, entries, how, workers, "skip")
    assert swept["unreadable"] == ["2.png"]
    assert [entry["image_id"] for entry in swept["images"]] == [100, 99, 97, 96]


@pytest.mark.parametrize("workers", [0, 1])
def test_bad_input_is_told_from_a_fault_in_any_process(pipeline, entries, how, workers):
    # Neither counts as an unreadable image.
    with pytest.raises(PoseGaugeError, match="no condition 'cleam'"):
        run(pipeline, entries, replace(how, condition="cleam"), workers, "skip")
    with pytest.raises((TypeError, RuntimeError), match="not subscriptable"):
        run(pipeline, entries, replace(how, detector_size=None), workers, "skip")


def test_an_image_that_was_unreadable_when_clean_is_an_error(pipeline, entries, how):
    with pytest.raises(PoseGaugeError, match=r"0\.png.*make the predictions of clean anew"):
        run(pipeline, entries, how, clean={})


class Deadly:
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (7,)


def test_the_death_of_a_worker_is_reported(pipeline, entries, how):
    entries[3]["deadly"] = Deadly()
    with pytest.raises(PoseGaugeError, match=r"3\.png: the process .* ended with exit code 7"):
        run(pipeline, entries, how, 2, "skip")
    assert pipeline.detector.calls == 3


def test_a_killed_worker_is_reported(pipeline, entries, how):
    with ImageQueue(1) as images:
        assert isinstance(next(images.prepared(entries, how)), Prepared)
        images.workers[0].process.kill()
        with pytest.raises(
            PoseGaugeError, match=r"0\.png: .* exit code -9\. -9 mostly means too little memory"
        ):
            list(images.prepared(entries, how))
    assert not images.workers[0].process.is_alive()


def is_running(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def test_workers_do_not_outlive_a_killed_job():
    code = (
        "import os, signal; from posegauge.predict.image_queue import ImageQueue\n"
        "with ImageQueue(2) as images:\n"
        "    print(*[worker.process.pid for worker in images.workers], flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts")}
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment, timeout=120
    )
    assert done.returncode == -signal.SIGKILL
    pids = [int(pid) for pid in done.stdout.split()]
    deadline = time.monotonic() + 60
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(pids) == 2 and not any(map(is_running, pids))


# -------------------------------------------------------------------------------------------------- shards


@given(st.integers(0, 40), st.integers(1, 50))
def test_shards_are_all_images_in_order_and_even(images, shards):
    parts = [predictions.shard_of(list(range(images)), shard, shards) for shard in range(shards)]
    assert [image for part in parts for image in part] == list(range(images))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def write_shards(folder, pipeline, entries, how, shards, clean=None, **options):
    """Write and merge shards as the scripts do; returns {file name: content} of all but the record."""
    paths = [folder / f"{how.condition}-{shards}" / str(shard) for shard in range(shards)]
    for shard, path in enumerate(paths):
        swept = run(pipeline, predictions.shard_of(entries, shard, shards), how, clean=clean, **options)
        write_json(path / "boxes.json", swept["boxes"])
        for name in PREDICTION_SETS:
            write_json(path / f"{name}.json", swept["results"][name])
    write_json(folder / "boxes.json", predictions.merge_boxes([path / "boxes.json" for path in paths]))
    for name in PREDICTION_SETS:
        merged = predictions.merge_results([path / f"{name}.json" for path in paths])
        write_json(folder / f"{name}.json", merged)
    return {name: (folder / f"{name}.json").read_bytes() for name in (*PREDICTION_SETS, "boxes")}


@pytest.mark.parametrize("condition", ["clean", "noise_heavy"])
def test_any_number_of_shards_gives_the_same_bytes(pipeline, entries, how, tmp_path, condition):
    clean = None if condition == "clean" else predictions.box_arrays(run(pipeline, entries, how)["boxes"])
    how = replace(how, condition=condition)
    one, three, eight = (
        write_shards(tmp_path, pipeline, entries, how, shards, clean) for shards in (1, 3, 8)
    )
    assert one == three == eight
    assert len(json.loads(one["detected"])) > IMAGES
    # With 8 shards of 5 images some are empty.
    empty = json.loads((tmp_path / f"{condition}-8" / "0" / "detected.json").read_bytes())
    assert empty == []


def test_real_networks_give_the_same_bytes_for_any_number_of_shards_and_workers(tmp_path):
    from posegauge.data.scenes.scenes import render_scene

    entries = []
    for index in range(4):
        scene, _ = render_scene(seed=77, index=index, persons=index)[:2]
        cv2.imwrite(str(tmp_path / f"{index}.png"), scene)
        height, width = scene.shape[:2]
        entries.append({"id": index, "file_name": f"{index}.png", "width": width, "height": height})
    pipeline = demo_models.onnx_pipeline(tmp_path, Settings(flip_test=True))
    how = Preparation(str(tmp_path), "clean", 2017, demo_models.DETECTOR.input_size)
    clean = predictions.box_arrays(run(pipeline, entries, how)["boxes"])
    annotated = {2: np.float32([[20, 30, 200, 300]])}
    noisy = replace(how, condition="noise_moderate")
    options = {"clean": clean, "annotated": annotated}
    one = write_shards(tmp_path, pipeline, entries, noisy, 1, **options)
    three = write_shards(tmp_path, pipeline, entries, noisy, 3, workers=1, **options)
    assert one == three
    assert all(len(json.loads(one[name])) > 0 for name in PREDICTION_SETS)


# ---------------------------------------------------------------------------------------------- the record


def record(**changes) -> dict:
    return {
        "schema_version": predictions.SCHEMA_VERSION,
        "kind": "predictions",
        "condition": "clean",
        "seed": 1,
        "annotations_sha256": "0" * 64,
        "settings": {"score_thr": 0.1},
        "images": [],
        "unreadable": [],
        "wall_s": 2.0,
        "inference_s": 1.5,
        "provenance": {
            "artifacts": {"pose": {"file": "a.onnx", "sha256": "1"}},
            "machine": {"cpu": {"model": "A", "frequency_mhz": 1}, "load_average": [0], "gpus": []},
        },
        **changes,
    }


def image_record(image_id) -> dict:
    return {
        "image_id": image_id,
        "persons": 1,
        "latency_ms": 5.0,
        "stages_ms": {},
        "corruption_ms": 1.0,
        "fallback": False,
    }


def merge(tmp_path, *records) -> dict:
    paths = []
    for number, content in enumerate(records):
        paths.append(tmp_path / f"{number}.json")
        write_json(paths[-1], content, "predictions.schema.yaml")
    return predictions.merge_records(paths)


def test_records_are_joined_and_times_added(tmp_path):
    merged = merge(
        tmp_path,
        record(images=[image_record(3), image_record(1)]),
        record(),
        record(images=[image_record(2)], unreadable=["b.jpg"]),
    )
    write_json(tmp_path / "merged.json", merged, "predictions.schema.yaml")
    assert [entry["image_id"] for entry in merged["images"]] == [3, 1, 2]
    assert merged["unreadable"] == ["b.jpg"]
    assert (merged["wall_s"], merged["inference_s"]) == (6.0, 4.5)
    assert "machines" not in merged["provenance"]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"settings": {"score_thr": 0.2}}, "settings"),
        ({"seed": 2}, "seed"),
        ({"condition": "occlusion"}, "condition"),
        ({"provenance": {**record()["provenance"], "artifacts": {"pose": {"sha256": "2"}}}}, "artifacts"),
    ],
)
def test_shards_of_different_runs_are_not_merged(tmp_path, changes, what):
    with pytest.raises(PoseGaugeError, match=rf"1\.json and .*0\.json differ in {what}"):
        merge(tmp_path, record(images=[image_record(1)]), record(**changes))


def test_machines_are_listed_where_they_differ(tmp_path):
    def on(machine):
        return record(images=[image_record(1)], provenance={**record()["provenance"], "machine": machine})

    one = {"cpu": {"model": "A", "frequency_mhz": 1}, "load_average": [0], "gpus": []}
    busy = {**one, "load_average": [9], "cpu": {"model": "A", "frequency_mhz": 2}}
    other = {**one, "gpus": [{"name": "T4", "temperature_c": 40}]}
    assert "machines" not in merge(tmp_path, on(one), on(busy))["provenance"]
    assert merge(tmp_path, on(one), on(other))["provenance"]["machines"] == [one, other]


def test_nothing_readable_is_an_error_even_when_skipping(tmp_path):
    with pytest.raises(PoseGaugeError, match=r"none of the 2 images could be read: \['a', 'b'\]"):
        merge(tmp_path, record(unreadable=["a"]), record(unreadable=["b"]))


# ----------------------------------------------------------------------------------------------- the speed


def test_turns_change_places_and_the_first_round_does_not_count(how):
    calls = []

    def way(name, seconds):
        def take(entries, how):
            calls.append((how.condition, name))
            return {"wall_s": seconds, "inference_s": seconds / 2, "poses": 3}

        return take

    ways = {"original": way("original", 2.0), "pytorch": way("pytorch", 1.0)}
    turns = throughput.take_turns(ways, [{}, {}], how, 2)
    assert Counter(calls) == Counter({(c, w): 3 for c in throughput.CONDITIONS for w in ways})
    assert [name for condition, name in calls if condition == "clean"] == [
        "original", "pytorch", "pytorch", "original", "original", "pytorch",
    ]  # fmt: skip
    assert {turn["round"] for turn in turns} == {1, 2} and len(turns) == 8
    assert {turn["images_per_s"] for turn in turns if turn["way"] == "pytorch"} == {2.0}
    assert {turn["inference_share"] for turn in turns} == {0.5}


def test_ratios_are_paired_by_round():
    speeds = {"original": (1.0, 2.0, 4.0), "pytorch": (3.0, 6.0, 12.0), "onnxruntime": (2.0, 8.0, 8.0)}
    turns = [
        {"way": way, "condition": "clean", "round": number, "images_per_s": speed}
        for way, found in speeds.items()
        for number, speed in enumerate(found)
    ]
    pytorch, onnx = intervals.ratios_to_original(turns)
    # The machine's pace changes by the round, the ratio does not.
    assert (pytorch["way"], pytorch["ratio"]) == ("pytorch", pytest.approx(3))
    assert pytorch["low"] == pytest.approx(3) and pytorch["high"] == pytest.approx(3)
    assert onnx["ratio"] == pytest.approx((2 * 4 * 2) ** (1 / 3))
    assert onnx["low"] < 2 < onnx["ratio"] < 4 < onnx["high"]
    (alone,) = intervals.ratios_to_original([turn for turn in turns[:6] if turn["round"] == 0])
    assert alone["ratio"] == pytest.approx(3) and alone["low"] is None and alone["high"] is None
    assert intervals.ratios_to_original(turns[3:]) == []


def test_the_original_needs_checkpoints():
    with pytest.raises(Unavailable, match=r"RTMPose-t \(demo\) is given as ONNX only"):
        throughput.Original(demo_models.DETECTOR, replace(demo_models.POSE, checkpoint=None), "cpu", 1)


def test_the_original_finds_as_many_persons_as_the_study_protocol(tmp_path):
    from posegauge.data.scenes.scenes import render_scene

    scene = render_scene(seed=77, index=0, persons=3)[0]
    cv2.imwrite(str(tmp_path / "1.png"), scene)
    entries = [{"id": 1, "file_name": "1.png", "width": scene.shape[1], "height": scene.shape[0]}]
    how = Preparation(str(tmp_path), "clean", 2017, demo_models.DETECTOR.input_size)
    original = throughput.Original(demo_models.DETECTOR, demo_models.POSE, "cpu", 1)
    theirs = original(entries, how)
    with ImageQueue(0) as images:
        ways = throughput.Swept(demo_models.torch_pipeline(Settings()), images, {}, ("original",))
        ours = ways(entries, how)
    assert theirs["poses"] == ours["poses"] > 1
    assert 0 < theirs["inference_s"] < theirs["wall_s"]
