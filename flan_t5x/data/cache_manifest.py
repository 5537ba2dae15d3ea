"""What a cached split is made of: fingerprint, manifest, checksums and their comparison.

The manifest is written last, so a directory without one was never finished. A fingerprint
names everything that the tokens depend on; its components are kept in the manifest, so that
a stale cache can be explained by the component that changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flan_t5x.files import sha256

CACHE_VERSION = 1  # layout of files and records
MANIFEST = "manifest.json"
LENGTHS = "lengths.npy"
REPORT = "report.json"
DAMAGED = "damaged.txt"
THOROUGH_BYTES = 1 << 30  # smaller splits are hashed whole at every start
_EDGE = 1 << 20

# Components that a user chooses per run: another value is another cache, not an outdated one.
SETTINGS = frozenset({"vocabulary", "feature lengths", "row limit", "row choice"})


class CacheDamage(Exception):  # noqa: N818  (a finding about files, turned into a message)
    """A cached split cannot be trusted; the message says what was found."""


@dataclass(frozen=True)
class FileEntry:
    """One file of a cached split.

    Attributes:
        name: inside the split's directory.
        bytes: size.
        sha256: of the whole file.
        edges: SHA-256 of the first and the last MiB.
        examples: records in it (0 where it holds none).
    """

    name: str
    bytes: int
    sha256: str
    edges: str
    examples: int = 0

    @classmethod
    def of(cls, path: Path, *, examples: int = 0) -> FileEntry:
        """Reads the file once and describes it."""
        return cls(path.name, path.stat().st_size, sha256(path), _edges(path), examples)


@dataclass(frozen=True)
class Manifest:
    """`manifest.json`: free of times and machine names, so equal builds give equal bytes.

    Attributes:
        task: task name.
        split: split name.
        fingerprint: SHA-256 over `components`.
        components: what the tokens depend on, by name.
        num_rows: source rows that were looked at.
        num_examples: rows kept.
        input_tokens: sum over examples, end-of-sequence ids included.
        target_tokens: likewise.
        record_bytes: sum of the uncompressed records.
        shards: token files in order.
        others: the lengths index and the report.
    """

    task: str
    split: str
    fingerprint: str
    components: Mapping[str, str]
    num_rows: int
    num_examples: int
    input_tokens: int
    target_tokens: int
    record_bytes: int
    shards: tuple[FileEntry, ...]
    others: tuple[FileEntry, ...]

    @property
    def num_bytes(self) -> int:
        """Bytes on disk, the manifest excluded."""
        return sum(entry.bytes for entry in (*self.shards, *self.others))

    def write(self, directory: Path) -> None:
        """Writes `manifest.json`, sealed by a checksum of its own content."""
        content = {"version": CACHE_VERSION, **asdict(self)}
        sealed = {**content, "seal": _digest(content)}
        text = json.dumps(sealed, indent=1, sort_keys=True, ensure_ascii=False)
        (directory / MANIFEST).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, directory: Path) -> Manifest:
        """Parses `manifest.json`.

        Raises:
            FileNotFoundError: no such file.
            CacheDamage: unreadable, incomplete or altered.
        """
        try:
            content = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
            seal, version = content.pop("seal"), content.get("version")
            if version != CACHE_VERSION:
                raise CacheDamage(f"{MANIFEST} has layout version {version}, not {CACHE_VERSION}")
            if seal != _digest(content):
                raise CacheDamage(f"{MANIFEST} was altered")
            del content["version"]
            for key in ("shards", "others"):
                content[key] = tuple(FileEntry(**entry) for entry in content[key])
            return cls(**content)
        except FileNotFoundError:
            raise
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CacheDamage(f"{MANIFEST} cannot be read ({error})") from error


def fingerprint_of(components: Mapping[str, str]) -> str:
    """SHA-256 (hex) over named components."""
    return _digest(dict(components))


def what_changed(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[list[str], bool]:
    """Names of the components that differ, with values where they are short.

    Returns:
        The names, and whether all of them are choices of a run (`SETTINGS`).
    """
    names = [k for k in sorted({*before, *now}) if before.get(k) != now.get(k)]
    phrases = []
    for name in names:
        old, new = before.get(name, "nothing"), now.get(name, "nothing")
        short = max(len(old), len(new)) <= 40
        phrases.append(f"{name} {old} -> {new}" if short else name)
    return phrases, bool(names) and SETTINGS.issuperset(names)


def verify_files(directory: Path, manifest: Manifest, *, thorough: bool | None = None) -> None:
    """Compares the files with the manifest.

    Args:
        directory: the split's directory.
        manifest: what should be there.
        thorough: True hashes every file whole, False compares sizes only, None hashes all
            of a split below `THOROUGH_BYTES`, else the index and the edges of the shards.

    Raises:
        CacheDamage: names the first file that differs and how.
    """
    if (directory / DAMAGED).exists():
        raise CacheDamage((directory / DAMAGED).read_text("utf-8", errors="replace").strip())
    whole = manifest.num_bytes < THOROUGH_BYTES if thorough is None else thorough
    for entry in (*manifest.others, *manifest.shards):
        path = directory / entry.name
        try:
            size = path.stat().st_size
            if size != entry.bytes:
                raise CacheDamage(f"{entry.name} has {size} bytes, {entry.bytes} expected")
            if thorough is False:
                continue
            if whole or entry in manifest.others:
                same = sha256(path) == entry.sha256
            else:
                same = _edges(path) == entry.edges
        except FileNotFoundError as error:
            raise CacheDamage(f"{entry.name} is missing") from error
        except OSError as error:
            raise CacheDamage(f"{entry.name} cannot be read ({error.strerror})") from error
        if not same:
            raise CacheDamage(f"{entry.name} does not have its checksum")


def mark_damaged(directory: Path, what: str) -> None:
    """Leaves a note that makes the next start rebuild the split, where the folder allows it."""
    with contextlib.suppress(OSError):  # a read-only cache: the error raised next names it
        (directory / DAMAGED).write_text(what + "\n", encoding="utf-8")


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _edges(path: Path) -> str:
    with open(path, "rb") as file:
        digest = hashlib.sha256(file.read(_EDGE))
        size = file.seek(0, 2)
        file.seek(max(0, size - _EDGE))
        digest.update(file.read(_EDGE))
    return digest.hexdigest()
