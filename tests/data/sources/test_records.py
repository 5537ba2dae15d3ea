"""Records in every format: the same rows, from any position, and damage that is named."""

from __future__ import annotations

import gzip
import json
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flan_t5x.data.definitions import RowError
from flan_t5x.data.sources.records import (
    RecordCursor,
    count_records,
    read_records,
    suffix_of,
)
from flan_t5x.errors import UserError

ROWS: list[dict[str, Any]] = [
    {"inputs": f"früit {i}", "n": i, "choices": ["a", "b", str(i)]} for i in range(37)
]


def tfrecord(rows: list[dict[str, Any]]) -> bytes:
    """Frames with checksums of zero, which nothing here relies on."""
    from tensorflow.train import BytesList, Example, Feature, Features, Int64List

    def feature(value: Any) -> Any:
        if isinstance(value, int):
            return Feature(int64_list=Int64List(value=[value]))
        texts = [value] if isinstance(value, str) else value
        return Feature(bytes_list=BytesList(value=[text.encode() for text in texts]))

    found = b""
    for row in rows:
        features = Features(feature={name: feature(value) for name, value in row.items()})
        message = Example(features=features).SerializeToString()
        found += struct.pack("<Q", len(message)) + b"\0" * 4 + message + b"\0" * 4
    return found


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    path = folder / name
    if ".parquet" in name:
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=10)
        return path
    if ".tfrecord" in name:
        content = tfrecord(rows)
    elif ".jsonl" in name:
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    else:
        content = json.dumps(rows).encode()
    path.write_bytes(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)
    return path


NAMES = (
    "a.jsonl",
    "a.jsonl.gz",
    "a.json",
    "a.json.gz",
    "a.parquet",
    "train.tfrecord-00000-of-00001",
    "a.tfrecord.gz",
)


@pytest.fixture(scope="module", params=NAMES)
def path(request, tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("records"), request.param, ROWS)


def test_all_formats_hold_the_same_rows(path):
    assert count_records(path) == len(ROWS)
    assert list(read_records(path)) == ROWS
    assert list(read_records(path, 17)) == ROWS[17:]
    assert list(read_records(path, 99)) == []


def test_ranges_in_any_order(path):
    cursor = RecordCursor(path)
    for start, stop in ((0, 5), (5, 9), (20, 30), (3, 4), (36, 50), (0, 37), (12, 12)):
        assert list(cursor.read(start, stop)) == ROWS[start:stop]
    copy = pickle.loads(pickle.dumps(cursor))
    assert list(copy.read(30, 33)) == ROWS[30:33]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=6))
def test_a_cursor_reads_what_a_list_would(tmp_path_factory, ranges):
    path = tmp_path_factory.getbasetemp() / "cursor.jsonl"
    if not path.exists():
        write(path.parent, path.name, ROWS)
    cursor = RecordCursor(path)
    for start, stop in ranges:
        assert list(cursor.read(start, stop)) == ROWS[start:stop]


def test_a_reader_that_stops_early_leaves_the_cursor_right(tmp_path):
    cursor = RecordCursor(write(tmp_path, "a.jsonl", ROWS))
    reader = cursor.read(0, 10)
    assert [next(reader), next(reader)] == ROWS[:2]
    assert list(cursor.read(2, 5)) == ROWS[2:5]
    assert list(cursor.read(0, 3)) == ROWS[:3]


def test_formats_by_name():
    assert [suffix_of(Path(name)) for name in NAMES] == [
        ".jsonl",
        ".jsonl",
        ".json",
        ".json",
        ".parquet",
        ".tfrecord",
        ".tfrecord",
    ]
    for name in ("a.txt", "jsonl", ".json", "a.jsonlx", "stats.train"):
        assert suffix_of(Path(name)) == ""


def test_rows_that_cannot_be_read(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n\n{"a": \n[1]\n{"a": "\xff"}\r\n\xef\xbb\xbf{"a": 2}')
    found = list(read_records(path))
    assert count_records(path) == len(found) == 5
    assert [r if isinstance(r, dict) else r.reason for r in found] == [
        {"a": 1},
        "not JSON",
        "not a JSON object",
        "not UTF-8",
        {"a": 2},
    ]
    assert isinstance(found[3], RowError)
    assert found[3].detail == "byte 8 is 0xff"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b"["),
        ("a.json", b'{"a": 1}'),
        ("a.json", b"\xff"),
        ("a.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 99, mtime=0)[:-12]),
        ("a.jsonl.gz", b"\x1f\x8bnonsense"),
        ("a.parquet", b"no parquet"),
        ("a.tfrecord", b"\x05"),
        ("a.tfrecord", struct.pack("<Q", 100) + b"\0" * 20),
    ],
)
def test_files_that_are_damaged_as_a_whole(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    for call in (count_records, lambda p: list(read_records(p))):
        with pytest.raises(UserError, match=rf"{name}' is damaged \(.+\)\. Get it again\."):
            call(path)


def test_an_unknown_format(tmp_path):
    with pytest.raises(UserError, match=r"a.csv': its format is not known; one of .jsonl, "):
        list(read_records(tmp_path / "a.csv"))


def test_a_message_that_is_no_example(tmp_path):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(struct.pack("<Q", 3) + b"\0" * 4 + b"\xff\xff\xff" + b"\0" * 4)
    (found,) = read_records(path)
    assert isinstance(found, RowError)
    assert found.reason == "not a tf.train.Example"
