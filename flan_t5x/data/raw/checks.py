"""Whether raw data is there and whole: sizes and checksums against the manifest.

Files whose checksum nobody has published are checked against what was written down when they
were fetched (`Record`), so that later damage is still found.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flan_t5x.data.raw.manifest import RawFile, RawSource
from flan_t5x.data.sources.tfds import prepared_folders
from flan_t5x.errors import UserError
from flan_t5x.files import sha256

State = Literal["present", "partial", "missing", "damaged"]

PART = ".part"
"""Suffix of a file that is still being fetched."""

RECORD = ".flan_t5x_fetched.jsonl"
"""Name of the record below the data folder: one JSON object {path, size, sha256} a line."""


@dataclass(frozen=True)
class FileState:
    """Attributes: state: of the file; detail: why, where it is not simply there or missing."""

    path: str
    state: State
    detail: str = ""


@dataclass(frozen=True)
class SourceState:
    """How much of a source is there.

    Attributes:
        state: "present" where all is there, "partial" where some is, "damaged" where any file
            is not what it should be.
        have: files that are there and not known to be damaged.
        want: files that should be; None where their number is not known.
        problems: the files that are damaged or missing while others are there.
        unchecked: files that are there, but nobody knows their checksum.
    """

    state: State
    have: int
    want: int | None
    problems: tuple[FileState, ...] = ()
    unchecked: int = 0


class Record:
    """What was fetched into a data folder: size and SHA-256 of each file, by its path.

    Args:
        root: the data folder.
    """

    def __init__(self, root: Path) -> None:
        self._path = root / RECORD
        self._known: dict[str, tuple[int, str]] = {}
        with contextlib.suppress(FileNotFoundError):
            for line in self._path.read_text("utf-8", errors="replace").splitlines():
                # A kill may have cut the last line: it then counts as not written.
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    row = json.loads(line)
                    self._known[row["path"]] = (int(row["size"]), str(row["sha256"]))

    def get(self, path: str) -> tuple[int, str] | None:
        """(bytes, SHA-256) of a fetched file, or None."""
        return self._known.get(path)

    def below(self, folder: str) -> list[str]:
        """Paths of fetched files in a folder."""
        return [path for path in self._known if path.startswith(f"{folder}/")]

    def add(self, path: str, size: int, sha256: str) -> None:
        """Writes a file down. Lines are short, so appended lines of two processes stay whole."""
        self._known[path] = (size, sha256)
        line = json.dumps({"path": path, "size": size, "sha256": sha256}) + "\n"
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line)


def digest_of(path: Path, kind: str) -> str:
    """Hex digest of a file's bytes; for kinds see `manifest.DIGESTS`."""
    if kind == "sha256":
        return sha256(path)
    header = f"blob {path.stat().st_size}\0".encode()
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.sha1(header)).hexdigest()


def check_file(file: RawFile, root: Path, record: Record, *, deep: bool) -> FileState:
    """The state of one file.

    Args:
        file: what it should be.
        root: the data folder.
        record: of what was fetched there.
        deep: read the whole file for its checksum; else only its size counts.
    """
    path = root / file.path
    noted = record.get(file.path)
    try:
        size = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        started = Path(f"{path}{PART}")
        if started.is_file():
            return FileState(file.path, "partial", f"{started.stat().st_size:,} bytes are fetched")
        return FileState(file.path, "missing")
    expected = file.size if file.size is not None else noted[0] if noted else None
    if expected is not None and size != expected:
        return FileState(file.path, "damaged", f"it has {size:,} bytes, {expected:,} expected")
    wanted = file.digest or (("sha256", noted[1]) if noted else None)
    if deep and wanted is not None:
        found = digest_of(path, wanted[0])
        if found != wanted[1]:
            detail = f"its {wanted[0]} is {found}, {wanted[1]} expected"
            return FileState(file.path, "damaged", detail)
    return FileState(file.path, "present", "" if wanted else "no checksum is known")


def check_source(
    source: RawSource, root: Path | None, *, deep: bool = False, record: Record | None = None
) -> SourceState:
    """The state of a source.

    Args:
        source: what should be there.
        root: the data folder; None where none is chosen, so that nothing is there.
        deep: read all files for their checksums.
        record: of what was fetched there; None reads it.

    Raises:
        UserError: a file cannot be read.
    """
    if source.kind == "tfds":
        return _prepared(source, root)
    if root is None:
        return SourceState("missing", 0, len(source.files) or None)
    record = record or Record(root)
    try:
        if source.kind == "files":
            return _explicit(source.files, root, record, deep=deep)
        return _whatever_is_there(source, root, record, deep=deep)
    except OSError as error:
        raise UserError(f"{source.name}: cannot read {error.filename}: {error.strerror}") from error


def _explicit(files: tuple[RawFile, ...], root: Path, record: Record, *, deep: bool) -> SourceState:
    states = [check_file(file, root, record, deep=deep) for file in files]
    good = [s for s in states if s.state == "present"]
    bad = tuple(s for s in states if s.state != "present")
    state: State = "present"
    if any(s.state == "damaged" for s in bad):
        state = "damaged"
    elif bad:
        begun = good or any(s.state == "partial" for s in bad)
        state = "partial" if begun else "missing"
    return SourceState(
        state,
        len(good),
        len(files),
        bad if state != "missing" else (),
        sum(bool(s.detail) for s in good),
    )


def _whatever_is_there(source: RawSource, root: Path, record: Record, *, deep: bool) -> SourceState:
    """An unpacked archive, or what a person put there: the record and a pattern name the files."""
    noted = record.below(source.folder) if source.kind == "archive" else []
    if noted:
        return _explicit(tuple(RawFile(path, ()) for path in noted), root, record, deep=deep)
    pattern = source.pattern or f"{source.folder}/{source.members.rsplit('/', 1)[-1]}"
    found = sum(1 for path in root.glob(pattern) if not path.name.endswith(PART))
    return SourceState("present" if found else "missing", found, None, (), found)


def _prepared(source: RawSource, root: Path | None) -> SourceState:
    name, _, version = source.builder.partition(":")
    for folder in prepared_folders(root):
        place = folder / name / version
        if (place / "dataset_info.json").is_file():
            missing = tuple(
                FileState(str(place / file), "missing", "named by dataset_info.json")
                for file in _missing_shards(place)
            )
            return SourceState("damaged" if missing else "present", 1, 1, missing)
    return SourceState("missing", 0, 1)


def _missing_shards(place: Path) -> list[str]:
    """Files that a prepared data set should have and has not; TFDS's naming of shards."""
    try:
        info: Mapping[str, object] = json.loads((place / "dataset_info.json").read_text("utf-8"))
        splits = info.get("splits") or []
        kind = str(info.get("fileFormat") or "tfrecord")
        wanted = []
        for split in splits if isinstance(splits, list) else []:
            counts = split.get("shardLengths") or []
            stem = f"{info['name']}-{split['name']}.{kind}"
            total = len(counts)
            wanted += [f"{stem}-{i:05d}-of-{total:05d}" for i in range(total)]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ["dataset_info.json"]
    return [file for file in wanted if not (place / file).is_file()]
