"""Files out of the archives of COCO: from a whole archive, or fetched alone by HTTP range requests.

What is fetched alone is kept in `<downloads>/<archive>.members/`, with sizes and CRCs in its `members.json`.
Like an unfinished download it is no declared output of any rule, so the next run fetches only what it lacks.
"""

import hashlib
import io
import json
import logging
import struct
import time
import zipfile
import zlib
from pathlib import Path

import requests
from remotezip import PartialBuffer, RemoteZip, RemoteZipError

from posegauge.data.download import check_mirror, download, expected_of, failure, mismatch, source_of, verify
from posegauge.data.web import CHUNK, Permanent, Temporary, answer, content_range, megabytes, persist, so_far
from posegauge.errors import PoseGaugeError, nearest
from posegauge.logs import progress, report_progress
from posegauge.store.files import atomic_path, write_text

log = logging.getLogger("posegauge")


# In the archives of config/downloads.tsv.
ANNOTATIONS_MEMBER = "annotations/person_keypoints_val2017.json"


IMAGES_PREFIX = "val2017/"


# What zipfile and remotezip raise of an archive that is damaged or of a kind that they cannot read.
_DAMAGES = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, RemoteZipError,
    ValueError, KeyError,
)  # fmt: skip


class _NoRanges(Exception):
    """The server sends the file as a whole or not at all."""


def bring(row, wanted: dict, downloads, mirror=None, instead: str | None = None, **options) -> None:
    """Bring files out of an archive of the table of downloads to their places, each whole or not at all.

    An archive that lies in `downloads` already is verified and read; so is one in a mirror folder, in place.
    Files that were fetched alone before, in `downloads` or in a mirror folder, are taken from there.
    Otherwise only these files are fetched, and the whole archive where the server does not send parts of it.
    Each file is held against its CRC, and against its sha256 where the table names it.

    row: of the archive, a mapping with file, url, sha256, bytes and members.
    wanted: {file in the archive: place}, both as text; downloads: folder of downloads.
    mirror, options (retries, backoff_s, timeout_s, every_s): as for posegauge.data.download.download.
    instead: of an archive that is never fetched as a whole: what to do without it, one more way out.
    Raises PoseGaugeError naming what cannot be had, is missing, or is damaged, and the ways out.
    """
    try:
        _bring(row, wanted, Path(downloads) / row["file"], mirror, instead is None, **options)
    except OSError as error:
        place = error.filename or next(iter(wanted.values()))
        raise PoseGaugeError(f"{place}: cannot be read or written ({error.strerror or error})") from error
    except PoseGaugeError as error:
        if instead is None:
            raise
        raise PoseGaugeError(f"{error}\n  - {instead}") from None


def refuse_mirror(row, downloads, mirror, instead: str) -> None:
    """Raise PoseGaugeError when a mirror folder has nothing of an archive, and nothing was fetched before.

    Arguments as for bring. Which files of the archive will be needed is not known yet.
    """
    archive, source = Path(downloads) / row["file"], source_of(row, mirror)
    if (
        not isinstance(source, Path)
        or archive.exists()
        or any(_members(p).is_dir() for p in (archive, source))
    ):
        return
    try:
        check_mirror(row, source, mirror, archive)
    except PoseGaugeError as error:
        raise PoseGaugeError(f"{error}\n  - {instead}") from None


def _bring(row, wanted: dict, archive: Path, mirror, whole: bool, **options) -> None:
    """Do as bring says. whole: whether the archive may be fetched as a whole."""
    pins = dict(pin.rsplit("=", 1) for pin in str(row.get("members") or "").split())
    if archive.exists():
        verify(archive, row)
        _extract(archive, wanted, pins)
    elif (folder := _folder_with_all(row, wanted, pins, archive, mirror)) is not None:
        _take(folder, wanted)
    elif isinstance(source := source_of(row, mirror), Path):
        check_mirror(row, source, mirror, archive)
        problem = mismatch(source, row)
        if problem:
            raise failure(row, source, problem, archive)
        _extract(source, wanted, pins)
    else:
        try:
            _fetch(row, source, wanted, pins, archive, **options)
        except _NoRanges as refusal:
            if not whole:
                reason = f"{refusal}, and this archive is never fetched as a whole"
                raise failure(row, source, reason, archive) from None
            log.warning("%s: %s, so the whole archive is fetched", row["file"], refusal)
            _extract(download(row, archive, mirror, **options), wanted, pins)


# ------------------------------------------------------------------------------------------ a whole archive


def _extract(archive: Path, wanted: dict, pins: dict) -> None:
    """Take files out of a verified archive."""
    try:
        opened = zipfile.ZipFile(archive)
    except _DAMAGES as error:
        raise PoseGaugeError(f"{archive}: not a readable zip file ({error})") from error
    with opened:
        _check_names(archive, wanted, set(opened.namelist()))
        damages = []
        for name in progress(wanted, f"extracting from {archive.name}"):
            try:
                _save(wanted[name], _checked(name, opened.read(name), pins))
            except _DAMAGES as error:
                damages.append(f"'{name}' ({error})")
    if damages:
        raise PoseGaugeError(f"{archive}: {_listed('damaged in it', damages, wanted)}")


def _check_names(archive, wanted, names: set) -> None:
    """Raise PoseGaugeError naming the files (the first 10, and how many) that an archive lacks."""
    missing = [name for name in wanted if name not in names]
    if missing:
        near = nearest(missing[0], names) if len(missing) == 1 else ""
        raise PoseGaugeError(f"{archive}: {_listed('not in it', missing, wanted)}{near}")


def _listed(what: str, names: list, wanted) -> str:
    more = ", ..." if len(names) > 10 else ""
    return f"{what}: {len(names)} of the {len(wanted)} files that are needed: {', '.join(names[:10])}{more}"


def _checked(name: str, content: bytes, pins: dict) -> bytes:
    """Return the content of a file, or raise BadZipFile when the table names another sha256 for it."""
    got = hashlib.sha256(content).hexdigest()
    if name in pins and got != pins[name]:
        raise zipfile.BadZipFile(f"wrong sha256: expected {pins[name]}, got {got}")
    return content


def _save(place, content: bytes) -> None:
    with atomic_path(place) as temporary:
        temporary.write_bytes(content)


# ---------------------------------------------------------------------------------------- parts of an archive


class _Ranges:
    """What remotezip asks for parts of a file; its own way tries once, and takes any part that comes."""

    def __init__(self, row, url, session, retries=4, backoff_s=1.0, timeout_s=(10, 60), every_s=5.0):
        self.row, self.url, self.session = row, url, session
        self.retries, self.backoff_s, self.timeout_s, self.every_s = retries, backoff_s, timeout_s, every_s
        self.size, _ = expected_of(row)
        self.requests = self.received = self.planned = 0
        self.begun = self.told = time.monotonic()

    def fetch(self, data_range, stream=False) -> PartialBuffer:
        """Return bytes of the file: first and last one, or (-n, None) for its last n bytes."""
        first, last = data_range
        if last is None and self.size is not None:
            first, last = max(0, self.size + first), self.size - 1
        if last is not None and last < first:
            raise zipfile.BadZipFile(f"bytes {first}-{last} of it are asked for")
        content = bytearray()

        def attempt():
            nonlocal first, last
            known = last is not None
            asked = f"{first + len(content)}-{last}" if known else str(first)
            self.requests += 1
            with answer(self.url, {"Range": f"bytes={asked}"}, self.timeout_s, self.session) as response:
                span = self._span(response, asked, first + len(content) if known else None)
                if not known:
                    first, last = span
                for chunk in response.raw.stream(CHUNK, decode_content=False):
                    content.extend(chunk)
                    self._arrived(len(chunk))
            missing = last - first + 1 - len(content)
            if missing > 0:
                raise Temporary(f"the connection broke off {missing} bytes before the end of bytes {asked}")

        persist(attempt, lambda: self.received, self.row["file"], self.retries, self.backoff_s)
        size = last - first + 1
        return PartialBuffer(io.BytesIO(content[:size]), first, size, stream=False)

    def _span(self, response, asked: str, begin: int | None) -> tuple[int, int]:
        """Return first and last byte of an answer, which must be of the part that was asked for."""
        if response.status_code != 206:
            raise _NoRanges(f"the server answers HTTP {response.status_code} to a request for a part of it")
        first, last, size = content_range(response)
        given = response.headers.get("Content-Range") or "no word of which"
        if None in (first, last) or (begin is None and (size is None or last != size - 1)):
            raise Permanent(f"bytes {asked} were asked for, the server answered with {given}")
        if begin is not None and first != begin:
            raise Permanent(
                f"bytes {asked} were asked for, the server answered with {given}: other bytes. A proxy that "
                "changes requests does so; fetch it past that (NO_PROXY)"
            )
        if None not in (size, self.size) and size != self.size:
            raise Permanent(f"wrong size: expected {self.size} bytes, the server offers {size}")
        self.size = size or self.size
        return first, last

    def _arrived(self, count: int) -> None:
        self.received += count
        now = time.monotonic()
        if self.planned and now - self.told >= self.every_s:
            self.told = now
            rate = self.received / (now - self.begun)
            report_progress(f"{self.row['file']}: {so_far(self.received, self.planned, rate)}")


def _folder_with_all(row, wanted, pins, archive: Path, mirror) -> Path | None:
    """Return the folder that has all these files of an archive, fetched alone before; None: there is none."""
    folders = [_members(archive)]
    if isinstance(source := source_of(row, mirror), Path):
        folders.append(_members(source))
    for folder in folders:
        known = _read_notes(folder, row)
        if all(_is_there(folder, name, known.get(name), pins) for name in wanted):
            return folder
    return None


def _members(archive: Path) -> Path:
    """Return the folder of the files that are fetched alone out of an archive."""
    return archive.with_name(archive.name + ".members")


def _take(folder: Path, wanted: dict) -> None:
    """Put files that were fetched alone in place."""
    for name in wanted:
        _save(wanted[name], (folder / name).read_bytes())


def _fetch(row, url, wanted, pins, archive: Path, **options) -> None:
    """Fetch files of an archive by range requests, but for those that are there; then put them in place."""
    folder = _members(archive)
    with requests.Session() as session:
        ranges = _Ranges(row, url, session, **options)
        try:
            _fetch_missing(row, url, wanted, pins, folder, ranges)
        except (Permanent, PoseGaugeError) as error:
            kept = sum((folder / name).stat().st_size for name in wanted if (folder / name).is_file())
            raise failure(row, url, str(error), archive, kept) from None
    log.info("%s: %d requests, %s fetched", row["file"], ranges.requests, megabytes(ranges.received))
    _take(folder, wanted)


def _fetch_missing(row, url, wanted, pins, folder: Path, ranges: _Ranges) -> None:
    """Fetch what a folder lacks of an archive's files."""
    try:
        opened = RemoteZip(url, fetcher=lambda *_, **__: ranges)
    except _DAMAGES as error:
        raise Permanent(f"not a readable zip file ({error}): cut off, or not what was asked for") from error
    with opened:
        entries = {entry.filename: entry for entry in opened.infolist()}
        _check_names(row["file"], wanted, set(entries))
        notes = {name: [entries[name].file_size, entries[name].CRC] for name in wanted}
        _write_notes(folder, row, notes)
        missing = [entries[name] for name in wanted if not _is_there(folder, name, notes[name], pins)]
        missing.sort(key=lambda entry: entry.header_offset)
        size = sum(entry.compress_size for entry in missing)
        ranges.planned = ranges.received + size
        log.info(
            "%s: fetching %d of its %d files, %s", row["file"], len(missing), len(entries), megabytes(size)
        )
        damages = []
        for entry in missing:
            try:
                _save(folder / entry.filename, _checked(entry.filename, opened.read(entry), pins))
            except _DAMAGES as error:
                damages.append(f"'{entry.filename}' ({error})")
    if damages:
        raise Permanent(_listed("damaged in it", damages, wanted))


def _is_there(folder: Path, name: str, note, pins: dict) -> bool:
    """Say whether a file was fetched before and has the size, CRC and sha256 that are known of it."""
    if note is None or not (folder / name).is_file():
        return False
    content = (folder / name).read_bytes()
    same = note == [len(content), zlib.crc32(content)]
    return same and pins.get(name) in (None, hashlib.sha256(content).hexdigest())


def _read_notes(folder: Path, row) -> dict:
    """Return {file: [bytes, CRC]} of what was fetched before of this version of the archive."""
    try:
        notes = json.loads((folder / "members.json").read_text(encoding="utf-8"))
        return dict(notes["members"]) if notes["sha256"] == row["sha256"] else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _write_notes(folder: Path, row, notes: dict) -> None:
    members = {**_read_notes(folder, row), **notes}
    write_text(folder / "members.json", json.dumps({"sha256": row["sha256"], "members": members}) + "\n")
