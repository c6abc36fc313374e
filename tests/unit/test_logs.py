"""A job's log file: what goes there, what reaches the console too, and what the console reads from it."""

import os
import subprocess
import sys
import textwrap

import pytest

from conftest import ROOT
from posegauge import logs

PREPARE = """
import ctypes, os, sys, time, warnings
import multiprocessing
from posegauge import logs
from posegauge.errors import PoseGaugeError
log = logs.start("logs/job.log")
"""


@pytest.fixture
def job(tmp_path):
    """Run a job in a process of its own; returns (exit status, what the terminal shows, the log file)."""

    def run(body: str):
        done = subprocess.run(
            [sys.executable, "-c", PREPARE + textwrap.dedent(body)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stdout, tmp_path / "logs/job.log"

    return run


def test_what_a_job_prints_goes_to_its_log_alone(job):
    """Also what a library in C++ and a child process print, which know nothing of Python's streams."""
    status, terminal, log = job("""
        warnings.warn("a third party warns")
        log.info("a step é")
        print("printed")
        ctypes.CDLL(None).write(2, b"from C\\n", 7)
        os.system("echo from a child; echo and its errors >&2")
    """)
    assert (status, terminal) == (0, "")
    text = log.read_text(encoding="utf-8")
    for words in (
        "UserWarning: a third party warns",
        "a step é",
        "printed",
        "from C",
        "from a child",
        "its err",
    ):
        assert words in text, words


def test_what_a_job_says_reaches_both(job):
    status, terminal, log = job('logs.say("Verified: 14 values\\n  see verify.md")')
    assert (status, terminal) == (0, "Verified: 14 values\n  see verify.md\n")
    assert logs.said(log) == ["Verified: 14 values", "  see verify.md"]


def test_bad_input_is_one_message(job):
    status, terminal, log = job("""
        print("Error: of an earlier try")
        raise PoseGaugeError("a.json: no persons\\nWhat you can do:\\n  - another file")
    """)
    message = "Error: a.json: no persons\nWhat you can do:\n  - another file"
    assert (status, terminal) == (1, f"{message}\n")
    assert logs.failure(log) == (message, True)
    assert "Traceback" not in log.read_text()


def test_a_full_disk_is_one_message_too(job):
    status, terminal, log = job("""
        with open("/dev/full", "w") as stream:
            stream.write("x" * 100_000)
    """)
    assert status == 1 and terminal.startswith("Error: /") and "its disk is full" in terminal
    assert logs.failure(log) == (terminal.rstrip(), True)
    assert "Traceback" not in log.read_text()


def test_a_fault_of_ours_keeps_its_traceback_in_the_log(job):
    status, terminal, log = job('{}["missing"]')
    assert (status, terminal) == (1, "KeyError: 'missing' (traceback in logs/job.log)\n")
    assert "Traceback" in log.read_text() and logs.failure(log) == ("KeyError: 'missing'", False)


def test_a_job_that_is_killed_leaves_its_last_lines(job):
    status, _, log = job('print("one"); print("two"); os.kill(os.getpid(), 9)')
    assert status == -9 and logs.failure(log) == (f"{logs.KILLED} Its last lines:\n  one\n  two", False)


@pytest.mark.parametrize(("terminal_every_s", "shown"), [(0.0, 9), (3600.0, 0)])
def test_progress_is_in_the_log_often_and_on_the_terminal_seldom(job, terminal_every_s, shown):
    status, terminal, log = job(f"""
        logs.TERMINAL_EVERY_S = {terminal_every_s}
        for _ in logs.progress(range(10), "images", every_s=0.0):
            pass
    """)
    assert status == 0
    lines = [line for line in log.read_text().splitlines() if "images: " in line]
    assert len(lines) == 10 and lines[4][8:].startswith(" > images: 5/10 (50 %), ")
    assert "images: 10 done in " in lines[-1]
    told = terminal.splitlines()
    assert len(told) == shown and all(line.startswith("job: images: ") for line in told)


def test_the_last_progress_counts_until_other_things_happen(tmp_path):
    log = tmp_path / "job.log"
    assert logs.last_progress(log) is None and logs.said(log) == [] and logs.failure(log) == ("", False)
    log.write_text("12:00:00 > images: 1/9 (11 %)\n12:00:05 > images: 5/9 (55 %), 1.0/s, 4 s left\n")
    assert logs.last_progress(log) == "images: 5/9 (55 %), 1.0/s, 4 s left"
    with log.open("a") as stream:
        stream.write("x.py:1: UserWarning: odd\n  warnings.warn(\n")
    assert logs.last_progress(log) == "images: 5/9 (55 %), 1.0/s, 4 s left"
    with log.open("a") as stream:
        stream.write("12:00:09 images: 9 done in 9.0 s\n12:00:09 next\n")
    assert logs.last_progress(log) is None


def test_only_the_end_of_a_long_log_is_read(tmp_path):
    log = tmp_path / "job.log"
    log.write_text("é" * logs.TAIL_BYTES + "\n12:00:00 > images: 1/9 (11 %)\n", encoding="utf-8")
    assert logs.last_progress(log) == "images: 1/9 (11 %)"
