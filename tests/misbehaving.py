"""A local HTTP server that does to downloads what servers do: it stalls, breaks off, lies, and sends web pages."""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

QUOTA_PAGE = (
    b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body>"
    b"Sorry, you can't view or download this file at this time. Too many users have viewed it.</body></html>"
)


@dataclass(frozen=True)
class Answer:
    """How one request is answered; the default is honest.

    Attributes:
        status: sent alone, without the content.
        stall, cut: bytes of the body after which nothing more comes, or the connection ends.
        length: the Content-Length that is claimed; -1 for none.
        page: sent in place of the content.
        content_type: of what is sent.
        headers: further ones.
    """

    status: int = 0
    stall: int | None = None
    cut: int | None = None
    length: int | None = None
    page: bytes = b""
    content_type: str = "application/octet-stream"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass
class Resource:
    """A file on the server, and how the next requests for it are answered, in turn."""

    content: bytes
    etag: str = '"1"'
    modified: str = ""
    ranges: bool = True
    obeys_if_range: bool = True
    answers: list[Answer] = field(default_factory=list)


class Server:
    """Serves `resources` on a free port of this machine; a context manager."""

    def __init__(self) -> None:
        self.resources: dict[str, Resource] = {}
        self.sent: dict[str, int] = defaultdict(int)
        self.asked: dict[str, list[dict[str, str]]] = defaultdict(list)
        self.closing = threading.Event()
        handler = type("Handler", (_Handler,), {"server_state": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def put(self, path: str, content: bytes, *answers: Answer, **about: object) -> str:
        """Publish a file, and return its address."""
        self.resources[path] = Resource(content, answers=list(answers), **about)
        return self.url(path)

    def url(self, path: str) -> str:
        """The address of a path."""
        return f"http://127.0.0.1:{self._http.server_port}/{path}"


class _Handler(BaseHTTPRequestHandler):
    server_state: ClassVar[Server]

    def log_message(self, *_: object) -> None:
        """Not into the tests' output."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        state, path = self.server_state, self.path.lstrip("/").partition("?")[0]
        resource = state.resources.get(path)
        if resource is None:
            self.send_error(404)
            return
        answer = resource.answers.pop(0) if resource.answers and body else Answer()
        if body:
            state.asked[path].append(dict(self.headers))
        if answer.status:
            self.send_response(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value)
            self.end_headers()
            return
        self._send(resource, answer, path, body)

    def _send(self, resource: Resource, answer: Answer, path: str, body: bool) -> None:
        content, start = answer.page or resource.content, self._start(resource)
        if start is not None and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        self.send_response(200 if start is None else 206)
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        wanted = content[start or 0 :]
        if answer.length != -1:
            self.send_header("Content-Length", str(len(wanted) if answer.length is None else answer.length))
        self.send_header("Content-Type", answer.content_type)
        for name, value in (("ETag", resource.etag), ("Last-Modified", resource.modified), *answer.headers):
            if value:
                self.send_header(name, value)
        self.end_headers()
        if body:
            self._body(wanted, answer, path)

    def _start(self, resource: Resource) -> int | None:
        """The first byte that is asked for, if it is asked for of this version and ranges are known here."""
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        version = self.headers.get("If-Range")
        if match is None or not resource.ranges:
            return None
        same = version is None or version in (resource.etag, resource.modified) or not resource.obeys_if_range
        return int(match[1]) if same else None

    def _body(self, wanted: bytes, answer: Answer, path: str) -> None:
        end = answer.stall if answer.stall is not None else answer.cut
        sent = wanted if end is None else wanted[:end]
        self.wfile.write(sent)
        self.wfile.flush()
        self.server_state.sent[path] += len(sent)
        if answer.stall is not None:
            self.server_state.closing.wait(20)
