"""Rows found by their places are those that reading the whole file gives; the index on disk."""

from __future__ import annotations

import json
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flan_t5x.data.cache import CACHE_VARIABLE
from flan_t5x.data.definitions import BadRow, Example, RowError
from flan_t5x.data.sources import line_index
from flan_t5x.data.sources.jsonl import JsonlSource
from flan_t5x.errors import UserError

SPLITS = ("train", "validation", "test")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))


@pytest.fixture
def kept(monkeypatch):
    """Every index goes to the cache folder."""
    monkeypatch.setattr(line_index, "KEPT_FROM", 0)


def read_whole(path: Path) -> dict[str, list[Example | BadRow]]:
    """What a reader that holds all rows in memory finds."""
    source, found = JsonlSource(str(path)), {split: [] for split in SPLITS}
    seen: dict[str, int] = {}
    for number, raw in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not raw.strip():
            continue
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r")
            split, example = source.parse(text, number)
            if example.id in seen:
                detail = f"id {example.id!r} is on line {seen[example.id]} too"
                raise RowError("duplicate id", detail)
            seen[example.id] = number
            found[split].append(example)
        except UnicodeDecodeError:
            found["train"].append(BadRow(f"line {number}", "not UTF-8", ""))
        except RowError as error:
            detail = f"{path.name} line {number}: {error.detail}"
            found["train"].append(BadRow(f"line {number}", error.reason, detail))
    return found


def row(id: object, split: str | None = None) -> bytes:
    more = {"split": split} if split else {}
    return json.dumps({"inputs": "x", "targets": "y", "id": id, **more}).encode()


LINES = st.one_of(
    st.builds(
        row, st.sampled_from(["a", "b", "line 3", 7, None]), st.sampled_from([*SPLITS, None])
    ),
    st.sampled_from([b"", b"  ", b"\r", b"{", b"[1]", b'{"inputs": "\xff"}', row("a") + b"\r"]),
)


@settings(deadline=None, max_examples=60)
@given(lines=st.lists(LINES, max_size=12), bom=st.booleans(), last=st.booleans())
def test_rows_are_those_of_a_reader_of_everything(tmp_path_factory, lines, bom, last):
    path = tmp_path_factory.getbasetemp() / "lines.jsonl"
    path.write_bytes(
        b"\xef\xbb\xbf" * bom + b"\n".join([row("first", "test"), *lines]) + b"\n" * last
    )
    source = JsonlSource(str(path))
    for split, expected in read_whole(path).items():
        if not expected:
            assert split not in source.splits
            continue
        assert source.num_examples(split) == len(expected)
        found = list(source.read(split, 0, 99))
        for one, other in zip(found, expected, strict=True):
            assert one == other or (
                one.reason == other.reason == "not UTF-8" and one.id == other.id
            )
        assert list(source.read(split, 1, 3)) == found[1:3]


def many(path: Path) -> JsonlSource:
    rows = [row(f"id {i % 700}", SPLITS[i % 3]) for i in range(900)]
    path.write_bytes(b"\n".join(rows))
    return JsonlSource(str(path))


def test_an_index_on_disk_is_made_once(tmp_path, kept, monkeypatch):
    in_memory = many(tmp_path / "x.jsonl")
    monkeypatch.setattr(line_index, "KEPT_FROM", 1 << 30)
    sizes, print_ = in_memory.sizes(), in_memory.fingerprint()
    rows = {split: list(in_memory.read(split, 0, 999)) for split in SPLITS}
    assert sum(isinstance(one, BadRow) for one in rows["train"]) == 200
    monkeypatch.setattr(line_index, "KEPT_FROM", 0)
    source = JsonlSource(in_memory.path)
    assert source.sizes() == sizes
    monkeypatch.setattr(line_index, "_read_through", None)  # not called again
    copy = pickle.loads(pickle.dumps(source))
    assert isinstance(copy._indexed().splits["train"], np.memmap)
    assert copy.fingerprint() == print_
    assert {split: list(copy.read(split, 0, 999)) for split in SPLITS} == rows


def test_a_damaged_or_unwritable_index_costs_time_only(tmp_path, kept):
    sizes = many(tmp_path / "x.jsonl").sizes()
    (folder,) = (tmp_path / "cache" / "line_index").iterdir()
    (folder / "rows.npy").write_bytes(b"")
    assert JsonlSource(str(tmp_path / "x.jsonl")).sizes() == sizes
    (tmp_path / "cache").rename(tmp_path / "gone")
    (tmp_path / "cache").touch()
    assert JsonlSource(str(tmp_path / "x.jsonl")).sizes() == sizes


def test_a_file_that_was_written_to_is_indexed_anew_but_refused_by_a_worker(tmp_path, kept):
    source = many(tmp_path / "x.jsonl")
    assert source.num_examples("train") == 434
    worker = pickle.loads(pickle.dumps(source))
    with (tmp_path / "x.jsonl").open("ab") as file:
        file.write(b"\n" + row("new", "train"))
    assert source.num_examples("train") == 435
    with pytest.raises(UserError, match=r"x\.jsonl' was changed while it was being read"):
        worker.num_examples("train")


def test_memory_does_not_grow_with_the_size_of_rows(tmp_path, kept):
    path, text = tmp_path / "x.jsonl", "word " * 20_000
    with path.open("w") as file:
        for number in range(100):
            row = {"inputs": f"{number} {text}", "targets": "y", "split": "train"}
            file.write(json.dumps(row) + "\n")
    source = JsonlSource(str(path))
    tracemalloc.start()
    try:
        assert sum(len(one.fields["inputs"]) for one in source.read("train", 0, 100)) > 10**7
        assert tracemalloc.get_traced_memory()[1] < 10**6
    finally:
        tracemalloc.stop()
