"""Records, shards and the reader."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flan_t5x.data import cache_records
from flan_t5x.data.cache import CachedSplit, ensure_cached
from flan_t5x.data.cache_manifest import CacheDamage
from flan_t5x.data.cache_records import ShardWriter, decode_record, encode_record
from flan_t5x.errors import UserError
from tests.data.cache_toys import make_vocabulary, toy_spec, toy_task

IDS = st.lists(st.integers(0, 2**31 - 1), max_size=40)
INFO = st.none() | st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=4)
ROWS = 50


@pytest.fixture
def split(tmp_path: Path) -> CachedSplit:
    spec = toy_spec(make_vocabulary(tmp_path), toy_task(rows=(("validation", ROWS),)))
    return ensure_cached(spec, tmp_path / "cache", num_workers=1)["toy_last", "validation"]


def same(left: Any, right: Any) -> bool:
    """Whether two examples agree in every part."""
    return (
        np.array_equal(left.inputs, right.inputs)
        and np.array_equal(left.targets, right.targets)
        and left.info == right.info
    )


@settings(deadline=None)
@given(inputs=IDS, targets=IDS, info=INFO)
def test_a_record_comes_back(inputs: list[int], targets: list[int], info: dict | None) -> None:
    example = decode_record(encode_record(inputs, targets, info), len(inputs), len(targets))
    assert example.inputs.tolist() == inputs
    assert example.targets.tolist() == targets
    assert example.info == info
    assert example.inputs.dtype == example.targets.dtype == np.int32


def test_the_bytes_of_a_record_are_fixed() -> None:
    header = b"\x02\0\0\0\x01\0\0\0"
    tokens = b"\x07\0\0\0\x01\0\0\0\x02\x01\0\0"
    assert encode_record([7, 1], [258], None) == header + tokens
    assert encode_record([7, 1], [258], {"id": "é"}) == header + tokens + '{"id":"é"}'.encode()


@settings(deadline=None)
@given(st.integers(0, 3), st.integers(0, 3))
def test_a_record_with_other_lengths_is_damage(n_in: int, n_tg: int) -> None:
    record = encode_record([5, 1], [1], {"text": "longer than the tokens would be"})
    if (n_in, n_tg) == (2, 1):
        assert decode_record(record, n_in, n_tg).inputs.tolist() == [5, 1]
    else:
        with pytest.raises(CacheDamage, match="lengths"):
            decode_record(record, n_in, n_tg)


def test_writer_says_when_its_folder_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ShardWriter(tmp_path / "missing" / "x.array_record")


def test_read_gives_the_order_asked_for(split: CachedSplit) -> None:
    alone = [split.read([i])[0] for i in range(ROWS)]
    order = np.random.default_rng(0).integers(0, ROWS, 200)
    together = split.read(order)
    assert all(same(example, alone[i]) for example, i in zip(together, order, strict=True))
    assert [len(e.inputs) for e in alone] == split.lengths[:, 0].tolist()
    assert [len(e.targets) for e in alone] == split.lengths[:, 1].tolist()
    assert split.read([]) == []
    assert len(split) == ROWS


def test_memory_and_files_give_the_same(
    split: CachedSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = list(range(ROWS)) * 2
    split.read(order)
    in_memory = split.read(order)
    assert split._resident is not None
    monkeypatch.setattr(cache_records, "RESIDENT_SPLIT_BYTES", 0)
    from_files = CachedSplit(split.directory, split.manifest)
    for _ in range(2):
        assert all(same(a, b) for a, b in zip(in_memory, from_files.read(order), strict=True))
    assert from_files._resident is None


def test_a_split_read_often_moves_into_memory_within_the_budget(
    split: CachedSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = cache_records._MemoryBudget(split.manifest.record_bytes)
    monkeypatch.setattr(cache_records, "_RESIDENT", budget)
    first = CachedSplit(split.directory, split.manifest)
    second = CachedSplit(split.directory, split.manifest)
    first.read([0])
    assert first._resident is None, "one record does not load the split"
    first.read(range(ROWS))
    assert first._resident is not None
    second.read(range(ROWS))
    assert second._resident is None, "the budget is spent"
    del first
    gc.collect()
    third = CachedSplit(split.directory, split.manifest)
    third.read(range(ROWS))
    assert third._resident is not None, "what was dropped gave its bytes back"


@pytest.mark.parametrize("bad", [-1, ROWS])
def test_positions_out_of_range_are_refused(split: CachedSplit, bad: int) -> None:
    with pytest.raises(IndexError, match=f"toy_last validation has {ROWS} examples"):
        split.read([0, bad])


def test_many_shards_and_few_open_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flan_t5x.data.cache_plan.ROWS_PER_SHARD", 7)
    monkeypatch.setattr("flan_t5x.data.cache_split.ROWS_PER_SHARD", 7)
    monkeypatch.setattr(cache_records, "RESIDENT_SPLIT_BYTES", 0)
    spec = toy_spec(make_vocabulary(tmp_path), toy_task(rows=(("test", ROWS),)))
    many = ensure_cached(spec, tmp_path / "cache", num_workers=1)["toy_last", "test"]
    assert [entry.examples for entry in many.manifest.shards] == [7] * 7 + [1]
    ids = [example.info["id"] for example in many.read(range(ROWS)[::-1]) if example.info]
    assert ids == [f"test-{i}" for i in range(ROWS)][::-1]


def test_threads_may_read_together(split: CachedSplit) -> None:
    alone = [example.inputs.tolist() for example in split.read(range(ROWS))]
    wrong: list[int] = []

    def read(seed: int) -> None:
        shared = CachedSplit(split.directory, split.manifest) if seed % 2 else split
        rng = np.random.default_rng(seed)
        for _ in range(50):
            order = rng.integers(0, ROWS, 8)
            got = [example.inputs.tolist() for example in shared.read(order)]
            wrong.extend(i for i, tokens in zip(order, got, strict=True) if tokens != alone[i])

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_damage_found_while_reading_is_named_and_marked(split: CachedSplit) -> None:
    path = split.directory / split.manifest.shards[0].name
    content = bytearray(path.read_bytes())
    content[len(content) // 3 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 3)
    content[:2000] = bytes(2000)
    path.write_bytes(content)
    cache_records.close_readers()
    fresh = CachedSplit(split.directory, split.manifest)
    with pytest.raises(UserError, match=r"token cache .*validation is damaged.*same command"):
        fresh.read(range(ROWS))
    assert (split.directory / "damaged.txt").exists()


def test_a_file_that_went_away_is_no_damage(split: CachedSplit) -> None:
    (split.directory / split.manifest.shards[0].name).unlink()
    with pytest.raises(UserError, match=r"cannot be read \(.*array_record: No such file"):
        split.read([0])
    assert not (split.directory / "damaged.txt").exists()


def test_verify_reads_every_byte(split: CachedSplit) -> None:
    split.verify()
    path = split.directory / split.manifest.shards[0].name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="does not have its checksum"):
        split.verify()
