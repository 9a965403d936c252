"""What a server's answer means for a download: where its bytes belong, and whether they are of the right file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from robnb.assets.kinds import File
from robnb.assets.part import Part, Version

if TYPE_CHECKING:
    import requests

CHUNK = 1 << 16
#: The longest that a server's Retry-After is obeyed, in seconds.
LONGEST_WAIT = 120
_HTML = re.compile(rb"\s*(<!--.*?-->\s*)*(<!doctype\s+html|<html|<head|<title)", re.IGNORECASE | re.DOTALL)
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


class Again(Exception):
    """This attempt came to nothing; another may not. ``wait`` is the server's wish in seconds, if it has one."""

    def __init__(self, why: str, wait: float | None = None) -> None:
        super().__init__(why)
        self.wait = wait


class Hopeless(Exception):
    """This address will not give the file."""


@dataclass(frozen=True)
class Served:
    """An answer with the file's bytes.

    Attributes:
        offset: the byte of the file that the body begins with; None if the part is whole already.
        total: the file's size as the server states it, if it does.
        sha256: of the whole file, as Hugging Face states it of its large files; "" elsewhere.
        first: the beginning of the body, read already to see what it is.
    """

    offset: int | None
    total: int | None
    sha256: str
    first: bytes = b""

    def body(self, response: requests.Response) -> Iterator[bytes]:
        """The whole body as it was sent."""
        if self.first:
            yield self.first
        yield from response.raw.stream(CHUNK, decode_content=False)


def served(response: requests.Response, url: str, file: File, part: Part, offset: int) -> Served:
    """Read the head of an answer to a request for the bytes from ``offset`` on; a part of another version is dropped.

    Raises:
        Again: an error that may pass, or a part that has to be begun again.
        Hopeless: a refusal, a web page, or a file of another size than the catalogue's.
    """
    status = response.status_code
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return _at_its_end(response, part, offset)
    if status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS) or status >= 500:
        wait = response.headers.get("Retry-After", "")
        said = f"answered {status} {response.reason}"
        raise Again(said, min(float(wait), LONGEST_WAIT) if wait.isdigit() else None)
    if status == HTTPStatus.PARTIAL_CONTENT and offset:
        return _the_rest(response, url, part, offset)
    if status != HTTPStatus.OK:
        raise Hopeless(f"answered {status} {response.reason}")
    return _from_the_start(response, url, file, part)


def _from_the_start(response: requests.Response, url: str, file: File, part: Part) -> Served:
    total = _number(response.headers.get("Content-Length"))
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise Hopeless(_page(response.raw.read(CHUNK, decode_content=True)))
    if None not in (total, file.bytes) and total != file.bytes:
        raise Hopeless(f"has a file of {total:,} bytes, expected {file.bytes:,}")
    first = response.raw.read(CHUNK, decode_content=False)
    if _HTML.match(first):
        raise Hopeless(_page(first))
    part.begin(_version(response, url, total))
    return Served(0, total, _stated_sha256(response), first)


def _the_rest(response: requests.Response, url: str, part: Part, offset: int) -> Served:
    """The body goes on where the part ends, if the server says that it does and that the file is still the same."""
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", ""))
    before, now = part.version, _version(response, url, _number(match[3]) if match else None)
    same = before is not None and match is not None and int(match[1]) == offset and before.total in (None, now.total)
    if same and before.url == url and before.validator and now.validator:
        same = before.validator == now.validator
    if not same:
        part.discard()
        raise Again("has another file there now than before, so it is begun again", wait=0)
    return Served(offset, now.total, _stated_sha256(response))


def _at_its_end(response: requests.Response, part: Part, offset: int) -> Served:
    """No bytes after the part: either it is whole, or it is not a part of this file."""
    total = _number(response.headers.get("Content-Range", "").rpartition("/")[2])
    if offset and total == offset:
        return Served(None, total, _stated_sha256(response))
    part.discard()
    raise Again("has another file there now than before, so it is begun again", wait=0)


def _version(response: requests.Response, url: str, total: int | None) -> Version:
    headers = response.headers
    return Version(url, headers.get("ETag", ""), headers.get("Last-Modified", ""), total)


def _stated_sha256(response: requests.Response) -> str:
    """Hugging Face sends the sha256 of large files along with the redirect to where they are stored."""
    stated = [answer.headers.get("X-Linked-ETag", "").strip('"') for answer in (*response.history, response)]
    return next((text for text in stated if re.fullmatch(r"[0-9a-f]{64}", text)), "")


def _page(text: bytes) -> str:
    """What to say of a web page in place of a file."""
    title = _TITLE.search(text)
    named = f" ({' '.join(title[1].decode(errors='replace').split())[:80]!r})" if title else ""
    why = ", because too many people fetched it today" if b"quota" in text.lower() else ""
    return f"sent a web page{named} in place of the file{why}"


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None
