"""The last words of a finished run."""

from posegauge.report import closing
from posegauge.store.files import write_json


def test_the_first_findings_and_where_the_results_are(tmp_path):
    told = [f"Row {number} is the fastest, " + "which is said at length " * 6 for number in range(5)]
    write_json(
        tmp_path / "findings.json", [{"id": str(number), "text": text} for number, text in enumerate(told)]
    )
    lines = closing.text(tmp_path).splitlines()
    assert lines[:2] == ["", "Findings:"] and lines[-1].startswith(f"Results: {tmp_path}/ (tables/, figures/")
    shown = " ".join(line.strip() for line in lines[2:-1])
    assert [f"Row {number} is" in shown for number in range(5)] == [True] * 3 + [False] * 2
    assert max(map(len, lines[:-1])) <= closing.WIDTH


def test_a_run_without_findings_says_where_it_is(tmp_path):
    write_json(tmp_path / "findings.json", [])
    assert closing.text(tmp_path).splitlines() == [
        "",
        f"Results: {tmp_path}/ (tables/, figures/, grids/; {tmp_path}/readme.md shows them together)",
    ]
