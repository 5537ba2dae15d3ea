"""Token records, the shards that hold them, and the reader of one cached task split.

A record is ``uint32 n_in, uint32 n_tg, int32 tokens[n_in + n_tg]``, little-endian, then, in
splits that are not for training, a UTF-8 JSON object with what scoring needs. Shards are
ArrayRecord files with one record to a group, so that any record costs one small read.
"""

from __future__ import annotations

import contextlib
import errno
import json
import struct
import threading
import weakref
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter
from jaxtyping import Int32, Int64

from flan_t5x.data.cache_manifest import CacheDamage, Manifest, mark_damaged, verify_files
from flan_t5x.errors import UserError

# zstd at its lowest level halves the bytes and writes twice as fast as the default level.
WRITER_OPTIONS = "group_size:1,zstd:1"
READER_OPTIONS = "readahead_buffer_size:0,max_parallelism:1"
SMALLEST_SHARD = 2 << 16  # ArrayRecord pads to blocks of 64 KiB and writes at least two
MAX_OPEN_READERS = 256  # 2,000 tasks must not run into the usual limit of 1,024 open files
RESIDENT_SPLIT_BYTES = 64 << 20
RESIDENT_TOTAL_BYTES = 1 << 30
_MMAP_BYTES = 16 << 20

_HEADER = struct.Struct("<II")
TOKEN = np.dtype("<i4")


class TokenExample(NamedTuple):
    """One cached example. Arrays are read-only views, end-of-sequence ids included.

    Attributes:
        inputs: int32 ``[n_in]``.
        targets: int32 ``[n_tg]``.
        info: texts, id and answers in splits that are not for training, else None.
    """

    inputs: Int32[np.ndarray, " n_in"]
    targets: Int32[np.ndarray, " n_tg"]
    info: dict[str, Any] | None


class DiskFullError(Exception):
    """No space left while a shard was written; the build turns it into a `UserError`.

    Args:
        rows: source rows that had been worked on.
        written: bytes of the file by then.
    """

    def __init__(self, rows: int = 0, written: int = 0) -> None:
        super().__init__(rows, written)
        self.rows = rows
        self.written = written


def encode_record(
    inputs: Sequence[int], targets: Sequence[int], info: Mapping[str, Any] | None
) -> bytes:
    """The bytes of one record.

    Args:
        inputs: token ids, end-of-sequence included.
        targets: likewise.
        info: JSON-able; None writes no text.
    """
    record = _HEADER.pack(len(inputs), len(targets))
    record += np.array([*inputs, *targets], dtype=TOKEN).tobytes()
    if info is not None:
        record += json.dumps(info, ensure_ascii=False, separators=(",", ":")).encode()
    return record


def decode_record(record: bytes, n_in: int, n_tg: int) -> TokenExample:
    """Reads `encode_record`'s bytes and holds them against the lengths index.

    Raises:
        CacheDamage: where the record's own lengths are not `n_in` and `n_tg`.
    """
    end = _HEADER.size + TOKEN.itemsize * (n_in + n_tg)
    if len(record) < end or _HEADER.unpack_from(record) != (n_in, n_tg):
        raise CacheDamage(f"a record does not have the lengths {n_in} and {n_tg} of its index")
    tokens = np.frombuffer(record, TOKEN, n_in + n_tg, _HEADER.size)
    info = json.loads(record[end:]) if len(record) > end else None
    return TokenExample(tokens[:n_in], tokens[n_in:], info)


def is_disk_full(error: BaseException) -> bool:
    """Whether an error of Python or of ArrayRecord's writer means that no space is left."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, RuntimeError) and (
        "No space left" in str(error) or "quota exceeded" in str(error).lower()
    )


class ShardWriter:
    """Writes one ArrayRecord file; `close` returns only when all records are in the file.

    ArrayRecord's own writer reports a file it could not open or fill by a flag, or at close.

    Raises:
        DiskFullError: from `write` and `close`.
        OSError: where the file cannot be created.
    """

    def __init__(self, path: Path) -> None:
        with open(path, "wb"):
            pass  # the operating system's own message where this is not possible
        self.path = path
        self.records = 0
        self.bytes = 0
        self._writer = ArrayRecordWriter(str(path), WRITER_OPTIONS)

    def write(self, record: bytes) -> None:
        try:
            self._writer.write(record)
        except RuntimeError as error:
            raise self._translated(error) from error
        self.records += 1
        self.bytes += len(record)

    def close(self) -> None:
        try:
            self._writer.close()
        except RuntimeError as error:
            raise self._translated(error) from error
        reader = ArrayRecordReader(str(self.path), READER_OPTIONS)
        found = reader.num_records() if reader.ok() else 0
        reader.close()
        if found != self.records:
            raise OSError(
                errno.EIO, f"wrote {self.records} records, {found} are there", str(self.path)
            )

    def abandon(self) -> None:
        """Lets the file go after an error; its content does not matter any more."""
        with contextlib.suppress(RuntimeError):
            self._writer.close()

    def _translated(self, error: RuntimeError) -> Exception:
        if is_disk_full(error):
            return DiskFullError()
        return OSError(errno.EIO, str(error), str(self.path))


@lru_cache(maxsize=MAX_OPEN_READERS)
def _open_reader(path: str) -> ArrayRecordReader:
    """A reader, kept open. One pushed out closes when its last user lets go of it."""
    with open(path, "rb"):
        pass  # no such file, no permission, too many open files: not the file's own fault
    reader = ArrayRecordReader(path, READER_OPTIONS)
    if not reader.ok():
        raise CacheDamage(f"{path} cannot be opened as ArrayRecord")
    return reader


def close_readers() -> None:
    """Forgets the open readers: a path may have been given to a new file."""
    _open_reader.cache_clear()


class _MemoryBudget:
    """Bytes that cached splits of this process may keep in memory together."""

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._lock = threading.Lock()

    def take(self, count: int) -> bool:
        with self._lock:
            if count > self._left:
                return False
            self._left -= count
            return True

    def give_back(self, count: int) -> None:
        with self._lock:
            self._left += count


_RESIDENT = _MemoryBudget(RESIDENT_TOTAL_BYTES)


class CachedSplit:
    """One cached split of one task: random access by position, lengths without reading.

    Small splits that are read often move into memory, within a budget of the process; big
    ones are read from their files. Safe to use from several threads.

    Args:
        directory: the split's directory.
        manifest: its parsed manifest.

    Raises:
        CacheDamage: where the lengths index does not fit the manifest.
    """

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        self.directory = directory
        self.manifest = manifest
        self.task = manifest.task
        self.split = manifest.split
        self.num_examples = manifest.num_examples
        self.lengths: Int32[np.ndarray, "n 2"] = _load_lengths(directory, manifest)
        counts = [entry.examples for entry in manifest.shards]
        self._paths = [str(directory / entry.name) for entry in manifest.shards]
        self._starts: Int64[np.ndarray, " shards"] = np.cumsum([0, *counts], dtype=np.int64)[:-1]
        self._lock = threading.Lock()
        self._resident: list[bytes] | None = None
        self._read_from_files = 0

    def __repr__(self) -> str:
        return f"CachedSplit({self.task!r}, {self.split!r}, {self.num_examples} examples)"

    def __len__(self) -> int:
        return self.num_examples

    def read(self, indices: Sequence[int] | np.ndarray) -> list[TokenExample]:
        """The examples at these positions, in the order asked for; repeats are allowed.

        Args:
            indices: each in 0..num_examples-1.

        Raises:
            IndexError: a position out of range.
            UserError: a file that cannot be read, or a damaged one; a damaged split is marked,
                so that the next start rebuilds it.
        """
        wanted = np.asarray(indices, dtype=np.int64).reshape(-1)
        if wanted.size == 0:
            return []
        if wanted.min() < 0 or wanted.max() >= self.num_examples:
            raise IndexError(
                f"{self.task} {self.split} has {self.num_examples} examples; "
                f"asked for {int(wanted.min())}..{int(wanted.max())}"
            )
        sizes = self.lengths[wanted].tolist()
        try:
            records = self._records(wanted)
            return [decode_record(r, i, t) for r, (i, t) in zip(records, sizes, strict=True)]
        except OSError as error:
            raise UserError(
                f"the token cache {self.directory} cannot be read ({error.filename}: "
                f"{error.strerror}). Run the same command again: what is missing is built."
            ) from error
        except (CacheDamage, RuntimeError, ValueError) as error:
            mark_damaged(self.directory, str(error))
            raise UserError(
                f"the token cache {self.directory} is damaged: {error}. "
                "Run the same command again: the split is rebuilt at the start."
            ) from error

    def report(self) -> dict[str, Any]:
        """Counts of rows kept, truncated and rejected (`report.json`)."""
        return json.loads((self.directory / "report.json").read_text("utf-8"))

    def verify(self) -> None:
        """Compares every file with its size and SHA-256 in the manifest, however big.

        Raises:
            UserError: names the first file that differs.
        """
        try:
            verify_files(self.directory, self.manifest, thorough=True)
        except CacheDamage as error:
            raise UserError(f"the token cache {self.directory} is damaged: {error}") from error

    def _records(self, wanted: Int64[np.ndarray, " n"]) -> list[bytes]:
        with self._lock:
            resident = self._resident
            if resident is None:
                self._read_from_files += wanted.size
                # Loading costs about as much as reading every record once: do it when a good
                # part has been read one by one, so that a look at a few records stays cheap.
                if 4 * self._read_from_files >= self.num_examples:
                    resident = self._load()
        if resident is not None:
            return [resident[i] for i in wanted.tolist()]
        shard_of = np.searchsorted(self._starts, wanted, side="right") - 1
        records: list[bytes] = [b""] * wanted.size
        for shard in np.unique(shard_of).tolist():
            places = np.flatnonzero(shard_of == shard)
            inside = (wanted[places] - self._starts[shard]).tolist()
            found = _open_reader(self._paths[shard]).read(inside)
            for place, record in zip(places.tolist(), found, strict=True):
                records[place] = record
        return records

    def _load(self) -> list[bytes] | None:
        """All records in memory, or None where that is too much. Called under the lock."""
        size = self.manifest.record_bytes
        if size > RESIDENT_SPLIT_BYTES or not _RESIDENT.take(size):
            self._read_from_files = -(1 << 60)  # do not ask again
            return None
        weakref.finalize(self, _RESIDENT.give_back, size)
        records: list[bytes] = []
        for path in self._paths:
            records += _open_reader(path).read_all()
        if len(records) != self.num_examples:
            raise CacheDamage(f"{len(records)} records where the manifest has {self.num_examples}")
        self._resident = records
        return records


def _load_lengths(directory: Path, manifest: Manifest) -> Int32[np.ndarray, "n 2"]:
    path = directory / "lengths.npy"
    try:
        big = path.stat().st_size > _MMAP_BYTES
        lengths = np.load(path, mmap_mode="r" if big else None, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise CacheDamage(f"lengths.npy cannot be read: {error}") from error
    if lengths.dtype != np.int32 or lengths.shape != (manifest.num_examples, 2):
        raise CacheDamage(
            f"lengths.npy is {lengths.dtype}{list(lengths.shape)}, "
            f"the manifest has {manifest.num_examples} examples"
        )
    return lengths
