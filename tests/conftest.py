"""Shared fixtures: the real photographs and weights, and copies of the repository to run the workflow in."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
REAL = Path(os.environ.get("POSEGAUGE_REAL", ROOT.parent / "shared" / "real")).resolve()
# Of the run that the fixture `demo` makes.
DEMO_CONFIGS = ("config/demo.yaml", "tests/config/small.yaml")

# The folders in which tests run the workflow: whoever clones the repository names them.
ODD = "My [projects] 'é'; $HOME & #1"

LONGEST = (
    "test_demo", "test_real", "test_slurm", "test_report", "test_verify_run", "test_faults", "test_elsewhere",
    "test_full_path", "test_compare_runs", "test_console_run", "test_timing_only", "test_annotate_video",
    "test_plan", "test_staleness",
)  # fmt: skip

# Tests and what they start must not take each other's cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items):
    """Begin with the files that take longest: whole runs of the workflow."""
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """One process more than there are cores: those on Slurm wait for it most of their time."""
    from posegauge.store.machine import usable_cores

    return usable_cores() + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Give each process whole files, and one of them all files that use the fixture `demo`."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.partition("::")[0]
            return (
                "demo"
                if Path(file).stem in ("test_demo", "test_report", "test_verify_run", "test_notebook")
                else file
            )

    return ByFile(config, log)


@pytest.fixture(scope="session")
def real() -> Path:
    """Folder with real photographs and weights; the test is skipped where there is none."""
    if not (REAL / "coco" / "annotations").is_dir():
        pytest.skip(f"no real photographs and weights at {REAL} (set POSEGAUGE_REAL)")
    return REAL


class Workspace:
    """A copy of the repository, in a folder of an odd name, to run the workflow in as a user would."""

    def __init__(self, folder: Path, name: str = ODD):
        self.path = path = folder / name
        path.mkdir()
        # Its Python has the odd name as well.
        (path / ".venv").symlink_to(sys.prefix)
        self.python = str(path / ".venv/bin/python")
        names = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, check=True, text=True,
        ).stdout.split("\0")  # fmt: skip
        for name in filter(None, names):
            if (ROOT / name).is_file():
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, path / name)
        if REAL.is_dir():
            (path.parent / "shared").mkdir(exist_ok=True)
            link = path.parent / "shared" / "real"
            if not link.exists():
                link.symlink_to(REAL)

    def command(self, *targets: str, configs: tuple = (), options: tuple = (), cores: int = 2) -> list[str]:
        """The snakemake call as a list of words: targets first, since --configfile takes all that follows."""
        words = [self.python, "-m", "snakemake", "--cores", str(cores), *targets, *options]
        return [*words, "--configfile", *configs] if configs else words

    def snakemake(self, *targets: str, configs=(), options=(), cores: int = 2, check: bool = True):
        """Run snakemake; with `check` fail with its output unless it succeeds."""
        done = subprocess.run(
            self.command(*targets, configs=configs, options=options, cores=cores),
            cwd=self.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1200,
        )  # fmt: skip
        if check:
            assert done.returncode == 0, done.stdout[-6000:]
        return done

    def write(self, name: str, text: str) -> Path:
        """Write a file into the workspace."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return target


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """A fresh copy of the repository."""
    return Workspace(tmp_path)


@pytest.fixture(scope="session")
def session_workspace(tmp_path_factory):
    """Makes named copies of the repository that live as long as the test session."""

    def make(name: str, folder: str = ODD) -> Workspace:
        return Workspace(tmp_path_factory.mktemp(name), folder)

    return make


@pytest.fixture(scope="session")
def demo_onnx(tmp_path_factory) -> dict:
    """The demo's models as ONNX files: {"detector": path, "pose": path}."""
    from demo_models import DETECTOR, POSE

    from posegauge.models.export import export_onnx

    folder = tmp_path_factory.mktemp("models")
    for network in (DETECTOR, POSE):
        export_onnx(network, folder / f"{network.role}.onnx", 17)
    return {network.role: str(folder / f"{network.role}.onnx") for network in (DETECTOR, POSE)}


@pytest.fixture(scope="session")
def demo_fp16(demo_onnx, tmp_path_factory) -> dict:
    """The same in FP16."""
    from posegauge.models.precision import convert_fp16

    folder = tmp_path_factory.mktemp("fp16")
    for role, path in demo_onnx.items():
        convert_fp16(path, folder / f"{role}_fp16.onnx")
    return {role: str(folder / f"{role}_fp16.onnx") for role in demo_onnx}


@pytest.fixture(scope="session")
def demo(session_workspace):
    """A finished run of the demo with six images; its output is in `.output`."""
    workspace = session_workspace("demo")
    workspace.output = workspace.snakemake(configs=DEMO_CONFIGS).stdout
    workspace.run = workspace.path / "results" / "small"
    return workspace
