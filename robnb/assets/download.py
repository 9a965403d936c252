"""One file over HTTP, whole and verified or not at all.

requests moves the bytes; the loop is ours, because the libraries that verify downloads (pooch among them) begin a file
again from its start when a connection breaks, and ours have up to 23 GB. A download is called ``<name>.part`` until it
is whole and its hash is right; ``<name>.part.json`` says which version of the file it is a part of, so that a part is
only ever continued with bytes of the same file.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from robnb import __version__
from robnb.assets import hashes
from robnb.assets.kinds import File
from robnb.assets.part import Part
from robnb.assets.response import Again, Hopeless, Served, served
from robnb.errors import UserError
from robnb.progress import bar

if TYPE_CHECKING:
    import requests

MB = 1_000_000


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for.

    Attributes:
        connect, read: seconds without a connection, and without a byte, after which an attempt ends.
        retries: attempts in a row that may bring nothing new before the next mirror is tried.
        backoff: seconds before the first retry; doubled for each further one, up to a minute.
    """

    connect: float = 20
    read: float = 60
    retries: int = 5
    backoff: float = 1


@dataclass(frozen=True)
class Downloaded:
    """A finished download: the address that it came from, and its sha256."""

    url: str
    sha256: str


def download(file: File, destination: Path, patience: Patience, say: Callable[[str], None] = print) -> Downloaded:
    """Bring a file to ``destination``, from the first of its addresses that gives it whole and with the right hash.

    Raises:
        UserError: none does, and why; or the disk is full. What has arrived stays for the next time, if it is right.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = Part(destination)
    problems = []
    for url in file.urls:
        try:
            found = _persist(url, file, part, patience, say)
        except Hopeless as error:
            problems.append(f"{urlsplit(url).hostname} {error}")
            continue
        part.finish()
        return found
    raise UserError(
        f"{destination.name} was not fetched: {'; '.join(problems)}; try again later, or get it from {file.url} "
        f"with a browser and put it at {destination}."
    )


def size_on_server(file: File, patience: Patience) -> int | None:
    """The size that the first address states; None if it does not answer."""
    import requests

    try:
        answer = requests.head(
            file.url, headers=_headers(), timeout=(patience.connect, patience.read), allow_redirects=True
        )
    except requests.RequestException:
        return None
    page = answer.headers.get("Content-Type", "").startswith("text/html")
    length = answer.headers.get("Content-Length", "")
    return int(length) if answer.ok and not page and length.isdigit() else None


def _headers() -> dict[str, str]:
    """Without compression on the way: offsets and hashes are of the file's own bytes."""
    return {"User-Agent": f"robnb/{__version__}", "Accept-Encoding": "identity"}


def _persist(url: str, file: File, part: Part, patience: Patience, say: Callable[[str], None]) -> Downloaded:
    """Attempts at one address until the file is whole and right, or there is no hope."""
    in_vain = 0
    while True:
        before = part.size
        try:
            answer = _attempt(url, file, part, patience)
            return Downloaded(url, _verified(part, file, answer))
        except Again as error:
            in_vain = 0 if part.size > before else in_vain + 1
            if in_vain > patience.retries:
                came = f" with {part.size:,} bytes of it here" if part.size else ""
                raise Hopeless(f"{error}{came}, after {in_vain} attempts in vain") from error
            wait = error.wait if error.wait is not None else min(60, patience.backoff * 2 ** max(in_vain - 1, 0))
            say(f"{part.name}: {urlsplit(url).hostname} {error}; again in {wait:.0f} s, from byte {part.size:,}")
            time.sleep(wait)


def _attempt(url: str, file: File, part: Part, patience: Patience) -> Served:
    """Ask for what is lacking and write it, until the server ends."""
    import requests

    offset, condition = part.resumable(url, file.hash is not None)
    with requests.Session() as session, _network_said_clearly():
        timeout = (patience.connect, patience.read)
        with session.get(url, headers=_headers() | condition, stream=True, timeout=timeout) as response:
            answer = served(response, url, file, part, offset)
            if answer.offset is not None:
                _enough_disk(part.path.parent, part.name, (answer.total or 0) - answer.offset)
                _write(response, answer, file, part)
    whole = answer.total if answer.total is not None else file.bytes
    if whole is not None and part.size < whole:
        raise Again(f"ended after {part.size:,} of {whole:,} bytes")
    return answer


def _write(response: requests.Response, answer: Served, file: File, part: Part) -> None:
    """The body, as it comes; more than was announced is an end without hope."""
    limit = answer.total if answer.total is not None else file.bytes
    with part.open(answer.offset) as out:
        shown = bar(-(-(answer.total or 0) // MB) or None, _short(part.name), initial=answer.offset // MB, unit="MB")
        size = answer.offset
        with contextlib.closing(shown):
            for chunk in answer.body(response):
                out.write(chunk)
                size += len(chunk)
                shown.update(size // MB - shown.n)
                if limit is not None and size > limit:
                    break
        out.flush()
        os.fsync(out.fileno())
    if limit is not None and size > limit:
        part.discard()
        raise Hopeless(f"sends more than the {limit:,} bytes that the file has")


def _short(name: str) -> str:
    """Of long names both ends: the bar has one line."""
    return name if len(name) <= 40 else f"{name[:18]}...{name[-19:]}"


def _verified(part: Part, file: File, answer: Served) -> str:
    """The sha256 of a whole part; wrong ones are deleted."""
    wrong = ""
    found = hashes.digests(part.path, {"sha256", *([hashes.parse(file.hash)[0]] if file.hash else [])})
    if file.bytes is not None and part.size != file.bytes:
        wrong = f"it has {part.size:,} bytes, expected {file.bytes:,}"
    elif file.hash:
        wrong = hashes.mismatch(found, file.hash)
    elif answer.sha256:
        wrong = hashes.mismatch(found, f"sha256:{answer.sha256}")
    if wrong:
        part.discard()
        raise Hopeless(f"sent another file: {wrong}; what came was deleted")
    return found["sha256"]


def _enough_disk(folder: Path, name: str, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{name} needs {needed / 1e9:.1f} GB more in {folder}, where {free / 1e9:.1f} GB are free; "
            "free some, or fetch to another disk with --data-root."
        )


@contextlib.contextmanager
def _network_said_clearly() -> Iterator[None]:
    """What requests and urllib3 raise, as hope or none, in words without their objects' names."""
    import requests
    from urllib3.exceptions import HTTPError, ReadTimeoutError

    try:
        yield
    except (requests.exceptions.SSLError, requests.exceptions.ProxyError) as error:
        raise Hopeless(f"cannot be reached safely ({type(error).__name__})") from error
    except (requests.Timeout, ReadTimeoutError) as error:
        raise Again("did not answer in time") from error
    except requests.exceptions.ConnectionError as error:
        raise Again("cannot be reached") from error
    except HTTPError as error:
        raise Again("broke off") from error
    except requests.exceptions.ChunkedEncodingError as error:
        raise Again("broke off") from error
    except requests.RequestException as error:
        raise Hopeless(f"cannot be asked ({type(error).__name__})") from error
