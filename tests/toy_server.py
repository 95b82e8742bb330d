"""A server of files on this machine, as good or as bad as a test wants it."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Page:
    """A file that is served.

    Args:
        body: its bytes.
        etag: names this version of it; "" names none.
        ranges: whether a part can be asked for.
        status: of every answer.
        statuses: of the first answers, one after another.
        cut: bytes after which the connection of the first answers breaks off, one after another.
        length: what the header says, where that is not the truth; -1 says none.
        pause: seconds between pieces of a thousand bytes.
    """

    body: bytes = b""
    etag: str = '"one"'
    ranges: bool = True
    status: int = 200
    statuses: list[int] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    length: int | None = None
    pause: float = 0.0


class Served:
    """The address of the server, and what it was asked: (path, header Range) of each request."""

    def __init__(self, address: str):
        self.address = address
        self.asked: list[tuple[str, str | None]] = []


@contextmanager
def serving(pages: Mapping[str, Page]) -> Iterator[Served]:
    """Serves pages by their paths until the block ends; a page may be changed meanwhile."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            wanted = self.headers.get("Range")
            served.asked.append((self.path, wanted))
            page = pages.get(self.path)
            status = 404 if page is None else page.statuses.pop(0) if page.statuses else page.status
            if page is None or status != 200:
                self.send_error(status)
                return
            start, same = 0, self.headers.get("If-Range") in (None, page.etag)
            if wanted and page.ranges and same:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                if start >= len(page.body):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(page.body) - 1}/{len(page.body)}")
            else:
                self.send_response(200)
            if page.etag:
                self.send_header("ETag", page.etag)
            if page.length != -1:
                self.send_header("Content-Length", str(page.length or len(page.body) - start))
            self.end_headers()
            cut = page.cut.pop(0) if page.cut else len(page.body)
            for place in range(start, min(len(page.body), start + cut), 1000):
                self.wfile.write(page.body[place : min(place + 1000, start + cut)])
                time.sleep(page.pause)

    class Quiet(http.server.ThreadingHTTPServer):
        def handle_error(self, *args):  # of a client that was killed
            pass

    with Quiet(("127.0.0.1", 0), Handler) as running:
        served = Served(f"http://127.0.0.1:{running.server_port}")
        running.daemon_threads = True
        threading.Thread(target=running.serve_forever, daemon=True).start()
        try:
            yield served
        finally:
            running.shutdown()
