"""The logger plugin of workflow/plugins/: Snakemake's events in, lines of the console out."""

import base64
import io
import json
import logging
import os
import subprocess
import sys
import types

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

import snakemake_logger_plugin_console as console
from conftest import ROOT
from snakemake_logger_plugin_console.estimate import Estimate, about, duration, earlier_durations
from snakemake_logger_plugin_console.screen import CLEAR_LINE, Screen

NOON = 1_800_000_000.0


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Makes a handler whose lines are in `handler.text()`, and whose clock is what the events say."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "xterm")
    made = []

    def make(stream=None, **settings):
        common = {"quiet": None, "dryrun": False, "verbose": False, "debug_dag": False, "stdout": False}
        handler = console.LogHandler(types.SimpleNamespace(**{**common, **settings}), None)
        handler.aside.close()  # the streams of the tests stay as they are
        handler.screen = Screen(stream or io.StringIO())
        handler.text = lambda: handler.screen.stream.getvalue()
        handler.now = NOON
        handler.tell = lambda event=None, after=0.0, **fields: tell(handler, event, after, **fields)
        made.append(handler)
        return handler

    def tell(handler, event, after, msg="", level=logging.INFO, **fields):
        handler.now += after
        handler.handle(
            logging.makeLogRecord(
                {"msg": msg, "levelno": level, "event": event, "created": handler.now, **fields}
            )
        )

    yield make
    for handler in made:
        handler.close()


def begin(handler, number, rule, title, log=(), output=("results/r/a.json",), local=False, after=0.0):
    handler.tell(
        LogEvent.JOB_INFO, after, jobid=number, rule_name=rule, rule_msg=title, log=list(log),
        output=list(output), local=local,
    )  # fmt: skip


def end(handler, number, after):
    handler.tell(LogEvent.JOB_FINISHED, after, job_id=number)


def fail(handler, number, log=(), after=1.0, rule_msg=None):
    handler.tell(LogEvent.ERROR, after, msg="CalledProcessError in file x:\nCommand 'python' returned 1.")
    handler.tell(LogEvent.JOB_ERROR, jobid=number, log=list(log), rule_msg=rule_msg)


def lines(handler) -> list:
    """The lines of jobs without their time of day, which depends on the time zone."""
    return [line[9:] if line[2:3] == ":" else line for line in handler.text().splitlines()]


def log_file(path, text: str):
    path.write_text(text, encoding="utf-8")
    os.utime(path, (NOON + 60, NOON + 60))
    return str(path)


def test_a_line_for_each_job_begun_and_ended(start):
    handler = start()
    handler.tell(msg="Building DAG of jobs...")
    handler.tell(LogEvent.WORKFLOW_STARTED, msg="Workflow has started!")
    handler.tell(msg="Using shell: /usr/bin/bash")
    handler.tell(LogEvent.RUN_INFO, stats={"render": 1, "score_a": 1, "all": 1, "total": 3})
    handler.tell(msg="Select jobs to execute...")
    begin(handler, 1, "render", "Render scenes")
    handler.tell(LogEvent.SHELLCMD, shellcmd=None)
    end(handler, 1, 2.34)
    begin(handler, 2, "score_a", None)
    end(handler, 2, 75)
    begin(handler, 0, "all", None, output=())
    end(handler, 0, 0)
    assert lines(handler) == [
        "3 jobs to run.",
        "  0 %  begin  Render scenes",
        " 33 %  done   Render scenes: 2.3 s",
        " 33 %  begin  score_a",
        " 66 %  done   score_a: 1 min 15 s",
        "All 3 jobs done in 1 min 17 s.",
    ]
    assert "\x1b" not in handler.text() and "\r" not in handler.text()


def test_a_failed_job_says_what_is_wrong_where_and_what_to_do(start, tmp_path):
    handler = start()
    log = log_file(
        tmp_path / "a.log", "x.py:1: UserWarning: odd\nError: a.json: no persons\n  - another file\n"
    )
    handler.tell(LogEvent.WORKFLOW_STARTED)
    handler.tell(LogEvent.RUN_INFO, stats={"filter": 1, "render": 1, "score": 4, "total": 6})
    begin(handler, 1, "filter", "List images", log=[log])
    begin(handler, 2, "render", "Render clip")
    fail(handler, 1, log=[log], after=12)
    end(handler, 2, 1)
    handler.tell(
        msg="Exiting because a job execution failed. Look above for error messages", level=logging.ERROR
    )
    handler.tell(LogEvent.ERROR, msg="WorkflowError:\nAt least one job did not complete successfully.")
    assert lines(handler)[3:] == [
        "  0 %  FAILED List images, after 12 s",
        "                Error: a.json: no persons",
        "                  - another file",
        "                rule: filter",
        f"                log:  {log}",
        " 16 %  done   Render clip: 13 s",
        "1 job of 6 failed, 1 done, 4 not run because they need what failed.",
        f"  List images ({log})",
        "Put it right and give the same command again: what is done is not done again.",
    ]


def test_another_error_sends_the_reader_to_the_log(start, tmp_path):
    handler = start()
    trace = "Traceback (most recent call last):\n  File x\nKeyError: 'seed'\n"
    log = log_file(tmp_path / "a.log", trace)
    handler.tell(LogEvent.RUN_INFO, stats={"filter": 1, "total": 1})
    begin(handler, 1, "filter", "List images", log=[log])
    fail(handler, 1, log=[log])
    text = handler.text()
    assert "KeyError: 'seed'" in text and f"log:  {log}" in text and "the log has all of it" in text
    assert "Traceback" not in text and "CalledProcessError" not in text


def test_the_log_of_an_earlier_run_is_not_taken_for_this_ones(start, tmp_path):
    handler = start()
    log = log_file(tmp_path / "a.log", "Error: of yesterday\n12:00:00 > images: 1/2 (50 %)\n")
    os.utime(log, (NOON - 3600, NOON - 3600))
    handler.tell(LogEvent.RUN_INFO, stats={"filter": 1, "total": 1})
    begin(handler, 1, "filter", "List images", log=[log])
    assert console._progress(handler.jobs[1]) is None
    fail(handler, 1, log=[log], rule_msg="slurm: out of memory")
    assert "yesterday" not in handler.text() and "ended without a message" in handler.text()
    assert "slurm: out of memory" in handler.text()


def test_a_job_that_is_tried_again_and_succeeds_has_not_failed(start):
    handler = start()
    handler.tell(LogEvent.WORKFLOW_STARTED)
    handler.tell(LogEvent.RUN_INFO, stats={"filter": 1, "total": 1})
    begin(handler, 1, "filter", "List images")
    fail(handler, 1)
    handler.tell(msg="Trying to restart job 1.")
    begin(handler, 1, "filter", "List images")
    end(handler, 1, 1)
    assert not handler.failed and handler.text().endswith("All 1 jobs done in 2.0 s.\n")


def test_errors_before_any_job_and_warnings_are_shown_whole(start):
    handler = start()
    handler.tell(LogEvent.ERROR, msg="WorkflowError in file x, line 3:\nconfig: 'sed' is no key")
    handler.tell(msg="The code used to generate a file has changed", level=logging.WARNING)
    handler.tell(LogEvent.WORKFLOW_STARTED)
    handler.tell(msg="Nothing to be done (all requested files are present and up to date).")
    assert handler.text().splitlines() == [
        "WorkflowError in file x, line 3:",
        "config: 'sed' is no key",
        "The code used to generate a file has changed",
        "Nothing to be done (all requested files are present and up to date).",
    ]


def test_what_a_job_says_and_the_closing_words_are_shown_even_where_jobs_are_not(start, tmp_path):
    log = log_file(
        tmp_path / "a.log", "12:00:00 step\n12:00:01 ! Verified: 14 values\n12:00:01 !   see x.md\n"
    )
    for quiet, closing in (({console.Quietness.RULES}, True), ({console.Quietness.ALL}, False)):
        handler = start(quiet=quiet)
        handler.tell(LogEvent.WORKFLOW_STARTED)
        handler.tell(LogEvent.RUN_INFO, stats={"verify": 1, "total": 1})
        begin(handler, 1, "verify", "Say it", log=[log])
        end(handler, 1, 1)
        handler.tell(msg="Results: results/r", for_console=True)
        expected = "Verified: 14 values\n  see x.md\n" + "Results: results/r\n" * closing
        assert handler.text() == expected


def test_a_cluster_queues_jobs(start):
    handler = start()
    handler.tell(LogEvent.RESOURCES_INFO, nodes=50)
    handler.tell(LogEvent.RUN_INFO, stats={"a": 1, "b": 1, "total": 2})
    begin(handler, 1, "a", "Predict")
    begin(handler, 2, "b", "Draw", local=True)
    end(handler, 1, 600)
    assert lines(handler)[1:] == [
        "  0 %  queued Predict",
        "  0 %  begin  Draw",
        " 50 %  done   Predict: 10 min 0 s with its wait in the queue",
    ]


def test_stopping_is_told_once_and_without_the_errors_of_the_stopped_jobs(start):
    handler = start()
    handler.tell(LogEvent.RUN_INFO, stats={"a": 2, "total": 2})
    begin(handler, 1, "a", "Predict")
    handler.tell(msg="Terminating processes on user request, this might take some time.")
    fail(handler, 1)
    handler.tell(LogEvent.ERROR, msg="WorkflowError: At least one job did not complete successfully.")
    handler.close()
    assert lines(handler)[2:] == [
        "Stopping the running jobs.",
        "Stopped: 0 of 2 jobs done. The same command goes on from here.",
    ]


def test_in_a_terminal_the_running_jobs_stand_in_the_last_line(start, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_, **__: os.terminal_size((60, 20)))
    handler = start(stream=Terminal())
    log = log_file(tmp_path / "a.log", "12:00:00 > images: 5/9 (55 %), 1.0/s, 4 s left\n")
    handler.tell(LogEvent.RUN_INFO, stats={"predict": 1, "b": 1, "total": 2})
    begin(handler, 1, "predict", "Predict", log=[log])
    shown = handler._running(NOON + 5)
    assert shown == "           0 %  1 running: Predict: images: 5/9 (55 %), 1.0/s, 4 s left"
    handler.screen.status(shown)
    assert handler.text().endswith(f"{CLEAR_LINE}{shown[:59]}")
    end(handler, 1, 9)
    # The line goes before another is written.
    assert f"{shown[:59]}{CLEAR_LINE}" in handler.text() and handler.text().endswith("Predict: 9.0 s\n")


def test_without_a_terminal_progress_comes_now_and_then(start, tmp_path, monkeypatch):
    monkeypatch.setattr(console, "PROGRESS_EVERY_S", 0.0)
    handler = start()
    log = log_file(tmp_path / "a.log", "12:00:00 > images: 5/9 (55 %)\n")
    handler.tell(LogEvent.RUN_INFO, stats={"predict": 1, "total": 1})
    handler._end.set()
    begin(handler, 1, "predict", "Predict", log=[log])
    begin(handler, 2, "other", "Other")
    handler._show_progress(NOON + 40)
    handler._show_progress(NOON + 80)  # the same is not told again
    assert lines(handler)[3:] == ["  0 %  ...    Predict: images: 5/9 (55 %)"]


def test_a_dry_run_and_verbose_are_snakemakes_own(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for settings in ({"dryrun": True, "stdout": True}, {"verbose": True}):
        common = dict.fromkeys(
            (
                "dryrun",
                "verbose",
                "debug_dag",
                "stdout",
                "nocolor",
                "show_failed_logs",
                "printshellcmds",
                "quiet",
            )
        )
        handler = console.LogHandler(types.SimpleNamespace(**{**common, **settings}), None)
        handler.handle(
            logging.makeLogRecord({"msg": "Job stats:\na 1", "levelno": 20, "event": LogEvent.RUN_INFO})
        )
        handler.close()
        assert "Job stats:\na 1\n" in "".join(capsys.readouterr())
    assert not (tmp_path / ".snakemake").exists()


def test_what_jobs_print_outside_of_their_logs_goes_aside(tmp_path):
    program = (
        "import os, sys; from pathlib import Path\n"
        "from snakemake_logger_plugin_console.screen import Aside\n"
        "aside = Aside(Path('aside.log'))\n"
        "os.system('echo job; echo warning >&2')\n"
        "print('out'); print('err', file=sys.stderr)\n"
        "aside.close()\n"
        "os.system('echo after')\n"
        "Aside(Path('empty.log')).close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT / "workflow/plugins")},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("out\nafter\n", "err\n")
    assert (tmp_path / "aside.log").read_text() == "job\nwarning\n"
    assert not (tmp_path / "empty.log").exists()


# --------------------------------------------------------------------------------------------- how long


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (9.96, "10 s"), (59.6, "1 min 0 s"), (185, "3 min 5 s"), (7805, "2 h 10 min")],
)
def test_durations(seconds, said):
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "less than a minute"),
        (55, "about 1 min"),
        (250, "about 4 min"),
        (3 * 3600, "about 3 h"),
        (9100, "about 2.5 h"),
    ],
)
def test_estimates_are_coarse(seconds, said):
    assert about(seconds) == said


def run_jobs(estimate, rule, count, seconds, now=0.0, job=0):
    for number in range(job, job + count):
        estimate.started(number, rule, ["results/r/x"], now)
        now += seconds
        estimate.ended(number, now)
    return now


def test_nothing_is_said_while_little_is_known():
    estimate = Estimate({"predict_a": 2, "predict_b": 1, "score": 20})
    assert estimate.seconds_left(0.0) is None
    now = run_jobs(estimate, "predict_a", 2, 10.0)
    assert estimate.seconds_left(now) is None  # two jobs
    now = run_jobs(estimate, "score", 1, 1.0, now, 5)
    assert estimate.seconds_left(now) == pytest.approx(10 + 19 * 1.0)  # predict_b takes what predict_a took


def test_a_kind_never_seen_keeps_the_estimate_back():
    estimate = Estimate({"predict_a": 4, "measure_a": 3})
    now = run_jobs(estimate, "predict_a", 3, 10.0)
    assert estimate.seconds_left(now) is None  # 1 of 4 is known
    estimate = Estimate({"predict_a": 6, "measure_a": 3})
    now = run_jobs(estimate, "predict_a", 3, 10.0)
    assert estimate.seconds_left(now) == pytest.approx(60.0)


def test_what_runs_counts_for_what_is_left_of_it_and_jobs_beside_each_other_share():
    estimate = Estimate({"a": 5})
    now = run_jobs(estimate, "a", 3, 10.0)
    estimate.started(9, "a", [], now)
    assert estimate.seconds_left(now + 4) == pytest.approx((20 - 4) / 1.0)
    assert estimate.seconds_left(now + 400) == pytest.approx(10.0)  # never less than the jobs not begun
    beside = Estimate({"a": 8})
    for number in range(4):
        beside.started(number, "a", [], 0.0)
    for number in range(4):
        beside.ended(number, 10.0)
    assert beside.seconds_left(10.0) == pytest.approx(10.0)


def test_a_failed_job_is_no_measure():
    estimate = Estimate({"a": 4})
    run_jobs(estimate, "a", 3, 10.0)
    estimate.started(7, "a", [], 30.0)
    assert estimate.ended(7, 30.5, succeeded=False) == 0.5
    assert estimate.seconds_left(30.0) == pytest.approx(10.0)


def test_earlier_runs_of_the_same_folder_are_remembered(tmp_path):
    def record(output, rule, seconds):
        name = base64.b64encode(output.encode()).decode()
        (tmp_path / name).write_text(
            json.dumps({"rule": rule, "starttime": 100.0, "endtime": 100.0 + seconds})
        )

    record("results/r/a.json", "predict", 40.0)
    record("results/r/b.json", "predict", 40.0)
    record("results/other/a.json", "predict", 4000.0)
    (tmp_path / "no base64!").write_text("{}")
    record("results/r/c.json", "broken", 1.0)
    (tmp_path / base64.b64encode(b"results/r/c.json").decode()).write_text("half")
    earlier = earlier_durations(tmp_path)
    assert earlier == {"results/r": {"predict": 40.0}, "results/other": {"predict": 4000.0}}
    estimate = Estimate({"export": 1, "predict": 2}, earlier)
    estimate.started(1, "export", ["results/r/model.onnx"], 0.0)
    estimate.ended(1, 5.0)
    assert estimate.seconds_left(5.0) == pytest.approx(80.0)
