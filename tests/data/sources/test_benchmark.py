"""Benchmark files: packed, elsewhere, damaged, with repeated ids; what a fingerprint covers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from flan_t5x.data.definitions import BadRow, Example
from flan_t5x.data.sources import counts
from flan_t5x.data.sources.benchmark import BenchmarkFile, BenchmarkSource, Rows
from flan_t5x.data.sources.location import MissingDataError, set_data_dir
from flan_t5x.errors import UserError


def parse(text: str, *, mark: str = "") -> Rows:
    """A list of [id, answer]."""
    return [Example(id, {"mark": mark}, answer) for id, answer in json.loads(text)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("FLAN_T5X_CACHE_DIR", str(tmp_path / "cache"))
    counts.forget()
    set_data_dir(tmp_path)
    yield tmp_path
    set_data_dir(None)
    counts.forget()


def source(*others: str, mark: str = "", version: int = 1) -> BenchmarkSource:
    file = BenchmarkFile("toys", "a.json", parse, (("mark", mark),), others=others)
    missing = BenchmarkFile("toys_more", "b.json", parse)
    return BenchmarkSource({"test": file, "validation": missing}, version=version)


def test_plain_packed_and_elsewhere(folder: Path) -> None:
    text = json.dumps([["x", "red"], ["y", "blue"], ["x", "green"]])
    (folder / "else.json").write_text(text)
    assert source("else.json").num_examples("test") == 3
    (folder / "a.json.gz").write_bytes(gzip.compress(text.encode()))
    first, second, third = source(mark="!").read("test", 0, 9)
    assert isinstance(first, Example)
    assert (first.answer, first.fields) == ("red", {"mark": "!"})
    assert isinstance(second, Example)
    assert isinstance(third, BadRow)
    assert third.reason == "duplicate id"
    assert [row.id for row in source().read("test", 1, 2)] == ["y"]


def test_what_is_missing_or_damaged(folder: Path) -> None:
    with pytest.raises(
        MissingDataError, match=r"b\.json' does not exist; `flan-t5x data fetch --onl"
    ):
        source().num_examples("validation")
    with pytest.raises(UserError, match="there is no split 'dev'; there are test, validation"):
        source().num_examples("dev")
    (folder / "a.json").write_text("[[1]]")
    with pytest.raises(UserError, match=r"a\.json' is not what it should be"):
        source().num_examples("test")


def test_the_data_folder_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLAN_T5X_DATA_DIR", raising=False)
    set_data_dir(None)
    with pytest.raises(MissingDataError, match="--data_dir"):
        source().num_examples("test")


def test_fingerprints(folder: Path) -> None:
    (folder / "a.json").write_text('[["x", "red"]]')
    first = source().fingerprint()
    assert source().fingerprint() == first
    assert len({first, source(mark="!").fingerprint(), source(version=2).fingerprint()}) == 3
    (folder / "b.json").write_text('[["z", "red"]]')
    second = source().fingerprint()
    (folder / "a.json").write_text('[["x", "redder"]]')
    assert len({first, second, source().fingerprint()}) == 3
