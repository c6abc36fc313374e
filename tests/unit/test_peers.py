"""The pipeline beside other programs: same boxes and thresholds, fair turns, ratios, table and figure."""

from types import SimpleNamespace

import cv2
import demo_models
import numpy as np
import pytest
from demo_models import DETECTOR, POSE, described
from fake_results import MACHINE

from posegauge.backends import base
from posegauge.data.scenes.scenes import render_scene
from posegauge.errors import PoseGaugeError
from posegauge.measure import peer_limits, peer_programs, peers
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


@pytest.mark.parametrize("runtime", [peer_limits.OnnxThroughput, peer_limits.OpenVINOThroughput])
def test_a_limit_runs_both_networks_on_several_images_at_once(onnx, scene, runtime):
    if runtime is peer_limits.OpenVINOThroughput:
        pytest.importorskip("openvino")
    image, boxes = scene
    way = runtime(onnx[0], 2)
    assert way.images >= 1 and "CPU" in way.provider
    seen = []
    way.run = lambda role, batch, run=way.run: seen.append((role, batch.shape)) or run(role, batch)
    assert way.detect_and_pose(image, boxes) is None and way.pose_only(image, boxes[:1]) is None
    assert seen == [
        ("detector", (1, 3, 320, 320)),
        ("pose", (3, 3, 256, 192)),
        ("pose", (1, 3, 256, 192)),
    ]


def test_the_time_of_a_call_on_several_images_is_shared_among_them(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(peers, "time", SimpleNamespace(perf_counter=lambda: clock[0], sleep=lambda _: None))

    class Program:
        pose_only = None

        def __init__(self, images):
            self.images = images

        def detect_and_pose(self, image, bboxes):
            clock[0] += 0.04

    ways = {"ours": Program(1), "onnx_limit": Program(4)}
    samples = peers.take_turns(ways, None, {1: np.zeros((1, 4), np.float32)}, 2)
    assert samples["ours", "detect+pose", 1] == pytest.approx([40, 40])
    assert samples["onnx_limit", "detect+pose", 1] == pytest.approx([10, 10])


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


CONFIG = {
    "models": {
        role: entry | {"pixels": pixels}
        for (role, entry), pixels in zip(described().items(), ("rtmdet", "rtmpose"), strict=True)
    },
    "pipeline": {},
    "execution": {"allow_fallback": False},
    "engine": {"pose_batches": [1, 8, 32]},
}  # fmt: skip


def test_without_cuda_no_way_is_gone_and_each_says_why(tmp_path):
    if base.cuda_devices():
        pytest.skip("this machine has a CUDA device")
    ways, outcomes = peers.load_ways(CONFIG, "cuda", FILES, 1, tmp_path)
    assert ways == {} and set(outcomes) == set(peers.WAYS)
    assert {outcome.reason for outcome in outcomes.values()} == {"no CUDA device"}


class Fake:
    """A program that ran where it says; its calls raise `error`."""

    pipeline = SimpleNamespace(pose=SimpleNamespace(network=POSE))

    def __init__(self, provider="CUDAExecutionProvider", error=None):
        self.provider, self.error = provider, error

    def detect_and_pose(self, image, bboxes):
        if self.error:
            raise self.error


def fake_programs(monkeypatch, **programs):
    """Put programs in the place of those that load_ways makes: {class: Fake}; all others run on CUDA."""
    monkeypatch.setattr(peers, "build_pipeline", lambda *_, **__: SimpleNamespace(**PARTS))
    limits = "OnnxThroughput", "OpenVINOThroughput"
    for name in ("Bare", "Ours", "rtmlib_beside", "Original", "MMPose", "Inferencer", *limits):
        way = programs.get(name, Fake())
        monkeypatch.setattr(peers, name, lambda *_, way=way: way)


PARTS = {
    "settings": Settings(), "detector_size": (320, 320), "pose_size": (192, 256), "conventions": DEFAULT,
}  # fmt: skip
FILES = {"detector": "run/models/detector.onnx", "pose": "run/models/pose.onnx"}


def test_a_way_that_ran_elsewhere_than_asked_is_none(monkeypatch, tmp_path):
    fake_programs(monkeypatch, rtmlib_beside=Fake("CPUExecutionProvider"), MMPose=Fake("CUDA (NVIDIA T4)"))
    ways, outcomes = peers.load_ways(CONFIG, "cuda", FILES, 1, tmp_path)
    assert set(peers.WAYS) - set(ways) == {"rtmlib", *peers.CPU_ALONE}
    assert {outcomes[name].reason for name in peers.CPU_ALONE} == {"runs on the CPU alone"}
    assert outcomes["rtmlib"].reason == "asked for CUDA, ran on CPUExecutionProvider"
    _, outcomes = peers.load_ways(CONFIG, "cpu", FILES, 1, tmp_path)
    assert outcomes["mmpose"].reason == "asked for the CPU, ran on CUDA (NVIDIA T4)" and outcomes["rtmlib"].ok


def test_a_way_that_a_gpu_cannot_run_says_why_and_a_fault_is_one(monkeypatch, tmp_path):
    boxes = np.zeros((1, 4), np.float32)
    full = RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
    fake_programs(monkeypatch, MMPose=Fake(error=full))
    ways, outcomes = peers.load_ways(CONFIG, "cuda", FILES, 1, tmp_path)
    runs = peers.first_calls(ways, outcomes, None, boxes)
    assert set(ways) - set(runs) == {"mmpose"} and "out of GPU memory" in outcomes["mmpose"].reason
    ways["ours"] = Fake(error=full)
    assert peers.first_calls(ways, outcomes, None, boxes) == {}
    assert {outcome.reason for outcome in outcomes.values()} == {outcomes["ours"].reason}
    ways["ours"] = Fake(error=KeyError("a fault"))
    with pytest.raises(KeyError, match="a fault"):
        peers.first_calls(ways, outcomes, None, boxes)


def test_rtmlib_is_given_cudas_provider_without_tf32(onnx, monkeypatch):
    pytest.importorskip("rtmlib")
    import onnxruntime

    asked = []
    real = onnxruntime.InferenceSession

    def session(path_or_bytes, sess_options=None, providers=(), **_):
        asked.append(providers)
        return real(path_or_bytes, sess_options, providers=["CPUExecutionProvider"])

    files = str(onnx[1] / "detector.onnx"), str(onnx[1] / "pose.onnx")
    made = (*files, (DETECTOR.input_size, POSE.input_size), DEFAULT, Settings(), 1)
    with monkeypatch.context() as patched:
        patched.setattr(onnxruntime, "InferenceSession", session)
        way = peer_programs.Rtmlib(*made, "cuda")
    assert asked[-2:] == [[("CUDAExecutionProvider", {"use_tf32": "0"})]] * 2
    assert way.provider == "CPUExecutionProvider"  # what really runs, not what was asked for


def test_mmpose_goes_to_the_device_and_says_so(monkeypatch):
    from posegauge.models import build

    places = []
    monkeypatch.setattr(peer_programs, "_torch_on", places.append)
    load = build.load_model
    monkeypatch.setattr(build, "load_model", lambda network, on: places.append(on) or load(network))
    way = peer_programs.MMPose(DETECTOR, POSE, Settings(), "cuda")
    assert places == ["cuda"] * 3 and way.provider == "CPU"


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
                "provider": None if name == "rtmlib" else "CPUExecutionProvider",
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


def no_cuda() -> dict:
    """The same of a machine without a GPU."""
    record = fake_peers(device="cuda")
    none = {"provider": None, "status": "not run", "reason": "no CUDA device", "rows": [], "agreement": None}
    return record | {"ways": [way | none for way in record["ways"]]}


def test_the_table_shows_times_ratios_and_reasons(tmp_path):
    write_json(tmp_path / "peers/cpu.json", fake_peers(), "peers.schema.yaml")
    write_json(tmp_path / "peers/cuda.json", no_cuda(), "peers.schema.yaml")
    records = Run.of_folder(tmp_path).peers
    table = report_peers.peers_table(records)
    assert list(table.columns) == list(report_peers.PEERS_COLUMNS)
    assert len(table) == 9 * 4 + 2 + 1 + 11
    text = report_peers.peers_markdown(table, records, "A + B on fakes", "Invented.")
    assert "CPU (CPUExecutionProvider), threads: 2" in text and text.count("GPU:") == 1
    assert "GPU: *not run: no CUDA device*" in text
    assert "| 21.0 ms, 0.50× [0.45, 0.55] |" in text and "*not run: rtmlib is not installed*" in text
    assert "0.10 / 2.25" in text and "4 persons" in text and text.endswith("*Invented.*\n")
    assert "random weights" not in text.lower()
    told = report_peers.peers_finding(records)
    assert told.startswith("Detect+pose of posegauge on ONNX Runtime on the CPU takes") and "GPU" not in told
    assert "MMPose functions 0.50× [0.45, 0.55] (1), 0.50× [0.45, 0.55] (4)" in told and "rtmlib" not in told


def test_nothing_ran_says_nothing():
    assert report_peers.peers_finding([no_cuda()]) is None


def test_the_figure_can_be_drawn_with_and_without_rows(tmp_path):
    for name, shown in (
        ("some", [fake_peers(), no_cuda()]),
        ("both", [fake_peers(), fake_peers(device="cuda")]),
        ("none", [no_cuda()]),
    ):
        path = tmp_path / f"{name}.png"
        report_peers.plot_peers(shown, path, "A + B on fakes", "Invented.")
        assert cv2.imread(str(path)).std() > 0
