"""The console as a place to write: lines that stay, and in a terminal a last line that is drawn over."""

import contextlib
import os
import shutil
import sys
from pathlib import Path

CLEAR_LINE = "\r\x1b[K"


class Screen:
    """Writes to `stream`; the status line is shown only where it can be taken back."""

    def __init__(self, stream):
        self.stream = stream
        self.live = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = ""

    def line(self, text: str) -> None:
        """Write a line, or several, that stay."""
        self.status("")
        self._write(f"{text}\n")

    def status(self, text: str) -> None:
        """Show `text` as the last line until the next call; nothing where that is impossible."""
        if not self.live:
            return
        text = text[: shutil.get_terminal_size().columns - 1]
        if text != self._shown:
            self._write(f"{CLEAR_LINE}{text}")
            self._shown = text

    def _write(self, text: str) -> None:
        # A reader that went away (`make demo | head`) must not end the run.
        with contextlib.suppress(BrokenPipeError, ValueError):
            self.stream.write(text)
            self.stream.flush()


class Aside:
    """Keeps what jobs print before their own log file takes over from the console: it goes to `path`.

    A job inherits the file descriptors 1 and 2 of this process, whose own streams stay where they were.
    """

    def __init__(self, path: Path):
        self.path = path
        sys.stdout.flush()
        sys.stderr.flush()
        self._streams, self._kept = (sys.stdout, sys.stderr), [os.dup(1), os.dup(2)]
        sys.stdout, sys.stderr = (
            os.fdopen(os.dup(descriptor), "w", encoding="utf-8", errors="replace", buffering=1)
            for descriptor in self._kept
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        for descriptor in (1, 2):
            os.dup2(file, descriptor)
        os.close(file)

    def close(self) -> None:
        """Put everything back; an empty file goes."""
        if not self._kept:
            return
        for descriptor, kept in zip((1, 2), self._kept, strict=True):
            os.dup2(kept, descriptor)
            os.close(kept)
        self._kept = []
        sys.stdout, sys.stderr = self._streams
        with contextlib.suppress(OSError):
            if not self.path.stat().st_size:
                self.path.unlink()
