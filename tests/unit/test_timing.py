"""Timing the pipeline, with one that computes nothing and with the demo's, and the state of a GPU."""

import sys
import types
from dataclasses import asdict, replace

import numpy as np
import pytest
from demo_models import described, written_scenes
from fake_graphs import FakeRecorder
from fake_power import drawing, zone

from posegauge.backends import base
from posegauge.errors import PoseGaugeError
from posegauge.measure import gpu_monitor, latency, power
from posegauge.pipeline import captured
from posegauge.pipeline.pipeline import Persons
from posegauge.pipeline.steps import Settings
from posegauge.report.energy import energy_columns
from posegauge.score.steadiness import course, is_steady
from posegauge.store import machine
from posegauge.store.files import read_json, write_json
from posegauge.study import BENCHMARKS, STAGES, Artifact

IMAGE = np.zeros((60, 80, 3), np.uint8)


class FakePipeline:
    """Finds two persons; its networks run on a GPU where `device_ms` says how long."""

    def __init__(self, device_ms=None):
        self.device_ms = device_ms or {}
        self.calls = 0

    def __call__(self, image, bboxes=None):
        self.calls += 1
        stages = dict.fromkeys(STAGES, 1.0)
        arrays = (np.zeros((2, 4)), np.zeros(2), np.zeros((2, 17, 2)), np.zeros((2, 17)))
        return Persons(*arrays, stages, dict(self.device_ms))


def protocol(warmup=3, max_warmup=3, runs=7, tries=1) -> dict:
    return {"warmup": warmup, "max_warmup": max_warmup, "runs": runs, "tries": tries}


def test_every_sample_is_kept_and_warm_up_apart():
    pipeline = FakePipeline()
    figures = latency.measure(pipeline, IMAGE, None, protocol())
    assert pipeline.calls == 10
    assert len(figures["latency_ms"]) == 7 and min(figures["latency_ms"]) > 0
    assert figures["stages_ms"] == {stage: [1.0] * 7 for stage in STAGES}
    assert figures["persons"] == 2 and figures["device_ms"] == {}
    (state,) = figures["measured_under"]
    assert state["warm_up"]["runs"] == len(state["warm_up"]["latency_ms"]) == 3
    assert state["gpu"] is None and state["memory"]["gpu_peak_mib"] is None
    assert state["memory"]["host_peak_mib"] > 10
    assert set(state["host"]) == {"before", "after"}


def test_times_on_the_gpu_stand_beside_those_of_the_wall():
    figures = latency.measure(FakePipeline({"detect": 0.5, "pose": 0.25}), IMAGE, None, protocol())
    assert figures["device_ms"] == {"detect": [0.5] * 7, "pose": [0.25] * 7}
    assert len(figures["latency_ms"]) == 7


# ------------------------------------------------------------------------------------------- timed again


class Changing(FakePipeline):
    """Takes 2 ms of a clock of its own, and 20 in the later half of its first `slow` tries of 20 runs."""

    def __init__(self, slow):
        super().__init__()
        self.slow, self.now = slow, 0.0

    def __call__(self, image, bboxes=None):
        number, within = divmod(self.calls, 20)
        self.now += 0.02 if number < self.slow and within >= 10 else 0.002
        return super().__call__(image, bboxes)


@pytest.mark.parametrize(("slow", "tries", "made"), [(0, 3, 1), (1, 3, 2), (9, 3, 3), (9, 1, 1)])
def test_a_row_is_timed_again_until_the_machine_keeps_its_speed(slow, tries, made, monkeypatch):
    pipeline = Changing(slow)
    monkeypatch.setattr(latency, "time", types.SimpleNamespace(perf_counter=lambda: pipeline.now))
    figures = latency.measure(pipeline, IMAGE, None, protocol(0, 0, 20, tries))
    assert pipeline.calls == 20 * made and len(figures["latency_ms"]) == 20
    assert len(figures["stages_ms"]["pose"]) == 20
    (state,) = figures["measured_under"]
    assert len(state["unsteady"]) == made - 1
    assert state["unsteady"] == [pytest.approx([2.0] * 5 + [20.0] * 5)] * (made - 1)
    assert is_steady(figures["latency_ms"]) == (made > slow)


def test_steady_means_tenths_within_a_quarter_of_each_other():
    assert is_steady([10.0] * 10 + [12.4] * 10) and not is_steady([10.0] * 10 + [12.6] * 10)
    assert is_steady([10.0, 90.0, 10.0] * 10), "single slow runs are no change of speed"
    assert is_steady([10.0] * 9 + [90.0] * 10), "of so few runs each would be a part"
    assert course([1.0] * 18 + [3.0, 5.0]) == [1.0] * 9 + [4.0] and course([1.0] * 19) == []


# -------------------------------------------------------------------------------------------------- warm-up


class Compiling(FakePipeline):
    """A pipeline whose pose network is compiled anew in each of its first `builds` runs."""

    def __init__(self, builds):
        super().__init__()
        self.builds = builds
        self.pose = types.SimpleNamespace(builds=0)

    def __call__(self, image, bboxes=None):
        persons = super().__call__(image, bboxes)
        self.pose.builds = min(self.calls, self.builds)
        return persons


def test_nothing_is_compiled_during_the_timed_runs():
    # Three runs warm up.
    assert len(latency.measure(Compiling(3), IMAGE, None, protocol())["latency_ms"]) == 7
    with pytest.raises(PoseGaugeError, match=r"compiled, captured or tuned .* set benchmark\.warmup higher"):
        latency.measure(Compiling(4), IMAGE, None, protocol())


def test_all_steps_are_replayed_in_the_timed_runs():
    class Capturing(FakePipeline):
        def __init__(self, builds):
            super().__init__()
            self.builds, self.steps = builds, types.SimpleNamespace(builds=0)

        def __call__(self, image, bboxes=None):
            persons = super().__call__(image, bboxes)
            self.steps.builds = min(self.calls, self.builds)
            return persons

    assert len(latency.measure(Capturing(3), IMAGE, None, protocol())["latency_ms"]) == 7
    with pytest.raises(PoseGaugeError, match=r"or a step ran otherwise than as a CUDA graph from before"):
        latency.measure(Capturing(4), IMAGE, None, protocol())


def runs_of(times):
    """A run that takes the given milliseconds in turn, then the last one for ever."""
    left = list(times)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


@pytest.mark.parametrize(
    ("times", "least", "most", "runs", "stable"),
    [
        ([5.0], 10, 200, 20, True),  # two windows are needed
        ([9.0] * 10 + [7.0] * 10 + [5.0], 10, 200, 40, True),
        ([9.0] * 10 + [5.0], 30, 200, 30, True),  # those asked for are made in any case
        ([9.0 - 0.1 * run for run in range(60)], 10, 35, 35, False),  # the cap
        ([5.0], 3, 2, 3, False),
        ([5.0], 0, 0, 0, False),
    ],
)
def test_warm_up_goes_on_until_the_times_are_stable(times, least, most, runs, stable):
    done = latency.warm_up(runs_of(times), least, most)
    assert (done["runs"], done["stable"]) == (runs, stable)
    assert len(done["latency_ms"]) == runs


def test_warm_up_ends_after_its_longest_time(monkeypatch):
    monkeypatch.setattr(latency, "MAX_WARMUP_S", -1.0)
    done = latency.warm_up(runs_of([9.0] * 10 + [7.0] * 10 + [5.0]), 10, 200)
    assert (done["runs"], done["stable"]) == (10, False)


def test_stable_means_two_windows_within_three_percent():
    window = latency.WINDOW
    assert latency.is_stable([100.0] * window + [102.9] * window)
    assert not latency.is_stable([100.0] * window + [103.1] * window)
    assert latency.is_stable([500.0] + [100.0] * 2 * window), "only the last two windows count"


# ------------------------------------------------------------------------------------------- state of a GPU


class NVMLError(Exception):
    pass


def fake_nvml(own_pid: bool = True, old: bool = False) -> types.ModuleType:
    """The part of pynvml that is used, for one GPU; old: a driver without the newer function."""
    nvml = types.ModuleType("pynvml")
    nvml.NVMLError, nvml.used = NVMLError, 200
    nvml.NVML_CLOCK_SM, nvml.NVML_CLOCK_MEM, nvml.NVML_TEMPERATURE_GPU = 1, 2, 0

    def missing(_gpu):
        raise NVMLError("Function Not Found")

    def processes(_gpu):
        entries = [types.SimpleNamespace(pid=1, usedGpuMemory=5 * gpu_monitor.MIB)]
        own = types.SimpleNamespace(pid=gpu_monitor.os.getpid(), usedGpuMemory=(nvml.used - 210) * 2**20)
        return [*entries, own] if own_pid else entries

    def memory(_gpu):
        nvml.used += 100
        return types.SimpleNamespace(used=nvml.used * gpu_monitor.MIB)

    nvml.nvmlInit = lambda: None
    nvml.nvmlDeviceGetHandleByPciBusId = lambda bus_id: bus_id
    nvml.nvmlDeviceGetName = lambda _gpu: b"Fake T5"
    nvml.nvmlDeviceGetMaxClockInfo = lambda _gpu, kind: {1: 1600, 2: 5001}[kind]
    nvml.nvmlDeviceGetClockInfo = lambda _gpu, kind: {1: 1500, 2: 5000}[kind]
    nvml.nvmlDeviceGetEnforcedPowerLimit = lambda _gpu: 70000
    nvml.nvmlDeviceGetPowerUsage = missing
    nvml.nvmlDeviceGetTemperature = lambda _gpu, sensor: 61 + sensor
    nvml.nvmlDeviceGetMemoryInfo = memory
    nvml.nvmlDeviceGetComputeRunningProcesses = processes
    nvml.nvmlDeviceGetCurrentClocksEventReasons = missing if old else lambda _gpu: 0x1 | 0x4
    nvml.nvmlDeviceGetCurrentClocksThrottleReasons = lambda _gpu: 0x40
    return nvml


def test_reasons_for_throttling_have_names():
    assert gpu_monitor.throttle_reasons(0) == []
    assert gpu_monitor.throttle_reasons(0x4 | 0x40) == ["software power cap", "hardware thermal slowdown"]
    assert gpu_monitor.throttle_reasons(0x1 | 0x8000) == ["idle", "0x8000"]


@pytest.mark.parametrize(
    ("old", "throttle"), [(False, ["idle", "software power cap"]), (True, ["hardware thermal slowdown"])]
)
def test_samples_of_a_gpu(monkeypatch, tmp_path, old, throttle):
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(old=old))
    monitor = gpu_monitor.Monitor("0000:01:00.0", interval_s=3600)
    figures = latency.measure(FakePipeline({"pose": 0.1}), IMAGE, None, protocol(), monitor)
    gpu = figures["measured_under"][0]["gpu"]
    assert gpu["reason"] is None and (gpu["name"], gpu["power_limit_w"]) == ("Fake T5", 70.0)
    assert gpu["memory_used_before_mib"] == 300
    first, last = gpu["samples"]  # before the first run, and at the end in any case
    assert (first["sm_clock_mhz"], first["memory_clock_mhz"], first["temperature_c"]) == (1500, 5000, 61)
    assert first["power_w"] is None, "what the driver does not tell"
    assert first["throttle"] == throttle
    assert last["after_s"] >= first["after_s"]
    memory = figures["measured_under"][0]["memory"]
    assert (memory["gpu_peak_mib"], memory["gpu_peak_of"]) == (500 - 210, "process")


def test_memory_where_nvml_hides_the_process(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(own_pid=False))
    monitor = gpu_monitor.Monitor("0000:01:00.0", interval_s=0)
    assert monitor.memory_peak() == (None, None)
    for _ in range(3):
        monitor.sample()
    assert monitor.memory_peak() == (300.0, "growth")


def test_samples_are_taken_now_and_then(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml())
    monitor = gpu_monitor.Monitor("0000:01:00.0", interval_s=3600)
    for _ in range(5):
        monitor.sample()
    assert len(monitor.samples) == 1


def test_a_gpu_without_nvml_says_why(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monitor = gpu_monitor.Monitor("0000:01:00.0")
    monitor.sample(force=True)
    assert monitor.record() == {"reason": "the package nvidia-ml-py is not installed", "samples": []}
    assert monitor.memory_peak() == (None, None)
    broken = fake_nvml()
    broken.nvmlInit = lambda: (_ for _ in ()).throw(NVMLError("Driver Not Loaded"))
    monkeypatch.setitem(sys.modules, "pynvml", broken)
    assert gpu_monitor.Monitor("0000:01:00.0").reason == "NVML: Driver Not Loaded"


def test_rows_on_the_cpu_watch_no_gpu(monkeypatch):
    monkeypatch.setattr(gpu_monitor, "pci_bus_id", lambda: pytest.fail("looked for a GPU"))
    assert gpu_monitor.watch("cpu") is None
    monkeypatch.setattr(gpu_monitor, "pci_bus_id", lambda: None)
    assert gpu_monitor.watch("cuda") is None


def test_the_state_of_the_host():
    state = machine.state()
    assert len(state["load_average"]) == 3
    assert state["frequency_mhz"] is None or state["frequency_mhz"] > 0
    # The peak may be that of an earlier test.
    before = machine.memory_peak_mib()
    held = np.ones(16 * 2**20)
    assert held.size and machine.memory_peak_mib() >= max(before, 128)


# --------------------------------------------------------------------------------------------- a whole row


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> dict:
    """The files of three scenes, the last one without persons."""
    return written_scenes(tmp_path_factory.mktemp("scenes"), 3, 1, 5)


def row_config(**benchmark) -> dict:
    """What a row of the demo's models reads of the config."""
    protocol = {"image": None, "boxes": "detected", "warmup": 2, "max_warmup": 2, "runs": 3, "tries": 1}
    return {
        "models": described(),
        "pipeline": asdict(Settings()),
        "benchmark": protocol | benchmark,
        "execution": {"allow_fallback": False},
        "energy": {"source": "none", "idle_seconds": 5},
        "engine": {"pose_batches": [1, 8, 32]},
    }


@pytest.mark.parametrize(
    ("name", "boxes", "expected"),
    [
        ("onnx_full_cpu", "detected", "detected"),
        ("onnx_full_cpu", "annotated", "annotated"),
        ("onnx_pose_cpu", "detected", "annotated"),
    ],
)
def test_a_row_is_measured_on_the_first_image(name, boxes, expected, demo_onnx, scenes, tmp_path):
    record = latency.measure_row(row_config(boxes=boxes), name, demo_onnx | scenes, 1)
    write_json(tmp_path / "row.json", record, "latency.schema.yaml")
    assert (record["status"], record["reason"], record["runs"]) == ("ok", None, 3)
    assert len(record["latency_ms"]) == 3 and record["persons"] > 0
    assert record["image"]["file_name"] == read_json(scenes["person_images"])["images"][0]["file_name"]
    assert record["provenance"]["boxes"] == expected
    # The detector's part is timed wherever there is one, with boxes that are given too.
    assert all(ms > 0 for ms in record["stages_ms"]["detect"]) == (name == "onnx_full_cpu")
    assert (record["provenance"]["detector"] is None) == (name == "onnx_pose_cpu")


def test_a_row_is_measured_with_what_it_draws(demo_onnx, scenes, tmp_path, monkeypatch):
    folder = zone(tmp_path / "powercap", "intel-rapl:0", "package-0", 65_532_000_000, 65_532_610_987)
    monkeypatch.setattr(power, "POWERCAP", tmp_path / "powercap")
    monkeypatch.setattr(power.shutil, "which", lambda name: None)
    monkeypatch.setattr(power.Rapl, "least_s", 0.3)
    config = row_config() | {"energy": {"source": "auto", "idle_seconds": 0.2}}
    with drawing(folder, [25.0]):
        record = latency.measure_row(config, "onnx_full_cpu", demo_onnx | scenes, 1)
    write_json(tmp_path / "row.json", record, "latency.schema.yaml")
    assert record["runs"] == len(record["latency_ms"]) == 3
    columns = energy_columns(record)
    assert columns["idle_watts"] == pytest.approx(25, rel=0.3)
    assert columns["busy_watts"] == pytest.approx(25, rel=0.2)
    assert columns["energy_frames"] >= 3 and columns["energy_seconds"] >= 0.3
    per_frame = columns["energy_seconds"] / columns["energy_frames"]
    assert columns["joules_per_frame_total"] == pytest.approx(25 * per_frame, rel=0.2)
    assert abs(columns["joules_per_frame"]) < 0.4 * columns["joules_per_frame_total"]
    assert (columns["power_source"], columns["energy_without"]) == ("RAPL", None)


def test_a_detector_that_finds_nobody_gives_no_result(demo_onnx, scenes, tmp_path):
    config = row_config()
    config["pipeline"]["bbox_thr"] = 1.0
    record = latency.measure_row(config, "onnx_full_cpu", demo_onnx | scenes, 1)
    write_json(tmp_path / "row.json", record, "latency.schema.yaml")
    name = record["image"]["file_name"]
    assert (record["status"], record["reason"]) == ("no result", f"finds no person in {name}")
    assert record["source"] == {"detector": "pytorch", "pose": "pytorch"}


def test_a_row_says_that_its_steps_were_captured(scenes, tmp_path, monkeypatch):
    monkeypatch.setattr(captured, "Recorder", FakeRecorder)
    monkeypatch.setattr(FakeRecorder, "made", [])
    # The row as it is, but on the CPU, where its networks are no graphs.
    row = BENCHMARKS["pytorch_compiled_device_full_gpu"]
    artifact = replace(row.artifact, device="cpu", precision="fp32", execution="plain")
    name = "pytorch_compiled_device_full_gpu"
    monkeypatch.setitem(BENCHMARKS, name, replace(row, artifact=artifact))
    onnx = {"detector": None, "pose": None}
    for way in (False, True):
        monkeypatch.setattr(Artifact, "captured", way)
        record = latency.measure_row(row_config(warmup=3, max_warmup=3), name, onnx | scenes, 1)
        write_json(tmp_path / "row.json", record, "latency.schema.yaml")
        steps = record["provenance"]["steps"]
        assert steps["device"] == "cpu" and bool(steps["cuda_graphs"]) == way
    # Three runs of warm-up, of which the third captures, and three that are timed. Before them the detector
    # alone runs once, for the number of candidates.
    found = steps["cuda_graphs"]
    assert found["crops"] == {"graphs": 1, "captures": 1, "replays": 4, "plain_calls": 2}
    assert found["nms"] == {"graphs": 1, "captures": 1, "replays": 5, "plain_calls": 2}


@pytest.mark.skipif(base.cuda_devices() > 0, reason="this machine has a CUDA device")
def test_a_row_that_cannot_run_keeps_its_place(demo_onnx, scenes, tmp_path):
    record = latency.measure_row(row_config(), "onnx_full_gpu", demo_onnx | scenes, 1)
    write_json(tmp_path / "row.json", record, "latency.schema.yaml")
    assert (record["status"], record["reason"], record["runs"]) == ("not run", "no CUDA device", 0)
    assert record["provenance"]["artifacts"] == {} and record["provenance"]["machine"]


def test_an_image_without_boxes_is_refused(demo_onnx, scenes, tmp_path):
    entries = read_json(scenes["person_images"])
    entries["images"][0]["id"] = 999
    write_json(tmp_path / "person_images.json", entries)
    files = demo_onnx | scenes | {"person_images": tmp_path / "person_images.json"}
    with pytest.raises(PoseGaugeError, match=r"has no annotated box .* set benchmark\.image"):
        latency.measure_row(row_config(), "onnx_pose_cpu", files, 1)
