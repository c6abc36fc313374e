"""Fetch the files of config/downloads.tsv: resumed when broken off, checked against their sha256.

A download grows in `<destination>.part` (with what the server said of it in `<destination>.part.json`) and
is renamed only when size and sha256 are right. The part is no declared output of any rule, so it outlives
a failed or killed job and the next one goes on where it stopped.
"""

import csv
import json
import logging
import shutil
import time
from pathlib import Path
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

import jsonschema
import pandas as pd

from posegauge.data.web import (
    CHUNK,
    Permanent,
    Temporary,
    answer,
    content_range,
    header_number,
    megabytes,
    persist,
    shown,
    so_far,
)
from posegauge.errors import PoseGaugeError
from posegauge.logs import report_progress
from posegauge.store.files import read_schema, sha256_file, write_text

log = logging.getLogger("posegauge")


# Archives of the table that are never fetched as a whole: this one has 19 GB, of which ten MB are needed.
IN_PARTS = ("train2017.zip",)


# ---------------------------------------------------------------------------------------------- the table


def read_table(path) -> pd.DataFrame:
    """Read and check the table of downloads (tab-separated, see workflow/schemas/downloads.schema.yaml).

    Returns a frame indexed by file name, with the columns name, file, url, sha256 (lower case, 8 to 64
    digits), bytes (nullable Int64), note and members. Raises PoseGaugeError naming the file, line and column.
    """
    path = Path(path)
    schema = read_schema("downloads.schema.yaml")
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError) as error:
        raise PoseGaugeError(f"{path}: cannot read the table of downloads ({error})") from error
    header = lines[0] if lines else []
    missing = [column for column in schema["required"] if column not in header]
    unknown = [column for column in header if column not in schema["properties"]]
    if missing or unknown or len(set(header)) != len(header):
        columns = ", ".join(schema["properties"])
        raise PoseGaugeError(
            f"{path}: the first line must hold the columns {columns}, separated by tabs"
            + (f"; missing: {', '.join(missing)}" if missing else "")
            + (f"; unknown: {', '.join(unknown)}" if unknown else "")
        )
    rows, seen = [], {}
    for number, fields in enumerate(lines[1:], start=2):
        if not any(field.strip() for field in fields):
            continue
        row = _checked_row(header, fields, schema, f"{path}, line {number}")
        for column in ("name", "file"):
            first = seen.setdefault((column, row[column]), number)
            if first != number:
                raise PoseGaugeError(
                    f"{path}, line {number}: {column} '{row[column]}' stands in line {first} already"
                )
        rows.append(row)
    frame = pd.DataFrame(rows, columns=list(schema["properties"])).fillna({"note": "", "members": ""})
    return frame.astype({"bytes": "Int64"}).set_index("file", drop=False).rename_axis(None)


def missing_bytes(table: pd.DataFrame, path) -> int:
    """Return how many bytes of a file of read_table are still to be fetched to `path`; 0 if unknown."""
    size = table.loc[Path(path).name, "bytes"]
    part = Path(f"{path}.part")
    return 0 if pd.isna(size) else max(0, int(size) - (part.stat().st_size if part.exists() else 0))


def _checked_row(header, fields, schema, where) -> dict:
    """Return one line of the table as a dict, or raise PoseGaugeError."""
    if len(fields) > len(header):
        raise PoseGaugeError(f"{where}: {len(fields)} fields, but the first line names {len(header)} columns")
    fields = [*fields, *[""] * (len(header) - len(fields))]  # editors drop tabs at the end of a line
    row = {column: field.strip() for column, field in zip(header, fields, strict=True)}
    row["sha256"] = row["sha256"].lower()
    text = row["bytes"]
    row["bytes"] = int(text) if text.isascii() and text.isdigit() else (text or None)
    for error in jsonschema.Draft202012Validator(schema).iter_errors(row):
        column = str(error.absolute_path[-1])
        wanted = schema["properties"][column]["description"]
        raise PoseGaugeError(f"{where}, column {column}: '{row[column]}' given; expected {wanted}")
    return row


def expected_of(row) -> tuple[int | None, str]:
    """Return (size in bytes or None, sha256 or its first digits) of a row of the table."""
    size = row["bytes"]
    return (None if size is None or pd.isna(size) else int(size)), str(row["sha256"])


def _expected_text(row) -> str:
    size, digest = expected_of(row)
    digest = f"sha256 {digest}" if len(digest) == 64 else f"sha256 beginning with {digest}"
    return f"{size} bytes, {digest}" if size else digest


def mismatch(path, row) -> str | None:
    """Say how a file differs from its row, or return None when size and sha256 are right."""
    size, digest = expected_of(row)
    got_size = Path(path).stat().st_size
    with Path(path).open("rb") as stream:
        hint = " (it looks like a web page)" if stream.read(64).lstrip()[:1] == b"<" else ""
    if size is not None and got_size != size:
        return f"wrong size: expected {size} bytes, got {got_size}{hint}"
    got = sha256_file(path)
    if got.startswith(digest):
        return None
    return f"wrong sha256: expected {digest}, got {got if len(digest) == 64 else got[: len(digest)]}{hint}"


def verify(path, row) -> None:
    """Check size and sha256 of a file against its row; PoseGaugeError says what differs and what to do."""
    path = Path(path)
    if not path.is_file():
        raise PoseGaugeError(f"{path}: no such file")
    problem = mismatch(path, row)
    if problem:
        raise PoseGaugeError(
            f"{path}: {problem}. Move it away and run again, or put the right file there "
            f"({shown(row['url'])})"
        )


def verify_listed(path, table: pd.DataFrame) -> None:
    """Verify a file against the line of the table with its name; one without a line is the user's own."""
    name = Path(path).name
    if name in table.index:
        verify(path, table.loc[name])
    else:
        log.info("%s: not in the table of downloads, taken as it is", path)


# -------------------------------------------------------------------------------------------- the download


def download(
    row, destination, mirror=None, retries=4, backoff_s=1.0, timeout_s=(10, 60), every_s=5.0
) -> Path:
    """Bring the file of one row of the table to `destination`, whole and verified, or raise PoseGaugeError.

    A file that lies there already (put there by hand, say) is verified and kept.
    row: mapping with file, url, sha256 (or its first digits) and bytes (or None).
    mirror: None, an http(s):// or file:// prefix, or a folder; the file is then <mirror>/<file>.
    retries: attempts in a row that may fail without anything new; backoff_s, 2 x backoff_s, ... between them.
    timeout_s: (connect, read) in seconds. every_s: seconds between two progress lines.
    """
    destination = Path(destination)
    if destination.exists():
        verify(destination, row)
        log.info("%s: already there, sha256 is right", destination)
        return destination
    part = destination.with_name(destination.name + ".part")
    source = source_of(row, mirror)
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, Path):
            check_mirror(row, source, mirror, destination)
            _copy(row, source, part)
        else:
            _fetch(row, source, part, retries, backoff_s, timeout_s, every_s)
        part.replace(destination)
        _notes(part).unlink(missing_ok=True)
    except OSError as error:
        raise PoseGaugeError(f"{destination}: cannot write ({error.strerror or error})") from error
    log.info("%s: done, %s, sha256 is right", destination, megabytes(destination.stat().st_size))
    return destination


def source_of(row, mirror) -> str | Path:
    """Return the URL, or the path in a mirror folder, that the file of a row comes from."""
    if not mirror:
        return row["url"]
    mirror = str(mirror)
    parts = urlsplit(mirror)
    if parts.scheme in ("http", "https"):
        return f"{mirror.rstrip('/')}/{quote(row['file'])}"
    if parts.scheme == "file":
        return Path(url2pathname(parts.path)) / row["file"]
    if "://" in mirror:
        raise PoseGaugeError(
            f"asset_mirror: '{shown(mirror)}' is no mirror; expected http://, https://, file:// or a folder"
        )
    return Path(mirror).expanduser() / row["file"]


def check_mirror(row, source: Path, mirror, destination) -> None:
    """Raise PoseGaugeError when a mirror folder lacks the file of a row."""
    if not source.is_file():
        what = "file in the mirror" if source.parent.is_dir() else "mirror folder"
        raise failure(row, source, f"no such {what} (asset_mirror: {mirror})", destination)


def _copy(row, source: Path, part: Path) -> None:
    """Copy a file of a mirror folder to `part` and verify it there."""
    log.info("%s: copying from %s", row["file"], source)
    try:
        shutil.copyfile(source, part)
    except OSError as error:
        raise _failure(row, source, f"cannot copy ({error})", part) from None
    problem = mismatch(part, row)
    if problem:
        _discard(part)
        raise _failure(row, source, problem, part)


def _fetch(row, url, part, retries, backoff_s, timeout_s, every_s) -> None:
    """Download `url` to `part`, resuming and retrying; on return `part` is verified."""
    for fresh_start in (False, True):
        resumed = _receive(row, url, part, retries, backoff_s, timeout_s, every_s)
        problem = mismatch(part, row)
        if not problem:
            return
        _discard(part)
        if not resumed or fresh_start:
            break
        # The old half may be of another version of the file: a download in one go will tell.
        log.warning("%s: %s; the resumed download is thrown away, starting anew", row["file"], problem)
    raise _failure(row, url, problem, part)


def _receive(row, url, part, retries, backoff_s, timeout_s, every_s) -> bool:
    """Repeat attempts until `part` is complete; return whether any of it was resumed."""
    resumed = False

    def attempt():
        nonlocal resumed
        resumed = resumed or _size(part) > 0
        _attempt(row, url, part, timeout_s, every_s)

    try:
        persist(attempt, lambda: _size(part), row["file"], retries, backoff_s)
    except Permanent as error:
        raise _failure(row, url, str(error), part) from None
    return resumed


def _attempt(row, url, part, timeout_s, every_s) -> None:
    """Ask once for what `part` still lacks. Returns when it is complete; raises Temporary or Permanent."""
    size, _ = expected_of(row)
    if size is not None and _size(part) > size:
        log.warning("%s: %d bytes, more than the %d expected; starting anew", part, _size(part), size)
        _discard(part)
    have = _size(part)
    if have and have == size:
        return
    headers = {}
    if have:
        headers["Range"] = f"bytes={have}-"
        validator = _validator(part, url)
        if validator:
            headers["If-Range"] = validator
    with answer(url, headers, timeout_s) as response:
        _save(row, url, response, part, have, size, every_s)


def _save(row, url, response, part, have, size, every_s) -> None:
    """Append one answer to `part`, or write it anew when the server sends the whole file."""
    status = response.status_code
    if status == 416 and have:
        if content_range(response)[2] == have:
            return  # the part was the whole file already
        _discard(part)
        raise Temporary("HTTP 416, the server does not know this part of the file; starting anew")
    if status == 416:
        raise Permanent("HTTP 416, though the whole file was asked for")
    if status == 206:
        begin, _, total = content_range(response)
        if begin != have:
            _discard(part)
            raise Temporary(f"the server sent a part from byte {begin}, not {have}; starting anew")
        log.info("%s: resuming after %s", row["file"], megabytes(have))
    else:
        if have:
            log.info("%s: the server sends the whole file; starting anew", row["file"])
        have, total = 0, header_number(response.headers.get("Content-Length"))
    if size is not None and total is not None and total != size:
        raise Permanent(f"wrong size: expected {size} bytes, the server offers {total}")
    total = size or total
    _keep_notes(part, url, response)
    begin = last = time.monotonic()
    with part.open("ab" if have else "wb", buffering=0) as stream:
        done = have
        for chunk in response.raw.stream(CHUNK, decode_content=False):
            stream.write(chunk)
            done += len(chunk)
            if time.monotonic() - last >= every_s:
                last = time.monotonic()
                rate = (done - have) / (last - begin)
                report_progress(f"{row['file']}: {so_far(done, total, rate)}")
    if total is not None and done < total:
        raise Temporary(f"the connection broke off after {done} of {total} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _notes(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _notes(part).unlink(missing_ok=True)


def _keep_notes(part: Path, url: str, response) -> None:
    """Note what names this version of the file, so that a resumed download can ask for the same one."""
    etag = response.headers.get("ETag", "")
    # A weak ETag promises the same meaning, not the same bytes; HTTP forbids it in If-Range.
    validator = etag if etag.startswith('"') else response.headers.get("Last-Modified", "")
    write_text(_notes(part), json.dumps({"url": shown(url), "validator": validator}) + "\n")


def _validator(part: Path, url: str) -> str:
    """Return what `part` was known by at `url`, or an empty string; the sha256 is checked in any case."""
    try:
        notes = json.loads(_notes(part).read_text(encoding="utf-8"))
        return notes["validator"] if notes["url"] == shown(url) else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


# --------------------------------------------------------------------------------------------- what is said


def _failure(row, source, reason: str, part: Path) -> PoseGaugeError:
    return failure(row, source, reason, part.with_suffix(""), kept=_size(part))


def failure(row, source, reason: str, destination, kept: int = 0) -> PoseGaugeError:
    """Build the one message of a failed download: what, whence, why, and the ways out.

    destination: where the file belongs, put there by hand too. kept: bytes that the next run need not fetch.
    """
    again = f" (the {megabytes(kept)} fetched so far are kept and resumed)" if kept else ""
    return PoseGaugeError(
        f"{row['file']}: cannot be fetched\n"
        f"  from:      {shown(source)}\n"
        f"  reason:    {reason}\n"
        f"  expected:  {_expected_text(row)}\n"
        "What you can do:\n"
        f"  - run again{again}\n"
        f"  - fetch the file in another way ({shown(row['url'])}) and put it at {destination}\n"
        "  - put it into a folder or on a web server and set `asset_mirror:` to that folder or address "
        "(data/README.md)\n"
        "  - run the demo, which needs no network: make demo"
    )
