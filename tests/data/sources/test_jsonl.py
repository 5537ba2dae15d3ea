"""A user's JSON Lines file: what is read, what is refused, and by what name."""

from __future__ import annotations

import json
import pickle
from collections import Counter

import pytest

from flan_t5x.data.definitions import BadRow, Example
from flan_t5x.data.sources.jsonl import JsonlSource
from flan_t5x.data.sources.splits import hashed_split, stable_share
from flan_t5x.errors import UserError


def write(path, *lines) -> JsonlSource:
    """A source over lines that are given as objects, text or bytes."""
    with path.open("wb") as out:
        for line in lines:
            if not isinstance(line, str | bytes):
                line = json.dumps(line)
            out.write((line.encode() if isinstance(line, str) else line) + b"\n")
    return JsonlSource(str(path))


def train(source: JsonlSource) -> list[Example | BadRow]:
    return list(source.read("train", 0, source.num_examples("train")))


def test_a_full_row(tmp_path):
    source = write(
        tmp_path / "x.jsonl",
        {
            **{"inputs": "Which?", "targets": "b", "id": "q1", "options": ["a", "b"]},
            **{"rationale": "because", "split": "train"},
        },
    )
    assert train(source) == [Example("q1", {"inputs": "Which?"}, "b", ("a", "b"), "because")]
    assert source.splits == ("train",)


def test_ids_default_to_line_numbers_and_blank_lines_are_skipped(tmp_path):
    row = {"targets": "b", "split": "train"}
    source = write(
        tmp_path / "x.jsonl",
        {"inputs": "one", **row},
        "   ",
        {"inputs": "two", **row, "id": 7},
        "",
        {"inputs": "three", **row, "id": None, "options": None, "rationale": None},
    )
    assert [e.id for e in train(source)] == ["line 1", "7", "line 5"]


@pytest.mark.parametrize(
    ("line", "reason", "detail"),
    [
        ('{"inputs": "x"', "not JSON", ""),
        ("[1, 2]", "not a JSON object", "a list"),
        ({"inputs": "x"}, "missing field", "'targets' is required"),
        ({"targets": "x"}, "missing field", "'inputs' is required"),
        ({"inputs": 3, "targets": "x"}, "wrong type", "'inputs' is 3; text is needed"),
        ({"inputs": "x", "targets": ["y"]}, "wrong type", "'targets' is ['y']"),
        ({"inputs": "x", "targets": " "}, "empty targets", "'targets' has no text"),
        ({"inputs": "", "targets": "y"}, "empty inputs", "'inputs' has no text"),
        ({"inputs": "x", "targets": "y", "option": []}, "unknown field", "did you mean 'options'"),
        ({"inputs": "x", "targets": "y", "options": "ab"}, "wrong type", "a list of texts"),
        ({"inputs": "x", "targets": "y", "options": [1]}, "wrong type", "a list of texts"),
        ({"inputs": "x", "targets": "y", "id": 1.5}, "wrong type", "'id' is 1.5"),
        ({"inputs": "x", "targets": "y", "id": True}, "wrong type", "'id' is True"),
        ({"inputs": "x", "targets": "y", "split": "dev"}, "unknown split", "'split' is 'dev'"),
        ({"inputs": "x", "targets": "y", "rationale": 1}, "wrong type", "'rationale' is 1"),
        (b'{"inputs": "caf\xe9", "targets": "y"}', "not UTF-8", "byte 16 is 0xe9"),
        ({"inputs": "x", "targets": "y", "id": "same"}, "duplicate id", "'same' is on line 1 too"),
    ],
)
def test_bad_rows_are_named_by_line(tmp_path, line, reason, detail):
    good = {"inputs": "x", "targets": "y", "id": "same", "split": "train"}
    source = write(tmp_path / "own.jsonl", good, line)
    first, bad = train(source)
    assert first.id == "same"
    assert (bad.id, bad.reason) == ("line 2", reason)
    assert bad.detail.startswith("own.jsonl line 2: ")
    assert detail in bad.detail


def test_the_split_rule(tmp_path):
    rows = [{"inputs": f"question {i}", "targets": "y", "id": f"id {i}"} for i in range(3000)]
    source = write(tmp_path / "x.jsonl", *rows)
    sizes = {split: source.num_examples(split) for split in source.splits}
    assert sum(sizes.values()) == 3000
    assert list(sizes) == ["train", "validation", "test"]
    assert 30 < sizes["validation"] < 95
    assert 30 < sizes["test"] < 95
    for split in sizes:
        for row in source.read(split, 0, 9999):
            assert hashed_split(row.id, validation=0.02, test=0.02) == split
    # A row keeps its split whatever stands around it.
    fewer = write(tmp_path / "y.jsonl", *rows[::3])
    kept = {e.id for s in ("validation",) for e in fewer.read(s, 0, 9999)}
    assert kept == {e.id for e in source.read("validation", 0, 9999) if int(e.id[3:]) % 3 == 0}


def test_without_ids_equal_inputs_share_a_split(tmp_path):
    rows = [{"inputs": f"question {i % 40}", "targets": str(i)} for i in range(400)]
    source = write(tmp_path / "x.jsonl", *rows)
    where: dict[str, set[str]] = {}
    for split in source.splits:
        for row in source.read(split, 0, 9999):
            where.setdefault(row.fields["inputs"], set()).add(split)
    assert all(len(splits) == 1 for splits in where.values())


def test_hash_shares_are_uniform_and_pinned():
    counts = Counter(int(stable_share(str(i)) * 10) for i in range(10_000))
    assert sum((c - 1000) ** 2 / 1000 for c in counts.values()) < 27.9  # 9 d.o.f., 0.1 %
    assert [hashed_split(str(i), validation=0.3, test=0.3) for i in range(8)] == [
        *["test", "test", "test", "validation", "train", "train", "validation", "test"]
    ]


def test_windows_line_ends_and_byte_order_mark(tmp_path):
    text = '﻿{"inputs": "a", "targets": "b", "split": "train"}\r\n'
    source = write(tmp_path / "x.jsonl", text.encode() + b"\r\n")
    assert [e.answer for e in train(source)] == ["b"]


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "empty.jsonl").write_text(" \n")
    for name, message in [
        ("gone.jsonl", "does not exist"),
        ("empty.jsonl", "is empty"),
        ("", "cannot read"),
    ]:
        source = JsonlSource(str(tmp_path / name))
        with pytest.raises(UserError, match=message):
            source.num_examples("train")


def test_an_unknown_split_is_an_error(tmp_path):
    source = write(tmp_path / "x.jsonl", {"inputs": "a", "targets": "b", "split": "train"})
    with pytest.raises(UserError, match=r"no split 'validation'; it has train\."):
        source.num_examples("validation")


def test_reading_from_any_position(tmp_path):
    rows = [{"inputs": str(i), "targets": "y", "split": "train"} for i in range(10)]
    source = write(tmp_path / "x.jsonl", *rows)
    assert [e.fields["inputs"] for e in source.read("train", 3, 6)] == ["3", "4", "5"]


def test_fingerprint_follows_the_content(tmp_path):
    row = {"inputs": "a", "targets": "b", "split": "train"}
    one = write(tmp_path / "one.jsonl", row).fingerprint()
    assert write(tmp_path / "two.jsonl", row).fingerprint() == one
    assert write(tmp_path / "three.jsonl", {**row, "targets": "c"}).fingerprint() != one


def test_pickles_without_its_rows(tmp_path):
    rows = [{"inputs": "x" * 100, "targets": "y", "split": "train"}] * 100
    source = write(tmp_path / "x.jsonl", *rows)
    assert source.num_examples("train") == 100
    data = pickle.dumps(source)
    assert len(data) < 1000
    assert train(pickle.loads(data)) == train(source)
