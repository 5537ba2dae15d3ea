"""A web server on this machine that misbehaves as told."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Site:
    """What the server has, and how it behaves; each list is used up request by request.

    Attributes:
        files: path -> content.
        ranges: whether it honours Range requests.
        etags: path -> version; paths without one have none.
        break_after: bytes of the body after which the connection is cut.
        statuses: answers given instead of the file; 0 lets a request through.
        corrupt: how many answers have a wrong byte.
        lengths: whether it tells the length.
        seen: (path, Range header or "") of each request.
    """

    files: dict[str, bytes]
    ranges: bool = True
    etags: dict[str, str] = field(default_factory=dict)
    break_after: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    corrupt: int = 0
    lengths: bool = True
    retry_after: str = ""
    seen: list[tuple[str, str]] = field(default_factory=list)
    address: str = ""
    lock: Any = field(default_factory=threading.Lock)

    def url(self, path: str) -> str:
        return f"{self.address}/{path}"


class Handler(BaseHTTPRequestHandler):
    site: Site
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        site = self.site
        wanted = self.headers.get("Range", "")
        with site.lock:
            # A proxy's request line has the whole address.
            path = self.path.split("://")[-1].split("/", 1)[-1]
            site.seen.append((path, wanted))
            status = site.statuses.pop(0) if site.statuses else 0
            cut = site.break_after.pop(0) if site.break_after else None
            corrupt = site.corrupt > 0
            site.corrupt -= corrupt
        self.close_connection = True
        if status or path not in site.files:
            self.send_response(status or 404)
            if site.retry_after:
                self.send_header("Retry-After", site.retry_after)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = site.files[path]
        if corrupt:
            content = content[:-1] + bytes([content[-1] ^ 1])
        self.answer(content, wanted, cut, site.etags.get(path, ""))

    def answer(self, content: bytes, wanted: str, cut: int | None, etag: str) -> None:
        start = 0
        condition = self.headers.get("If-Range", "")
        if wanted and self.site.ranges and condition in ("", etag):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if etag:
            self.send_header("ETag", etag)
        if self.site.lengths:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:][:cut])

    def log_message(self, *args: Any) -> None:
        """Says nothing."""


@contextlib.contextmanager
def serve(**settings: Any) -> Iterator[Site]:
    """A running server."""
    site = Site(**settings)
    handler = type("SiteHandler", (Handler,), {"site": site})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    site.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
