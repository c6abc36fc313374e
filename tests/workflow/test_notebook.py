"""notebooks/gpu.ipynb: its cells run here, on the CPU, in the finished demo; what keeps a lost session."""

import ast
import importlib.util
import tarfile

import nbclient
import nbformat
import pytest

from conftest import DEMO_CONFIGS, ROOT
from posegauge.backends import base

NOTEBOOK = ROOT / "notebooks/gpu.ipynb"


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def assigned(source: str) -> dict:
    """The names that a cell sets at its top."""
    return {node.targets[0].id: node for node in ast.parse(source).body if isinstance(node, ast.Assign)}


def run(notebook, folder, **settings):
    """Run the cells in a folder, with other settings in the first."""
    first = code_cells(notebook)[0]
    assert set(settings) <= set(assigned(first.source))
    first.source += "".join(f"\n{name} = {value!r}" for name, value in settings.items())
    resources = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    return notebook


def test_it_is_committed_without_outputs_and_says_how_long_each_cell_takes(notebook):
    nbformat.validate(notebook)
    for cell in code_cells(notebook):
        assert not cell.outputs and cell.execution_count is None
        title = cell.source.splitlines()[0]
        assert title.startswith("# @title ") and any(
            word in title for word in ("second", "minute", "no time")
        )
    makefile = (ROOT / "Makefile").read_text()
    for target in ("gpu-trial", "timing", "sample", "study", "setup-cuda"):
        assert f"\n{target}:" in makefile and target in NOTEBOOK.read_text()


def test_its_cells_run_and_show_tables_and_figures(notebook, demo, tmp_path):
    # Nothing is left to do in the finished run.
    command = f".venv/bin/python -m snakemake --cores 2 --configfile {' '.join(DEMO_CONFIGS)}"
    kept = tmp_path / "a drive"
    settings = {"RUN": "small", "COMMAND": command, "SETUP": None, "NEED_GPU": False, "KEEP": True}
    run(notebook, demo.path / "notebooks", DRIVE=str(kept), **settings)
    shown = [output for cell in code_cells(notebook) for output in cell.outputs]
    text = "\n".join(output.get("text", "") for output in shown)
    assert "Nothing to be done" in text and f"Kept: {kept}/results.tar" in text
    tables = [output.data["text/markdown"] for output in shown if "text/markdown" in output.get("data", {})]
    assert any(table.startswith("### benchmark") and "| PyTorch Full CPU |" in table for table in tables)
    assert sum("image/png" in output.get("data", {}) for output in shown) >= 7
    with tarfile.open(kept / "results.tar") as archive:
        names = archive.getnames()
    assert "results/small/run.json" in names and any(
        name.startswith(".snakemake/metadata/") for name in names
    )
    with tarfile.open(kept / "data.tar") as archive:
        assert not any(name.startswith("data/demo/") for name in archive.getnames())


def test_without_a_gpu_it_says_how_to_get_one_and_goes_no_further(notebook):
    if base.cuda_devices():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="Runtime, Change runtime type, T4 GPU"):
        run(notebook, ROOT / "notebooks")
    assert [bool(cell.execution_count) for cell in code_cells(notebook)][:3] == [True, True, False]


@pytest.fixture
def keep():
    spec = importlib.util.spec_from_file_location("keep", ROOT / "workflow/keep.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_lost_session_goes_on_with_the_same_files_and_times(keep, tmp_path, monkeypatch, capsys):
    one, other, drive = (tmp_path / name for name in ("one", "other", "drive"))
    files = {
        "results/x/latency/a.json": "1", "data/scenes/b.jpg": "2", ".snakemake/metadata/c": "3",
        "data/demo/model.pth": "tracked", "results/x/.half.json": "half made", ".snakemake/locks/0": "lock",
    }  # fmt: skip
    for name, content in files.items():
        (one / name).parent.mkdir(parents=True, exist_ok=True)
        (one / name).write_text(content)
    monkeypatch.chdir(one)
    known = {}
    keep.save(drive, known)
    assert capsys.readouterr().out.count("Kept:") == 2
    keep.save(drive, known)
    assert not capsys.readouterr().out  # nothing has changed
    other.mkdir()
    monkeypatch.chdir(other)
    keep.restore(drive)
    found = {path.relative_to(other).as_posix() for path in other.rglob("*") if path.is_file()}
    assert found == {"results/x/latency/a.json", "data/scenes/b.jpg", ".snakemake/metadata/c"}
    for name in found:
        assert (other / name).read_text() == files[name]
        assert (other / name).stat().st_mtime == pytest.approx((one / name).stat().st_mtime, abs=1e-6)
    keep.restore(tmp_path / "nothing")
