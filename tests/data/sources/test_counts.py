"""Counts that are remembered: once per state of a file, across processes, never wrong."""

from __future__ import annotations

import hashlib
import os

import pytest

from flan_t5x.data.cache import CACHE_VARIABLE
from flan_t5x.data.sources import counts


@pytest.fixture
def counting(tmp_path, monkeypatch):
    """Counts lines, and notes each time that it really does."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    calls = []

    def count(path) -> int:
        calls.append(path.name)
        return len(path.read_text().splitlines())

    yield count, calls
    counts.forget()


def test_a_file_is_counted_once(tmp_path, counting):
    count, calls = counting
    path = tmp_path / "rows.txt"
    path.write_text("a\nb\n")
    facts = counts.file_facts(path, count, how="lines 1")
    assert facts == (2, hashlib.sha256(b"a\nb\n").hexdigest())
    counts.forget()  # as in a new process
    assert counts.file_facts(path, count, how="lines 1") == facts
    assert calls == ["rows.txt"]
    counts.file_facts(path, count, how="lines 2")
    assert len(calls) == 2


def test_a_changed_file_is_counted_anew(tmp_path, counting):
    count, calls = counting
    path = tmp_path / "rows.txt"
    path.write_text("a\nb\n")
    counts.file_facts(path, count, how="lines")
    path.write_text("a\n\n")  # as long as before
    os.utime(path, ns=(0, 12345))
    assert counts.file_facts(path, count, how="lines").rows == 2
    path.write_text("a\n")
    os.utime(path, ns=(0, 12345))  # as old as before
    assert counts.file_facts(path, count, how="lines").rows == 1
    assert len(calls) == 3


def test_damaged_notes_only_cost_time(tmp_path, counting):
    count, calls = counting
    path = tmp_path / "rows.txt"
    path.write_text("a\n")
    counts.file_facts(path, count, how="lines")
    notes = tmp_path / "cache" / "row_counts.jsonl"
    text = notes.read_text()
    for damage in (text[:-20], "[1]\nnull\n{}\n", "\udcff", ""):
        notes.write_bytes(damage.encode("utf-8", "surrogateescape"))
        counts.forget()
        assert counts.file_facts(path, count, how="lines").rows == 1
        counts.forget()  # what was noted after the damage is found
        assert counts.file_facts(path, count, how="lines").rows == 1
    assert len(calls) == 5


def test_a_cache_folder_that_cannot_be_made(tmp_path, counting, monkeypatch):
    count, _ = counting
    path = tmp_path / "rows.txt"
    path.write_text("a\n")
    monkeypatch.setenv(CACHE_VARIABLE, str(path / "below_a_file"))
    assert counts.file_facts(path, count, how="lines").rows == 1
