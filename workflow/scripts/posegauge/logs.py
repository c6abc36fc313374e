"""Logging of a job: to its log file and to the terminal, and progress as a line every few seconds."""

import logging
import sys
import time
from pathlib import Path

from posegauge.errors import PoseGaugeError


class _Tee:
    """A text stream that writes to several streams; stands in for sys.stdout / sys.stderr."""

    def __init__(self, *streams):
        self.streams = streams

    def write(self, text: str) -> int:
        for stream in self.streams:
            stream.write(text)
        return len(text)

    def flush(self) -> None:
        for stream in self.streams:
            stream.flush()

    def isatty(self) -> bool:
        return False

    @property
    def encoding(self) -> str:
        return "utf-8"

    def fileno(self) -> int:
        return self.streams[0].fileno()


def start(path: str) -> logging.Logger:
    """Copy everything this process prints, tracebacks included, to the log file at `path`."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    stream = Path(path).open("w", encoding="utf-8", buffering=1)  # open until the process ends
    sys.stdout = _Tee(sys.__stderr__, stream)
    sys.stderr = _Tee(sys.__stderr__, stream)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
        force=True,
    )
    sys.excepthook = _report
    return logging.getLogger("posegauge")


def _report(kind, error, trace) -> None:
    """Print bad input as one message; anything else is a fault of ours and keeps its traceback."""
    if issubclass(kind, PoseGaugeError):
        print(f"Error: {error}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def progress(items, label: str, every_s: float = 5.0, total: int | None = None):
    """Yield `items` and log 'label: 12/50 (24 %), 3.1/s, 12 s left' every `every_s` seconds.

    `total`: how many there are about, for items without a length; unknown, the line is 'label: 12, 3.1/s'.
    """
    log = logging.getLogger("posegauge")
    total = len(items) if hasattr(items, "__len__") else total
    begin = last = time.monotonic()
    done = -1
    for done, item in enumerate(items):
        now = time.monotonic()
        if done and now - last >= every_s:
            rate = done / (now - begin)
            if total and done <= total:
                log.info(
                    "%s: %d/%d (%d %%), %.1f/s, %.0f s left",
                    label, done, total, 100 * done // total, rate, (total - done) / rate,
                )  # fmt: skip
            else:
                log.info("%s: %d, %.1f/s", label, done, rate)
            last = now
        yield item
    log.info("%s: %d done in %.1f s", label, done + 1, time.monotonic() - begin)
