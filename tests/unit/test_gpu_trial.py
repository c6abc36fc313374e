"""make gpu-trial: its steps, how one is cut, how a second call goes on, table, archive and checks."""

import importlib.util
import sys
import time
import zipfile
from pathlib import Path

import pytest
from fake_graphs import FakeRecorder
from fake_results import fake_latency, fake_limits, fake_parity
from test_batch_speed import fake_record
from test_peers import fake_peers

from posegauge.backends import base
from posegauge.compare import trial
from posegauge.errors import Unavailable
from posegauge.measure import gpu_smoke
from posegauge.pipeline import captured
from posegauge.store.files import read_json, write_json
from posegauge.study import BENCHMARKS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def program():
    """workflow/gpu_trial.py as a module."""
    spec = importlib.util.spec_from_file_location("gpu_trial", ROOT / "workflow/gpu_trial.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def plan(program) -> list[trial.Step]:
    return trial.steps(*(program.benchmarks(files[-1]) for files in trial.CONFIGS.values()))


def test_every_row_of_a_gpu_and_every_artifact_is_in_a_step(plan):
    rows = [name for step in plan if step.run == trial.ROWS for name in step.shows]
    compared = [name for step in plan if step.run == trial.PARITY for name in step.shows]
    on_gpu = {name: row.artifact.name for name, row in BENCHMARKS.items() if row.artifact.device == "cuda"}
    assert sorted(rows) == sorted(on_gpu)
    assert sorted(compared) == sorted(set(on_gpu.values()))
    assert [step.name for step in plan][:4] == ["smoke", "pytorch", "pytorch-parity", "onnx"]
    assert plan[-1].targets == ("measure_cameras",)


# ------------------------------------------------------------------------------------------------ the steps

CHILD = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('child', flush=True); "
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD + 'time.sleep(60)'!r}])"


def test_a_step_over_its_time_is_cut_with_all_that_it_started(program, tmp_path, monkeypatch):
    monkeypatch.setattr(program, "GRACE_S", 0.5)
    log = tmp_path / "logs/step.log"
    stopped = []
    stop = program.stop
    monkeypatch.setattr(program, "stop", lambda process: (stop(process), stopped.append(process)))
    # Its child does not listen to Ctrl-C, and is still there when the parent has gone.
    status, seconds = program.run([sys.executable, "-c", PARENT], 2.0, log)
    assert status == "cut" and 2.0 <= seconds < 8
    # What was killed is gone when the system has taken note of it.
    end = time.monotonic() + 20
    while program.alive(stopped[0]) and time.monotonic() < end:
        time.sleep(0.05)
    assert "child" in log.read_text() and not program.alive(stopped[0])
    assert program.run([sys.executable, "-c", "print('done')"], 20, log)[0] == "ok"
    assert program.run([sys.executable, "-c", "raise SystemExit(1)"], 20, log)[0] == "failed"
    assert "done" in log.read_text()


class Machine:
    """Answers for the program's own calls: a GPU, and what each step ends with."""

    def __init__(self, program, monkeypatch, **ends):
        self.ends, self.began = ends, []
        monkeypatch.setattr(program, "cuda_devices", lambda: 1)
        monkeypatch.setattr(program, "command", lambda step, cores: [step.name])
        monkeypatch.setattr(program, "run", self.run)
        monkeypatch.setattr(program.machine, "git_revision", lambda _: "abc")

    def run(self, words, limit_s, log):
        self.began.append(words[0])
        return self.ends.get(words[0], "ok"), 3.0


def test_a_second_call_goes_on_where_the_first_stopped(program, plan, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    first = Machine(program, monkeypatch, onnx="cut", roofline="failed")
    left = iter([600.0] * 9)  # seconds, as each step asks; nothing after these
    monkeypatch.setattr(program.time, "monotonic", lambda: 0.0 if next(left, None) else 700.0)
    assert program.main([]) == 0
    begun = first.began
    assert begun[:4] == ["smoke", "pytorch", "pytorch-parity", "onnx"] and len(begun) < len(plan)
    page = Path("results/gpu-trial/trial.md").read_text()
    assert "*cut after 3 s: say `make gpu-trial` again" in page and "*no time was left" in page
    assert "Not done: onnx, roofline" in capsys.readouterr().out

    monkeypatch.setattr(program.time, "monotonic", lambda: 0.0)
    second = Machine(program, monkeypatch)
    program.main([])
    rest = [step.name for step in plan if step.name not in begun]
    assert second.began == ["smoke", *rest, "onnx", "roofline"]
    states = read_json("results/gpu-trial/trial.json")["steps"]
    assert {state["status"] for state in states.values()} == {"ok"} and len(states) == len(plan)
    third = Machine(program, monkeypatch)
    program.main([])
    assert third.began == ["smoke"]
    # Without git, too.
    monkeypatch.setattr(program.machine, "git_revision", lambda _: None)
    program.main(["--anew"])
    assert len(third.began) == 1 + len(plan)
    third.began.clear()
    # With other code every step is asked again; what it made before Snakemake keeps.
    monkeypatch.setattr(program.machine, "git_revision", lambda _: "def")
    program.main(["--minutes", "10"])
    assert len(third.began) == len(plan)


def test_without_a_gpu_every_line_says_so(program, plan, tmp_path, monkeypatch, capsys):
    if base.cuda_devices():
        pytest.skip("this machine has a CUDA device")
    monkeypatch.chdir(tmp_path)
    assert program.main([]) == 0
    shown = capsys.readouterr().out
    table = [line for line in shown.splitlines() if line.startswith("|")][2:]
    lines = sum(max(1, len(step.shows)) for step in plan[1:]) + len(gpu_smoke.CHECKS)
    assert len(table) == lines and all(line.endswith("*no CUDA device* |") for line in table)
    assert f"0 of {lines} lines ran" in shown
    with zipfile.ZipFile("results/gpu-trial/records.zip") as archive:
        assert {"gpu-trial/trial.md", "gpu-trial/smoke.json"} <= set(archive.namelist())


# ------------------------------------------------------------------------------------------------ the table


def test_the_table_shows_what_ran_and_why_the_rest_did_not(plan, tmp_path):
    rows, compared = tmp_path / trial.ROWS, tmp_path / trial.PARITY
    for name, ran in {"pytorch_full_gpu": True, "onnx_full_gpu": True, "tensorrt_full_fp16": False}.items():
        write_json(rows / f"latency/{name}.json", fake_latency(name, ran), "latency.schema.yaml")
    fails = {"onnxruntime_cuda_fp32": (), "onnxruntime_cuda_fp16": ("max_ap_diff",)}
    for name, failed in fails.items():
        write_json(compared / f"parity/{name}.json", fake_parity(name, failed), "parity.schema.yaml")
    limits = fake_limits("cuda", fp32=50e12, fp16=400e12, copy=2e12)
    write_json(rows / "roofline/cuda.json", limits, "roofline.schema.yaml")
    write_json(rows / "batches.json", fake_record(), "batches.schema.yaml")
    write_json(rows / "peers/cuda.json", fake_peers(device="cuda"), "peers.schema.yaml")
    broken = rows / "logs/measure_pytorch_compiled_full_gpu.log"
    broken.parent.mkdir()
    broken.write_text("Traceback\nRuntimeError: no C compiler\n")
    states = {step.name: {"status": "ok", "seconds": 20.0, "log": "x.log"} for step in plan}
    states["compiled"]["status"], states["tensorrt-parity"]["status"] = "failed", "cut"
    del states["cameras"]
    smoke = [{"check": "Driver", "status": "ok", "seconds": 0.1, "found": "NVIDIA T5"}]
    lines = {line["what"]: line for line in trial.table(plan, states, smoke, tmp_path)}
    eager, onnx = lines["PyTorch Full GPU"], lines["ONNX Full GPU"]
    assert eager["ran"] and eager["speedup"] == 1 and eager["ms"] < eager["p95"]
    assert 1.4 < onnx["speedup"] < 1.7 and onnx["parity"].startswith("passes: AP +0.0001, keypoints P95 0.12")
    assert lines["onnxruntime_cuda_fp16"]["parity"].startswith("fails: AP")
    assert (
        lines["TensorRT Full FP16"] | {"said": "no CUDA device", "ran": False} == lines["TensorRT Full FP16"]
    )
    assert "failed: RuntimeError: no C compiler" in lines["PyTorch compiled FP16 Full GPU"]["said"]
    assert lines["tensorrt_cuda_fp16"]["said"].startswith("cut after 20 s")
    assert (
        lines["Matrix products, FP16"]["said"] == "400.0 TFLOP/s" and lines["Copies"]["said"] == "2000 GB/s"
    )
    assert "images/s (" in lines["PyTorch, CPU, FP32"]["said"]
    assert lines["rtmlib"]["said"] == "rtmlib is not installed" and lines["MMPose functions"]["ms"] == 21.0
    assert lines["Cameras"]["said"].startswith("no time was left")
    assert lines["Driver"]["said"] == "NVIDIA T5" and not lines["PyTorch"]["ran"]
    text = trial.text(trial.table(plan, states, smoke, tmp_path), plan, states, ["Machine: a T5."])
    assert "| ONNX Runtime: rows | ONNX Full GPU |" in text and "compiled 20 s (failed)" in text
    # The page has the tables, figures and findings of what there is, and none of what there is not.
    kinds = trial.write_page(text, tmp_path)
    assert {"latency", "parity", "roofline", "peers", "batches"} == set(kinds)
    page = (rows / "trial.md").read_text()
    assert page.startswith("# Trial of a GPU: ") and "| ONNX Runtime: rows | ONNX Full GPU |" in page
    assert "## Latency" in page and "## Beside other programs" in page and "## Parity" in page
    assert trial.OTHER_MODELS in page and "## Cameras" not in page and "## Robustness" not in page
    assert all((rows / f"figures/{name}.png").is_file() for name in ("latency", "peers", "batches"))
    assert any(found["id"] == "fastest_full" for found in read_json(rows / "findings.json"))


def test_steps_are_asked_for_by_name(program, plan, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    asked = Machine(program, monkeypatch)
    assert program.main(["--steps", "onnx", "pytorch"]) == 0
    assert asked.began == ["pytorch", "onnx"], "in the order of the plan"
    program.main(["--steps", "onnx"])
    assert asked.began[2:] == ["onnx"], "again, though it is done"
    assert program.main(["--steps", "onx"]) == 2
    assert "No step onx; there are: smoke, pytorch" in capsys.readouterr().err
    page = Path("results/gpu-trial/trial.md")
    page.unlink()
    assert program.main(["--page"]) == 0
    assert page.is_file() and len(asked.began) == 3, "nothing is run for the page alone"
    assert "Steps: pytorch 3 s (ok), onnx 3 s (ok)." in page.read_text()


def test_the_archive_has_what_is_small_and_stays_small(tmp_path):
    folder = tmp_path / trial.ROWS
    for name in ("latency/a.json", "models/detector.onnx", "engines/pose.json", "parity/source/x.npz"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    noise = b"".join(bytes([i * i % 251, i % 256, i * 7 % 253]) for i in range(3000))
    (folder / "big.png").write_bytes(noise)
    target = folder / trial.ARCHIVE
    assert trial.pack(target, tmp_path, 5000) == ["gpu-trial/big.png"]
    with zipfile.ZipFile(target) as archive:
        assert archive.namelist() == ["gpu-trial/latency/a.json"]
    assert trial.pack(target, tmp_path) == [] and target.stat().st_size < 12000


# ----------------------------------------------------------------------------------------------- the checks


def refuse():
    raise Unavailable("no TensorRT")


def fail():
    raise ImportError("libcudnn.so.9: cannot open\nmore")


def test_each_check_is_made_whatever_the_others_meet(tmp_path):
    made = list(gpu_smoke.run({"a": lambda: "fine", "b": refuse, "c": fail, "d": lambda: "fine, too"}))
    assert [check["status"] for check in made] == ["ok", "not run", "failed", "ok"]
    assert made[1]["found"] == "no TensorRT"
    assert made[2]["found"] == "ImportError: libcudnn.so.9: cannot open"


def test_the_driver_tells_its_gpu_with_and_without_nvidia_smi(monkeypatch):
    monkeypatch.setattr(gpu_smoke, "require_cuda", lambda: None)
    monkeypatch.setattr(
        gpu_smoke.tensorrt_engines, "gpu", lambda: gpu_smoke.tensorrt_engines.Gpu("Orin", "8.7")
    )

    def answer(words, **_):
        assert words[0] == "nvidia-smi" and "driver_version" in words[1]
        return gpu_smoke.subprocess.CompletedProcess(words, 0, "Tesla T4, 580.1, 15360 MiB\n", "")

    monkeypatch.setattr(gpu_smoke.subprocess, "run", answer)
    assert gpu_smoke.driver() == "compute capability 8.7; Tesla T4, 580.1, 15360 MiB"

    def none(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(gpu_smoke.subprocess, "run", none)
    assert gpu_smoke.driver() == "compute capability 8.7; Orin"


def test_the_pipelines_steps_are_compared_with_their_graphs(monkeypatch):
    monkeypatch.setattr(captured, "Recorder", FakeRecorder)
    monkeypatch.setattr(FakeRecorder, "made", [])
    told = gpu_smoke.captured_steps("cpu")
    assert told == "letterbox, nms, padded_box, crops, decode: the same bytes"

    class Once(FakeRecorder):
        """Its graphs go on to give what they gave first."""

        def __call__(self, function):
            replay, outputs = super().__call__(function)
            first = [replay]
            return lambda: first and first.pop()(), outputs

    monkeypatch.setattr(captured, "Recorder", Once)
    with pytest.raises(Unavailable, match="the pipeline's steps give other bytes as CUDA graphs"):
        gpu_smoke.captured_steps("cpu")
    monkeypatch.setattr(captured.Captured, "_has_place", lambda self: False)
    with pytest.raises(Unavailable, match="not replayed as CUDA graphs: letterbox, nms, padded_box"):
        gpu_smoke.captured_steps("cpu")


def test_one_node_runs_on_the_provider_that_was_asked_for(monkeypatch):
    # On the CPU's provider, which every build has: what is checked is the same.
    monkeypatch.setattr(gpu_smoke, "require_gpu_build", lambda provider: None)
    assert gpu_smoke._onnxruntime("CPUExecutionProvider").endswith(", CPUExecutionProvider")
    with pytest.raises(Unavailable, match="asked for CUDAExecutionProvider, ONNX Runtime took CPU"):
        gpu_smoke._onnxruntime("CUDAExecutionProvider")
