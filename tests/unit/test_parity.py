"""Parity: the demo models' ONNX files against PyTorch, and what a damaged file does to its latency rows."""

import json
import shutil
from copy import deepcopy
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from demo_models import DETECTOR, POSE, described, torch_pipeline, written_scenes
from fake_results import fake_latency, fake_parity
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from conftest import ROOT
from posegauge.backends import base
from posegauge.data import coco
from posegauge.data.annotations import read_annotations
from posegauge.data.coco import person_boxes
from posegauge.data.images import read_entry
from posegauge.errors import PoseGaugeError
from posegauge.measure import parity, parity_source
from posegauge.pipeline.steps import Settings
from posegauge.report.findings import key_findings
from posegauge.report.latency import benchmark_markdown, benchmark_table
from posegauge.report.parity import PARITY_COLUMNS, parity_markdown, parity_table
from posegauge.report.records import read_parity
from posegauge.score import metrics
from posegauge.store import files
from posegauge.study import ARTIFACTS

ON_CPU = "onnxruntime_cpu_fp32"
ON_GPU = ["onnxruntime_cuda_fp32", "pytorch_cuda_fp32", "tensorrt_cuda_fp16"]
GATES = ["max_ap_diff", "max_keypoint_p95_px", "max_box_p95_px"]
IMAGES = 10  # as many as an interval needs
SHIFT_PX = 4  # of the network's input


# --------------------------------------------------------------------------------------- the demo models


@pytest.fixture(scope="module")
def config() -> dict:
    """The default config with the demo models, made small."""
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    config["models"] = described()
    config["parity"]["images"] = IMAGES
    config["bootstrap"]["resamples"] = 50
    return config


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> dict:
    """Files of synthetic scenes, all with persons."""
    return written_scenes(tmp_path_factory.mktemp("scenes"), IMAGES, 0, 31) | {
        "source_detector": DETECTOR.checkpoint,
        "source_pose": POSE.checkpoint,
    }


@pytest.fixture(scope="module")
def exported(demo_onnx) -> dict:
    return demo_onnx


def predict(config, data, folder) -> parity_source.Source:
    """Run the source and read what it gave from its files."""
    record = parity_source.predict(config, data, folder / "pytorch.npz", 1)
    files.write_json(folder / "pytorch.json", record, parity_source.SCHEMA)
    return parity_source.read(folder / "pytorch.json", config, data, 1)


@pytest.fixture(scope="module")
def source(config, data, tmp_path_factory) -> parity_source.Source:
    return predict(config, data, tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def two(config, data, tmp_path_factory) -> tuple:
    """The config for two images, and what PyTorch gave on them."""
    config = deepcopy(config)
    config["parity"]["images"] = 2
    return config, predict(config, data, tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def good(config, data, exported, source) -> dict:
    return parity.check_artifact(config, ON_CPU, data | exported, source, 1)


def write(path, record) -> str:
    files.write_json(path, record, "parity.schema.yaml")
    return str(path)


def damage(path, target, change) -> str:
    """Copy an ONNX file to `target` with the weights that `change` (name, array) returns."""
    model = onnx.load(path)
    touched = 0
    for weight in model.graph.initializer:
        before = numpy_helper.to_array(weight)
        after = change(weight.name, before)
        if after is not before:
            weight.CopyFrom(numpy_helper.from_array(after.astype(before.dtype), weight.name))
            touched += 1
    assert touched, "nothing was damaged"
    onnx.save(model, str(target))
    return str(target)


def test_an_export_passes(good, exported, tmp_path):
    write(tmp_path / "good.json", good)
    assert (good["status"], good["passes"], good["failed"]) == ("ok", True, [])
    assert good["images"] == IMAGES and good["persons"] > IMAGES
    assert good["keypoints"] == 17 * good["persons"]
    assert 0 <= good["persons"] - good["boxes"] <= good["unmatched_boxes"]
    for name in ("ap_source", "ap_artifact"):
        assert 0.3 < good[name]["low"] <= good[name]["value"] <= good[name]["high"] <= 1
    difference = good["ap_artifact"]["value"] - good["ap_source"]["value"]
    assert good["ap_diff"]["value"] == pytest.approx(difference)
    share = good["ap_artifact"]["value"] / good["ap_source"]["value"]
    assert good["ap_share"]["value"] == pytest.approx(share)
    assert 0.99 < good["ap_share"]["low"] <= share <= good["ap_share"]["high"] < 1.01, "paired"
    assert 0 <= good["keypoint_px_p95"] <= good["keypoint_px_max"]
    assert 0 < good["box_px_p95"] <= good["box_px_max"] < 0.5
    assert 0 < good["raw"]["max_simcc_diff"] < 1e-3
    for network in (DETECTOR, POSE):
        provenance = good["provenance"]
        file = provenance["artifacts"][network.role]
        assert file["sha256"] == files.sha256_file(exported[network.role])
        assert provenance["source"][network.role]["sha256"] == files.sha256_file(network.checkpoint)


def test_a_damaged_pose_network_fails_and_its_rows_say_so(config, data, exported, source, good, tmp_path):
    graph = onnx.load(exported["pose"]).graph
    columns = next(node.input[1] for node in graph.node if "simcc_x" in node.output)

    def shift(name, weights):
        # Two SimCC bins are one pixel of the crop.
        return np.roll(weights, 2 * SHIFT_PX, axis=1) if name == columns else weights

    onnx_files = {**exported, "pose": damage(exported["pose"], tmp_path / "pose.onnx", shift)}
    record = parity.check_artifact(config, ON_CPU, data | onnx_files, source, 1)
    path = write(tmp_path / "parity.json", record)
    assert record["passes"] is False
    assert record["failed"] == ["max_ap_diff", "max_keypoint_p95_px"]
    assert record["ap_diff"]["value"] < -0.01
    assert record["keypoint_px_p95"] > 2 * good["keypoint_px_p95"]
    assert record["box_px_p95"] == good["box_px_p95"], "the detector is the same"

    latency = [fake_latency(name) for name in ("pytorch_full_cpu", "onnx_full_cpu", "onnx_pose_cpu")]
    table = benchmark_table(latency, read_parity([path]))
    csv = table.to_csv(index=False).splitlines()
    assert record["ap_share"]["low"] <= record["ap_share"]["value"] < 0.99
    reason = f"{100 * record['ap_share']['value']:.1f}"
    told = [line for line in csv if f"fails: {reason}" in line]
    assert len(told) == 2, "detect+pose and pose only run the same artifact"
    assert table.set_index("benchmark").speedup[["onnx_full_cpu", "onnx_pose_cpu"]].isna().all()
    text = benchmark_markdown(table, latency)
    assert text.count(f"| fails: {reason}") == 2 and text.count("AP, keypoints P95 ") == 2
    assert "fails: AP -" in parity_markdown(parity_table([record]), [record])


def test_a_detector_that_is_off_fails_by_its_boxes(config, data, exported, source, tmp_path):
    def shift(name, weights):
        return weights + SHIFT_PX if name == "priors" else weights

    onnx_files = {**exported, "detector": damage(exported["detector"], tmp_path / "detector.onnx", shift)}
    record = parity.check_artifact(config, ON_CPU, data | onnx_files, source, 1)
    assert "max_box_p95_px" in record["failed"] and "max_keypoint_p95_px" not in record["failed"]
    assert record["raw"]["max_box_diff_px"] == pytest.approx(SHIFT_PX, abs=0.01)
    # 640 pixels of a scene are 320 of the network's input.
    assert record["box_px_p95"] == pytest.approx(2 * SHIFT_PX, abs=0.1)


def test_a_detector_that_finds_nobody_fails(two, data, exported, tmp_path):
    def blind(name, weights):
        return weights - 100 if "rtm_cls" in name and name.endswith("bias") else weights

    onnx_files = {**exported, "detector": damage(exported["detector"], tmp_path / "detector.onnx", blind)}
    record = parity.check_artifact(two[0], ON_CPU, data | onnx_files, two[1], 1)
    write(tmp_path / "blind.json", record)
    assert record["failed"] == ["max_ap_diff", "max_box_p95_px"]
    assert record["boxes"] == 0 and record["unmatched_boxes"] == record["persons"] > 0
    assert json.loads((tmp_path / "blind.json").read_text())["box_px_p95"] is None
    assert record["ap_artifact"]["value"] == 0
    assert record["ap_diff"]["low"] is None, "two images are too few for an interval"
    assert record["ap_share"] == {"value": 0.0, "low": None, "high": None}


def test_a_pose_network_whose_outputs_are_no_numbers_fails(two, data, exported, tmp_path):
    def break_head(name, weights):
        return weights * np.nan if "head.final_layer" in name else weights

    onnx_files = {**exported, "pose": damage(exported["pose"], tmp_path / "pose.onnx", break_head)}
    record = parity.check_artifact(two[0], ON_CPU, data | onnx_files, two[1], 1)
    write(tmp_path / "broken.json", record)
    assert record["failed"] == ["max_ap_diff", "max_keypoint_p95_px"]
    assert json.loads((tmp_path / "broken.json").read_text())["raw"]["max_simcc_diff"] is None


def test_without_a_person_nothing_is_compared(two, data, exported, tmp_path):
    config = deepcopy(two[0])
    config["pipeline"]["score_thr"] = 1.0
    record = parity.check_artifact(config, ON_CPU, data | exported, predict(config, data, tmp_path), 1)
    write(tmp_path / "nobody.json", record)
    assert (record["status"], record["passes"]) == ("not run", None)
    assert record["reason"] == "no person found by PyTorch in the 2 images to compare on"


@pytest.mark.skipif(base.cuda_devices() > 0, reason="this machine has a CUDA device")
@pytest.mark.parametrize("artifact", ON_GPU)
def test_without_a_gpu_its_artifacts_are_not_run(artifact, config, data, exported, source, tmp_path):
    record = parity.check_artifact(config, artifact, data | exported, source, 1)
    write(tmp_path / "gpu.json", record)
    assert (record["status"], record["reason"], record["passes"]) == ("not run", "no CUDA device", None)
    assert record["device"] == "cuda" and record["provenance"]["machine"]


@pytest.mark.parametrize(
    ("given", "title"),
    [
        (("detector", "pose"), "the given ONNX files in ONNX Runtime"),
        (("detector",), "the given ONNX file in ONNX Runtime (detector) and PyTorch (pose)"),
    ],
)
def test_a_network_given_as_onnx_is_compared_with_that_file(given, title, two, data, exported, tmp_path):
    config, data = deepcopy(two[0]), dict(data)
    for role in given:
        config["models"][role] |= {"config": None, "checkpoint": None, "onnx": exported[role]}
        data[f"source_{role}"] = exported[role]
    source = predict(config, data, tmp_path)
    record = parity.check_artifact(config, ON_CPU, data | exported, source, 1)
    write(tmp_path / "given.json", record)
    assert (record["status"], record["passes"]) == ("ok", True)
    runtimes = {role: "onnxruntime" if role in given else "pytorch" for role in ("detector", "pose")}
    assert record["source"] == runtimes
    assert {role: used["sha256"] for role, used in record["provenance"]["source"].items()} == {
        role: files.sha256_file(data[f"source_{role}"]) for role in runtimes
    }
    assert record["box_px_max"] == 0 and record["raw"]["max_score_diff"] == 0, "the same file"
    assert (record["raw"]["max_simcc_diff"] == 0) == ("pose" in given)
    text = parity_markdown(parity_table([record]), [record])
    assert f"Compared with {title}, CPU, FP32 on 2 images with persons." in text and "AP source" in text
    (found,) = key_findings(benchmark_table([]), [], [record])
    assert found["text"] == f"Parity with {title} on the CPU: 1 of 1 compared artifacts are exact."


def test_boxes_of_a_detector_with_nms_inside_are_compared_after_it():
    raw = {"max_box_diff_px": [], "max_score_diff": [], "max_simcc_diff": []}
    theirs = {"raw_boxes": np.empty((1, 0, 4)), "raw_scores": np.empty((1, 0, 1))}
    parity._compare_detectors(theirs, {"dets": np.ones((1, 3, 5)), "labels": np.zeros((1, 3))}, 0.1, raw)
    assert not any(raw.values())


def test_what_pytorch_gave_is_what_it_gives(config, data, source):
    """Bit for bit, so that a check gives what it would give with PyTorch beside it."""
    settings = Settings.of(config["pipeline"])
    pipeline = torch_pipeline(settings)
    entry = parity.chosen_images(config, data)[3]
    image = read_entry(data["images"], entry)
    boxes, scores = pipeline.detect(image)
    keypoints, keypoint_scores = pipeline.estimate(image, boxes)
    kept = source.image(entry["id"])
    for name, array in (
        ("boxes", boxes),
        ("scores", scores),
        ("keypoints", keypoints),
        ("keypoint_scores", keypoint_scores),
    ):
        np.testing.assert_array_equal(kept[name], array)
    assert kept["raw_boxes"].shape[1:] == (2100, 4) and kept["raw_scores"].shape[1:] == (2100, 1)
    assert kept["simcc_x"].shape == (len(boxes), 17, 384) and kept["simcc_y"].shape == (len(boxes), 17, 512)
    with pytest.raises(PoseGaugeError, match=r"pytorch\.json: has no image 99999"):
        source.image(99999)


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("pipeline", {"nms_thr": 0.5}, "settings"),
        ("parity", {"images": 1}, "images_sha256"),
    ],
)
def test_what_pytorch_gave_for_something_else_is_refused(key, value, name, two, data):
    config, source = deepcopy(two[0]), two[1]
    config[key] |= value
    with pytest.raises(PoseGaugeError, match=rf"pytorch\.json: made with {name} .* delete it and run again"):
        parity_source.read(source.path, config, data, 1)


def test_what_pytorch_gave_of_other_checkpoints_is_refused(two, data):
    config, source = two
    with pytest.raises(PoseGaugeError, match=r"made with networks_sha256 .* delete it and run again"):
        parity_source.read(source.path, config, data | {"source_pose": DETECTOR.checkpoint}, 1)


def test_what_pytorch_gave_with_other_threads_or_damaged_is_refused(two, data, tmp_path):
    config, source = two
    with pytest.raises(PoseGaugeError, match="made with threads 1, expected 2"):
        parity_source.read(source.path, config, data, 2)
    for name in ("pytorch.json", "pytorch.npz"):
        shutil.copy(Path(source.path).with_name(name), tmp_path)
    with (tmp_path / "pytorch.npz").open("r+b") as stream:
        stream.seek(1000)
        stream.write(b"damage")
    with pytest.raises(PoseGaugeError, match=r"pytorch\.npz: is not the file that .*pytorch\.json describes"):
        parity_source.read(tmp_path / "pytorch.json", config, data, 1)


def test_random_weights_are_compared_by_their_raw_outputs(two, data, exported, tmp_path):
    config = deepcopy(two[0])
    for role in config["models"]:
        config["models"][role]["random"] = True
    source = predict(config, data, tmp_path)
    entry = parity.chosen_images(config, data)[0]
    given = person_boxes(read_annotations(data["annotations"]), entry["id"])
    np.testing.assert_array_equal(source.image(entry["id"])["boxes"], given)
    record = parity.check_artifact(config, ON_CPU, data | exported, source, 1)
    write(tmp_path / "random.json", record)
    assert (record["status"], record["passes"], record["images"]) == ("no accuracy", None, 2)
    assert record["ap_source"] is None and 0 < record["raw"]["max_simcc_diff"] < 1e-3


def test_an_unreadable_image_is_an_error_or_left_out(config, data, tmp_path):
    entries = [
        {"id": 7, "file_name": "none.jpg", "width": 1, "height": 1},
        parity.chosen_images(config, data)[0],
    ]
    with pytest.raises(PoseGaugeError, match=r"none\.jpg.*dataset\.unreadable: skip"):
        list(parity.read_images(data["images"], entries, "error"))
    found = list(parity.read_images(data["images"], entries, "skip"))
    assert [image_id for image_id, _ in found] == [entries[1]["id"]]
    with pytest.raises(PoseGaugeError, match="none of the 1 images"):
        list(parity.read_images(data["images"], entries[:1], "skip"))


# --------------------------------------------------------------------------------------------- the steps


@given(length=st.integers(1, 3000), count=st.integers(1, 400))
def test_images_are_spread_evenly(length, count):
    chosen = coco.spread(list(range(length)), count)
    assert len(chosen) == min(count, length)
    gaps = np.diff([-0.5, *(np.array(chosen) + 0.0), length - 0.5])
    step = length / len(chosen)
    assert gaps[1:-1].min(initial=step) >= int(step) and gaps[1:-1].max(initial=0) <= step + 1
    assert max(gaps[0], gaps[-1]) <= step / 2 + 1


BOXES = st.lists(
    st.tuples(st.integers(0, 500), st.integers(0, 500), st.integers(5, 200), st.integers(5, 200)), max_size=8
).map(lambda rows: np.array([(x, y, x + w, y + h) for x, y, w, h in rows], np.float32).reshape(-1, 4))


@given(boxes=BOXES, seed=st.integers(0, 9))
def test_a_box_is_paired_with_itself_in_any_order(boxes, seed):
    order = np.random.default_rng(seed).permutation(len(boxes))
    pairs = metrics.match_boxes(boxes, boxes[order])
    assert len(pairs) == len(boxes)
    np.testing.assert_array_equal(boxes[pairs[:, 0]], boxes[order][pairs[:, 1]])


@given(ours=BOXES, theirs=BOXES)
def test_each_box_is_paired_once_and_only_with_one_it_overlaps(ours, theirs):
    pairs = metrics.match_boxes(ours, theirs)
    assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == len(pairs)
    for one, other in pairs:
        corner = np.maximum(ours[one, :2], theirs[other, :2])
        inside = np.prod(np.maximum(np.minimum(ours[one, 2:], theirs[other, 2:]) - corner, 0))
        areas = [np.prod(box[2:] - box[:2]) for box in (ours[one], theirs[other])]
        assert inside / (sum(areas) - inside) >= metrics.MATCH_IOU - 1e-6


def test_the_best_pair_comes_first():
    ours = np.array([[0, 0, 100, 100], [10, 0, 110, 100]], np.float32)
    theirs = np.array([[11, 0, 111, 100], [300, 300, 400, 400]], np.float32)
    assert metrics.match_boxes(ours, theirs).tolist() == [[1, 0]]


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({}, []),
        ({"ap_diff": {"value": -0.0021}}, ["max_ap_diff"]),
        ({"ap_diff": {"value": 0.0021}}, ["max_ap_diff"]),
        ({"ap_diff": {"value": None}}, []),
        ({"keypoint_px_p95": 0.51}, ["max_keypoint_p95_px"]),
        ({"keypoint_px_p95": float("nan")}, ["max_keypoint_p95_px"]),
        ({"box_px_p95": float("inf")}, ["max_box_p95_px"]),
        ({"ap_diff": {"value": 0.002}, "keypoint_px_p95": 0.5, "box_px_p95": 0.5}, []),
    ],
)
def test_gates(changes, failed):
    record = fake_parity(ON_CPU)
    assert parity.failed_gates(record | changes, record["gates"]) == failed


# ---------------------------------------------------------------------------------------------- the table


@pytest.mark.parametrize("artifact", ARTIFACTS)
@pytest.mark.parametrize("changes", [{}, {"failed": GATES}, {"reason": "no CUDA device"}])
def test_fakes_fit_the_schema(artifact, changes, tmp_path):
    write(tmp_path / "fake.json", fake_parity(artifact, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"passes": False},
        {"passes": None},
        {"failed": ["max_ap_diff"]},
        {"passes": False, "failed": ["max_something"]},
        {"status": "not run"},
        {"status": "maybe"},
        {"images": 0},
        {"keypoint_px_p95": -1.0},
        {"ap_diff": 0.1},
        {"provenance": {}},
        {"comment": "fine"},
    ],
)
def test_wrong_records_are_refused_and_named(changes, tmp_path):
    path = tmp_path / "bad.json"
    with pytest.raises(PoseGaugeError, match=r"bad\.json: result does not fit parity\.schema\.yaml"):
        write(path, fake_parity(ON_CPU) | changes)
    path.write_text(json.dumps(fake_parity(ON_CPU) | changes))
    with pytest.raises(PoseGaugeError, match=r"bad\.json: does not fit .* delete it and run again"):
        read_parity([path])


def test_bad_files_are_named(tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    with pytest.raises(PoseGaugeError, match=r"broken\.json: not valid JSON.*delete it and run again"):
        read_parity([broken])
    for name in ("onnxruntime_cpu_fp23", "pytorch_cpu_fp32"):
        path = write(tmp_path / "other.json", fake_parity(ON_CPU) | {"artifact": name})
        with pytest.raises(PoseGaugeError, match=rf"other\.json: unknown artifact '{name}'"):
            read_parity([path])


def test_table_and_markdown(tmp_path):
    records = [
        fake_parity(ON_CPU),
        fake_parity("pytorch_cuda_fp32", reason="no CUDA device"),
        fake_parity("tensorrt_cuda_fp16", GATES),
    ]
    paths = [write(tmp_path / f"{record['artifact']}.json", record) for record in records]
    read = read_parity(paths)
    assert [record["artifact"] for record in read] == ["pytorch_cuda_fp32", ON_CPU, "tensorrt_cuda_fp16"]
    table = parity_table(read)
    assert list(table.columns) == list(PARITY_COLUMNS)
    assert table.passes.tolist()[1:] == [True, False] and table.passes.isna().tolist() == [True, False, False]
    row = table.iloc[2]
    assert (row.ap_diff, row.ap_diff_low, row.ap_diff_high) == (-0.031, -0.042, -0.019)
    assert row.failed == ";".join(GATES) and row.max_box_p95_px == 0.5

    text = parity_markdown(table, read, "Fake-m on fakes", "All of it is invented.")
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert "*not run: no CUDA device*" in lines[2]
    assert "+0.0001 (-0.0002 to +0.0003)" in lines[3] and "0.12 / 80.50" in lines[3]
    assert "2 of 1800" in lines[3] and lines[3].rstrip("| ").endswith("exact")
    assert "fails: AP -0.031, keypoints P95 4.2 px, boxes P95 7.25 px" in lines[4]
    assert "on 200 images" in text and "Gates: AP 0.002 either way, keypoints P95 0.5 px" in text
    assert text.rstrip().endswith("*All of it is invented.*") and "Fake 3000" in text


def test_images_that_set_the_ranges_of_int8_and_are_compared_are_told():
    records = [fake_parity("onnxruntime_cpu_int8", calibrated_on=12), fake_parity(ON_CPU, calibrated_on=None)]
    assert "12 of the images compared set the ranges of INT8, too" in parity_markdown(
        parity_table(records), records
    )
    records[0]["calibrated_on"] = 0
    assert "ranges" not in parity_markdown(parity_table(records), records)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("scenes", "set by rendered scenes, none of them compared."),
        ("train2017", "set by images of COCO train2017, none of them compared."),
        ("folder", "set by images of a folder of the user's, none of them compared."),
        ("dataset", "set by images of the data set, none of them compared."),
    ],
)
def test_what_set_the_ranges_of_int8_is_told(kind, told):
    made = {"calibrated_from": kind, "calibrated_on": 0}
    records = [
        fake_parity("onnxruntime_cpu_int8", **made),
        fake_parity(ON_CPU, calibrated_from=None, calibrated_on=None),
    ]
    assert f"The ranges of INT8 were {told}" in parity_markdown(parity_table(records), records)
    records[0]["calibrated_on"] = 2
    text = parity_markdown(parity_table(records), records)
    assert "none of them" not in text and "2 of the images compared set the ranges of INT8, too" in text


def test_the_record_says_what_set_the_ranges_of_int8(tmp_path):
    made = {"from": "folder", "images": ["a.jpg"], "samples": 3, "in_parity": 0}
    paths = [tmp_path / f"{role}.json" for role in ("detector", "pose")]
    for path in paths:
        path.write_text(json.dumps({"calibration": made}))
    assert parity._calibrated(paths) == {"calibrated_from": "folder", "calibrated_on": 0}
    assert parity._calibrated([]) == {"calibrated_from": None, "calibrated_on": None}
    for calibrated in (parity._calibrated(paths), parity._calibrated([])):
        write(tmp_path / "record.json", fake_parity(ON_CPU, **calibrated))
        read_parity([tmp_path / "record.json"])


def test_a_missing_source_of_an_old_file_is_told_once(tmp_path):
    reason = "no PyTorch source: Fake-m given as ONNX only"
    write(tmp_path / "old.json", fake_parity(ON_CPU, reason=reason, status="no source"))
    records = read_parity([tmp_path / "old.json"])
    text = parity_markdown(parity_table(records), records)
    assert f"| *{reason}* |" in text


def test_the_table_of_nothing():
    assert list(parity_table([]).columns) == list(PARITY_COLUMNS)
    assert "No artifact" in parity_markdown(parity_table([]), [])
