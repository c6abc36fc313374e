"""Publishing a run: its page and pictures, the README's blocks, and that a fault leaves nothing half done."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from fake_results import fake_latency, fake_limits, fake_scores
from fake_runs import write_run

from posegauge.compare import headline, trial
from posegauge.compare.publish import fill, publish
from posegauge.compare.published import read_published
from posegauge.errors import PoseGaugeError
from posegauge.report.readme import GRIDS_HEADING
from posegauge.report.records import Run
from posegauge.store.files import sha256_json, write_json
from posegauge.study import STUDY_BENCHMARKS, STUDY_CONDITIONS

CONFIG = {
    "models": {"detector": {"name": "Fake-m"}, "pose": {"name": "Fake-s"}},
    "dataset": {"title": "fakes", "kind": "scenes"},
}
README = """# Title

<!-- generated:begin grid from fake -->
old
<!-- generated:end grid -->
<!-- generated:begin latency from other -->
of another run
<!-- generated:end latency -->
<!-- generated:begin gpu from a-gpu -->
<!-- generated:end gpu -->
<!-- generated:begin robustness from fake -->
<!-- generated:end robustness -->
<!-- generated:begin findings from fake -->
<!-- generated:end findings -->
Last line"""
PUBLISHED = "# Published\n<!-- generated:begin published -->\n<!-- generated:end published -->\n"
PICTURES = ("figures/latency.png", "grids/conditions.jpg")


@pytest.fixture
def repository(tmp_path, pytestconfig, monkeypatch):
    """A repository with a README, and in results/ one finished run, fake."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "config").mkdir()
    facts = pytestconfig.rootpath / "config" / "published_t4.yaml"
    (tmp_path / "config" / "published_t4.yaml").write_text(facts.read_text())
    (tmp_path / "README.md").write_text(README)
    (tmp_path / "docs" / "published.md").write_text(PUBLISHED)
    run = tmp_path / "results" / "fake"
    write_run(
        run,
        rows=[fake_latency(name, row.artifact.device == "cpu") for name, row in STUDY_BENCHMARKS.items()],
        conditions=[fake_scores(name) for name in STUDY_CONDITIONS],
        notice="All of it is invented.",
        config=None,
    )
    for name in PICTURES:
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_bytes(name.encode())
    write_json(run / "roofline" / "cpu.json", fake_limits("cpu"), "roofline.schema.yaml")
    write_json(
        run / "findings.json", [{"id": name, "text": f"Of {name}."} for name in ("parity", "worst", "x", "y")]
    )
    shown = "\n".join(f"![what {name} shows]({name})" for name in PICTURES)
    (run / "readme.md").write_text(f"# Fakes\n\n{shown}\n[a link](https://example.org)\n")
    about = json.loads((run / "run.json").read_text())
    about |= {"config": about["config"] | CONFIG}
    write_json(run / "run.json", about | {"config_sha256": sha256_json(about["config"])})
    return tmp_path


def test_a_run_is_published_whole(repository):
    written = {path.as_posix() for path in publish("fake", repository)}
    assert written == {
        "README.md", "docs/published.md", "docs/results/fake.md",
        "docs/results/fake/latency.png", "docs/results/fake/conditions.jpg",
    }  # fmt: skip
    page = (repository / "docs/results/fake.md").read_text()
    assert "![what figures/latency.png shows](fake/latency.png)" in page
    assert "(https://example.org)" in page
    assert (repository / "docs/results/fake/conditions.jpg").read_bytes() == b"grids/conditions.jpg"
    text = (repository / "README.md").read_text()
    assert "of another run" in text and text.endswith("Last line") and "old" not in text
    assert "(docs/results/fake/conditions.jpg)" in text and "docs/results/fake.md" in text
    assert "- Of worst.\n- Of parity.\n- Of x.\n" in text and "Of y" not in text
    assert text.count("All of it is invented.") == 3 and "Fake 3000" in text and "revision abc1234" in text
    assert "here: 100 images with persons, Fake-m + Fake-s. Rate" in text
    assert "18.43 ms" in (repository / "docs/published.md").read_text()
    assert publish("fake", repository) == []


def of_kind(repository, kind: str) -> None:
    """Make the run one on images of another kind, with a page that has the section of the grids."""
    run = repository / "results/fake"
    about = json.loads((run / "run.json").read_text())
    about["config"]["dataset"]["kind"] = kind
    write_json(run / "run.json", about | {"config_sha256": sha256_json(about["config"])})
    grids = f"{GRIDS_HEADING}\n\n![a grid](grids/conditions.jpg)\n\n## How these numbers were made\n\nSo.\n"
    (run / "readme.md").write_text(f"# Fakes\n\n![a chart](figures/latency.png)\n\n{grids}")


@pytest.mark.parametrize("kind", ["folder", "coco"])
def test_no_photograph_is_published(repository, kind):
    of_kind(repository, kind)
    with pytest.raises(PoseGaugeError, match=r"README\.md: the block 'grid' names fake, .* rendered scenes"):
        publish("fake", repository)
    (repository / "README.md").write_text(README.replace("grid from fake", "grid from other"))
    publish("fake", repository)
    page = (repository / "docs/results/fake.md").read_text()
    assert [path.name for path in (repository / "docs/results/fake").iterdir()] == ["latency.png"]
    assert "grids/" not in page.replace("`results/`", "") and "show photographs" in page
    assert page.endswith("## How these numbers were made\n\nSo.\n")


def test_pictures_that_a_run_has_no_more_are_taken_away(repository):
    publish("fake", repository)
    old = repository / "docs/results/fake/old.png"
    old.write_bytes(b"old")
    assert [path.name for path in publish("fake", repository)] == ["old.png"]
    assert not old.exists()


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda home: (home / "results/fake/run.json").unlink(), "run.json is missing"),
        (lambda home: (home / "results/fake/grids/conditions.jpg").unlink(), r"shows .*conditions\.jpg"),
        (lambda home: (home / "results/fake/latency/onnx_full_cpu.json").write_text("{}"), "changed after"),
        (
            lambda home: (home / "README.md").write_text(README * 2),
            r"README\.md: the marker .* stands 2 times",
        ),
        (lambda home: (home / "README.md").write_text(README.replace("grid", "gird")), "no block 'gird'"),
        (
            lambda home: (home / "docs/published.md").write_text(""),
            r"published\.md: the marker .* is missing",
        ),
        (lambda home: (home / "README.md").write_bytes(b"\xff\xfe"), "not UTF-8"),
    ],
)
def test_a_fault_is_named_and_leaves_all_as_it_was(repository, break_it, message):
    break_it(repository)
    before = {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()}
    with pytest.raises(PoseGaugeError, match=message):
        publish("fake", repository)
    assert before == {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()}


def test_only_the_block_changes():
    text = "Before.  \n<!-- generated:begin a -->\nold\n<!-- generated:end a -->\nAfter"
    filled = fill(text, {"a": "\nnew\n\nlines\n"}, "README.md")
    assert filled == "Before.  \n<!-- generated:begin a -->\nnew\n\nlines\n<!-- generated:end a -->\nAfter"
    assert fill(filled, {"a": "\nnew\n\nlines\n"}, "README.md") == filled
    windows = fill(text.replace("\n", "\r\n"), {"a": "a\nb\n"}, "README.md")
    assert "\r\na\r\nb\r\n" in windows and "\n" not in windows.replace("\r\n", "")


def test_a_linked_readme_stays_a_link(repository):
    (repository / "README.md").rename(repository / "real.md")
    (repository / "README.md").symlink_to("real.md")
    publish("fake", repository)
    assert (repository / "README.md").is_symlink() and "worst" in (repository / "real.md").read_text()


def rows_of(table: str) -> dict[str, list[str]]:
    lines = [line.strip("| ").split(" | ") for line in table.splitlines()]
    return {cells[0]: cells[1:] for cells in lines}


def test_the_headline_tables_have_the_studys_rows_beside_ours(repository):
    run = Run.of_folder("results/fake")
    published = read_published(repository / "config" / "published_t4.yaml")
    latency = rows_of(headline.latency_table(run, published))
    assert list(latency)[2:] == [row.title for row in STUDY_BENCHMARKS.values()]
    assert latency["TensorRT Full FP16"][1:3] == ["18.43", "2.52×"]
    assert latency["TensorRT Full FP16"][-1] == "not run ¹"
    assert latency["PyTorch Pose CPU"][1] == "–" and latency["PyTorch Pose CPU"][-1] == "1.00× (baseline)"
    scores = rows_of(headline.robustness_table(run, published))
    assert list(scores)[2:] == [condition.title for condition in STUDY_CONDITIONS.values()]
    assert scores["Noise Heavy"][:4] == ["66.7 %", "70.0 %", "67.0 %", "0.260"]
    assert scores["Clean (baseline)"][-1] == "–" and scores["Noise Heavy"][-1].startswith("-0.")


def test_a_run_is_published_under_another_name_and_shown_where_asked(repository):
    publish("fake", repository, "nvidia-t5", ["latency"])
    readme = (repository / "README.md").read_text()
    assert "<!-- generated:begin latency from nvidia-t5 -->\n| Configuration" in readme
    assert "of another run" not in readme and "docs/results/nvidia-t5.md" in readme
    # What names another run stays as it is.
    assert "<!-- generated:begin grid from fake -->\nold" in readme
    page = (repository / "docs/results/nvidia-t5.md").read_text()
    assert "(nvidia-t5/latency.png)" in page
    assert not (repository / "docs/results/fake.md").exists()
    with pytest.raises(PoseGaugeError, match=r"has no block 'gird'.*there are grid, latency"):
        publish("fake", repository, show=["gird"])
    with pytest.raises(PoseGaugeError, match="is no name for a file; say NVIDIA-T5"):
        publish("fake", repository, "NVIDIA T5")


def test_a_trial_of_a_gpu_is_published_with_what_it_has(repository):
    folder = repository / "results" / trial.ROWS
    for name in ("pytorch_full_gpu", "onnx_full_gpu", "pytorch_pose_gpu"):
        record = fake_latency(name, name != "pytorch_pose_gpu")
        write_json(folder / f"latency/{name}.json", record, "latency.schema.yaml")
    trial.write_page("What ran.", "results")
    trial.pack(folder / trial.ARCHIVE, "results")
    written = {path.as_posix() for path in publish(trial.ROWS, repository, "nvidia-t5", ["gpu"])}
    assert {f"docs/results/nvidia-t5{end}" for end in (".md", "/latency.png", "/records.zip")} < written
    readme = (repository / "README.md").read_text()
    table = rows_of(readme.partition("gpu from nvidia-t5 -->\n")[2].partition("\n\n")[0])
    # The rows that ran, beside those that were published.
    assert list(table)[2:] == ["PyTorch Full GPU", "ONNX Full GPU"]
    assert table["PyTorch Full GPU"][1] == "46.37" and "1.00×" in table["PyTorch Full GPU"][-1]
    assert "RTMDet-m + RTMPose-m on Synthetic scenes (timing)" in readme
    assert "(nvidia-t5/latency.png)" in (repository / "docs/results/nvidia-t5.md").read_text()
    with pytest.raises(PoseGaugeError, match="'latency' is of a whole run; a trial fills gpu"):
        publish(trial.ROWS, repository, "nvidia-t5", ["latency"])
    shutil.rmtree(folder / "latency")
    with pytest.raises(PoseGaugeError, match="no row of it ran: there is nothing to show"):
        publish(trial.ROWS, repository, "nvidia-t5", ["gpu"])


def test_make_gives_the_run_another_name_only_where_one_is_said():
    root = Path(__file__).resolve().parents[2]

    def words(*variables: str) -> str:
        told = subprocess.run(
            ["make", "--no-print-directory", "-n", "publish", "RUN=demo", *variables],
            cwd=root, capture_output=True, text=True,
        )  # fmt: skip
        assert told.returncode == 0, told.stderr
        return told.stdout.strip().splitlines()[-1]

    assert words().endswith('workflow/publish.py "demo"')
    named = words("PAGE=nvidia-h100", "SHOW=latency")
    assert named.endswith('workflow/publish.py "demo" --as "nvidia-h100" --show "latency"')
