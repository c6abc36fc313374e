"""Folders that cannot be written and full disks: the one sentence of each, in plans and in jobs."""

import errno
import os
import shutil
from collections import namedtuple

import pytest

from posegauge import disk

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def full(monkeypatch):
    """Every disk has 20 MB, and so many bytes of them free."""

    def left(free: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(20_000_000, 20_000_000 - free, free))

    return left


def test_a_folder_that_can_be_written_is_no_problem(tmp_path):
    assert disk.problem(tmp_path / "not" / "yet" / "made") is None
    assert disk.problem(tmp_path, needed_bytes=1) is None


def test_a_file_in_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "results").write_text("")
    text = disk.problem(tmp_path / "results" / "run")
    assert text.startswith(f"{tmp_path / 'results'}: is a file, expected a folder")


def test_a_folder_of_somebody_else_says_what_to_do(tmp_path, monkeypatch):
    # Root may write everywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    text = disk.problem(tmp_path / "results" / "run")
    assert text.startswith(
        f"{tmp_path}: may not be written by this user. Make it writable, or work from a folder"
    )
    assert "\n" not in text and "/Snakefile" in text


def test_a_full_disk_is_named_with_its_size_and_what_is_needed(tmp_path, full):
    full(100_000)
    text = disk.problem(tmp_path / "results")
    assert text.startswith(f"{tmp_path}: its disk is full (mounted at /")
    assert "20.0 MB in all, 0.1 MB free, 1.0 MB needed" in text and "\n" not in text
    full(5_000_000)
    assert disk.problem(tmp_path) is None
    assert "5.0 MB free, 815.6 MB needed" in disk.problem(tmp_path, needed_bytes=815_585_330)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_job_that_fills_the_disk_names_the_disk(tmp_path, number):
    target = tmp_path / "models" / "a.onnx"
    error = OSError(number, "full", "source.onnx", None, str(target))
    text = disk.explain(error, near=tmp_path / "logs" / "a.log")
    assert (
        text.startswith(f"{tmp_path}: its disk is full") and "free again without the unfinished file" in text
    )


def test_what_a_library_makes_of_a_full_disk_is_seen_through(tmp_path, full):
    wrapped = RuntimeError("unexpected pos 64 vs 0")
    assert disk.explain(wrapped, near=tmp_path) is None
    full(0)
    assert "its disk is full" in disk.explain(wrapped, near=tmp_path)
    assert disk.explain(KeyError("a fault of ours"), near=tmp_path) is None


def test_the_cause_of_an_error_counts(tmp_path):
    try:
        try:
            raise PermissionError(errno.EROFS, "Read-only file system", str(tmp_path / "a.json"))
        except OSError as error:
            raise ValueError("cannot write") from error
    except ValueError as error:
        assert "Make it writable" in disk.explain(error, near=tmp_path)


def test_a_file_that_may_not_be_read_is_another_matter(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    path.write_text("{}")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    text = disk.explain(PermissionError(errno.EACCES, "Permission denied", str(path)), near=tmp_path)
    assert text == f"{path}: may not be read by this user. Allow it (chmod, chown), and run again"


def test_other_errors_of_the_system_keep_their_traceback(tmp_path):
    assert disk.explain(FileNotFoundError(errno.ENOENT, "No such file", "a.json"), near=tmp_path) is None
