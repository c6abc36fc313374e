"""Joules per frame: the sources' counters and rails as they are known, what is missing, and what is shown."""

import sys
import time
import types
from pathlib import Path

import pytest
from fake_power import drawing, set_uj, zone
from fake_results import fake_latency, fake_state

from posegauge.errors import Unavailable
from posegauge.measure import gpu_monitor, latency, power
from posegauge.report import energy, findings
from posegauge.report import latency as report_latency
from posegauge.store.files import write_json


@pytest.fixture
def powercap(tmp_path, monkeypatch) -> Path:
    """An empty folder in place of the kernel's, and neither a Jetson nor a GPU."""
    root = tmp_path / "powercap"
    root.mkdir()
    monkeypatch.setattr(power, "POWERCAP", root)
    monkeypatch.setattr(power.shutil, "which", lambda name: None)
    monkeypatch.setattr(gpu_monitor, "pci_bus_id", lambda: None)
    return root


# ------------------------------------------------------------------------------------------------- RAPL


def test_packages_and_memory_of_all_sockets_are_counted_and_nothing_twice(powercap):
    counters = {
        "intel-rapl:0": ("package-0", 1_000_000),
        "intel-rapl:0:0": ("core", 900_000),
        "intel-rapl:0:1": ("uncore", 50_000),
        "intel-rapl:0:2": ("dram", 100_000),
        "intel-rapl:1": ("package-1", 2_000_000),
        "intel-rapl:1:0": ("dram", 200_000),
        "intel-rapl:2": ("psys", 5_000_000),
        "intel-rapl-mmio:0": ("package-0", 1_000_000),
    }
    folders = {name: zone(powercap, name, *values) for name, values in counters.items()}
    source = power.Rapl()
    assert source.joules() == dict.fromkeys(
        ["package-0", "dram of package-0", "package-1", "dram of package-1"], 0.0
    )
    for name, joules in {"intel-rapl:0": 3, "intel-rapl:1": 5, "intel-rapl:0:2": 0.5}.items():
        set_uj(folders[name], counters[name][1] + joules * 1e6)
    set_uj(folders["intel-rapl:2"], 9e9)
    assert source.joules() == {
        "package-0": 3.0,
        "dram of package-0": 0.5,
        "package-1": 5.0,
        "dram of package-1": 0.0,
    }


def test_a_counter_that_goes_round_goes_on(powercap):
    most = 65_532_610_987  # of an EPYC
    folder = zone(powercap, "intel-rapl:0", "package-0", most - 4_000_000, most)
    source = power.Rapl()
    set_uj(folder, 6_000_000)
    assert source.joules()["package-0"] == pytest.approx(10.0)
    set_uj(folder, most)
    source.joules()
    set_uj(folder, 1_000_000)
    assert source.joules()["package-0"] == pytest.approx(10.0 + (most - 6e6) / 1e6 + 1.0)


def test_counters_that_root_alone_may_read_say_what_changes_it(powercap, monkeypatch):
    zone(powercap, "intel-rapl:0", "package-0", 1)
    read_text = Path.read_text

    def refused(path, *args, **kwargs):
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read_text(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", refused)
    with pytest.raises(Unavailable, match=r"root alone.* sudo chmod a\+r .*intel-rapl:\*/energy_uj"):
        power.Rapl()
    assert "energy.source: is rapl, but RAPL: " in power.refusal("rapl")
    assert power.refusal("auto") is power.refusal("none") is None


@pytest.mark.parametrize("zones", [[], [("intel-rapl:0", "psys")]])
def test_a_machine_without_counters_waits_for_nothing(powercap, monkeypatch, zones):
    for name, title in zones:
        zone(powercap, name, title, 0)
    monkeypatch.setattr(power.time, "sleep", lambda _: pytest.fail("waited"))
    with power.meter("auto", "cpu") as meter:
        meter.idle(5)
        meter.start()
        meter.look()
        meter.stop(3, lambda: pytest.fail("a run too many"))
        assert "has no energy counter (a virtual machine" in meter.record()["reason"]


def test_counters_that_stand_still_are_none(powercap, monkeypatch):
    zone(powercap, "intel-rapl:0", "package-0", 0)
    monkeypatch.setattr(power.Rapl, "least_s", 0.0)
    meter = power.meter("rapl", "cpu")
    meter.idle(0.01)
    meter.start()
    meter.stop(3, lambda: None)
    assert meter.record() == {"reason": "rapl: its counters stand still"}


# ------------------------------------------------------------------------------------------- tegrastats

LINES = {
    "Orin NX, Orin Nano": (
        "12-27-2022 14:02:10 RAM 3246/7620MB (lfb 512x4MB) SWAP 0/3810MB (cached 0MB) CPU [1%@729,off] "
        "EMC_FREQ 0%@2133 GR3D_FREQ 0%@[305] APE 174 cpu@47.3C soc2@45C gpu@46C tj@47.3C "
        "VDD_IN 4857mW/4902mW VDD_CPU_GPU_CV 1034mW/1050mW VDD_SOC 1511mW/1500mW",
        {"VDD_IN": 4.857},
    ),
    "AGX Orin": (
        "RAM 3246/30536MB (lfb 6344x4MB) SWAP 0/15268MB (cached 0MB) CPU [100%@2201,100%@2201] "
        "EMC_FREQ 1%@2133 GR3D_FREQ 14%@[407,407] VIC_FREQ 115 NVDLA0_FREQ @1600 APE 174 CV0@-256C "
        "VDD_GPU_SOC 3150mW/2971mW VDD_CPU_CV 14312mW/12415mW VIN_SYS_5V0 4968mW/5048mW NC 0mW/0mW "
        "VDDQ_VDD2_1V8AO 1091mW/1091mW NC 0mW/0mW",
        {"VDD_GPU_SOC": 3.15, "VDD_CPU_CV": 14.312, "VIN_SYS_5V0": 4.968, "VDDQ_VDD2_1V8AO": 1.091},
    ),
    "AGX Xavier, JetPack 4": (
        "RAM 2336/15827MB (lfb 2948x4MB) IRAM 0/252kB(lfb 252kB) CPU [2%@1190,1%@1190,off,off] EMC_FREQ 0% "
        "GR3D_FREQ 0% AO@25.5C GPU@26C CPU@27C PMIC@100C GPU 465/465 CPU 310/310 SOC 1242/1242 CV 0/0 "
        "VDDRQ 0/0 SYS5V 1776/1776\n",
        {"GPU": 0.465, "CPU": 0.31, "SOC": 1.242, "CV": 0.0, "VDDRQ": 0.0, "SYS5V": 1.776},
    ),
    "Xavier NX, JetPack 4": (
        "RAM 1/7765MB SWAP 0/3882MB (cached 0MB) GR3D_FREQ 0% thermal@32.2C VDD_IN 3875/3875 "
        "VDD_CPU_GPU_CV 874/874 VDD_SOC 1037/1037",
        {"VDD_IN": 3.875},
    ),
    "Thor": (
        "RAM 9/125000MB CPU [0%@972] gpu@37.5C tj@38C VDD_GPU -392mW/0mW VDD_CPU_SOC_MSS 6510mW/6500mW "
        "VIN_SYS_5V0 6520mW/6500mW VIN 23000mW/23000mW",
        {"VIN": 23.0},
    ),
    "Nano": (
        "RAM 1/3964MB APE 25 POM_5V_IN 2078/2078 POM_5V_GPU 41/41 POM_5V_CPU 370/370",
        {"POM_5V_IN": 2.078},
    ),
    "no rails": ("RAM 2336/15827MB (lfb 2948x4MB) SWAP 0/0MB CPU [2%@1190,off] EMC_FREQ 0% APE 174", {}),
}


@pytest.mark.parametrize("board", LINES)
def test_rails_of_a_board(board):
    line, watts = LINES[board]
    assert power.rails(line) == watts


def test_a_rail_that_is_below_zero_counts_as_it_is():
    assert power.rails("VDD_GPU -392mW/0mW VDD_CPU_SOC_MSS 3924mW/3900mW") == {
        "VDD_GPU": -0.392,
        "VDD_CPU_SOC_MSS": 3.924,
    }


def fake_tegrastats(folder: Path, monkeypatch, script: str) -> None:
    """Put a program of this name where the search finds it."""
    program = folder / "tegrastats"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(power.shutil, "which", lambda name: str(program) if name == "tegrastats" else None)


def test_tegrastats_is_read_while_it_runs(powercap, tmp_path, monkeypatch):
    line = LINES["Orin NX, Orin Nano"][0]
    fake_tegrastats(
        tmp_path, monkeypatch, f"test $1 = --interval && while sleep 0.02; do echo '{line}'; done"
    )
    monkeypatch.setattr(power.Tegrastats, "least_s", 0.1)
    with power.meter("auto", "cuda") as meter:
        process = meter.sources[0]._program
        meter.idle(0.1)
        meter.start()
        meter.stop(1, lambda: time.sleep(0.01))
        found = meter.record()
    assert process.poll() is not None
    for part in ("idle", "busy"):
        assert found[part]["joules"]["VDD_IN"] / found[part]["seconds"] == pytest.approx(4.857, rel=0.01)
    assert found["busy"]["frames"] > 1 and found["sources"][0]["how"] == "samples"


@pytest.mark.parametrize(
    ("script", "reason"),
    [("echo RAM 1/2MB; exit 1", "shows no power rail"), ("echo VDD_IN 5mW/5mW", "ended before the row did")],
)
def test_a_tegrastats_that_fails_has_its_reason(powercap, tmp_path, monkeypatch, script, reason):
    fake_tegrastats(tmp_path, monkeypatch, script)
    with power.meter("tegrastats", "cpu") as meter:
        meter.idle(0.05)
        meter.start()
        assert reason in meter.record()["reason"]


# ------------------------------------------------------------------------------------------------- NVML


class NVMLError(Exception):
    pass


def fake_nvml(monkeypatch, energy_mj=(), power_mw=None) -> None:
    """Put a GPU there that tells these energies in turn, or this power, or neither."""
    nvml, left = types.ModuleType("pynvml"), list(energy_mj)

    def counter(_gpu):
        if not left:
            raise NVMLError("Not Supported")
        return left.pop(0)

    def usage(_gpu):
        if power_mw is None:
            raise NVMLError("Not Supported")
        return power_mw

    nvml.NVMLError, nvml.nvmlInit = NVMLError, lambda: None
    nvml.nvmlDeviceGetHandleByPciBusId = lambda bus_id: bus_id
    nvml.nvmlDeviceGetTotalEnergyConsumption, nvml.nvmlDeviceGetPowerUsage = counter, usage
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(gpu_monitor, "pci_bus_id", lambda: "0000:01:00.0")


def test_the_energy_counter_of_a_gpu_is_in_millijoules(powercap, monkeypatch):
    fake_nvml(monkeypatch, energy_mj=[500_000, 500_000, 512_500])
    source = power.Nvml()
    assert (source.how, source.joules(), source.joules()) == ("counter", {"GPU": 0.0}, {"GPU": 12.5})
    with pytest.raises(Unavailable, match="NVML: Not Supported"):
        source.joules()


def test_an_older_gpu_is_counted_by_its_power(powercap, monkeypatch):
    clock = iter([100.0, 102.0, 105.0])
    fake_nvml(monkeypatch, power_mw=70_000)
    monkeypatch.setattr(power.time, "perf_counter", lambda: next(clock))
    source = power.Nvml()
    assert (source.how, source.joules(), source.joules()) == ("samples", {"GPU": 140.0}, {"GPU": 350.0})


def test_a_gpu_that_tells_nothing_has_its_reason(powercap, monkeypatch):
    fake_nvml(monkeypatch)
    assert "tells neither energy nor power (Not Supported)" in power.meter("auto", "cuda").reason


def test_what_is_counted_for_which_row(powercap, monkeypatch):
    assert power.meter("auto", "cuda").reason == "NVML: no CUDA device"
    assert power.meter("none", "cpu").reason == "energy.source is none"
    assert power.meter("nvml", "cpu").reason == "energy.source is nvml, which counts the GPU alone"
    assert power.meter("rapl", "cuda").reason == "energy.source is rapl, which counts the processor alone"
    assert "tegrastats: no such program" in power.refusal("tegrastats")
    fake_nvml(monkeypatch, energy_mj=[0] * 9)
    alone = power.meter("auto", "cuda")
    assert alone.without.startswith("the processor (RAPL: ") and len(alone.sources) == 1
    assert power.refusal("nvml") is None
    zone(powercap, "intel-rapl:0", "package-0", 0)
    both = power.meter("auto", "cuda")
    assert [source.name for source in both.sources] == ["nvml", "rapl"] and both.without is None
    assert both.least_s == 5.0, "the coarser of the two says how long it takes"
    assert [source.name for source in power.meter("nvml", "cuda").sources] == ["nvml"]


# ------------------------------------------------------------------------------------- a row that is measured


def test_what_a_row_draws_over_idle(powercap, monkeypatch):
    """10 W idle, 40 W while it runs, by a counter that moves as the kernel's does."""
    folder, watts = zone(powercap, "intel-rapl:0", "package-0", 0), [10.0]

    class Persons(list):
        stages_ms = dict.fromkeys(latency.STAGES, 0.0)
        device_ms = types.MappingProxyType({})

    def run(image, bboxes):
        watts[0] = 40.0
        time.sleep(0.005)
        return Persons()

    monkeypatch.setattr(power.Rapl, "least_s", 0.4)
    with drawing(folder, watts), power.meter("auto", "cpu") as meter:
        meter.idle(0.3)
        protocol = {"warmup": 3, "max_warmup": 3, "runs": 10, "tries": 1}
        measured = latency.measure(run, None, None, protocol, meter=meter)
    assert len(measured["latency_ms"]) == 10, "the further runs are no samples"
    found = measured["measured_under"][0]["energy"]
    assert found["busy"]["frames"] > 20 and found["busy"]["seconds"] >= 0.4
    record = fake_latency("onnx_full_cpu", measured_under=[fake_state("cpu") | {"energy": found}])
    columns = energy.energy_columns(record)
    assert columns["idle_watts"] == pytest.approx(10, rel=0.3)
    assert columns["busy_watts"] == pytest.approx(40, rel=0.2)
    per_frame = found["busy"]["seconds"] / found["busy"]["frames"]
    assert columns["joules_per_frame"] == pytest.approx(30 * per_frame, rel=0.3)
    assert columns["power_source"] == "RAPL" and columns["power_domains"] == "package-0"


# --------------------------------------------------------------------------------------------- what is shown


def measured(idle_j=50.0, busy_j=420.0, **changes) -> dict:
    """5 s idle, 7 s and 200 frames busy, by RAPL."""
    return {
        "reason": None,
        "sources": [{"source": "rapl", "how": "counter", "update_s": 0.001}],
        "without": None,
        "idle": {"seconds": 5.0, "joules": {"package-0": idle_j * 0.8, "dram of package-0": idle_j * 0.2}},
        "busy": {
            "seconds": 7.0,
            "frames": 200,
            "joules": {"package-0": busy_j * 0.9, "dram of package-0": busy_j * 0.1},
        },
    } | changes


def row(name, *parts, **changes) -> dict:
    return fake_latency(
        name, measured_under=[fake_state("cpu") | {"energy": part} for part in parts], **changes
    )


def test_joules_per_frame_by_hand(tmp_path):
    record = row("onnx_full_cpu", measured())
    write_json(tmp_path / "row.json", record, "latency.schema.yaml")
    columns = energy.energy_columns(record)
    assert columns["joules_per_frame_total"] == pytest.approx(420 / 200)
    assert columns["joules_per_frame"] == pytest.approx((420 - 10 * 7) / 200)
    assert (columns["idle_watts"], columns["busy_watts"]) == pytest.approx((10, 60))
    # A millisecond at 60 W, and one of the idle 5 s at 10 W, which are taken from 7 s.
    assert columns["joules_per_frame_error"] == pytest.approx((0.060 + 0.010 * 7 / 5) / 200)
    assert columns["power_domains"] == "package-0, dram of package-0"


def test_processes_are_one_row():
    columns = energy.energy_columns(row("onnx_full_cpu", measured(), measured(idle_j=100.0)))
    assert columns["joules_per_frame_total"] == pytest.approx(840 / 400)
    assert columns["joules_per_frame"] == pytest.approx((840 - 70 - 140) / 400)
    assert (columns["energy_frames"], columns["idle_watts"]) == (400, pytest.approx(15))
    missing = energy.energy_columns(row("onnx_full_cpu", measured(), {"reason": "gone"}))
    assert missing == {"energy_reason": "gone"}


def test_records_without_energy_and_rows_without_a_result():
    assert energy.energy_columns(fake_latency("onnx_full_cpu")) == {"energy_reason": energy.NOT_MEASURED}
    for status in ("not run", "no result"):
        assert energy.energy_columns(row("onnx_full_cpu", measured(), status=status)) == {}


def test_the_tables_show_joules_or_the_reason():
    records = [
        row("pytorch_full_cpu", measured(busy_j=820.0)),
        row("onnx_full_cpu", measured()),
        row("onnx_pose_cpu", {"reason": "RAPL: none"}),
        fake_latency("onnx_full_gpu", ran=False),
        row("pytorch_full_gpu", measured(without="the processor (RAPL: none)")),
    ]
    table = energy.energy_table(records)
    assert list(table.columns) == list(energy.ENERGY_COLUMNS)
    text = energy.energy_markdown(table, records, "Two models", "Invented.")
    assert "| ONNX Full CPU | detect+pose | CPU | 1.75 ± 0.00037 | 2.1 | 10.0 | 60.0 | RAPL: " in text
    assert "Not measurable here: RAPL: none (ONNX Pose CPU)." in text
    assert "Without the processor (RAPL: none): PyTorch Full GPU." in text
    assert "ONNX Full GPU" not in text and text.endswith("*Invented.*\n")
    benchmark = report_latency.benchmark_table(records).set_index("benchmark")
    assert benchmark.loc["onnx_full_cpu", "joules_per_frame"] == pytest.approx(1.75)
    assert benchmark.loc["onnx_full_cpu", "power_source"] == "RAPL"
    assert benchmark.loc["onnx_pose_cpu", "energy_reason"] == "RAPL: none"
    told = {one["id"]: one["text"] for one in findings.key_findings(benchmark.reset_index(), [])}
    assert told["energy"] == (
        "ONNX Full CPU needs the least energy of 2 detect+pose rows: 2.1 J per frame with idle, 1.75 J over "
        "it (RAPL); the most, PyTorch Full CPU, 4.1 J."
    )


def test_rows_that_began_from_unlike_idle_states_are_compared_with_idle():
    # A GPU that holds its clocks draws more before the row: over idle that row would need the least.
    records = [
        row("pytorch_full_cpu", measured(busy_j=420.0, idle_j=250.0)),
        row("onnx_full_cpu", measured(busy_j=400.0, idle_j=50.0)),
    ]
    table = energy.energy_table(records)
    text = energy.energy_markdown(table, records)
    assert "Idle differed between rows: 10 to 50 W (package-0, dram of package-0)" in text
    assert table["joules_per_frame"].idxmin() == 0
    found = findings.key_findings(report_latency.benchmark_table(records), [])
    told = next(one["text"] for one in found if one["id"] == "energy")
    assert told.startswith("ONNX Full CPU needs the least energy")
    alike = [row("onnx_full_cpu", measured()), row("pytorch_full_cpu", measured())]
    assert "Idle differed" not in energy.energy_markdown(energy.energy_table(alike), alike)


def test_a_machine_where_nothing_is_measurable_says_so():
    records = [row(name, {"reason": "RAPL: none"}) for name in ("onnx_full_cpu", "pytorch_full_cpu")]
    text = energy.energy_markdown(energy.energy_table(records), records)
    assert text == "Not measurable here: RAPL: none (ONNX Full CPU, PyTorch Full CPU).\n"
    told = {one["id"] for one in findings.key_findings(report_latency.benchmark_table(records), [])}
    assert told and "energy" not in told, "the table has said it"
