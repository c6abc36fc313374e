"""Files out of archives: whole archives, and members fetched by range requests from a server of our own."""

import hashlib
import io
import json
import mmap
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from helpers_http import FileServer
from posegauge.data.archives import bring
from posegauge.data.download import read_table
from posegauge.errors import PoseGaugeError

ROOT = Path(__file__).resolve().parents[2]
FAST = {"backoff_s": 0.01, "timeout_s": (2, 2)}
# Like photographs, they cannot be packed.
MEMBERS = {f"val2017/{i:03d}.jpg": np.random.default_rng(i).bytes(30_000 + i) for i in range(12)}
NAMES = sorted(MEMBERS)
PAGE = "annotations/person_keypoints_val2017.json"


def packed(members=MEMBERS, comment=b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.comment = comment
        # In an order of its own, as in COCO's archives.
        for name in random.Random(1).sample(sorted(members), len(members)):
            opened.writestr(name, members[name])
    return buffer.getvalue()


ARCHIVE = packed()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def row_of(url, content=ARCHIVE, **changes):
    row = {"name": "archive", "file": "some.zip", "url": f"{url}/some.zip", "bytes": len(content)}
    return {**row, "sha256": hashlib.sha256(content).hexdigest(), "note": "", "members": "", **changes}


def places(tmp_path, names) -> dict:
    return {name: str(tmp_path / "out" / Path(name).name) for name in names}


def take(tmp_path, row, names, **options):
    """Bring some members, compare them, and return the names in the folder of downloads."""
    wanted = places(tmp_path, names)
    bring(row, wanted, tmp_path / "downloads", **{**FAST, **options})
    for name, place in wanted.items():
        assert Path(place).read_bytes() == MEMBERS[name]
    folder = tmp_path / "downloads"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def fails(tmp_path, row, names, **options) -> str:
    """Return the message; it must name the archive and every way out, and no file is put in place."""
    wanted = places(tmp_path, names)
    with pytest.raises(PoseGaugeError) as caught:
        bring(row, wanted, tmp_path / "downloads", **{**FAST, **options})
    message = str(caught.value)
    for needed in ("some.zip: cannot be fetched", str(tmp_path / "downloads" / "some.zip"), "asset_mirror:"):
        assert needed in message
    assert not (tmp_path / "out").exists()
    return message


# ------------------------------------------------------------------------------------------ by range requests


@pytest.mark.parametrize("changes", [{}, {"bytes": None}])
def test_only_what_is_needed_is_fetched(tmp_path, changes, caplog):
    caplog.set_level("INFO", "posegauge")
    with FileServer({"some.zip": ARCHIVE}) as server:
        assert take(tmp_path, row_of(server.url, **changes), NAMES[:3]) == ["some.zip.members"]
    # The end of the archive, which holds its directory, and each member once.
    assert len(server.requests) == 4 and {request.status for request in server.requests} == {206}
    assert server.sent < 65_536 + sum(len(MEMBERS[name]) + 500 for name in NAMES[:3])
    assert "some.zip: fetching 3 of its 12 files, 0.1 MB" in caplog.text
    assert "some.zip: 4 requests, 0.2 MB fetched" in caplog.text


def test_a_directory_larger_than_the_first_request(tmp_path):
    content = packed({**MEMBERS, **{f"val2017/{'x' * 200}{i}.jpg": b"" for i in range(400)}}, b"a comment")
    with FileServer({"some.zip": content}) as server:
        take(tmp_path, row_of(server.url, content), NAMES[:1])
    assert server.count["some.zip"] <= 4


def test_a_directory_in_zip64_form(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    content = packed()
    assert b"PK\x06\x06" in content, "the record of zip64"
    monkeypatch.undo()
    with FileServer({"some.zip": content}) as server:
        take(tmp_path, row_of(server.url, content), NAMES[:2])
    assert server.count["some.zip"] == 3


def test_an_archive_of_five_gigabytes(tmp_path):
    path = tmp_path / "large.zip"
    with path.open("wb") as stream:
        stream.truncate(5 << 30)  # a hole: it takes no room
    with zipfile.ZipFile(path, "a") as opened:
        for name in NAMES[:3]:
            opened.writestr(name, MEMBERS[name])
        assert opened.getinfo(NAMES[0]).header_offset >= 5 << 30
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        row = row_of("", b"", bytes=len(content))
        with FileServer({"some.zip": content}) as server:
            take(tmp_path, {**row, "url": f"{server.url}/some.zip"}, NAMES[:2])
    assert server.sent < 200_000


def test_what_was_fetched_is_not_fetched_again(tmp_path):
    with FileServer({"some.zip": ARCHIVE}) as server:
        take(tmp_path, row_of(server.url), NAMES[:2])
        asked = len(server.requests)
        take(tmp_path, row_of(server.url), NAMES[:4])
        # The directory, and the two new ones.
        assert len(server.requests) == asked + 3
    row = row_of("http://127.0.0.1:9")
    take(tmp_path, row, NAMES[:4])  # without a server
    kept = tmp_path / "downloads/some.zip.members" / NAMES[0]
    kept.write_bytes(MEMBERS[NAMES[1]])
    with FileServer({"some.zip": ARCHIVE}) as server:
        take(tmp_path, {**row, "url": f"{server.url}/some.zip"}, NAMES[:4])
    assert len(server.requests) == 2, "the damaged one alone"
    # Notes that somebody wrote into count for nothing.
    wrong = [{"sha256": row["sha256"], "members": members} for members in ([1], {NAMES[0]: 1}, None)]
    for notes in ([], *wrong):
        (tmp_path / "downloads/some.zip.members/members.json").write_text(json.dumps(notes))
        with FileServer({"some.zip": ARCHIVE}) as server:
            take(tmp_path, {**row, "url": f"{server.url}/some.zip"}, NAMES[:4])
        assert len(server.requests) == 1, "the directory alone"


def test_broken_connections(tmp_path):
    limits = [20_000, None, 10_000, 10_000, None, 0]
    with FileServer({"some.zip": ARCHIVE}, break_after=limits) as server:
        take(tmp_path, row_of(server.url), NAMES[:3])
    assert len(server.requests) == 2 + 3 + 2 + 1
    assert server.sent < 65_536 + sum(len(MEMBERS[name]) + 500 for name in NAMES[:3]), "no byte twice"


@hypothesis_settings(max_examples=15, deadline=None)
@given(
    names=st.sets(st.sampled_from(NAMES), min_size=1, max_size=4),
    limits=st.lists(st.none() | st.integers(0, 70_000), max_size=6),
    sized=st.booleans(),
)
def test_wherever_connections_break_the_bytes_are_right(tmp_path_factory, names, limits, sized):
    folder = tmp_path_factory.mktemp("broken")
    with FileServer({"some.zip": ARCHIVE}, break_after=limits) as server:
        row = row_of(server.url, bytes=len(ARCHIVE) if sized else None)
        take(folder, row, sorted(names), retries=len(limits), backoff_s=0.0)
    assert server.sent <= 65_536 + sum(len(MEMBERS[name]) + 500 for name in names), "no byte twice"


def test_a_server_in_trouble(tmp_path):
    with FileServer({"some.zip": ARCHIVE}, statuses=[503, None, 429]) as server:
        take(tmp_path, row_of(server.url), NAMES[:2])
        server.statuses, server.requests = [None, 503, 503], []
        (tmp_path / "late").mkdir()
        message = fails(tmp_path / "late", row_of(server.url), NAMES[:2], retries=1)
    assert "HTTP 503" in message and "2 attempts" in message


def test_a_server_without_ranges(tmp_path, caplog):
    with FileServer({"some.zip": ARCHIVE}, honour_range=False) as server:
        assert take(tmp_path, row_of(server.url), NAMES[:3]) == ["some.zip"]
        assert (
            "HTTP 200 to a request for a part" in caplog.text
            and "the whole archive is fetched" in caplog.text
        )
        assert len(server.requests) == 2 and server.requests[1].sent == len(ARCHIVE)
        take(tmp_path, row_of(server.url), NAMES[:6])  # it is there now
    assert len(server.requests) == 2


def test_an_archive_that_is_never_fetched_as_a_whole(tmp_path):
    with FileServer({"some.zip": ARCHIVE}, honour_range=False) as server:
        message = fails(tmp_path, row_of(server.url), NAMES[:3], instead="take something else")
        assert (
            "HTTP 200 to a request for a part of it, and this archive is never fetched as a whole" in message
        )
        assert message.endswith("\n  - take something else")
        assert len(server.requests) == 1 and not (tmp_path / "downloads/some.zip").exists()
        server.honour_range = True
        assert take(tmp_path, row_of(server.url), NAMES[:3], instead="...") == ["some.zip.members"]
    (tmp_path / "late").mkdir()
    message = fails(tmp_path / "late", row_of("http://127.0.0.1:9"), NAMES[:1], retries=0, instead="do so")
    assert "Connection refused" in message and message.endswith("\n  - do so")


def test_a_server_that_answers_with_another_part(tmp_path):
    with FileServer({"some.zip": ARCHIVE}, wrong_range=True) as server:
        message = fails(tmp_path, row_of(server.url), NAMES[:2])
        size = len(ARCHIVE)
        told = (
            f"bytes {size - 65_536}-{size - 1} were asked for, the server answered with bytes 0-65535/{size}"
        )
        assert told in message and "A proxy" in message
        assert "bytes -65536 were asked for" in fails(tmp_path, row_of(server.url, bytes=None), NAMES[:2])


def test_a_server_that_sends_other_bytes_under_the_right_name(tmp_path):
    with FileServer({"some.zip": ARCHIVE}, wrong_bytes=True) as server:
        message = fails(tmp_path, row_of(server.url), NAMES[:2])
    assert "not a readable zip file" in message and "not what was asked for" in message


def changed(content: bytes, *names: str) -> bytes:
    """Return the archive with one byte of some members changed."""
    content = bytearray(content)
    with zipfile.ZipFile(io.BytesIO(bytes(content))) as opened:
        for name in names:
            content[opened.getinfo(name).header_offset + 5_000] ^= 1
    return bytes(content)


def test_changed_members_are_named_all_at_once(tmp_path):
    content = changed(ARCHIVE, NAMES[1], NAMES[3])
    with FileServer({"some.zip": content}) as server:
        message = fails(tmp_path, row_of(server.url), NAMES[:6])
        assert "damaged in it: 2 of the 6 files that are needed" in message
        assert NAMES[1] in message and NAMES[3] in message and NAMES[0] not in message
        assert "the 0.1 MB fetched so far are kept" in message
        server.files, server.requests = {"some.zip": ARCHIVE}, []
        take(tmp_path, row_of(server.url), NAMES[:6])
    assert len(server.requests) == 3, "the directory and what was damaged"


def test_an_archive_that_changed_since(tmp_path):
    """Members that were right in the old one and are not in the new one are fetched again."""
    newer = {**MEMBERS, NAMES[0]: MEMBERS[NAMES[0]][::-1]}
    with FileServer({"some.zip": packed(newer)}) as server:
        row = row_of(server.url, packed(newer))
        bring(row, places(tmp_path, NAMES[:2]), tmp_path / "downloads", **FAST)
        server.files = {"some.zip": ARCHIVE}
        take(tmp_path, row_of(server.url), NAMES[:2])


def test_a_member_with_a_known_sha256(tmp_path):
    right = {PAGE: b'{"images": []}', **MEMBERS}
    pin = f"{PAGE}={hashlib.sha256(right[PAGE]).hexdigest()}"
    other = packed({**right, PAGE: b'{"images": {}}'})
    with FileServer({"some.zip": other}) as server:
        message = fails(tmp_path, row_of(server.url, other, members=pin), [PAGE])
        assert f"wrong sha256: expected {pin[-64:]}, got " in message
        server.files = {"some.zip": packed(right)}
        row = row_of(server.url, packed(right), members=pin)
        bring(row, {PAGE: str(tmp_path / "a.json")}, tmp_path / "downloads", **FAST)
    assert (tmp_path / "a.json").read_bytes() == right[PAGE]


def test_a_member_that_is_not_there(tmp_path):
    with FileServer({"some.zip": ARCHIVE}) as server:
        message = fails(tmp_path, row_of(server.url), [*NAMES[:2], "val2017/12.jpg"])
        assert (
            "some.zip: not in it: 1 of the 3 files that are needed: val2017/12.jpg (did you mean" in message
        )
        message = fails(tmp_path, row_of(server.url), [f"{i}.png" for i in range(12)])
    assert "not in it: 12 of the 12" in message and "9.png, ..." in message


@pytest.mark.parametrize("size", [len(ARCHIVE), None])
def test_an_archive_that_was_cut_off(tmp_path, size):
    with FileServer({"some.zip": ARCHIVE[:-100_000]}) as server:
        message = fails(tmp_path, row_of(server.url, bytes=size), NAMES[:2])
        told = f"wrong size: expected {size} bytes, the server offers {len(ARCHIVE) - 100_000}"
        assert (told if size else "not a readable zip file (File is not a zip file): cut off") in message
        # So short that the server knows nothing of the part: asked for as a whole, it tells its size.
        server.files = {"some.zip": ARCHIVE[:5000]}
        message = fails(tmp_path, row_of(server.url, bytes=size), NAMES[:2])
        assert size is None or f"expected {size} bytes, the server offers 5000" in message


def test_nobody_answers(tmp_path):
    message = fails(tmp_path, row_of("http://127.0.0.1:9"), NAMES[:2], retries=1)
    assert "Connection refused" in message and "2 attempts" in message and "make demo" in message


def test_a_log_in_page(tmp_path):
    page = {"Content-Type": "text/html"}
    with FileServer({"some.zip": b"<html>"}, headers=page, honour_range=False) as server:
        assert "the answer is a web page" in fails(tmp_path, row_of(server.url), NAMES[:2])


def test_progress_is_told_in_bytes(tmp_path, caplog):
    caplog.set_level("INFO", "posegauge")
    with FileServer({"some.zip": ARCHIVE}, delay_s=0.01) as server:
        take(tmp_path, row_of(server.url), NAMES, every_s=0.02)
    assert any(
        "some.zip: " in line and " of 0.4 MB (" in line and "s left" in line for line in caplog.messages
    )


def test_an_unwritable_place(tmp_path):
    (tmp_path / "out").write_text("in the way")
    with FileServer({"some.zip": ARCHIVE}) as server, pytest.raises(PoseGaugeError, match=r"out.*written"):
        bring(row_of(server.url), places(tmp_path, NAMES[:1]), tmp_path / "downloads", **FAST)


def test_a_killed_job_is_resumed(tmp_path):
    program = textwrap.dedent("""
        import json, sys
        from posegauge.data.archives import bring
        bring(*map(json.loads, sys.argv[1:]))
    """)
    environment = {**os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(ROOT / "workflow/scripts"), os.environ.get("PYTHONPATH", "")]
    )
    wanted, downloads = places(tmp_path, NAMES), tmp_path / "downloads"
    with FileServer({"some.zip": ARCHIVE}, delay_s=0.05) as server:
        words = [json.dumps(word) for word in (row_of(server.url), wanted, str(downloads))]
        process = subprocess.Popen([sys.executable, "-c", program, *words], env=environment)
        deadline = time.monotonic() + 30
        while len(list(downloads.rglob("*.jpg"))) < 4:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    # Another server: a request of the killed job may still reach the first one.
    with FileServer({"some.zip": ARCHIVE}) as server:
        take(tmp_path, row_of(server.url), NAMES)
    assert len(server.requests) <= 1 + len(NAMES) - 4


# ------------------------------------------------------------------------------------------ whole archives


def test_a_whole_archive_that_is_there_needs_no_server(tmp_path):
    (tmp_path / "downloads").mkdir()
    there = tmp_path / "downloads/some.zip"
    there.write_bytes(ARCHIVE)
    row = row_of("http://127.0.0.1:9")
    assert take(tmp_path, row, NAMES[2:4]) == ["some.zip"]
    with pytest.raises(PoseGaugeError, match=r"some.zip: not in it: 11 of the 12 files .*: 1.png, .*, ...$"):
        bring(row, places(tmp_path, [NAMES[0], *(f"{i}.png" for i in range(1, 12))]), there.parent)
    there.write_bytes(ARCHIVE[:-1])
    with pytest.raises(PoseGaugeError, match=r"some.zip: wrong size: .* Move it away and run again"):
        bring(row, places(tmp_path, NAMES[:1]), there.parent)


def test_a_whole_archive_with_damaged_files(tmp_path):
    (tmp_path / "some.zip").write_bytes(content := changed(ARCHIVE, NAMES[1]))
    with pytest.raises(PoseGaugeError, match=rf"damaged in it: 1 of the 3 .*'{NAMES[1]}' \(.*CRC|invalid"):
        bring(row_of("", content), places(tmp_path, NAMES[:3]), tmp_path)
    (tmp_path / "some.zip").write_bytes(cut := ARCHIVE[:1000])
    with pytest.raises(PoseGaugeError, match=r"some.zip: not a readable zip file"):
        bring(row_of("", cut), places(tmp_path, NAMES[:3]), tmp_path)


def test_mirrors(tmp_path):
    folder = tmp_path / "my mirror"
    folder.mkdir()
    (folder / "some.zip").write_bytes(ARCHIVE)
    row = row_of("http://127.0.0.1:9")
    assert take(tmp_path, row, NAMES[:2], mirror=str(folder)) == [], "read in place"
    with FileServer({"pub/some.zip": ARCHIVE}) as server:
        take(tmp_path, row, NAMES[:2], mirror=f"{server.url}/pub")
    assert len(server.requests) == 3
    (folder / "some.zip").write_bytes(ARCHIVE[::-1])
    (tmp_path / "fresh").mkdir()
    assert "wrong sha256" in fails(tmp_path / "fresh", row, NAMES[:2], mirror=str(folder))
    assert "no such mirror folder" in fails(tmp_path / "fresh", row, NAMES[:2], mirror=str(folder / "typo"))
    assert (folder / "some.zip").read_bytes() == ARCHIVE[::-1], "left as it is"


def test_a_mirror_of_the_single_files_alone(tmp_path):
    """As a machine with a network leaves them: of an archive of 19 GB nobody carries more."""
    row = row_of("http://127.0.0.1:9")
    with FileServer({"some.zip": ARCHIVE}) as server:
        take(tmp_path, {**row, "url": f"{server.url}/some.zip"}, NAMES[:2])
    mirror, elsewhere = tmp_path / "mirror", tmp_path / "elsewhere"
    mirror.mkdir()
    elsewhere.mkdir()
    (tmp_path / "downloads/some.zip.members").rename(mirror / "some.zip.members")
    assert take(elsewhere, row, NAMES[:2], mirror=str(mirror)) == []
    (tmp_path / "more").mkdir()
    assert "no such file in the mirror" in fails(tmp_path / "more", row, NAMES[:3], mirror=str(mirror))
    (mirror / "some.zip.members" / NAMES[0]).write_bytes(b"damaged")
    assert "no such file in the mirror" in fails(tmp_path / "more", row, NAMES[:2], mirror=str(mirror))


# ------------------------------------------------------------------------------------------ COCO's own


def test_the_annotations_of_coco_are_known_by_their_sha256():
    """Three public projects name it; their sources agree on the archive's as well."""
    members = read_table(ROOT / "config" / "downloads.tsv").loc["annotations_trainval2017.zip"]["members"]
    assert members == f"{PAGE}=788e2dae83c86bd547be7fab269d6399df5671063d29a61360cdb2cc370d2b14"


def test_photographs_of_coco_as_the_archive(tmp_path, real):
    files = sorted((real / "coco/val2017").glob("*.jpg"))
    content = packed({f"val2017/{file.name}": file.read_bytes() for file in files})
    wanted = {f"val2017/{file.name}": str(tmp_path / file.name) for file in files[:5]}
    with FileServer({"some.zip": content}) as server:
        bring(row_of(server.url, content), wanted, tmp_path / "downloads", **FAST)
    assert [(tmp_path / file.name).read_bytes() for file in files[:5]] == [f.read_bytes() for f in files[:5]]
    assert server.sent < len(content) / 4
