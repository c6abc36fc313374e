"""The series over persons and image batches: what is run, in which order, and how it is shown."""

import copy
import math
from dataclasses import replace

import cv2
import demo_models
import numpy as np
import pandas as pd
import pytest
from fake_results import MACHINE, fake_parity
from hypothesis import given, settings
from hypothesis import strategies as st

from posegauge.errors import PoseGaugeError, Unavailable
from posegauge.measure import batches
from posegauge.measure.batches import Picture, Point, boxes_of, measure, run_batch
from posegauge.pipeline.steps import Settings
from posegauge.report import batches as report_batches
from posegauge.report import lines_of_artifacts
from posegauge.report.records import Run
from posegauge.score import intervals
from posegauge.store.files import write_json
from posegauge.study import ARTIFACTS

PROTOCOL = {"persons": [1, 3], "images": [1, 2, 4], "persons_per_image": 2, "runs": 4}
POINTS = batches.points(PROTOCOL)
BOX = np.float32([[20, 10, 60, 110]])


@pytest.fixture
def pictures():
    return [Picture(np.full((120, 160, 3), value, np.uint8), BOX) for value in range(4)]


# -------------------------------------------------------------------------------------------- the boxes


@given(st.integers(0, 3), st.integers(1, 20), st.integers(0, 100))
@settings(deadline=None, max_examples=40)
def test_boxes_are_annotated_ones_and_then_copies_near_them(annotated, count, seed):
    real = np.float32([[0, 0, 30, 60], [100, 50, 160, 120], [40, 40, 50, 90]])[:annotated]
    boxes = boxes_of(real, count, (160, 120), seed)
    assert boxes.shape == (count, 4) and boxes.dtype == np.float32
    base = real if annotated else np.float32([[0, 0, 160, 120]])
    np.testing.assert_array_equal(boxes[: len(base)], base[:count])
    assert ((boxes >= 0) & (boxes <= [160, 120, 160, 120])).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    size = np.tile(base[:, 2:] - base[:, :2], 2)[np.arange(count) % len(base)]
    assert (abs(boxes - base[np.arange(count) % len(base)]) <= 0.1 * size + 1e-4).all()
    np.testing.assert_array_equal(boxes_of(real, count + 3, (160, 120), seed)[:count], boxes)
    if count > len(base):
        assert (boxes_of(real, count, (160, 120), seed + 1) != boxes).any()


# ---------------------------------------------------------------------------------------------- the runs


@pytest.fixture(scope="module")
def host():
    return demo_models.torch_pipeline(Settings())


@pytest.mark.parametrize("flip", [False, True])
def test_a_batch_of_images_gives_what_each_image_gives_alone(host, flip, monkeypatch):
    from posegauge.data.scenes.scenes import render_scene

    monkeypatch.setattr(host, "settings", replace(host.settings, flip_test=flip))
    images = [render_scene(seed=5, index=index, persons=2)[0] for index in range(2)]
    images[1] = cv2.resize(images[1], (300, 400))
    boxes = [np.float32([[40, 30, 160, 300]]), np.float32([[10, 20, 100, 200], [50, 50, 150, 350]])]
    shapes = []
    run = host.detector.run
    monkeypatch.setattr(host.detector, "run", lambda batch: shapes.append(batch.shape) or run(batch))
    found = run_batch(host, images, boxes)
    assert shapes == [(2, 3, 320, 320)]
    for image, image_boxes, ours in zip(images, boxes, found, strict=True):
        (alone,) = run_batch(host, [image], [image_boxes])
        pairs = ((persons.keypoints, persons.keypoint_scores) for persons in (ours, alone))
        for one, other, expected in zip(*pairs, host.estimate(image, image_boxes), strict=True):
            np.testing.assert_array_equal(other, expected)
            np.testing.assert_allclose(one, expected, atol=1e-3)


def test_every_point_has_the_work_it_names(pictures):
    done = []

    def run(pipeline, images, boxes):
        done.append(
            (pipeline, len(images), {len(one) for one in boxes}, sum(int(i[0, 0, 0]) for i in images))
        )

    measured = measure({"a": ("A", "cpu")}, pictures, PROTOCOL | {"runs": 1}, 0, run)
    warm, timed = done[: len(done) // 2], done[len(done) // 2 :]
    singles = [("A", 1, {2}, value) for value in range(4)]
    pairs = [("A", 2, {2}, 1), ("A", 2, {2}, 5)]
    assert warm == [("A", 1, {1}, 0), ("A", 1, {3}, 0), *singles, *pairs, ("A", 4, {2}, 6)]
    assert sorted(map(str, timed)) == sorted(map(str, warm))
    assert [(p["series"], p["images"], p["persons"]) for p in measured["a"]] == [
        (point.series, point.images, point.persons) for point in POINTS
    ]
    assert [point["images_per_turn"] for point in measured["a"]] == [1, 1, 4, 4, 4]
    assert all(len(p["turn_ms"]) == 1 and p["turn_ms"][0] > 0 for p in measured["a"])


def test_too_few_pictures_are_used_again(pictures):
    ((images, _),) = batches.turn(pictures[:1], Point("images", 4, 2), 0, 4)
    assert len(images) == 4


def test_the_turns_of_all_artifacts_are_mixed_in_every_round(pictures):
    done = []
    measure(
        {"a": ("A", "cpu"), "b": ("B", "cuda")}, pictures, PROTOCOL, 0,
        lambda pipeline, images, boxes: done.append((pipeline, len(images), len(boxes[0]))),
    )  # fmt: skip
    per_round = 1 + 1 + 4 + 2 + 1
    warm = per_round * (batches.WARMUP_ROUNDS["cpu"] + batches.WARMUP_ROUNDS["cuda"])
    rounds = np.array([name for name, _, _ in done[warm:]]).reshape(PROTOCOL["runs"], -1)
    for names in rounds:
        assert (names == "A").sum() == (names == "B").sum() == per_round
        # Not one after the other.
        assert (names[1:] != names[:-1]).sum() > 1
    assert len({tuple(names) for names in rounds}) == PROTOCOL["runs"]


def test_what_a_network_does_not_take_has_its_reason(pictures):
    def run(pipeline, images, boxes):
        if len(images) == 2:
            raise ValueError("Got invalid dimensions\nand more")
        if len(images) == 4:
            raise Unavailable("out of memory")

    measured = measure({"a": ("A", "cpu")}, pictures, PROTOCOL, 0, run)["a"]
    reasons = {point["images"]: point["reason"] for point in measured if point["series"] == "images"}
    assert reasons == {
        1: None,
        2: "cannot run 2 images in a batch: Got invalid dimensions",
        4: "out of memory",
    }
    assert [len(point["turn_ms"]) for point in measured] == [4, 4, 4, 0, 0]


@pytest.mark.parametrize("error", [ValueError("a fault of ours"), PoseGaugeError("a fault of the user's")])
def test_a_fault_with_one_image_is_no_reason(pictures, error):
    def run(pipeline, images, boxes):
        raise error

    with pytest.raises(type(error), match="a fault of"):
        measure({"a": ("A", "cpu")}, pictures, PROTOCOL, 0, run)


# --------------------------------------------------------------------------------------- table and figure


def fake_record(names=("pytorch_cpu_fp32", "onnxruntime_cpu_fp32"), runs: int = 8) -> dict:
    """Return an invented batches.json; the last artifact was not run."""
    entries = []
    for number, name in enumerate([*names, "tensorrt_cuda_fp16"]):
        artifact = ARTIFACTS[name]
        points = [
            {
                "series": point.series,
                "images": point.images,
                "persons": point.persons,
                "status": "ok",
                "reason": None,
                "images_per_turn": 4 if point.series == "images" else 1,
                "turn_ms": [(100.0 - number) * (1 + 0.01 * turn) * point.persons for turn in range(runs)],
            }
            for point in batches.points(PROTOCOL)
        ]
        ran = name != "tensorrt_cuda_fp16"
        entries.append(
            {
                "artifact": name,
                "runtime": artifact.runtime,
                "device": artifact.device,
                "precision": artifact.precision,
                "execution": artifact.execution,
                "images_on": artifact.images,
                "status": "ok" if ran else "not run",
                "reason": None if ran else "no CUDA device",
                "points": points if ran else [],
                "backends": {},
            }
        )
    return {
        "schema_version": 1,
        "kind": "batches",
        "device": "cpu",
        "threads": 2,
        "runs": runs,
        "persons_per_image": 2,
        "pictures": [{"file_name": "a.jpg", "width": 160, "height": 120}],
        "artifacts": entries,
        "provenance": {"machine": MACHINE, "versions": {}},
    }


def test_the_table_has_speeds_with_intervals_and_reasons():
    record = fake_record()
    record["artifacts"][1]["points"][4] |= {"status": "not run", "reason": "one at a time", "turn_ms": []}
    table = report_batches.batches_table(record, [fake_parity("onnxruntime_cpu_fp32", ["max_ap_diff"])])
    assert list(table.columns) == list(report_batches.BATCH_COLUMNS)
    assert len(table) == 5 + 5 + 1
    first = table.iloc[1]
    assert (first.series, first.images, first.persons, first.runs) == ("persons", 1, 3, 8)
    assert first.turn_ms_p50 == pytest.approx(310.5)
    assert first.images_per_s == pytest.approx(1e3 / 310.5, rel=1e-3)
    assert first.persons_per_s == pytest.approx(3 * first.images_per_s)
    # Of eight samples the extremes enclose the median with 99.2 %; the next would with 93 %.
    assert first.images_per_s_low == pytest.approx(1e3 / 321) and first.images_per_s_high == pytest.approx(
        1e3 / 300
    )
    batch = table[(table.series == "images") & (table.images == 4)].iloc[0]
    assert batch.images_per_s == pytest.approx(4e3 / 207, rel=1e-3)
    assert table.iloc[-1].reason == "no CUDA device" and pd.isna(table.iloc[-1].images_per_s)
    text = report_batches.batches_markdown(table, record, "Two models", "Invented.")
    for part in (
        "ONNX Runtime, CPU, FP32 · fails",
        "TensorRT, GPU, FP16: *not run: no CUDA device*",
        "3.2 (3.1 to 3.3)",
        "2 persons in each",
        "4 images: one at a time",
        "Two models",
        "Fake 3000",
        "*Invented.*",
        "what keeps less fails",
    ):
        assert part in text, part


@given(st.integers(1, 40))
@settings(deadline=None)
def test_the_interval_of_a_median_has_the_coverage_it_promises(count):
    low, high = intervals.median_interval(np.random.default_rng(count).permutation(count))

    def coverage(beyond):
        return 1 - 2 * sum(math.comb(count, k) for k in range(beyond + 1)) / 2**count

    if low is None:
        assert coverage(0) < 0.95
        return
    assert low + high == count - 1
    assert coverage(int(low)) >= 0.95 > coverage(int(low) + 1)


def test_a_file_of_another_shape_is_refused(tmp_path):
    record = fake_record()
    write_json(tmp_path / "good.json", record, "batches.schema.yaml")
    assert Run({"batches": tmp_path / "good.json"}).batches["runs"] == 8
    wrong = copy.deepcopy(record)
    wrong["artifacts"][0]["device"] = "tpu"
    write_json(tmp_path / "bad.json", wrong)
    with pytest.raises(
        PoseGaugeError, match=r"bad\.json: does not fit batches\.schema\.yaml at artifacts/0/device"
    ):
        _ = Run({"batches": tmp_path / "bad.json"}).batches


@given(st.lists(st.floats(0, 3), min_size=1, max_size=8))
@settings(deadline=None)
def test_labels_keep_their_distance_and_their_order(places):
    moved = lines_of_artifacts.spread(places, 0.33)
    order = np.argsort(places, kind="stable")
    gaps = np.diff(np.array(moved)[order])
    assert (gaps >= 0.33 - 1e-9).all()
    if (np.diff(np.sort(places)) >= 0.34).all():
        np.testing.assert_allclose(moved, places)


def test_the_figure_names_every_artifact_beside_its_line(tmp_path, monkeypatch):
    drawn = []
    annotate = report_batches.plt.Axes.annotate
    monkeypatch.setattr(
        report_batches.plt.Axes,
        "annotate",
        lambda self, text, **how: drawn.append(text) or annotate(self, text, **how),
    )
    names = ("pytorch_cpu_fp32", "onnxruntime_cpu_fp32", "onnxruntime_cuda_fp16_graph_device")
    record = fake_record(names)
    table = report_batches.batches_table(record, [fake_parity("onnxruntime_cpu_fp32", ["max_ap_diff"])])
    report_batches.plot_batches(table, record, tmp_path / "batches.png", "Two models", "Invented.")
    image = cv2.imread(str(tmp_path / "batches.png"))
    assert image.shape[1] == 1440 and image.shape[0] > 800
    shown = [text.replace("\n", " ") for text in drawn]
    once = [
        "PyTorch, CPU, FP32",
        "ONNX Runtime, CPU, FP32 · fails",
        "ONNX Runtime, GPU, FP16, CUDA graph, all on device",
    ]
    assert shown == once * 2


def test_a_figure_without_a_run_says_why(tmp_path):
    record = fake_record(names=())
    table = report_batches.batches_table(record)
    report_batches.plot_batches(table, record, tmp_path / "batches.png")
    assert cv2.imread(str(tmp_path / "batches.png")) is not None
    assert "not run: no CUDA device" in report_batches.batches_markdown(table, record)
