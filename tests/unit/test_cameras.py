"""Cameras: what the queues hold and lose, how many a server of known speed serves, and what is shown."""

import contextlib
import functools
import threading
import time

import cv2
import numpy as np
import pytest
from demo_models import written_scenes
from fake_results import MACHINE, fake_parity
from hypothesis import given
from hypothesis import strategies as some

from posegauge.errors import PoseGaugeError, Unavailable
from posegauge.measure import cameras, streams
from posegauge.measure.streams import LEAD_FRAMES, Frame, Waiting
from posegauge.report import cameras as report_cameras
from posegauge.report import pages
from posegauge.report.records import Run
from posegauge.store.files import write_json

FPS = 15


# ---------------------------------------------------------------------------------------------- the queues


@given(some.lists(some.tuples(some.integers(0, 2), some.booleans()), max_size=60), some.integers(1, 4))
def test_a_queue_keeps_the_newest_and_is_never_above_its_size(events, size):
    waiting, expected, lost, number = Waiting(3, size), {0: [], 1: [], 2: []}, 0, 0
    for camera, is_taken in events:
        if is_taken:
            frame = waiting.take(wait=False)
            oldest = min((queue[0] for queue in expected.values() if queue), default=None)
            assert (frame and frame.number) == oldest
            if frame:
                expected[frame.camera].pop(0)
            continue
        # The cameras take turns in no order; the number stands for the time.
        number += 1
        waiting.put(Frame(camera, number, float(number), None))
        lost += len(expected[camera]) == size
        expected[camera] = [*expected[camera], number][-size:]
        assert waiting.most <= size
    assert len(waiting.dropped) == lost


def test_taking_ends_when_no_camera_delivers():
    waiting = Waiting(1, 1)
    waiting.put(Frame(0, 0, 0.0, "last"))
    waiting.end()
    assert waiting.take().data == "last" and waiting.take() is None


# --------------------------------------------------------- a server of known speed, a clock of our own


def simulated(number: int, service_s: float, seed: int, queue: int = 2, seconds: float = 4.0) -> dict:
    """A round as run_round makes it, of the same queues, on a clock that only counts."""
    count = LEAD_FRAMES + round(seconds * FPS)
    phases = np.random.default_rng(seed).uniform(0, 1 / FPS, number)
    coming = sorted(
        Frame(camera, k, phase + k / FPS, None) for camera, phase in enumerate(phases) for k in range(count)
    )
    coming.sort(key=lambda frame: frame.due_s)
    waiting, latency_ms, free_s = Waiting(number, queue), [], 0.0
    while True:
        while coming and coming[0].due_s <= free_s:
            waiting.put(coming.pop(0))
        frame = waiting.take(wait=False)
        if frame is None:
            if not coming:
                break
            free_s = coming[0].due_s
            continue
        free_s += service_s
        if frame.number >= LEAD_FRAMES:
            latency_ms.append((free_s - frame.due_s) * 1e3)
    dropped = sum(frame.number >= LEAD_FRAMES for frame in waiting.dropped)
    return {"frames": number * (count - LEAD_FRAMES), "dropped": dropped, "latency_ms": latency_ms}


def found(service_s: float, numbers=None, most: int = 64) -> tuple[int, list[int]]:
    """The number of cameras that is found served, and the numbers that were tried."""
    tried = []

    def served(number: int) -> bool:
        tried.append(number)
        return streams.attempt_number(lambda k: simulated(number, service_s, k), 2, FPS)["served"]

    return streams.search(served, numbers, most), tried


@pytest.mark.parametrize(
    ("service_ms", "expected"),
    [
        (80, 0),  # a camera brings a frame every 66.7 ms
        (67, 0),
        (60, 1),
        (30, 2),  # 2 x 30 ms fit into a frame's time, whatever the phases; 3 do not
        (10, 6),
        (3, 22),
    ],
)
def test_a_server_of_known_speed_serves_the_right_number(service_ms, expected):
    assert found(service_ms / 1e3)[0] == expected


def test_too_many_cameras_lose_frames_and_all_others_are_served():
    one = simulated(3, 0.030, 0)
    assert one["dropped"] > 0 and one["dropped"] + len(one["latency_ms"]) == one["frames"]
    assert not streams.is_served(one, FPS)
    # Two of each may wait: no frame is older than so many before it, and itself.
    assert max(one["latency_ms"]) <= 30 * (3 * 2 + 1) + 1e-6


def test_numbers_that_are_given_are_tried_up_to_the_first_that_is_too_many():
    assert found(0.010, [8, 1, 4, 16]) == (4, [1, 4, 8])
    assert found(0.010, [2, 4]) == (4, [2, 4])


@given(some.integers(0, 200), some.integers(1, 128))
def test_the_search_finds_the_largest_and_tries_few(capacity, most):
    tried = []

    def served(number):
        tried.append(number)
        return number <= capacity

    assert streams.search(served, None, most) == min(capacity, most)
    assert max(tried) <= most and len(set(tried)) == len(tried) <= 2 * most.bit_length() + 1


@pytest.mark.parametrize(
    ("latency_ms", "dropped", "served"),
    [
        ([66.0] * 100, 0, True),
        ([67.0] * 100, 0, False),
        ([10.0] * 96 + [500.0] * 4, 0, True),  # P95
        ([10.0] * 94 + [500.0] * 6, 0, False),
        ([10.0] * 99, 1, True),
        ([10.0] * 98, 2, False),
        ([], 100, False),
    ],
)
def test_served_is_p95_below_a_frame_and_next_to_none_lost(latency_ms, dropped, served):
    assert streams.is_served({"latency_ms": latency_ms, "dropped": dropped, "frames": 100}, FPS) is served


def test_a_round_that_fails_is_the_last():
    times = [10.0, 90.0, 10.0]
    tried = streams.attempt_number(
        lambda k: {"latency_ms": [times[k]], "dropped": 0, "frames": 1}, rounds=3, fps=FPS
    )
    assert not tried["served"] and [one["served"] for one in tried["rounds"]] == [True, False]


# ------------------------------------------------------------------------------------------- real threads


def test_real_cameras_are_served_at_their_own_times():
    seen = []

    def serve(shown):
        seen.append(shown)
        time.sleep(0.001)

    with streams.Server(lambda: serve) as server:
        one = streams.run_round([server], ["a", "b"], 3, 40, 0.5, 2, (1, 2))
    assert one["frames"] == 60 and one["dropped"] + len(one["latency_ms"]) == 60
    assert min(one["latency_ms"]) >= 1.0 and 1 <= one["waiting_most"] <= 2
    # Each camera shows both, in turn.
    assert abs(seen.count("a") - seen.count("b")) <= 3 + one["dropped"] and len(seen) >= 60


def test_a_server_that_is_too_slow_loses_real_frames():
    slow = functools.partial(time.sleep, 0.04)
    with streams.Server(lambda: lambda shown: slow()) as server:
        one = streams.run_round([server], ["a"], 2, 50, 0.4, 2, (1,))
    assert one["dropped"] > 0 and one["waiting_most"] == 2
    assert one["dropped"] + len(one["latency_ms"]) == one["frames"] == 40
    assert not streams.is_served(one, 50)


def test_two_servers_serve_what_is_too_much_for_one():
    """A frame takes 30 ms, and 2 x 25 frames a second come: 1.5 servers' work."""
    rounds = []
    for count in (1, 2):
        with contextlib.ExitStack() as stack:
            servers = [
                stack.enter_context(streams.Server(lambda: lambda shown: time.sleep(0.03)))
                for _ in range(count)
            ]
            rounds.append(streams.run_round(servers, ["a"], 2, 25, 0.5, 2, (1,)))
    one, two = rounds
    assert one["dropped"] > two["dropped"]
    assert np.median(one["latency_ms"]) > np.median(two["latency_ms"]) >= 30


def test_a_server_loads_and_works_in_one_thread():
    def load():
        loaded_in = threading.get_ident()
        return lambda shown: seen.append(threading.get_ident() == loaded_in)

    seen = []
    with streams.Server(load) as server:
        streams.run_round([server], ["a"], 1, 50, 0.1, 1, (1,))
        assert server.call(threading.get_ident) != threading.get_ident()
    assert seen and all(seen)
    with pytest.raises(Unavailable, match="no"):
        streams.Server(lambda: (_ for _ in ()).throw(Unavailable("no")))


def test_how_many_servers_share_the_threads():
    assert [cameras.server_count("auto", "cpu", threads) for threads in (1, 2, 7, 8, 64)] == [1, 1, 1, 2, 16]
    assert cameras.server_count("auto", "cuda", 64) == 1 and cameras.server_count(3, "cuda", 4) == 3
    with pytest.raises(PoseGaugeError, match=r"cameras\.servers: 3 asked for, the job has 2 threads"):
        cameras.server_count(3, "cpu", 2)


def test_an_error_of_the_server_ends_the_cameras():
    before = threading.active_count()

    def broken(shown):
        raise RuntimeError("no")

    with streams.Server(lambda: broken) as server, pytest.raises(RuntimeError, match="no"):
        streams.run_round([server], ["a"], 2, 100, 30, 1, (1,))
    end = time.perf_counter() + 5
    while threading.active_count() > before and time.perf_counter() < end:
        time.sleep(0.01)
    assert threading.active_count() <= before


# ------------------------------------------------------------------------------------- a whole measurement


class FakePipeline:
    def __init__(self):
        self.calls = []

    def provenance(self):
        return {role: {"file": "fake.onnx", "sha256": "0" * 64} for role in ("detector", "pose")}

    def __call__(self, image, bboxes):
        self.calls.append((image.shape, None if bboxes is None else len(bboxes)))


CONFIG = {
    "cameras": {
        "artifacts": ["onnxruntime_cpu_fp32", "onnxruntime_cuda_fp32"],
        "servers": "auto",
        "fps": 50,
        "streams": [1, 2],
        "max_streams": 4,
        "seconds": 0.2,
        "rounds": 2,
        "queue": 2,
        "images": 2,
    },
    "benchmark": {"boxes": "detected"},
    "models": {"detector": {}, "pose": {}},
    "seed": 7,
}


@pytest.mark.parametrize("boxes", ["detected", "annotated"])
def test_a_measurement_of_two_artifacts(boxes, tmp_path, monkeypatch):
    files = written_scenes(tmp_path, 3, 0, 5)
    fake = FakePipeline()

    def build(config, artifact, threads, onnx, alone):
        if artifact.device == "cuda":
            raise Unavailable("no CUDA device")
        return fake

    monkeypatch.setattr(cameras, "build_pipeline", build)
    config = CONFIG | {"benchmark": {"boxes": boxes}}
    onnx = {name: {} for name in CONFIG["cameras"]["artifacts"]}
    record = cameras.measure_cameras(config, files, onnx, 1)
    write_json(tmp_path / "cameras.json", record, "cameras.schema.yaml")
    on_cpu, on_gpu = record["artifacts"]
    assert (on_gpu["status"], on_gpu["reason"], on_gpu["streams"]) == ("not run", "no CUDA device", None)
    assert on_cpu["tries"][0]["streams"] == 1 and len(record["pictures"]) == 2
    assert record["device"] == "cpu" and fake.always_detect
    shapes = {(entry["height"], entry["width"], 3) for entry in record["pictures"]}
    assert {shape for shape, _ in fake.calls} <= shapes
    counts = {count for _, count in fake.calls}
    assert counts == {None} if boxes == "detected" else min(counts) > 0


# ---------------------------------------------------------------------------------------- what is shown


def entry(name, runtime, tries, streams_served, reason=None) -> dict:
    return {
        "artifact": name,
        "runtime": runtime,
        "device": "cuda" if "cuda" in name else "cpu",
        "precision": name.rpartition("_")[2],
        "execution": "plain",
        "images_on": "host",
        "status": "not run" if reason else "ok",
        "reason": reason,
        "servers": 1,
        "streams": streams_served,
        "tries": tries,
        "backends": {},
    }


def tried(number, *p95, dropped=0) -> dict:
    """A number of cameras whose rounds have these P95."""
    rounds = [
        {
            "frames": 100,
            "dropped": dropped,
            "latency_ms": [ms / 2] * 50 + [ms] * (50 - dropped),
            "waiting_most": 1,
            "late_ms_p95": 0.2,
        }
        for ms in p95
    ]
    for one in rounds:
        one["served"] = streams.is_served(one, FPS)
    return {"streams": number, "served": all(one["served"] for one in rounds), "rounds": rounds}


@pytest.fixture
def record() -> dict:
    """An invented cameras.json."""
    return {
        "schema_version": 1,
        "kind": "cameras",
        "device": "cpu",
        "threads": 2,
        "boxes": "detected",
        "fps": FPS,
        "seconds": 5,
        "rounds": 2,
        "queue": 2,
        "max_dropped": 0.01,
        "pictures": [{"file_name": "a.jpg", "width": 640, "height": 480}],
        "artifacts": [
            entry("onnxruntime_cuda_fp32", "onnxruntime", [], None, "no CUDA device"),
            entry("pytorch_cpu_fp32", "pytorch", [tried(1, 480.0, dropped=40)], 0),
            entry(
                "onnxruntime_cpu_fp32", "onnxruntime",
                [tried(1, 20.0, 22.0), tried(2, 40.0, 44.0), tried(4, 90.0), tried(3, 60.0, 70.0)], 2,
            ),
            entry("openvino_cpu_fp32", "openvino", [tried(1, 15.0, 15.0), tried(2, 30.0, 31.0)], 2),
            entry("openvino_cpu_int8", "openvino", [tried(1, 9.0, 9.0), tried(8, 99.0)], 1),
        ],
        "provenance": {"machine": MACHINE, "versions": {}},
    }  # fmt: skip


def test_the_table_has_every_number_in_order(record, tmp_path):
    write_json(tmp_path / "cameras.json", record, "cameras.schema.yaml")
    run = Run({"cameras": tmp_path / "cameras.json", "parity": []})
    table = report_cameras.table(run)
    assert list(table.columns) == list(report_cameras.CAMERAS_COLUMNS)
    ours = table[table["artifact"] == "onnxruntime_cpu_fp32"]
    assert ours["streams"].tolist() == [1, 2, 3, 4]
    assert ours["rounds_served"].tolist() == [2, 2, 1, 0] and set(ours["streams_served"]) == {2}
    assert ours["latency_ms_p95_low"].tolist() == [20.0, 40.0, 60.0, 90.0]
    assert ours["latency_ms_p95_high"].tolist() == [22.0, 44.0, 70.0, 90.0]
    (slow,) = table[table["artifact"] == "pytorch_cpu_fp32"].to_dict("records")
    assert (slow["dropped_share"], slow["streams_served"]) == (0.4, 0)


FAILS = [fake_parity("openvino_cpu_int8", ["max_ap_diff"])]


def test_what_people_read(record):
    table = report_cameras.cameras_table(record, FAILS)
    text = report_cameras.cameras_markdown(table, record, "Two models", "Invented.")
    for line in (
        "| ONNX Runtime, GPU, FP32 | *not run: no CUDA device* | – | – |",
        "| PyTorch, CPU, FP32 | 0 (one has P95 480 ms, 40.0 % lost) | – | – |",
        "| ONNX Runtime, CPU, FP32 | 2 | 44 ms | 3: P95 70 ms |",
        "| OpenVINO, CPU, FP32 | 2 or more | 31 ms | – |",
        "| OpenVINO, CPU, INT8 · fails | 1 (8 were not) | 9 ms | 8: P95 99 ms |",
        "| ONNX Runtime, CPU, FP32 | 3 | 47.5 | 70.0 | 60.0 to 70.0 | 0.0 % | no (1 of 2 rounds) |",
    ):
        assert line in text
    assert "below 66.7 ms" in text and text.endswith("*Invented.*\n")
    assert report_cameras.cameras_finding(record, FAILS) == (
        "Cameras of 15 frames a second that this machine serves with P95 below 66.7 ms: ONNX Runtime CPU "
        "FP32 2, OpenVINO CPU FP32 2 or more and PyTorch CPU FP32 0 (one has P95 480 ms, 40.0 % lost)."
    )


def test_the_figure_and_what_it_says_without_any(record, tmp_path):
    table = report_cameras.cameras_table(record, FAILS)
    report_cameras.plot_cameras(table, record, tmp_path / "cameras.png", "Two models", "Invented.")
    image = cv2.imread(str(tmp_path / "cameras.png"))
    assert image.shape[1] == 1440 and len(np.unique(image.reshape(-1, 3), axis=0)) > 100
    record["artifacts"] = record["artifacts"][:1]
    table = report_cameras.cameras_table(record)
    report_cameras.plot_cameras(table, record, tmp_path / "none.png")
    assert cv2.imread(str(tmp_path / "none.png")) is not None
    assert report_cameras.cameras_finding(record) is None
    assert pages.TABLES["cameras"].figure == "cameras"


def test_where_one_camera_was_not_tried_none_is_not_the_answer(record):
    record["artifacts"] = [entry("pytorch_cpu_fp32", "pytorch", [tried(4, 80.0)], 0)]
    table = report_cameras.cameras_table(record)
    assert report_cameras.answer(table.to_dict("records")) == "fewer than 4, which have P95 80 ms"
