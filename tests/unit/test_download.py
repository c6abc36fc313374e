"""Downloads against a server of our own: resumed, retried, verified, from mirrors, and told clearly."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from helpers_http import FileServer
from posegauge.data import download as module
from posegauge.data.download import download, read_table, verify, verify_listed
from posegauge.errors import PoseGaugeError

ROOT = Path(__file__).resolve().parents[2]
CONTENT = np.random.default_rng(0).bytes(300_000)
FAST = {"backoff_s": 0.01, "timeout_s": (2, 2)}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def target(tmp_path):
    return tmp_path / "downloads" / "asset.bin"


def part_of(target, content=None):
    """Return the path of the unfinished download, filled with `content` if given."""
    part = target.with_name(target.name + ".part")
    if content is not None:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
    return part


def row_of(url, content=CONTENT, **changes):
    row = {"name": "asset", "file": "asset.bin", "url": f"{url}/asset.bin", "bytes": len(content)}
    return {**row, "sha256": hashlib.sha256(content).hexdigest(), "note": "", **changes}


def fails(row, target, **options):
    """Return the message with which the download fails; it must name the file and every way out."""
    with pytest.raises(PoseGaugeError) as caught:
        download(row, target, **{**FAST, **options})
    message = str(caught.value)
    assert not target.exists()
    for needed in ("asset.bin", str(target), "asset_mirror:", "make demo", row["sha256"][:8], row["url"]):
        assert needed in message
    return message


# --------------------------------------------------------------------------------------------- from the web


@pytest.mark.parametrize(
    "changes", [{}, {"bytes": None}, {"sha256": hashlib.sha256(CONTENT).hexdigest()[:8]}]
)
def test_download(target, changes):
    with FileServer({"asset.bin": CONTENT}) as server:
        assert download(row_of(server.url, **changes), target, **FAST) == target
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["asset.bin"]
    assert len(server.requests) == 1


def test_broken_download_resumes_and_fetches_nothing_twice(target):
    with FileServer({"asset.bin": CONTENT}, break_after=[100_000, 70_000]) as server:
        download(row_of(server.url), target, **FAST)
    assert target.read_bytes() == CONTENT
    assert server.sent == len(CONTENT)
    assert [r.range for r in server.requests] == [None, "bytes=100000-", "bytes=170000-"]
    assert [r.status for r in server.requests] == [200, 206, 206]
    assert server.requests[1].if_range == '"v1"'


def test_failed_run_keeps_its_part_for_the_next_run(target):
    with FileServer({"asset.bin": CONTENT}, break_after=[100_000], statuses=[None, 503, 503, 503]) as server:
        message = fails(row_of(server.url), target, retries=1)
        assert "HTTP 503" in message and "2 attempts" in message and "0.1 MB" in message
        assert part_of(target).stat().st_size == 100_000
        server.statuses.clear()
        download(row_of(server.url), target, **FAST)
    assert target.read_bytes() == CONTENT
    assert server.sent == len(CONTENT)


def test_file_changed_on_the_server_meanwhile_is_fetched_anew(target):
    with FileServer({"asset.bin": CONTENT}, break_after=[100_000], statuses=[None, 404]) as server:
        fails(row_of(server.url), target)
        newer = CONTENT[::-1]
        server.files, server.etag = {"asset.bin": newer}, '"v2"'
        download(row_of(server.url, newer), target, **FAST)
    assert target.read_bytes() == newer
    assert server.requests[-1].status == 200


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_last_modified_stands_in_for_a_strong_etag(target, etag):
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    with FileServer({"asset.bin": CONTENT}, break_after=[9_000], etag=etag, last_modified=date) as server:
        download(row_of(server.url), target, **FAST)
    assert server.requests[1].if_range == date
    assert target.read_bytes() == CONTENT


def test_resumed_rubbish_is_thrown_away_once(target):
    part_of(target, b"x" * 1000)
    with FileServer({"asset.bin": CONTENT}) as server:
        download(row_of(server.url), target, **FAST)
    assert [r.range for r in server.requests] == ["bytes=1000-", None]
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("options", [{"honour_range": False}, {"wrong_range": True}])
def test_server_without_proper_ranges(target, options):
    with FileServer({"asset.bin": CONTENT}, break_after=[100_000], **options) as server:
        download(row_of(server.url), target, **FAST)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_complete_part_is_not_fetched_again(target, size):
    part_of(target, CONTENT)
    with FileServer({"asset.bin": CONTENT}) as server:
        download(row_of(server.url, bytes=size), target, **FAST)
    assert target.read_bytes() == CONTENT
    assert server.sent == 0
    assert [r.status for r in server.requests] == ([] if size else [416])


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_part_longer_than_the_file_is_discarded(target, size):
    part_of(target, CONTENT + b"more")
    with FileServer({"asset.bin": CONTENT}) as server:
        download(row_of(server.url, bytes=size), target, **FAST)
    assert target.read_bytes() == CONTENT
    assert server.requests[-1].range is None


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_in_trouble_is_asked_again(target, status):
    with FileServer({"asset.bin": CONTENT}, statuses=[status, status]) as server:
        download(row_of(server.url), target, **FAST)
    assert len(server.requests) == 3


def test_retry_after_is_honoured(target, monkeypatch):
    waits = []
    monkeypatch.setattr(module.time, "sleep", waits.append)
    with FileServer({"asset.bin": CONTENT}, statuses=[503], headers={"Retry-After": "7"}) as server:
        download(row_of(server.url), target, **FAST)
    assert 7 in waits


@pytest.mark.parametrize("status", [404, 403])
def test_a_refusal_is_final(target, status):
    with FileServer({}, statuses=[status]) as server:
        message = fails(row_of(server.url), target)
    assert f"HTTP {status}" in message
    assert len(server.requests) == 1


def test_wrong_sha256(target):
    other = CONTENT[:-1] + b"?"
    with FileServer({"asset.bin": other}) as server:
        message = fails(row_of(server.url), target)
    assert f"expected {hashlib.sha256(CONTENT).hexdigest()}" in message
    assert f"got {hashlib.sha256(other).hexdigest()}" in message
    assert list(target.parent.iterdir()) == []
    assert len(server.requests) == 1


def test_wrong_beginning_of_the_sha256(target):
    with FileServer({"asset.bin": CONTENT}) as server:
        message = fails(row_of(server.url, sha256="01234567", bytes=None), target)
    assert f"expected 01234567, got {hashlib.sha256(CONTENT).hexdigest()[:8]}" in message
    assert "sha256 beginning with 01234567" in message


@pytest.mark.parametrize("send_length", [True, False])
def test_wrong_size(target, send_length):
    with FileServer({"asset.bin": CONTENT}, send_length=send_length) as server:
        message = fails(row_of(server.url, bytes=299_999), target)
    assert "wrong size: expected 299999 bytes" in message and "300000" in message
    assert not part_of(target).exists()
    assert not send_length or server.sent <= len(CONTENT)


def test_a_log_in_page_is_not_taken_for_the_file(target):
    part_of(target, CONTENT[:1000])
    page = {"Content-Type": "text/html; charset=utf-8"}
    with FileServer({"asset.bin": b"<html>"}, headers=page, honour_range=False) as server:
        message = fails(row_of(server.url, bytes=None), target)
    assert "web page" in message
    assert part_of(target).read_bytes() == CONTENT[:1000]


def test_nobody_answers(target):
    row = row_of("http://127.0.0.1:9")
    message = fails(row, target, retries=1)
    assert "Connection refused" in message and "2 attempts" in message
    message = fails(row_of("http://no-such-host.invalid"), target, retries=0)
    assert "no-such-host.invalid" in message


def test_a_silent_server_times_out(target):
    with FileServer({"asset.bin": CONTENT}, delay_s=1.0) as server:
        message = fails(row_of(server.url), target, retries=0, timeout_s=(1, 0.2))
    assert "timed out" in message


def test_passwords_are_not_printed(target):
    message = fails(
        {**row_of("http://x"), "url": "http://x/asset.bin"}, target, mirror="http://me:secret@127.0.0.1:9"
    )
    assert "secret" not in message and "127.0.0.1:9/asset.bin" in message


def test_progress_lines(target, caplog):
    caplog.set_level("INFO", "posegauge")
    with FileServer({"asset.bin": CONTENT}, delay_s=0.01) as server:
        download(row_of(server.url), target, **FAST, every_s=0.05)
    assert any("of 0.3 MB (" in line and "MB/s" in line and "s left" in line for line in caplog.messages)


def test_unwritable_place(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PoseGaugeError, match="cannot write"):
        download(row_of("http://127.0.0.1:9"), tmp_path / "file" / "asset.bin", **FAST)


def test_killed_download_is_resumed(target):
    """SIGKILL leaves the part; the next process asks for the rest only."""
    program = textwrap.dedent("""
        import json, sys
        from posegauge.data.download import download
        download(json.loads(sys.argv[1]), sys.argv[2])
    """)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow" / "scripts")}
    with FileServer({"asset.bin": CONTENT}, delay_s=0.05) as server:
        arguments = [sys.executable, "-c", program, json.dumps(row_of(server.url)), str(target)]
        process = subprocess.Popen(arguments, env=environment)
        deadline = time.monotonic() + 15
        while not (part_of(target).exists() and part_of(target).stat().st_size >= 65_536):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not target.exists()
        had = part_of(target).stat().st_size
        server.delay_s = 0
        download(row_of(server.url), target, **FAST)
    assert target.read_bytes() == CONTENT
    last = server.requests[-1]
    assert (last.range, last.sent) == (f"bytes={had}-", len(CONTENT) - had)


# ------------------------------------------------------------------------------------------ from elsewhere


@pytest.mark.parametrize("kind", ["absolute", "relative", "file", "http"])
def test_mirrors(target, tmp_path, monkeypatch, kind):
    folder = tmp_path / "my mirror"
    folder.mkdir()
    (folder / "asset.bin").write_bytes(CONTENT)
    monkeypatch.chdir(tmp_path)
    with FileServer({"pub/asset.bin": CONTENT}) as server:
        mirror = {
            "absolute": folder,
            "relative": "my mirror",
            "file": folder.as_uri(),
            "http": f"{server.url}/pub/",
        }
        download(row_of("http://127.0.0.1:9"), target, mirror=str(mirror[kind]), **FAST)
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["asset.bin"]


def test_mirror_without_the_file(target, tmp_path):
    message = fails(row_of("http://x"), target, mirror=str(tmp_path))
    assert f"{tmp_path}/asset.bin" in message and f"asset_mirror: {tmp_path}" in message
    assert "no such mirror folder" in fails(row_of("http://x"), target, mirror=str(tmp_path / "typo"))
    with FileServer({}) as server:
        assert f"{server.url}/asset.bin" in fails(row_of("http://x"), target, mirror=server.url)


def test_mirror_with_the_wrong_file(target, tmp_path):
    (tmp_path / "asset.bin").write_bytes(CONTENT[::-1])
    assert "wrong sha256" in fails(row_of("http://x"), target, mirror=str(tmp_path))
    assert not part_of(target).exists()


def test_mirror_of_an_unknown_kind(target):
    with pytest.raises(PoseGaugeError, match="asset_mirror: 's3://bucket'"):
        download(row_of("http://x"), target, mirror="s3://bucket")


def test_file_put_there_by_hand(target):
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    download(row_of("http://127.0.0.1:9"), target, **FAST)
    target.write_bytes(b"<html>")
    with pytest.raises(
        PoseGaugeError, match=r"asset.bin: wrong size: .* looks like a web page.* Move it away"
    ):
        download(row_of("http://127.0.0.1:9"), target, **FAST)
    assert target.exists()
    with pytest.raises(PoseGaugeError, match="no such file"):
        verify(target.with_name("other"), row_of("http://x"))


def test_listed_files_are_verified_and_others_left_alone(tmp_path, caplog):
    caplog.set_level("INFO", "posegauge")
    table = read_table(ROOT / "config" / "downloads.tsv")
    for name in ("val2017.zip", "my_own.pth"):
        (tmp_path / name).write_bytes(b"?")
    with pytest.raises(PoseGaugeError, match=r"val2017.zip: wrong size"):
        verify_listed(tmp_path / "val2017.zip", table)
    verify_listed(tmp_path / "my_own.pth", table)
    assert "my_own.pth: not in the table" in caplog.text


# ------------------------------------------------------------------------------------------------ the table


def test_the_table_of_the_repository():
    table = read_table(ROOT / "config" / "downloads.tsv")
    images = table.loc["val2017.zip"]
    assert images["bytes"] == 815585330 and len(images["sha256"]) == 64
    checkpoints = table[table["file"].str.endswith(".pth")]
    assert len(checkpoints) == 7
    for row in checkpoints.to_dict("records"):
        assert row["sha256"] in row["file"] and row["url"].endswith(f"/{row['file']}")


GOOD = ["a", "a.zip", "http://host/a.zip", "0123abcd", "12", ""]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({1: "../a.zip"}, "column file: '../a.zip'"),
        ({1: "a.zip.part"}, "column file"),
        ({2: "ftp://host/a.zip"}, "column url: 'ftp://host/a.zip' given; expected an http://"),
        ({3: "0123abc"}, "column sha256: '0123abc' given; expected 8 to 64 hex digits"),
        ({3: "0123abcx"}, "column sha256"),
        ({4: "12 MB"}, "column bytes: '12 MB'"),
        ({4: "0"}, "column bytes"),
        ({5: "x\ty"}, "7 fields"),
    ],
)
def test_bad_lines_of_a_table(tmp_path, change, told):
    path = tmp_path / "t.tsv"
    bad = [change.get(i, value) for i, value in enumerate(GOOD)]
    path.write_text("name\tfile\turl\tsha256\tbytes\tnote\n" + "\t".join(bad) + "\n")
    with pytest.raises(PoseGaugeError) as caught:
        read_table(path)
    assert "t.tsv, line 2" in str(caught.value) and told in str(caught.value)


def test_bad_tables(tmp_path):
    path = tmp_path / "t.tsv"
    header, good = "name\tfile\turl\tsha256\tbytes\tnote\n", "\t".join(GOOD) + "\n"
    path.write_text(header + good + "\n" + good.replace("a\t", "b\t", 1))
    with pytest.raises(PoseGaugeError, match=r"line 4: file 'a.zip' stands in line 2"):
        read_table(path)
    path.write_text(header.replace("\tbytes", "") + good)
    with pytest.raises(PoseGaugeError, match="missing: bytes"):
        read_table(path)
    path.write_text(header.replace("bytes", "size") + good)
    with pytest.raises(PoseGaugeError, match="missing: bytes; unknown: size"):
        read_table(path)
    path.write_text("")
    with pytest.raises(PoseGaugeError, match="missing: name, file"):
        read_table(path)
    with pytest.raises(PoseGaugeError, match="cannot read"):
        read_table(tmp_path / "none.tsv")


def test_a_table_as_editors_leave_it(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_bytes(
        b"\xef\xbb\xbfname\tfile\turl\tsha256\tbytes\tnote\r\na\ta.zip\thttp://h/a\t0123ABCD\r\n\r\n"
    )
    row = read_table(path).loc["a.zip"]
    assert row["sha256"] == "0123abcd" and row["note"] == "" and str(row["bytes"]) == "<NA>"


def test_what_is_still_to_be_fetched_is_known_before(target):
    table = read_table(Path(__file__).parents[2] / "config/downloads.tsv")
    archive = target.with_name("val2017.zip")
    assert module.missing_bytes(table, archive) == 815_585_330
    part_of(archive, b"x" * 1000)
    assert module.missing_bytes(table, archive) == 815_584_330
    unsized = table.index[table["bytes"].isna()]
    assert [module.missing_bytes(table, target.with_name(name)) for name in unsized] == [0] * len(unsized)
