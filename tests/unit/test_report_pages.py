"""Pages of the report: Markdown as HTML that needs nothing else, and everything run.json knows."""

import re

import pytest
from fake_results import MACHINE

from posegauge.report.html import findings_text, page, provenance_text

RUN = {
    "models": {
        "detector": {"name": "A|B", "source": "given", "onnx_sha256": "d" * 64},
        "pose": {"name": "P", "source": "exported", "onnx_sha256": "e" * 64, "checkpoint_sha256": "f" * 64},
    },
    "reproduce": "snakemake --cores all",
    "config_files": ["config/config.yaml", "mine.yaml"],
    "config_sha256": "c" * 64,
    "git_revision": None,
    "machine": {**MACHINE, "gpus": [{"name": "T4", "memory_bytes": 16}, {"name": "L4", "memory_bytes": 24}]},
    "dataset": {"name": "scenes", "images": 6},
    "versions": {"torch": "2.13.0", "numpy": "1.26.4"},
    "files": {"tables/benchmark.csv": "a" * 64},
}


def test_a_page_stands_alone_and_shows_its_table():
    text = page("Speed & <more>", "| a | b |\n|---|--:|\n| x | 1.5 |\n")
    assert re.search(r"<td>x</td>\s*<td style=.text-align:right.>1.5</td>", text)
    assert "<title>Speed &amp; &lt;more&gt;</title>" in text
    assert not re.search(r"(src|href)=|@import|url\(|https?:", text)


@pytest.mark.parametrize(("text", "times"), [("Nothing.", 1), ("Nothing. *Invented.*", 1)])
def test_the_notice_is_told_once(text, times):
    assert page("Title", text, "Invented.").count("Invented.") == times


def test_findings_are_a_list():
    assert findings_text([{"id": "a", "text": "One."}, {"id": "b", "text": "Two."}]) == "- One.\n- Two."
    assert findings_text([]) == "Nothing was measured."


def test_provenance_names_machine_networks_versions_files_and_command():
    text = page("Provenance", provenance_text(RUN))
    for part in (
        "Fake 3000", "T4", "L4", "A|B", "d" * 64, "f" * 64, "2.13.0", "mine.yaml", "a" * 64,
        "snakemake --cores all",
    ):  # fmt: skip
        assert part in text, part


def test_a_machine_without_a_gpu_says_so():
    text = provenance_text({**RUN, "machine": {**MACHINE, "load_average": [0.5, 1.0, 2.0]}})
    assert re.search(r"gpus +\| none", text) and "0.5, 1.0, 2.0" in text and "no GPU" in text
