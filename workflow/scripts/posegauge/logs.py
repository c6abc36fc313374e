"""Logging of a job: what it prints goes to its log file, what a person should see to the console as well.

In the file two kinds of lines carry a mark, so that the workflow's console (workflow/plugins/) finds them
wherever the job runs: progress, and what the job says to the person who called the workflow.
"""

import atexit
import contextlib
import gc
import logging
import os
import re
import sys
import time
from pathlib import Path

from posegauge import disk
from posegauge.errors import PoseGaugeError

PROGRESS, SAID = ">", "!"


ERROR = "Error: "


KILLED = "It ended without a message: killed, perhaps for want of memory."


# A job that is called by Snakemake alone repeats its progress on the terminal this often.
TERMINAL_EVERY_S = 30.0


# So much of a log file's end is read: for an error, and for progress, every second, also of a measurement.
TAIL_BYTES, PROGRESS_BYTES = 64_000, 2_000


# Progress followed by more lines than this is of a step that has ended.
RECENT_LINES = 4


_MARKED = re.compile(rf"^\d\d:\d\d:\d\d ([{PROGRESS}{SAID}]) (.*)$")


class _Terminal:
    """Where the job's standard error went before its log file took over; nothing before start()."""

    def __init__(self):
        self.stream, self.path, self.last = None, None, 0.0

    def write(self, text: str) -> None:
        if self.stream:
            self.stream.write(f"{text}\n")


_terminal = _Terminal()


def start(path: str) -> logging.Logger:
    """Send everything this process and its children print to the log file at `path`, tracebacks included."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _terminal.stream = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace", buffering=1)
    _terminal.path, _terminal.last = path, time.monotonic()
    sys.stdout.flush()
    sys.stderr.flush()
    # The file descriptors, not only Python's streams: libraries in C++ print their warnings there.
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o666)
    for descriptor in (1, 2):
        os.dup2(file, descriptor)
    os.close(file)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
        force=True,
    )
    sys.excepthook = _report
    # At the end of the process Python would look for garbage in all that was imported: a second with PyTorch.
    atexit.register(gc.freeze)
    return logging.getLogger("posegauge")


def _report(kind, error, trace) -> None:
    """Print bad input, and what the disk refuses, as one message; all else is a fault of ours."""
    text = str(error) if issubclass(kind, PoseGaugeError) else disk.explain(error, _terminal.path)
    if text:
        _terminal.write(f"{ERROR}{text}")
        with contextlib.suppress(OSError):  # where the disk is full the log is as well
            print(f"{ERROR}{text}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)
        _terminal.write(f"{kind.__name__}: {error} (traceback in {_terminal.path})")


def say(text: str) -> None:
    """Tell the person who called the workflow: on the console, and in the log file."""
    for line in text.strip("\n").splitlines():
        logging.getLogger("posegauge").info("%s %s", SAID, line)
    _terminal.write(text)


def report_progress(text: str) -> None:
    """Note how far the job is, in one line: '120.0 of 815.6 MB (14 %), 85 s left'."""
    logging.getLogger("posegauge").info("%s %s", PROGRESS, text)
    if time.monotonic() - _terminal.last >= TERMINAL_EVERY_S:
        _terminal.last = time.monotonic()
        _terminal.write(f"{_terminal.path.stem if _terminal.path else ''}: {text}")


def progress(items, label: str, every_s: float = 5.0, total: int | None = None):
    """Yield `items` and log 'label: 12/50 (24 %), 3.1/s, 12 s left' every `every_s` seconds.

    Slower than one a second it says '8.5 s each'. `total`: how many there are about, for items without a
    length; unknown, the line is 'label: 12, 3.1/s'.
    """
    total = len(items) if hasattr(items, "__len__") else total
    begin = last = time.monotonic()
    done = -1
    for done, item in enumerate(items):
        now = time.monotonic()
        if done and now - last >= every_s:
            rate = done / (now - begin)
            speed = f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"
            if total and done <= total:
                share, left = 100 * done // total, (total - done) / rate
                report_progress(f"{label}: {done}/{total} ({share} %), {speed}, {left:.0f} s left")
            else:
                report_progress(f"{label}: {done}, {speed}")
            last = now
        yield item
    logging.getLogger("posegauge").info("%s: %d done in %.1f s", label, done + 1, time.monotonic() - begin)


# ------------------------------------------------------------------------------ what a log file says


def last_progress(path) -> str | None:
    """Return the last progress in the log file at `path`; None when more than a warning came after it."""
    found = [line for line in map(_MARKED.match, _tail(path, PROGRESS_BYTES)[-RECENT_LINES:]) if line]
    return found[-1][2] if found and found[-1][1] == PROGRESS else None


def said(path) -> list[str]:
    """Return the lines that the job with the log file at `path` has for the person who called it."""
    found = map(_MARKED.match, _tail(path))
    return [line[2] for line in found if line and line[1] == SAID]


def failure(path, most: int = 25) -> tuple[str, bool]:
    """Return why the job with the log file at `path` failed, and whether it is the message of bad input.

    Without such a message it is the last exception, or else the last lines; empty for an empty log.
    """
    lines = _tail(path)
    for number in range(len(lines) - 1, -1, -1):
        if lines[number].startswith(ERROR):
            return "\n".join(lines[number : number + most]), True
        if lines[number].startswith("Traceback (most recent call last)"):
            raised = [line for line in lines[number + 1 :] if line and not line[0].isspace()]
            return "\n".join(raised[:most]), False
    last = "\n".join(f"  {line}" for line in lines[-3:])
    return f"{KILLED} Its last lines:\n{last}" if lines else "", False


def _tail(path, most: int = TAIL_BYTES) -> list[str]:
    """Return the last lines of a file, of at most so many bytes; none when it cannot be read."""
    try:
        with open(path, "rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - most))
            text = stream.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return text.rstrip().splitlines()
