"""The board's files: tables, pages and figures, and what of them is published."""

import json

import numpy as np
import pandas as pd
import pytest
from fake_board import FACTS, GPU, PAIRS, ROWS, SETTINGS, read, write_pair
from fake_results import MACHINE
from matplotlib.text import Text

from conftest import ROOT
from posegauge.compare import board, board_figure, board_report, changes
from posegauge.compare.publish import publish
from posegauge.compare.published import read_published
from posegauge.errors import PoseGaugeError
from posegauge.store.files import read_json, sha256_file


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """A repository with results/board/, of two runs, one of them with a history."""
    monkeypatch.chdir(tmp_path)
    folders = [
        write_pair(tmp_path / "results/a", "nano-t", day=1, notice="All of it is invented."),
        write_pair(tmp_path / "results/b", "m-l", day=2),
        write_pair(tmp_path / "results/c", "nano-t", day=3),
    ]
    study = read_published(ROOT / "config/published_t4.yaml")
    settings = SETTINGS | {"published": True, "max_ms": 50, "price_per_hour": 0.1, "currency": "EUR"}
    board_report.write(tmp_path / "results/board", folders, FACTS, study, settings)
    (tmp_path / "README.md").write_text(
        "<!-- generated:begin board from board -->\nold\n<!-- generated:end board -->\nLast"
    )
    return tmp_path


def test_the_board_is_written_whole(drawn):
    folder = drawn / "results/board"
    record = read_json(folder / "board.json")
    assert [run["run"] for run in record["runs"]] == ["a", "b", "c"]
    assert all(sha256_file(folder / name) == digest for name, digest in record["files"].items())
    table = pd.read_csv(folder / "tables/board.csv")
    assert (
        tuple(table.columns) == board.COLUMNS and len(table) == 9 and table["cost_per_million"].notna().all()
    )
    assert tuple(pd.read_csv(folder / "tables/changes.csv").columns) == changes.COLUMNS
    assert len(pd.read_csv(folder / "tables/history.csv")) == 6
    text = (folder / "board.md").read_text()
    for heading in ("For the budget", "Which change is worth what", "Every row", "History", "Published, not"):
        assert f"## {heading}" in text
    assert "All of it is invented." in text and "none is like for like" in text
    page = (folder / "board.html").read_text()
    assert page.count("data:image/png;base64,") == 2 and "figures/board.png" not in page
    pictures = {path.name: path.read_bytes() for path in folder.glob("figures/*.png")}
    assert all(picture.startswith(b"\x89PNG") for picture in pictures.values())
    again = drawn / "again"
    study = read_published(ROOT / "config/published_t4.yaml")
    board_report.write(again, [drawn / "results" / name for name in "abc"], FACTS, study, record["board"])
    assert pictures == {path.name: path.read_bytes() for path in again.glob("figures/*.png")}


def test_a_board_is_published_and_the_readme_names_the_largest_change(drawn):
    written = {path.as_posix() for path in publish("board", drawn)}
    assert written == {
        "README.md", "docs/results/board.md",
        "docs/results/board/board.png", "docs/results/board/history.png",
    }  # fmt: skip
    readme = (drawn / "README.md").read_text()
    first = read_json(drawn / "results/board/findings.json")[0]
    assert first["text"].replace("|", "\\|") in readme and "old" not in readme and readme.endswith("Last")
    assert "(docs/results/board.md)" in readme and "All of it is invented." in readme
    assert "(board/board.png)" in (drawn / "docs/results/board.md").read_text()
    assert publish("board", drawn) == []


def test_two_boards_have_a_part_of_the_readme_each(drawn):
    (drawn / "results/board").rename(drawn / "results/board-photographs")
    readme = drawn / "README.md"
    other = (
        "<!-- generated:begin board-weights from board-photographs -->\n<!-- generated:end board-weights -->"
    )
    readme.write_text(f"{readme.read_text()}\n{other}\n")
    publish("board-photographs", drawn)
    first = read_json(drawn / "results/board-photographs/findings.json")[0]["text"].replace("|", "\\|")
    before, after = readme.read_text().split("<!-- generated:begin board-weights")
    assert "old" in before and first not in before and first in after
    assert "(docs/results/board-photographs.md)" in after


def test_an_edited_board_is_not_published(drawn):
    table = drawn / "results/board/tables/board.csv"
    table.write_text(table.read_text() + "\n")
    with pytest.raises(PoseGaugeError, match=r"board\.csv: is missing or was changed; draw the board again"):
        publish("board", drawn)
    assert not (drawn / "docs").exists()


def test_a_board_of_nothing_with_an_ap_is_drawn(tmp_path):
    folder = write_pair(tmp_path / "a", config={"flip_test": True})
    study = read_published(ROOT / "config/published_t4.yaml")
    told = board_report.write(tmp_path / "board", [folder], FACTS, study, SETTINGS | {"min_ap": 0.5})
    assert told[-1]["text"] == "No row has an AP, so none can be named for the budget."
    assert (tmp_path / "board/figures/board.png").stat().st_size > 1000


def test_a_runtime_in_the_figure_stands_nearest_to_its_own_row(tmp_path, monkeypatch):
    shares = ROWS | {"openvino_full_cpu": 0.6}  # beside ONNX Runtime, whose label then has little room
    folders = [write_pair(tmp_path / pair, pair, rows=shares, seed=i) for i, pair in enumerate(PAIRS)]
    rows, figures = read(*folders), []
    monkeypatch.setattr(board_figure.style, "save", lambda figure, path: figures.append(figure))
    board_figure.plot(rows, [], SETTINGS, tmp_path / "board.png")
    axes = figures[0].axes[0]
    marks = axes.transData.transform([(row.shown["ms_p50"], row.shown["ap"]) for row in rows])
    runtimes = [note for note in axes.texts if "+" not in note.get_text()]
    assert len(runtimes) >= len(PAIRS)
    for note in runtimes:
        box = Text.get_window_extent(note).get_points()
        away = np.linalg.norm(np.maximum(np.maximum(box[0] - marks, marks - box[1]), 0), axis=1)
        assert np.allclose(marks[away.argmin()], axes.transData.transform(note.xy)), note.get_text()


def test_foreign_text_cannot_break_the_tables(tmp_path):
    machine = MACHINE | {"cpu": {"model": "a | b\n<script>", "usable_cores": 2}}
    rows = read(write_pair(tmp_path / "a", machine=machine), write_pair(tmp_path / "b", machine=GPU))
    text = board_report.rows_text(rows, SETTINGS)
    assert "<script>" not in text and "a \\| b" in text
    json.dumps([row.shown for row in rows])
