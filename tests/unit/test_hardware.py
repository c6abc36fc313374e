"""The fingerprint of the machine: complete, without names of hosts and users, and its short names."""

import getpass
import json
import os
import platform
import re
import socket
import subprocess

import pytest

from posegauge.store import machine as store_machine
from posegauge.store.machine import fingerprint


def machine(model="Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz", cores=2, gpus=()):
    return {
        "cpu": {"model": model, "usable_cores": cores},
        "memory_bytes": 24 * 2**30,
        "gpus": [{"name": name} for name in gpus],
    }


def test_fingerprint_is_complete_json():
    found = fingerprint()
    assert json.loads(json.dumps(found)) == found
    assert found["cpu"]["model"] and found["cpu"]["usable_cores"] >= 1
    assert found["memory_bytes"] > 2**28
    assert len(found["load_average"]) == 3
    assert found["python"].endswith(platform.python_version())
    assert isinstance(found["gpus"], list)


def test_fingerprint_names_no_host_and_no_user(monkeypatch):
    for module, name in ((platform, "node"), (socket, "gethostname"), (getpass, "getuser"), (os, "getlogin")):
        monkeypatch.setattr(module, name, lambda: pytest.fail("asked for a name"))
    found = fingerprint()
    assert set(found) == {
        "cpu", "memory_bytes", "load_average", "os", "kernel", "python",
        "container", "virtual_machine", "gpus",
    }  # fmt: skip
    host = platform.uname().node
    if len(host) > 6:  # a short one may be a word that stands there anyway
        assert host.lower() not in json.dumps(found).lower()


@pytest.mark.parametrize(
    ("architecture", "flags", "exact"),
    [
        ("x86_64", "fpu avx avx2 fma avx512f avx512_vnni", True),
        ("x86_64", "fpu avx avx2 fma avx_vnni", True),
        ("AMD64", "fpu avx avx2 amx_int8", True),
        ("x86_64", "fpu avx avx2 fma avx512f avx512bw", False),
        ("x86_64", None, False),
        ("aarch64", None, True),
        ("arm64", None, True),
    ],
)
def test_where_int8_is_exact(architecture, flags, exact, monkeypatch):
    def read_text(path, encoding):
        assert str(path) == "/proc/cpuinfo"
        if flags is None:
            raise FileNotFoundError(path)
        return f"processor\t: 0\nmodel name\t: any\nflags\t\t: {flags}\nbugs\t\t: vnni_none\n"

    monkeypatch.setattr(platform, "machine", lambda: architecture)
    monkeypatch.setattr(store_machine.Path, "read_text", read_text)
    assert store_machine.exact_int8() == exact


@pytest.mark.parametrize(
    ("model", "cores", "gpus", "slug"),
    [
        ("Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz", 2, [], "intel-xeon-platinum-8481c-2c"),
        ("Intel(R) Xeon(R) Processor", 4, [], "intel-xeon-4c"),
        ("AMD Ryzen 7 5800X 8-Core Processor", 16, [], "amd-ryzen-7-5800x-16c"),
        ("AMD Ryzen 7 7840U w/ Radeon 780M Graphics", 16, [], "amd-ryzen-7-7840u-16c"),
        ("12th Gen Intel(R) Core(TM) i7-12700H", 20, [], "intel-core-i7-12700h-20c"),
        ("Apple M2 Pro", 10, [], "apple-m2-pro-10c"),
        ("Virtual CPU", 1, [], "virtual-cpu-1c"),
        (None, 1, [], "cpu-1c"),
        ("any", 8, ["Tesla T4"], "nvidia-tesla-t4"),
        ("any", 8, ["NVIDIA GeForce RTX 4090", "NVIDIA GeForce RTX 4090"], "nvidia-geforce-rtx-4090"),
    ],
)
def test_slug(model, cores, gpus, slug):
    assert store_machine.slug(machine(model, cores, gpus)) == slug


def test_describe():
    assert store_machine.describe(machine()) == "Intel Xeon Platinum 8481C, 2 cores, 24 GiB, no GPU"
    assert store_machine.describe(machine(cores=1, gpus=["Tesla T4"])).endswith(", 1 core, 24 GiB, Tesla T4")
    assert store_machine.describe(machine(gpus=["A", "A"])).endswith(", 2 x A")


def test_this_machine_has_short_names():
    found = store_machine.fingerprint()
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", store_machine.slug(found))
    assert "\n" not in store_machine.describe(found)


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """A stand-in for nvidia-smi that prints two GPUs as the real one does."""
    command = tmp_path / "nvidia-smi"
    command.write_text(
        "#!/bin/sh\n"
        "echo '0, Tesla T4, 535.104.05, 15360, 300, 38, 9.36'\n"
        "echo '1, NVIDIA A100-SXM4-40GB, 535.104.05, 40960, [N/A], 30, [Not Supported]'\n"
    )
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return command


def test_gpus(nvidia_smi):
    first, second = store_machine.fingerprint()["gpus"]
    assert first == {
        "index": 0, "name": "Tesla T4", "driver_version": "535.104.05", "memory_mib": 15360,
        "sm_clock_mhz": 300, "temperature_c": 38, "power_w": 9.36,
    }  # fmt: skip
    assert second["sm_clock_mhz"] is None and second["power_w"] is None


@pytest.mark.parametrize(
    ("visible", "indexes"), [("", []), ("-1", []), ("1", [1]), ("0,1", [0, 1]), ("GPU-ab", [0, 1])]
)
def test_hidden_gpus(nvidia_smi, monkeypatch, visible, indexes):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [gpu["index"] for gpu in store_machine.fingerprint()["gpus"]] == indexes


def test_broken_nvidia_smi_is_no_gpu(nvidia_smi):
    nvidia_smi.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'; exit 9\n")
    assert store_machine.fingerprint()["gpus"] == []


def test_versions():
    found = store_machine.versions("numpy", "no-such-package")
    assert list(found) == ["numpy"] and re.match(r"\d+\.\d+", found["numpy"])
    assert store_machine.versions() == {}


def test_git_revision(tmp_path):
    def git(*words):
        subprocess.run(
            ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *words],
            check=True, capture_output=True,
        )  # fmt: skip

    assert store_machine.git_revision(tmp_path) is None
    git("init")
    assert store_machine.git_revision(tmp_path) is None  # no commit yet
    for name in ("code.py", "README.md"):
        (tmp_path / name).write_text("a")
    git("add", ".")
    git("commit", "-m", "first")
    clean = store_machine.git_revision(tmp_path)
    assert re.fullmatch(r"[0-9a-f]{40}", clean)
    (tmp_path / "README.md").write_text("results")
    (tmp_path / "untracked").write_text("a")
    assert store_machine.git_revision(tmp_path) == clean
    (tmp_path / "code.py").write_text("b")
    assert store_machine.git_revision(tmp_path) == f"{clean}-dirty"
    (tmp_path / "inner").mkdir()
    assert store_machine.git_revision(tmp_path / "inner") is None
