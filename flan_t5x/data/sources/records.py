"""Files of records in the formats that data sets are published in, read by position.

``.jsonl`` and ``.json`` (a list of objects), plain or ``.gz``; ``.parquet``; ``.tfrecord`` with
`tf.train.Example` messages. A record is a dict of plain values; one that cannot be read is the
`RowError` that says why. Nothing but one block of a file is held in memory.
"""

from __future__ import annotations

import codecs
import contextlib
import gzip
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from flan_t5x.data.definitions import RowError
from flan_t5x.data.sources.json_list import json_list
from flan_t5x.errors import UserError

Record = dict[str, Any] | RowError

_LENGTH = struct.Struct("<Q")
_AROUND = 4  # bytes of each of a TFRecord's two checksums
_GZIP = b"\x1f\x8b"


def suffix_of(path: Path) -> str:
    """The format: ".jsonl", ".json", ".parquet" or ".tfrecord"; empty for another one.

    Shard numbers (``train.tfrecord-00000-of-00002``) and ``.gz`` do not count.
    """
    name = path.name.removesuffix(".gz")
    for suffix in _READERS:
        stem, found, rest = name.rpartition(suffix)
        if found and stem and (not rest or rest.startswith("-")):
            return suffix
    return ""


def count_records(path: Path) -> int:
    """How many records a file has.

    Raises:
        UserError: for a file that is damaged as a whole.
        OSError: where it cannot be read.
    """
    if suffix_of(path) == ".parquet":
        with _damage(path):
            return int(_parquet(path).metadata.num_rows)
    if suffix_of(path) == ".tfrecord":
        with _damage(path), _open(path) as file:
            return sum(1 for _ in _tfrecord_messages(file))
    return sum(1 for _ in read_records(path))


def read_records(path: Path, start: int = 0) -> Iterator[Record]:
    """The records of a file from a position on.

    Raises:
        UserError: for a file that is damaged as a whole, named with what is wrong.
        OSError: where it cannot be read.
    """
    suffix = suffix_of(path)
    if not suffix:
        raise UserError(
            f"{str(path)!r}: its format is not known; one of {', '.join(_READERS)} is needed "
            "(.gz may follow)."
        )
    with _damage(path):
        yield from _READERS[suffix](path, start)


@contextlib.contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turns what a broken file raises into a UserError that names it."""
    # Looked up now: a reader that is left open ends when Python has already emptied its modules.
    broken = (ValueError, EOFError, gzip.BadGzipFile, zlib.error)
    try:
        yield
    except broken as error:
        raise UserError(f"{str(path)!r} is damaged ({error}). Get it again.") from error


def _open(path: Path) -> BinaryIO:
    """The file's bytes, unpacked where it begins like gzip, whatever it is called."""
    file = path.open("rb")
    packed = file.read(2) == _GZIP
    file.seek(0)
    return gzip.GzipFile(fileobj=file, mode="rb") if packed else file  # type: ignore[return-value]


def _read_lines(path: Path, start: int) -> Iterator[Record]:
    with _open(path) as file:
        lines = (line for line in file if line.strip())
        for place, line in enumerate(lines):
            if place >= start:
                yield _parse_line(line)


def _parse_line(line: bytes) -> Record:
    try:
        return as_record(json.loads(line.decode("utf-8-sig")))
    except UnicodeDecodeError as error:
        return RowError("not UTF-8", f"byte {error.start + 1} is {line[error.start]:#04x}")
    except (json.JSONDecodeError, RecursionError) as error:
        return RowError("not JSON", str(error))


def as_record(value: object) -> Record:
    """An object as a record; anything else as the reason why it is none."""
    if isinstance(value, dict):
        return value
    return RowError("not a JSON object", f"a {type(value).__name__}")


def _read_list(path: Path, start: int) -> Iterator[Record]:
    with _open(path) as file:
        values = json_list(codecs.getreader("utf-8-sig")(file))
        yield from map(as_record, islice(values, start, None))


def _parquet(path: Path) -> Any:
    from pyarrow import parquet

    return parquet.ParquetFile(path)


def _read_parquet(path: Path, start: int) -> Iterator[Record]:
    file = _parquet(path)
    passed = 0
    for number in range(file.num_row_groups):
        size = file.metadata.row_group(number).num_rows
        if passed + size > start:
            rows = chain.from_iterable(
                batch.to_pylist() for batch in file.iter_batches(1024, row_groups=[number])
            )
            yield from islice(rows, max(start - passed, 0), None)
        passed += size


def _tfrecord_messages(file: BinaryIO) -> Iterator[bytes]:
    """Frames are: length, its checksum, the message, its checksum (all little endian)."""
    while head := file.read(_LENGTH.size + _AROUND):
        if len(head) < _LENGTH.size + _AROUND:
            raise EOFError("it ends inside a record")
        (length,) = _LENGTH.unpack(head[: _LENGTH.size])
        message = file.read(length)
        if len(message) < length or len(file.read(_AROUND)) < _AROUND:
            raise EOFError("it ends inside a record")
        yield message


def _read_tfrecord(path: Path, start: int) -> Iterator[Record]:
    from tensorflow.train import Example as Message

    with _open(path) as file:
        for place, data in enumerate(_tfrecord_messages(file)):
            if place >= start:
                yield _parse_message(Message, data)


def _parse_message(message: Any, data: bytes) -> Record:
    from google.protobuf.message import DecodeError

    try:
        features = message.FromString(data).features.feature
        return {name: _feature(value) for name, value in features.items()}
    except DecodeError as error:
        return RowError("not a tf.train.Example", str(error))
    except UnicodeDecodeError as error:
        return RowError("not UTF-8", f"byte {error.start + 1} of a text")


def _feature(value: Any) -> Any:
    """A text, a number, or a list of them where there is not exactly one."""
    kind = value.WhichOneof("kind")
    if kind is None:
        return []
    found = list(getattr(value, kind).value)
    if kind == "bytes_list":
        found = [text.decode("utf-8") for text in found]
    return found[0] if len(found) == 1 else found


_READERS: dict[str, Callable[[Path, int], Iterator[Record]]] = {
    ".jsonl": _read_lines,
    ".json": _read_list,
    ".parquet": _read_parquet,
    ".tfrecord": _read_tfrecord,
}


class RecordCursor:
    """Reads ranges of a file; a range that begins where the last one ended costs no search.

    Copies in other processes start anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._place = 0
        self._rest: Iterator[Record] | None = None

    def read(self, start: int, stop: int) -> Iterator[Record]:
        """Records start..stop-1. Raises as `read_records` does."""
        if self._rest is None or start < self._place:
            self._rest, self._place = read_records(self.path, start), start
        rest = self._rest
        while self._place < stop:
            record = next(rest, None)
            if record is None:
                self._rest = None
                return
            self._place += 1
            if self._place > start:
                yield record

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_place": 0, "_rest": None}
