"""A web server of our own for the tests of downloads: it can be slow, break off, refuse or send rubbish."""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Request:
    """One request as the server saw it; `sent` is the number of body bytes it wrote."""

    path: str
    range: str | None
    if_range: str | None
    status: int = 0
    sent: int = 0


@dataclass
class FileServer:
    """Serve `files` (path without the leading slash -> bytes) on 127.0.0.1 while the `with` block runs.

    break_after: body bytes after which the n-th request loses its connection; None: it is answered in full.
    statuses: answers of the first requests, in their order (503, ...); then the files.
    honour_range: False sends the whole file whatever is asked. wrong_range: answers a Range from byte 0.
    wrong_bytes: says the right Range and sends the first bytes of the file.
    etag, last_modified: sent when not None; an If-Range that differs gets the whole file.
    chunk, delay_s: bytes per write, and the pause after each.
    """

    files: dict
    break_after: list = field(default_factory=list)
    statuses: list = field(default_factory=list)
    headers: dict = field(default_factory=dict)
    honour_range: bool = True
    wrong_range: bool = False
    wrong_bytes: bool = False
    send_length: bool = True
    etag: str | None = '"v1"'
    last_modified: str | None = None
    chunk: int = 1 << 14
    delay_s: float = 0.0
    requests: list = field(default_factory=list)

    def __enter__(self):
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.answer(self)

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.block_on_close = False
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *failure):
        self.http.shutdown()
        self.http.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}"

    @property
    def sent(self) -> int:
        """Body bytes of all files written so far."""
        return sum(request.sent for request in self.requests)

    @property
    def count(self) -> Counter:
        """Requests per path."""
        return Counter(request.path for request in self.requests)

    def answer(self, handler) -> None:
        """Answer one GET."""
        number = len(self.requests)
        seen = Request(handler.path.lstrip("/"), handler.headers["Range"], handler.headers["If-Range"])
        self.requests.append(seen)
        planned = self.statuses[number] if number < len(self.statuses) else None
        content = self.files.get(seen.path)
        if planned or content is None:
            self.begin(handler, seen, planned or 404, {"Content-Length": "0"})
            return
        begin, end, partial = 0, len(content), False
        validators = (self.etag, self.last_modified)
        if seen.range and self.honour_range and (seen.if_range is None or seen.if_range in validators):
            first, _, last = seen.range.removeprefix("bytes=").partition("-")
            begin = int(first) if first else max(0, end - int(last))
            end = min(end, int(last) + 1) if first and last else end
            partial = True
        if begin >= len(content) and begin:
            self.begin(
                handler, seen, 416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"}
            )
            return
        headers = {}
        if partial and self.wrong_range:
            begin, end = 0, end - begin
        if self.send_length:
            headers["Content-Length"] = str(end - begin)
        if partial:
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{len(content)}"
        self.begin(handler, seen, 206 if partial else 200, headers)
        limit = self.break_after[number] if number < len(self.break_after) else None
        body = content[: end - begin] if self.wrong_bytes else content[begin:end]
        self.body(handler, seen, body, limit)

    def begin(self, handler, seen, status, headers) -> None:
        """Send the status line and the headers."""
        seen.status = status
        handler.send_response(status)
        known = {"ETag": self.etag, "Last-Modified": self.last_modified}
        for name, value in {**known, **headers, **self.headers}.items():
            if value is not None:
                handler.send_header(name, value)
        handler.end_headers()

    def body(self, handler, seen, content, limit) -> None:
        """Send `content`, or its first `limit` bytes, and close the connection."""
        handler.close_connection = True
        content = content if limit is None else content[:limit]
        for start in range(0, len(content), self.chunk):
            piece = content[start : start + self.chunk]
            # Before it is written: a client that has all of it may look at once.
            seen.sent += len(piece)
            try:
                handler.wfile.write(piece)
            except OSError:  # the client went away
                seen.sent -= len(piece)
                return
            time.sleep(self.delay_s)
