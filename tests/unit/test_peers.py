"""The pipeline beside other programs: same boxes and thresholds, fair turns, ratios, table and figure."""

import cv2
import demo_models
import numpy as np
import pytest
from demo_models import DETECTOR, POSE
from fake_results import MACHINE

from posegauge.data.scenes.scenes import render_scene
from posegauge.errors import PoseGaugeError
from posegauge.measure import peer_programs, peers
from posegauge.pipeline.conventions import DEFAULT
from posegauge.pipeline.steps import Settings
from posegauge.report import peers as report_peers
from posegauge.report.records import Run
from posegauge.score import intervals
from posegauge.store.files import write_json


@pytest.fixture(scope="module")
def onnx(tmp_path_factory):
    """The pipeline on ONNX Runtime and the folder of its files."""
    folder = tmp_path_factory.mktemp("peers")
    return demo_models.onnx_pipeline(folder, Settings()), folder


@pytest.fixture(scope="module")
def scene(onnx):
    """An image and the boxes of its persons."""
    image = render_scene(seed=77, index=1, persons=3)[0]
    return image, onnx[0].detect(image)[0][:3]


def distance(one, other) -> np.ndarray:
    return np.linalg.norm(one - other, axis=-1)


@pytest.fixture(scope="module")
def ways(onnx):
    """All that run here, by name."""
    pipeline, folder = onnx
    made = {
        "bare": peer_programs.Bare(pipeline),
        "ours": peer_programs.Ours(pipeline),
        "original": peer_programs.Original(pipeline),
        "mmpose": peer_programs.MMPose(DETECTOR, POSE, Settings()),
        "inferencer": peer_programs.Inferencer(DETECTOR, POSE, Settings()),
    }
    files = str(folder / "detector.onnx"), str(folder / "pose.onnx")
    nms = peer_programs.append_nms(files[0], folder / "nms.onnx", Settings())
    pytest.importorskip("rtmlib")
    sizes = DETECTOR.input_size, POSE.input_size
    made["rtmlib"] = peer_programs.Rtmlib(nms, files[1], sizes, DEFAULT, Settings(), 1)
    return made


def test_programs_agree_where_they_do_the_same(ways, scene):
    image, boxes = scene
    own = ways["ours"].detect_and_pose(image, boxes)
    assert own.shape == (3, 17, 2)
    for name in ("mmpose", "inferencer"):
        assert np.percentile(distance(ways[name].detect_and_pose(image, boxes), own), 95) < 0.1, name
    # rtmlib takes red for blue; given an image in the other order it agrees.
    swapped = np.ascontiguousarray(image[..., ::-1])
    assert np.percentile(distance(ways["rtmlib"].pose_only(swapped, boxes), own), 95) < 0.1
    assert np.percentile(distance(ways["original"].detect_and_pose(image, boxes), own), 95) > 1
    told = peers.agreement(ways, image, boxes)
    assert set(told) == {"original", "mmpose", "inferencer", "rtmlib"}
    assert told["mmpose"]["keypoints"] == 51 and told["original"]["px_p95"] > told["mmpose"]["px_p95"]


def test_nms_in_the_graph_keeps_our_boxes(ways, onnx, scene):
    image, _ = scene
    boxes, scores = onnx[0].detect(image)
    theirs = ways["rtmlib"].detector(image)
    # rtmlib has one scale for x and y.
    np.testing.assert_allclose(theirs, boxes[scores > Settings().bbox_thr], atol=1.0)


def test_ours_runs_the_detector_and_takes_the_boxes(onnx, scene, monkeypatch):
    pipeline, _ = onnx
    image, boxes = scene
    runs = []
    way = peer_programs.Ours(pipeline)
    monkeypatch.setattr(
        pipeline.detector, "run", lambda batch, run=pipeline.detector.run: runs.append(1) or run(batch)
    )
    np.testing.assert_array_equal(way.detect_and_pose(image, boxes), way.pose_only(image, boxes))
    assert len(runs) == 1 and not pipeline.always_detect
    (persons,) = pipeline.run([image], [boxes], always_detect=True)
    assert persons.stages_ms["detect"] > 0 and (persons.bbox_scores == 1).all() and len(persons) == 3


def test_a_stretched_input_shows_the_whole_box_in_rgb():
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:20, 30:50] = (0, 0, 255)  # red, in OpenCV's order
    batch, corner, scale = peer_programs.stretched_input(
        image, np.array([30, 10, 50, 20], np.float32), (192, 256)
    )
    assert batch.shape == (1, 3, 256, 192) and batch.dtype == np.float32
    np.testing.assert_array_equal(batch.reshape(3, -1).min(1), [1, 0, 0])
    np.testing.assert_allclose(corner + scale * (192, 256), (50, 20), rtol=1e-6)


ANNOTATIONS = {
    "annotations": [
        {"image_id": image_id, "category_id": 1, "bbox": box}
        for image_id, box in (
            (1, [0, 0, 10, 10]),
            (2, [0, 0, 50, 50]),
            (2, [0, 0, 500, 10]),
            (3, [5, 5, 20, 20]),
        )
    ]
}
ENTRIES = [{"id": i, "file_name": f"{i}.jpg", "width": 60, "height": 60} for i in (1, 2, 3)]


def test_further_boxes_come_from_other_images_and_fit():
    boxes = peers.given_boxes(ANNOTATIONS, ENTRIES, ENTRIES[0], 3)
    np.testing.assert_array_equal(boxes[:, 2:], [[10, 10], [50, 50], [25, 25]])
    assert len(peers.given_boxes(ANNOTATIONS, ENTRIES, ENTRIES[0], 1)) == 1
    with pytest.raises(PoseGaugeError, match=r"peers\.persons: 4 boxes asked for, the images have 3"):
        peers.given_boxes(ANNOTATIONS, ENTRIES, ENTRIES[0], 4)


class Recorded:
    """A way that notes its calls."""

    def __init__(self, name, calls, has_pose=True):
        self.note = lambda variant: lambda image, boxes: calls.append((name, variant, len(boxes)))
        self.detect_and_pose = self.note("detect+pose")
        self.pose_only = self.note("pose only") if has_pose else None


def test_ways_take_turns_and_change_places(monkeypatch):
    monkeypatch.setattr(peers, "PAUSE_S", 0)
    calls = []
    ways = {"ours": Recorded("ours", calls), "b": Recorded("b", calls, has_pose=False)}
    boxes = {count: np.zeros((count, 4), np.float32) for count in (1, 4)}
    samples = peers.take_turns(ways, None, boxes, 5)
    assert set(samples) == {
        (name, variant, count)
        for name in ways for variant in peers.VARIANTS for count in boxes
        if (name, variant) != ("b", "pose only")
    }  # fmt: skip
    assert all(len(taken) == 5 for taken in samples.values())
    # The warm-up is called and not kept.
    assert calls.count(("b", "detect+pose", 4)) == 5 + peers.WARMUP
    first = [name for name, variant, count in calls if (variant, count) == ("detect+pose", 1)][::2]
    assert first[:4] in (["ours", "b", "ours", "b"], ["b", "ours", "b", "ours"])


def test_ratio_is_paired_by_rounds():
    drift = np.linspace(1, 3, 40)  # a machine that slows down
    noise = np.random.default_rng(0).normal(1, 0.01, 40)
    found = intervals.paired_ratio(drift * 10, drift * 20 * noise, 500, 1)
    assert found["low"] < 0.5 < found["high"] and found["high"] - found["low"] < 0.05
    few = intervals.paired_ratio([1.0] * 5, [2.0] * 5, 500, 1)
    assert few == {"value": 0.5, "low": None, "high": None}


def fake_peers(**changes) -> dict:
    """An invented record that fits the schema; rtmlib is not installed."""
    rows = [
        {
            "pipeline": pipeline, "persons": persons, "latency_ms": [20.0, 21.0, 22.0],
            "ratio": {"value": 0.5, "low": 0.45, "high": 0.55},
        }
        for pipeline in peers.VARIANTS for persons in (1, 4)
    ]  # fmt: skip
    near = {"keypoints": 68, "px_p50": 0.1, "px_p95": 2.25, "px_max": 9.0}
    return {
        "schema_version": 1,
        "kind": "peers",
        "device": "cpu",
        "threads": 2,
        "image": {"file_name": "fake.jpg", "width": 640, "height": 426},
        "persons": [1, 4],
        "rounds": 3,
        "ways": [
            {
                "way": name,
                "title": way.title,
                "runtime": way.runtime,
                "does": way.does,
                "status": "not run" if name == "rtmlib" else "ok",
                "reason": "rtmlib is not installed" if name == "rtmlib" else None,
                "rows": [] if name == "rtmlib" else rows[:2] if name == "inferencer" else rows,
                "agreement": near if name in ("original", "mmpose") else None,
            }
            for name, way in peers.WAYS.items()
        ],
        "provenance": {"machine": MACHINE, "versions": {}},
        **changes,
    }


def test_the_table_shows_times_ratios_and_reasons(tmp_path):
    write_json(tmp_path / "peers.json", fake_peers(), "peers.schema.yaml")
    record = Run.of_folder(tmp_path).peers
    table = report_peers.peers_table(record)
    assert list(table.columns) == list(report_peers.PEERS_COLUMNS)
    assert len(table) == 5 * 4 + 2 + 1
    text = report_peers.peers_markdown(table, record, "A + B on fakes", "Invented.")
    assert "| 21.0 ms, 0.50× [0.45, 0.55] |" in text and "*not run: rtmlib is not installed*" in text
    assert "0.10 / 2.25" in text and "4 persons" in text and text.endswith("*Invented.*\n")
    assert "random weights" not in text.lower()
    told = report_peers.peers_finding(record)
    assert "MMPose functions 0.50× [0.45, 0.55] (1), 0.50× [0.45, 0.55] (4)" in told and "rtmlib" not in told


def test_nothing_ran_says_nothing():
    record = fake_peers()
    for way in record["ways"]:
        way |= {"status": "not run", "reason": "none", "rows": []}
    assert report_peers.peers_finding(record) is None


def test_the_figure_can_be_drawn_with_and_without_rows(tmp_path):
    record = fake_peers()
    for name, shown in (
        ("some", record),
        (
            "none",
            record | {"ways": [w | {"status": "not run", "reason": "x", "rows": []} for w in record["ways"]]},
        ),
    ):
        path = tmp_path / f"{name}.png"
        report_peers.plot_peers(shown, path, "A + B on fakes", "Invented.")
        assert cv2.imread(str(path)).std() > 0
