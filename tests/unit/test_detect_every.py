"""What the detector on every n-th frame costs and gives: the passes, their scores, the film, the report."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from fake_results import MACHINE
from test_tracking import FRAMES, RATE, SIZE, Knowing

from posegauge.data import films, video_files
from posegauge.data.scenes import clips
from posegauge.errors import PoseGaugeError
from posegauge.measure import detect_every, peer_tracker
from posegauge.pipeline.pipeline import Persons
from posegauge.pipeline.tracking import DetectEvery
from posegauge.report import detect_every as report
from posegauge.score import bootstrap
from posegauge.store.files import read_record, write_json

INTERVALS = [1, 5]
SETTINGS = {"keypoint_thr": 0.2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the drawn film in small, walk.mp4 and walk.json."""
    path = tmp_path_factory.mktemp("film")
    clips.write_clip(path / "walk.mp4", path / "walk.json", 2017, FRAMES, RATE, SIZE)
    return path


@pytest.fixture(scope="module")
def judged(folder):
    """(the film, its passes by a pipeline that knows the annotations, rows of the record)."""
    film = films.read_film(folder / "walk.mp4", folder / "walk.json", 1000)
    by_frame = [[] for _ in film.frames]
    for person in film.annotations["annotations"]:
        by_frame[person["image_id"]].append(person)
    numbered = [np.full_like(image, number) for number, image in enumerate(film.frames)]
    ways = {detect_every.OURS: {n: DetectEvery(Knowing(by_frame), n) for n in INTERVALS}}
    ways[detect_every.PEER] = {n: Jittery(by_frame, n) for n in INTERVALS}
    passes = detect_every.take_turns(ways, numbered, 3)
    judge = detect_every.Judge(film, INTERVALS, 7, 50, SETTINGS)
    return film, passes, judge, judge.rows(passes)


class Jittery:
    """Stands in for rtmlib's tracker: the true keypoints, four pixels off."""

    lost, builds = None, 0

    def __init__(self, frames, interval):
        self.known, self.interval = Knowing(frames), interval

    def reset(self):
        self.number = 0

    def __call__(self, image):
        self.detected = self.number % self.interval == 0
        self.number += 1
        persons = self.known(image)
        return persons.keypoints + 4, persons.keypoint_scores


# ------------------------------------------------------------------------------------------ the passes


def test_a_pass_in_which_a_network_was_compiled_is_made_again():
    class Compiles:
        """Compiles a network for its fourth frame, or for each."""

        detected, lost = True, 0

        def __init__(self, always):
            self.builds, self.calls, self.always = 0, 0, always

        def reset(self):
            pass

        def __call__(self, image):
            self.calls += 1
            if self.calls == 4 or self.always:
                self.builds += 1
            return self.calls

    frames = [np.zeros((8, 8, 3), np.uint8)] * 5
    one_pass = len(frames) + detect_every.WARMUP_FRAMES
    for always, passes in ((False, 2), (True, detect_every.TRIES)):
        tracker = Compiles(always)
        done = detect_every.take_turns({"ours": {1: tracker}}, frames, 1)["ours", 1]
        assert tracker.calls == passes * one_pass
        # The frames that are told of are those of the last pass.
        assert done["found"] == list(range(tracker.calls - len(frames) + 1, tracker.calls + 1))
        assert [len(times) for times in done["latency_ms"]] == [len(frames)]


def test_every_frame_of_every_pass_is_timed_and_what_the_first_found_kept(judged):
    _, passes, _, _ = judged
    assert list(passes) == [(way, n) for way in ("ours", "rtmlib") for n in INTERVALS]
    for one in passes.values():
        assert np.shape(one["latency_ms"]) == (3, FRAMES) and np.min(one["latency_ms"]) > 0
        assert len(one["found"]) == len(one["detected"]) == len(one["lost"]) == FRAMES
        assert one["detected"][0], "every pass begins with the detector"
    assert all(passes["ours", 1]["detected"]) and sum(passes["rtmlib", 5]["detected"]) == FRAMES / 5


def test_perfect_keypoints_have_ap_1_and_what_n_costs_is_paired(judged):
    _, passes, judge, rows = judged
    rows = {(way, row["detect_every"]): row for way, row in rows}
    one, five = (rows["ours", n] for n in INTERVALS)
    assert one["scores"]["ap"] == {
        "value": pytest.approx(1),
        "low": pytest.approx(1),
        "high": pytest.approx(1),
    }
    assert one["ap_change"] == {"value": 0, "low": 0, "high": 0} and one["ours"] is None
    assert one["speedup"] == {"value": 1, "low": None, "high": None}, "three rounds have no interval"
    change = five["ap_change"]
    assert change["value"] == pytest.approx(five["scores"]["ap"]["value"] - 1)
    assert change["low"] <= change["value"] < 0 and change["high"] <= 0
    assert sum(five["lost"]) > 0 and rows["rtmlib", 5]["lost"] is None
    beside = rows["rtmlib", 5]["ours"]
    theirs = rows["rtmlib", 5]["scores"]["ap"]["value"]
    assert beside["ap_difference"]["value"] == pytest.approx(five["scores"]["ap"]["value"] - theirs)
    times = [np.median(np.mean(passes[way, 5]["latency_ms"], axis=1)) for way in ("ours", "rtmlib")]
    assert beside["time_ratio"]["value"] == pytest.approx(times[0] / times[1])
    known = judge.annotated()
    assert known["annotated_frames"] == FRAMES and known["annotated_persons"] > 2 * FRAMES


def test_a_film_without_annotations_is_timed_and_not_scored(folder, judged):
    _, passes, _, _ = judged
    film = films.read_film(folder / "walk.mp4", None, 1000)
    judge = detect_every.Judge(film, INTERVALS, 7, 50, SETTINGS)
    for way, row in judge.rows(passes):
        assert row["scores"] is None and row["ap_change"] is None and row["speedup"]["value"] > 0
        assert way == "ours" or row["ours"]["ap_difference"] is None
    assert judge.annotated() == {"annotated_frames": 0, "annotated_persons": 0}


def test_few_frames_have_no_intervals(folder):
    film = films.read_film(folder / "walk.mp4", folder / "walk.json", bootstrap.MIN_IMAGES - 1)
    judge = detect_every.Judge(film, [1, 20], 7, 50, SETTINGS)
    about = judge.about()
    assert about["resamples"] == 0 and about["note"] and about["block_frames"] == 9


def test_resamples_of_a_film_draw_blocks():
    drawn = bootstrap.block_weights(3, 40, 500, 10)
    assert (drawn.sum(1) == 40).all() and (drawn == bootstrap.block_weights(3, 40, 500, 10)).all()
    assert (np.roll(drawn, 1, axis=1) == drawn).mean() > 0.8, "neighbours go together"
    assert abs(drawn.mean(0) - 1).max() < 0.3
    single = bootstrap.block_weights(3, 40, 4000, 1)
    assert single.var() == pytest.approx(1 - 1 / 40, rel=0.05), "blocks of one frame are the usual bootstrap"


def test_what_rtmlib_returns_becomes_persons():
    nobody = peer_tracker.persons_of(([], []))
    assert len(nobody) == 0 and nobody.keypoints.shape == (0, 17, 2)
    points = np.arange(34.0).reshape(1, 17, 2)
    persons = peer_tracker.persons_of((points, np.ones((1, 17))))
    assert isinstance(persons, Persons) and persons.bboxes.tolist() == [[0, 1, 32, 33]]
    assert persons.bbox_scores.tolist() == [1]


def test_rtmlibs_tracker_says_when_its_detector_ran():
    pytest.importorskip("rtmlib")

    class Detector:
        det_mode = "human"

        def __call__(self, image):
            return np.float32([[10, 10, 60, 90]])

    class RTMPose:
        def __call__(self, image, bboxes):
            corner = np.tile(np.asarray(bboxes, np.float64)[:, None, :2], (1, 17, 1))
            corner[:, 0] += 40
            return corner, np.ones((len(bboxes), 17))

    class Programs:
        detector, pose = Detector(), RTMPose()

    tracker = peer_tracker.RtmlibTracker(Programs, 3)
    image = np.zeros((100, 100, 3), np.uint8)
    for _ in range(2):
        tracker.reset()
        found = [(len(tracker(image)[0]), tracker.detected) for _ in range(7)]
        assert found == [(1, number % 3 == 0) for number in range(7)]


# ------------------------------------------------------------------------------------- films, annotated


def test_the_film_and_its_annotations_fit(folder):
    films.check_film(folder / "walk.mp4", folder / "walk.json")
    film = films.read_film(folder / "walk.mp4", folder / "walk.json", 20)
    assert len(film.frames) == 20 and film.image_ids == {number: number for number in range(20)}
    assert film.frames[0].shape == (SIZE[1], SIZE[0], 3)


@pytest.mark.parametrize(
    ("name", "number"),
    [("frame_000012.jpg", 12), ("7", 7), ("cam2/00003", 3), ("film.png", None), ("a_1_of_20", 20)],
)
def test_a_frame_is_named_by_the_last_number(name, number):
    assert films.frame_number(name) == number


def _change(data, **image):
    data["images"][3] |= image
    return data


def _shift(data):
    for image in data["images"]:
        image["file_name"] = f"frame_{image['id'] + 1:06d}"
    return data


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (lambda data: _change(data, file_name="film.jpg"), "image 'film.jpg' names no frame"),
        (lambda data: _change(data, file_name="frame_4"), "two images are frame 4"),
        (lambda data: _change(data, width=99), "image 'frame_000003' has 99×144 pixels"),
        (_shift, f"annotates frame {FRAMES}, but .* has 0 to {FRAMES - 1}, counted from 0"),
        (lambda data: data | {"images": [], "annotations": []}, "holds no image"),
    ],
)
def test_annotations_that_do_not_fit_are_refused_by_name(folder, tmp_path, changed, told):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(changed(json.loads((folder / "walk.json").read_text()))))
    with pytest.raises(PoseGaugeError, match=told) as refused:
        films.check_film(folder / "walk.mp4", path)
    assert str(path) in str(refused.value)


def test_a_film_of_which_no_frame_read_is_annotated_is_refused(folder, tmp_path):
    data = json.loads((folder / "walk.json").read_text())
    data["images"] = [image for image in data["images"] if image["id"] >= 30]
    data["annotations"] = [one for one in data["annotations"] if one["image_id"] >= 30]
    (tmp_path / "late.json").write_text(json.dumps(data))
    with pytest.raises(PoseGaugeError, match="none of the first 20 frames"):
        films.read_film(folder / "walk.mp4", tmp_path / "late.json", 20)
    late = films.read_film(folder / "walk.mp4", tmp_path / "late.json", 40)
    assert list(late.image_ids) == list(range(30, 40)), "some frames alone may be annotated"


def test_a_file_that_is_no_film_is_refused(tmp_path):
    (tmp_path / "a.mp4").write_text("no film")
    with pytest.raises(PoseGaugeError, match=re.escape("a.mp4: cannot be read as a video")):
        films.check_film(tmp_path / "a.mp4")


# ---------------------------------------------------------------------------------------- the report


@pytest.fixture(scope="module")
def record(judged, tmp_path_factory):
    """A record of the passes, as the workflow writes and reads it."""
    film, _, judge, rows = judged
    clip = film.clip
    about = {
        "file_name": "walk.mp4",
        "sha256": "a" * 64,
        "title": clip.title,
        "width": clip.width,
        "height": clip.height,
    }
    about |= {"frame_rate": 15.0, "frames": FRAMES, **judge.annotated()}
    written = {
        "schema_version": 1, "kind": "detect_every", "status": "ok", "reason": None,
        "artifact": "onnxruntime_cpu_fp32", "runtime": "onnxruntime", "device": "cpu", "precision": "fp32",
        "execution": "plain", "images_on": "host", "threads": 2, "film": about,
        "tracking": {"max_margin": 0.4, "min_keypoints": 4, "same_person": 0.15}, "rounds": 3,
        "interval": judge.about(),
        "ways": [
            {"way": name, "status": "ok", "reason": None, "rows": [row for of, row in rows if of == name]}
            for name in ("ours", "rtmlib")
        ],
        "provenance": {"machine": MACHINE, "versions": {}},
    }  # fmt: skip
    path = tmp_path_factory.mktemp("record") / "one.json"
    write_json(path, written, "detect_every.schema.yaml")
    return read_record(path, "detect_every.schema.yaml")


def test_the_table_has_a_row_for_every_program_and_interval(record, judged):
    _, passes, _, _ = judged
    table = report.detect_every_table([record])
    assert tuple(table.columns) == report.COLUMNS and table["detect_every"].tolist() == INTERVALS * 2
    row = table[(table["way"] == "ours") & (table["detect_every"] == 5)].iloc[0]
    taken = np.array(passes["ours", 5]["latency_ms"])
    detected = np.array(passes["ours", 5]["detected"])
    assert row["latency_ms_mean"] == pytest.approx(np.median(taken.mean(1)))
    assert row["fps"] == pytest.approx(1e3 / row["latency_ms_mean"])
    assert row["latency_ms_p95"] == pytest.approx(np.percentile(taken, 95))
    assert row["detector_ms_p50"] == pytest.approx(np.median(taken[:, detected]))
    assert row["other_ms_p95"] == pytest.approx(np.percentile(taken[:, ~detected], 95))
    assert row["detector_frames"] == detected.sum()
    first = table.iloc[0]
    assert pd.isna(first["other_ms_p50"]) and first["ap"] == pytest.approx(1) and pd.isna(first["time_ratio"])


def test_the_page_the_sentence_and_the_figure_tell_both(record, tmp_path):
    table = report.detect_every_table([record])
    text = report.detect_every_markdown(table, [record], "A + B on C", "A notice.")
    assert text.count("\n| ") == 5 and "A notice." in text and "(256×144, 60 frames" in text
    assert "film: walk.mp4, SYNTHETIC: people drawn" in text, "a drawn film says so"
    assert "n = 5:" in text and "blocks of 6 frames" in text
    told = report.detect_every_finding([record])
    assert told.startswith("With the detector on every 5th frame of walk.mp4: ONNX Runtime")
    assert "rtmlib PoseTracker" in told and "AP" in told and "nan" not in text + told
    assert report.detect_every_finding([]) is None
    report.plot_detect_every(table, [record], tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_what_did_not_run_says_why(record, tmp_path):
    gone = {**record, "status": "not run", "reason": "no CUDA device"}
    gone["ways"] = [{"way": "ours", "status": "not run", "reason": "no CUDA device", "rows": []}]
    table = report.detect_every_table([gone])
    assert "no CUDA device" in report.detect_every_markdown(table, [gone])
    assert report.detect_every_finding([gone]) is None
    report.plot_detect_every(table, [gone], tmp_path / "a.png")


def test_the_drawn_film_is_a_film(folder):
    clip = video_files.read_clip(folder / "walk.mp4")
    assert (clip.width, clip.height, clip.frames) == (*SIZE, FRAMES)
