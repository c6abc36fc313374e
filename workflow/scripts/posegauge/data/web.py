"""What every download shares: one answer of a web server, when to ask again, and how both are told."""

import contextlib
import logging
import time
from urllib.parse import urlsplit, urlunsplit

import requests
import urllib3

log = logging.getLogger("posegauge")


CHUNK = 1 << 16


# Answers that may be another one a moment later.
TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}


LONGEST_WAIT_S = 30.0


class Temporary(Exception):
    """An attempt failed in a way that another attempt may mend; `wait_s` is what the server asked for."""

    def __init__(self, reason: str, wait_s: float = 0.0):
        super().__init__(reason)
        self.wait_s = wait_s


class Permanent(Exception):
    """An attempt failed in a way that will not change by itself."""


@contextlib.contextmanager
def answer(url: str, headers: dict, timeout_s, session=requests):
    """Ask once and give the answer, of status 200, 206 or 416; others raise, and so does a broken block.

    headers: of the request, beside those that all requests have. timeout_s: (connect, read) in seconds.
    Raises Temporary or Permanent.
    """
    # identity: a packed answer would break sizes, ranges and sums alike.
    headers = {"User-Agent": "posegauge", "Accept-Encoding": "identity", **headers}
    try:
        with session.get(url, headers=headers, stream=True, timeout=timeout_s) as response:
            status = response.status_code
            if status not in (200, 206, 416):
                reason = f"HTTP {status} {response.reason or ''}".strip()
                if status in TRY_AGAIN:
                    raise Temporary(reason, header_number(response.headers.get("Retry-After")) or 0)
                raise Permanent(reason)
            if status != 416 and "text/html" in response.headers.get("Content-Type", ""):
                raise Permanent("the answer is a web page, not the file (the page of a proxy or a log-in?)")
            yield response
    except (requests.exceptions.SSLError, requests.exceptions.TooManyRedirects) as error:
        raise Permanent(cause(error)) from None
    except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
        raise Temporary(cause(error)) from None
    except requests.RequestException as error:
        raise Permanent(cause(error)) from None


def persist(attempt, arrived, name: str, retries: int, backoff_s: float) -> None:
    """Call `attempt` until it returns; after a Temporary failure again, a while later.

    arrived: gives the bytes that there are so far. name: of the file, for the log. retries: attempts in a row
    that may fail without anything new; backoff_s, 2 x backoff_s, ... seconds between them.
    Raises Permanent.
    """
    failures, longest = 0, arrived()
    while True:
        try:
            return attempt()
        except Temporary as error:
            if arrived() >= longest + CHUNK:  # something new arrived: a slow line, not a dead one
                longest, failures = arrived(), 0
            failures += 1
            if failures > retries:
                raise Permanent(f"{error} ({failures} attempts)") from None
            wait_s = min(LONGEST_WAIT_S, max(error.wait_s, backoff_s * 2 ** (failures - 1)))
            log.warning("%s: %s; next attempt in %.1f s", name, error, wait_s)
            time.sleep(wait_s)


def content_range(response) -> tuple[int | None, int | None, int | None]:
    """Return first byte, last byte and size of the file by an answer's Content-Range; None: not said."""
    span, _, total = response.headers.get("Content-Range", "").partition("/")
    first, _, last = span.removeprefix("bytes").strip().partition("-")
    return header_number(first), header_number(last), header_number(total)


def header_number(text) -> int | None:
    """Read a non-negative whole number of an HTTP header, or None."""
    text = str(text or "").strip()
    return int(text) if text.isascii() and text.isdigit() else None


# --------------------------------------------------------------------------------------------- what is said


def megabytes(count: float) -> str:
    """Return '815.6 MB' for a number of bytes."""
    return f"{count / 1e6:.1f} MB"


def so_far(done: int, total: int | None, rate: float) -> str:
    """Return '120.0 of 815.6 MB (14 %), 8.2 MB/s, 85 s left'; rate in bytes per second."""
    if not total:
        return f"{megabytes(done)}, {megabytes(rate)}/s"
    left = f", {(total - done) / rate:.0f} s left" if rate > 0 else ""
    return f"{done / 1e6:.1f} of {megabytes(total)} ({100 * done // total} %), {megabytes(rate)}/s{left}"


def shown(url) -> str:
    """Return a URL as it may be printed: without a user name or password."""
    parts = urlsplit(str(url))
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def cause(error: Exception) -> str:
    """Return the innermost reason of a requests / urllib3 error, in one line."""
    while True:
        inner = getattr(error, "reason", None) or next(iter(error.args), None)
        if not isinstance(inner, Exception):
            break
        error = inner
    # 'HTTPSConnection(host=..., port=443): Failed to ...': host and port stand in the URL already.
    text = " ".join((inner if isinstance(inner, str) else str(error)).split())
    return text.rpartition("): ")[2] if text.startswith("HTTP") else text or type(error).__name__
