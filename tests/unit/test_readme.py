"""The README section: its parts, the published numbers, and the splice between markers."""

from pathlib import Path

import pytest
from fake_results import fake_latency, fake_robustness

from posebench import readme, tables
from posebench.errors import PoseBenchError
from posebench.study import BENCHMARKS, CONDITIONS

PUBLISHED = Path(__file__).resolve().parents[2] / "config" / "published_t4.yaml"
BEFORE, AFTER = "# Title\n\nText before.  \n\n", "\n\nText after, without a last line end"
README = f"{BEFORE}<!-- generated:begin demo -->\nold\n<!-- generated:end demo -->{AFTER}"


def make_section(**changes) -> str:
    records = [fake_latency(name) for name in BENCHMARKS]
    parts = {
        "tables": {"benchmark": "| latency |\n| --- |\n", "robustness": "| scores |\n| --- |\n"},
        "findings": [{"id": "a", "text": "First finding."}, {"id": "b", "text": "Second <finding>."}],
        "links": {name: f"pictures/{name}.png" for name in readme.PICTURES},
        "facts": readme.make_facts(records, "Fakes", 7, "make fakes"),
        "notice": "All of it is invented.",
    }
    return readme.section(**(parts | changes))


def test_the_section_has_all_parts_in_order():
    text = make_section(published="| published |\n")
    places = [
        text.index(part)
        for part in (
            "> **Note:** All of it is invented.",
            "### Latency",
            "| latency |",
            "(pictures/latency.png)",
            "### Robustness",
            "| scores |",
            "(pictures/robustness.png)",
            "- First finding.\n- Second &lt;finding>.",
            "(pictures/conditions.png)",
            "(pictures/images.png)",
            "| published |",
            "### How these numbers were made",
        )
    ]
    assert places == sorted(places)
    assert "\n\n\n" not in text


def test_the_section_without_notice_findings_or_published_numbers():
    text = make_section(notice=None, findings=[], level=2)
    assert "Note" not in text and "published" not in text.lower()
    assert "Nothing was measured." in text
    assert text.startswith("## Latency")


def test_facts_come_from_the_provenance():
    records = [fake_latency("onnx_full_cpu"), fake_robustness("clean")]
    records[0]["provenance"]["git_revision"] = "0123456789abcdef-dirty"
    facts = readme.make_facts(records, "Fakes", 7, "make fakes")
    assert facts["Machine"] == "Fake 3000, 2 cores, 8 GiB, no GPU"
    assert facts["Networks (sha256)"] == "`pose.onnx` (dddddddddddd)"
    assert facts["Versions"] == "python 3.11, numpy 1.26.4"
    assert facts["Revision"] == "0123456789ab-dirty"
    assert facts["Data"] == "Fakes, seed 7" and facts["Command"] == "`make fakes`"


def test_facts_of_nothing():
    facts = readme.make_facts([], "Fakes", 7, "make fakes")
    assert facts["Machine"] == facts["Versions"] == "–"


# ---------------------------------------------------------------------------------- the published numbers


def test_published_numbers_are_complete():
    published = readme.read_published(PUBLISHED)
    assert set(BENCHMARKS) - set(published["benchmark"]) == {"pytorch_pose_gpu", "pytorch_pose_cpu"}
    assert set(published["robustness"]) == set(CONDITIONS)
    for row in published["benchmark"].values():
        assert row["fault"] and row["fps"] == pytest.approx(1000 / row["latency_ms_mean"], rel=0.005)
    for row in published["robustness"].values():
        assert row["fault"]
        assert row["detection_rate"] == pytest.approx(row["images_detected"] / published["images"], abs=6e-4)


def test_published_numbers_alone_and_beside_ours():
    published = readme.read_published(PUBLISHED)
    alone = readme.published_markdown(published)
    assert "18.43 ms, 54.24 FPS, 2.52×" in alone and "95.2 % (2563 / 2693)" in alone
    assert "None of the published values was measured by this workflow" in alone
    assert "This run" not in alone
    latency = tables.benchmark_table([fake_latency("onnx_full_cpu"), fake_latency("onnx_full_gpu", False)])
    scores = tables.robustness_table([fake_robustness("clean", ap=None)])
    lines = readme.published_markdown(published, latency, scores).splitlines()
    rows = {line.split(" | ")[0].strip("| "): line for line in lines if line.startswith("|")}
    assert "no PyTorch row ran" in rows["ONNX Full CPU"]
    assert "not run: no CUDA device" in rows["ONNX Full GPU"]
    assert " | – " in rows["TensorRT Full FP16"]
    assert "95.0 % (95 / 100), confidence 0.560, AP –" in rows["Clean (baseline)"]
    assert len({line.count(" | ") for line in rows.values()}) == 1


def test_an_unknown_published_row_is_named(tmp_path):
    (tmp_path / "a.yaml").write_text("benchmark: {onnx_half_gpu: {}}\nrobustness: {}\n")
    with pytest.raises(PoseBenchError, match=r"a\.yaml.*onnx_half_gpu"):
        readme.read_published(tmp_path / "a.yaml")


# ------------------------------------------------------------------------------------------------ the splice


def test_only_the_block_changes():
    text = readme.splice(README, "demo", "\nnew\n\nlines\n", "README.md")
    block = "<!-- generated:begin demo -->\nnew\n\nlines\n<!-- generated:end demo -->"
    assert text == BEFORE + block + AFTER
    assert readme.splice(text, "demo", "\nnew\n\nlines\n", "README.md") == text


def test_line_ends_are_kept():
    text = readme.splice(README.replace("\n", "\r\n"), "demo", "a\nb\n", "README.md")
    assert "\r\na\r\nb\r\n" in text and "\n" not in text.replace("\r\n", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing", r"generated:begin demo -->' is missing"),
        ("<!-- generated:begin demo -->", r"generated:end demo -->' is missing"),
        (README + README, r"generated:begin demo -->' stands 2 times"),
        (README + "<!-- generated:end demo -->", r"generated:end demo -->' stands 2 times"),
        ("<!-- generated:end demo --><!-- generated:begin demo -->", "stands before"),
        (README.replace("demo", "study"), "generated:begin demo -->' is missing"),
    ],
)
def test_wrong_markers_are_named(tmp_path, text, message):
    file = tmp_path / "README.md"
    file.write_text(text)
    with pytest.raises(PoseBenchError, match=rf"README\.md.*{message}"):
        readme.check_markers(file, "demo")
    with pytest.raises(PoseBenchError, match=message):
        readme.update(file, "demo", "new", "")
    assert file.read_text() == text
    assert list(tmp_path.iterdir()) == [file]


def test_a_missing_or_strange_readme_is_named(tmp_path):
    with pytest.raises(PoseBenchError, match=r"README\.md: no such file"):
        readme.check_markers(tmp_path / "README.md", "demo")
    (tmp_path / "README.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PoseBenchError, match="not UTF-8"):
        readme.check_markers(tmp_path / "README.md", "demo")


def test_updating_twice_changes_the_file_once(tmp_path):
    file = tmp_path / "README.md"
    file.write_bytes(README.encode())
    assert readme.update(file, "demo", "Größe: 1 µm\n", "")
    written = file.read_bytes()
    assert written.startswith(BEFORE.encode()) and written.endswith(AFTER.encode())
    before = file.stat().st_mtime_ns
    assert not readme.update(file, "demo", "Größe: 1 µm\n", "")
    assert file.stat().st_mtime_ns == before


def test_published_numbers_go_where_the_readme_wants_them(tmp_path):
    file = tmp_path / "README.md"
    file.write_text(README)
    readme.update(file, "demo", "new", "published numbers")
    assert "published numbers" not in file.read_text()
    file.write_text(README + "\n<!-- generated:begin published -->\n<!-- generated:end published -->\n")
    readme.update(file, "demo", "new", "published numbers")
    assert "begin published -->\npublished numbers\n<!--" in file.read_text()
    file.write_text(README + "\n<!-- generated:begin published -->\n")
    with pytest.raises(PoseBenchError, match="end published -->' is missing"):
        readme.check_markers(file, "demo")


def test_a_linked_readme_stays_a_link(tmp_path):
    (tmp_path / "real.md").write_text(README)
    (tmp_path / "README.md").symlink_to("real.md")
    readme.update(tmp_path / "README.md", "demo", "new", "")
    assert (tmp_path / "README.md").is_symlink() and "new" in (tmp_path / "real.md").read_text()


def test_pictures_are_copied_beside_the_readme_once(tmp_path):
    pictures = {"latency": tmp_path / "results" / "latency.png"}
    pictures["latency"].parent.mkdir()
    pictures["latency"].write_bytes(b"picture")
    links = readme.copy_pictures(pictures, tmp_path / "README.md", "demo")
    assert links == {"latency": "report/readme/demo/latency.png"}
    copy = tmp_path / links["latency"]
    assert copy.read_bytes() == b"picture"
    before = copy.stat().st_mtime_ns
    readme.copy_pictures(pictures, tmp_path / "README.md", "demo")
    assert copy.stat().st_mtime_ns == before
    pictures["latency"].write_bytes(b"another")
    readme.copy_pictures(pictures, tmp_path / "README.md", "demo")
    assert copy.read_bytes() == b"another"


def test_links_of_the_runs_own_file():
    links = readme.relative_links({"latency": "results/a/figures/latency.png"}, "results/a/readme.md")
    assert links == {"latency": "figures/latency.png"}
