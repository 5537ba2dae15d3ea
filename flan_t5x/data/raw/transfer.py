"""One file over HTTP: resumed where it stopped, checked, and put into its place as a whole.

Bytes go to ``<file>.part``; what server and version they came from stands in ``<file>.part.tag``.
An interrupted transfer goes on from there with a Range request, also in a later process. Where
the server has no ranges, or its file has changed, the transfer starts again.
"""

from __future__ import annotations

import http.client
import os
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import flan_t5x
from flan_t5x.data.cache_records import is_disk_full
from flan_t5x.data.raw.checks import PART, digest_of
from flan_t5x.data.raw.manifest import RawFile

TAG = ".tag"
_CHUNK = 1 << 18
_RETRIED = {408, 425, 429, 500, 502, 503, 504}
_MOST_SECONDS = 60.0
_LENGTHS = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


class TransferError(Exception):
    """A file that cannot be had; the message says why."""


class DiskFullError(TransferError):
    """No space is left: nothing else can be fetched either."""


class StoppedError(TransferError):
    """The caller asked to stop. What has arrived is kept for the next time."""


class _BrokenError(Exception):
    """Worth another try. `wait` is what the server asked for, in seconds."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


@dataclass(frozen=True)
class Policy:
    """How patient a transfer is.

    Attributes:
        attempts: tries in a row that bring no new byte; then the next address is tried.
        timeout: seconds without a byte after which a try counts as broken.
        backoff: seconds before the second try, doubled from try to try, 60 at most.
    """

    attempts: int = 5
    timeout: float = 30.0
    backoff: float = 1.0


@dataclass
class Transfer:
    """The way of one file from its addresses to its place.

    Attributes:
        file: what it is.
        target: its place.
        policy: how patient to be.
        wait: called with the seconds to wait between tries; raises `StoppedError` to stop.
        arrived: called with the number of bytes since the last call; negative where bytes
            that had been counted are thrown away.
    """

    file: RawFile
    target: Path
    policy: Policy
    wait: Callable[[float], None]
    arrived: Callable[[int], None] = field(default=lambda count: None)

    def run(self) -> str:
        """Fetches the file; its SHA-256 in hex.

        Raises:
            TransferError: all addresses failed, the file is not what the manifest says, or it
                cannot be written.
        """
        try:
            return self._run()
        except OSError as error:
            raise disk_error(error, self.part) from error

    def _run(self) -> str:
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self._opener = urllib.request.build_opener()  # with the proxies of the environment
        self.arrived(self._have())
        failures = []
        for url in self.file.urls:
            try:
                return self._from(url)
            except (DiskFullError, StoppedError):
                raise
            except TransferError as error:
                failures.append(f"{url}: {error}")
        raise TransferError("; ".join(failures) or "no address is known")

    @property
    def part(self) -> Path:
        """Where the bytes are gathered."""
        return Path(f"{self.target}{PART}")

    @property
    def _tag(self) -> Path:
        return Path(f"{self.part}{TAG}")

    def _from(self, url: str) -> str:
        """Tries one address until the file is whole. Raises TransferError."""
        fruitless, wrong = 0, 0
        while True:
            before = self._have()
            try:
                self._request(url)
                return self._finish()
            except _WrongBytesError as error:
                self._drop()
                wrong += 1
                if wrong == 2:  # once may be a broken resume, twice is the file itself
                    raise TransferError(str(error)) from None
            except _BrokenError as error:
                fruitless = 0 if self._have() > before else fruitless + 1
                if fruitless == self.policy.attempts:
                    raise TransferError(str(error)) from None
                pause = self.policy.backoff * 2 ** max(0, fruitless - 1)
                self.wait(min(_MOST_SECONDS, max(pause, error.wait)))

    def _request(self, url: str) -> None:
        """One request, its body appended to the part. Raises _BrokenError, TransferError."""
        offset = self._resume_at(url)
        headers = {
            "User-Agent": f"flan-t5x/{flan_t5x.__version__}",
            "Accept-Encoding": "identity",
        }
        if offset:
            headers["Range"] = f"bytes={offset}-"
            version = self._tag.read_text("utf-8").split("\n")[1] if self._tag.is_file() else ""
            if version:
                headers["If-Range"] = version
        try:
            request = urllib.request.Request(url, headers=headers)
            with self._opener.open(request, timeout=self.policy.timeout) as response:
                self._receive(response, url, offset)
        except urllib.error.HTTPError as error:
            self._refused(error, offset)
        except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
            raise _BrokenError(str(error) or type(error).__name__) from error
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                raise TransferError(f"its certificate is not trusted ({error.reason})") from error
            raise _BrokenError(f"no connection: {error.reason}") from error

    def _resume_at(self, url: str) -> int:
        """Bytes that need not be asked for again; a part that nothing vouches for is dropped."""
        have = self._have()
        if not have:
            return 0
        known = self._tag.read_text("utf-8").split("\n") if self._tag.is_file() else ["", ""]
        same_version = known[0] == url and bool(known[1])
        if same_version or self.file.digest is not None:
            if known[0] != url:
                self._tag.unlink(missing_ok=True)  # another mirror's version says nothing here
            return have
        self._drop()
        return 0

    def _receive(self, response: http.client.HTTPResponse, url: str, offset: int) -> None:
        start = 0
        if response.status == 206:
            found = _LENGTHS.fullmatch(response.headers.get("Content-Range", ""))
            start = int(found[1]) if found and found[1] else -1
            if start != offset:
                self._drop()
                raise _BrokenError(f"the server sent bytes from {start}, {offset} was asked for")
        elif offset:  # no ranges here, or another version: from the beginning
            self._drop()
        length = response.headers.get("Content-Length")
        total = start + int(length) if length and length.isdecimal() else None
        if None not in (total, self.file.size) and total != self.file.size:
            raise TransferError(f"it has {total:,} bytes there, {self.file.size:,} expected")
        if not start:
            version = response.headers.get("ETag", "")
            if version.startswith("W/"):  # "about the same" is not the same bytes
                version = ""
            self._tag.write_text(f"{url}\n{version or response.headers.get('Last-Modified', '')}\n")
        with self.part.open("ab" if start else "wb") as out:
            self._copy(response, out)
        if total is not None and self._have() < total:
            raise _BrokenError(f"the connection ended after {self._have():,} of {total:,} bytes")

    def _copy(self, response: http.client.HTTPResponse, out: BinaryIO) -> None:
        while block := response.read1(_CHUNK):
            self.wait(0.0)
            try:
                out.write(block)
                out.flush()
            except OSError as error:
                raise disk_error(error, self.part) from error
            self.arrived(len(block))

    def _refused(self, error: urllib.error.HTTPError, offset: int) -> None:
        if error.code == 416 and offset:
            found = _LENGTHS.fullmatch(error.headers.get("Content-Range", ""))
            if found and found[2] == str(offset):
                return  # all of it is here already
            self._drop()
            raise _BrokenError("the server has fewer bytes than were fetched before") from error
        message = f"the server answers {error.code} {error.reason}"
        if error.code in _RETRIED:
            after = error.headers.get("Retry-After", "")
            raise _BrokenError(message, float(after) if after.isdecimal() else 0.0) from error
        raise TransferError(message) from error

    def _finish(self) -> str:
        """Checks the part and puts it into its place; its SHA-256."""
        size = self._have()
        if self.file.size is not None and size != self.file.size:
            raise _WrongBytesError(f"{size:,} bytes came, {self.file.size:,} expected")
        if not self.part.exists():
            self.part.touch()  # an empty file
        sha256 = digest_of(self.part, "sha256")
        if self.file.digest is not None:
            kind, expected = self.file.digest
            found = sha256 if kind == "sha256" else digest_of(self.part, kind)
            if found != expected:
                raise _WrongBytesError(f"the {kind} of what came is {found}, {expected} expected")
        with self.part.open("rb") as file:
            os.fsync(file.fileno())
        self.part.replace(self.target)
        self._tag.unlink(missing_ok=True)
        return sha256

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _drop(self) -> None:
        self.arrived(-self._have())
        self.part.unlink(missing_ok=True)
        self._tag.unlink(missing_ok=True)


class _WrongBytesError(Exception):
    """All bytes came, and they are not the right ones."""


def disk_error(error: OSError, path: Path) -> TransferError:
    """What a failure to write means for a transfer."""
    if is_disk_full(error):
        return DiskFullError(f"no space is left on the disk of {str(path.parent)!r}")
    return TransferError(f"cannot write {error.filename or path}: {error.strerror or error}")
