"""P3's subsets: layouts, field names, newlines, options, bad rows, and the real files."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from flan_t5x.data.cache import CACHE_VARIABLE
from flan_t5x.data.definitions import BadRow, Example, Source
from flan_t5x.data.sources import counts, location
from flan_t5x.data.sources.location import MissingDataError
from flan_t5x.data.sources.p3 import P3Source, one_line
from flan_t5x.errors import UserError

from .test_records import write


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(location, "_chosen", tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    counts.forget()
    (tmp_path / "p3").mkdir()
    return tmp_path / "p3"


def row(i: int) -> dict[str, Any]:
    return {
        "inputs_pretokenized": f"Is {i} even?\\nThink.\n\nSay it. ",
        "targets_pretokenized": "\nyes" if i % 2 == 0 else "no\n",
        "answer_choices": ["yes", "no"],
    }


def read(source: P3Source) -> list[Example | BadRow]:
    return list(source.read("train", 0, source.num_examples("train")))


LAYOUTS = (
    "even_q.jsonl",
    "even_q.jsonl.gz",
    "even_q.json",
    "even_q.parquet",
    "even_q.tfrecord",
    "even_q/train.tfrecord-00000-of-00001",
    "even_q/train-00000-of-00001.parquet",
)


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(folder, name):
    (folder / name).parent.mkdir(exist_ok=True)
    write((folder / name).parent, Path(name).name, [row(i) for i in range(5)])
    source = P3Source("even_q", published=9, with_options=True)
    assert isinstance(source, Source)
    assert (source.num_examples("train"), source.expected_examples("train")) == (5, 9)
    found = read(source)
    assert found[1] == Example(
        "1", {"question": "Is 1 even? Think. Say it."}, "no", ("yes", "no"), "", ("yes", "no")
    )
    assert list(source.read("train", 2, 4)) == found[2:4]
    plain = read(P3Source("even_q", published=9))
    assert (plain[0].answer, plain[0].options, plain[0].valid_answers) == ("yes", (), ("yes", "no"))


def test_several_files_are_one_split(folder):
    (folder / "q").mkdir()
    for number, size in ((0, 3), (1, 2)):
        rows = [row(10 * number + i) for i in range(size)]
        write(folder / "q", f"train.tfrecord-0000{number}-of-00002", rows)
    write(folder / "q", "validation.tfrecord-00000-of-00001", [row(99)])
    (folder / "q" / "stats.train.json").write_text("{}")
    source = P3Source("q", published=5)
    numbers = [r.fields["question"].split()[1] for r in read(source)]
    assert numbers == ["0", "1", "2", "10", "11"]
    assert [r.id for r in read(source)] == ["0", "1", "2", "3", "4"]
    assert [r.id for r in source.read("train", 2, 4)] == ["2", "3"]
    assert [r.id for r in source.read("train", 4, 5)] == ["4"]


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({"inputs": "Q", "targets": "A"}, "A"),
        ({"prompt": "Q", "completion": "A<|endoftext|>"}, "A"),
        ({"inputs": [1, 2], "inputs_pretokenized": "Q", "targets_pretokenized": "A "}, "A"),
    ],
)
def test_field_names(folder, fields, answer):
    write(folder, "q.jsonl", [fields])
    (found,) = read(P3Source("q", published=1, with_options=True))
    assert (found.fields["question"], found.answer, found.options) == ("Q", answer, ())


def test_newlines_become_spaces():
    assert one_line(" a\n\nb\\nc \\n\n d\te ") == "a b c d e"
    assert one_line("C:\\network") == "C: etwork"  # the price of P3's written newlines
    assert one_line("\n") == ""


def test_bad_rows(folder):
    good = row(0)
    bad: list[Any] = [
        {"inputs": "no target"},
        {"inputs": "x", "targets": " \\n"},
        {"inputs": "x", "targets": 5},
        good | {"answer_choices": ["maybe"]},
        [1],
    ]
    path = folder / "q.jsonl"
    lines = [*map(json.dumps, [good, *bad]), "{"]
    path.write_text("\n".join(lines))
    found = read(P3Source("q", published=1, with_options=True))
    assert [r.reason for r in found if isinstance(r, BadRow)] == [
        "missing field",
        "empty targets",
        "wrong type",
        "answer not among options",
        "not a JSON object",
        "not JSON",
    ]
    assert found[2].detail == "q.jsonl row 3: 'targets' has no text"


def test_missing_empty_and_damaged_files(folder):
    source = P3Source("sciq_x", published=1)
    with pytest.raises(MissingDataError, match=r"'sciq_x' is not in .*p3'.*hugg") as caught:
        source.num_examples("train")
    assert caught.value.raw == "P3"
    (folder / "sciq_x.jsonl").write_text("\n\n")
    with pytest.raises(UserError, match=r"sciq_x.jsonl' is empty\.$"):
        source.num_examples("train")
    (folder / "sciq_x.jsonl").unlink()
    (folder / "sciq_x.jsonl.gz").write_bytes(gzip.compress(b'{"a": 1}\n' * 99)[:-9])
    with pytest.raises(UserError, match="is damaged"):
        source.num_examples("train")
    with pytest.raises(UserError, match="no split 'test'; it has train"):
        source.num_examples("test")


def test_a_copy_in_another_process_finds_the_files(folder, monkeypatch):
    write(folder, "q.jsonl", [row(0)])
    source = P3Source("q", published=1)
    before = source.fingerprint()
    data = pickle.dumps(source)
    monkeypatch.setattr(location, "_chosen", None)
    monkeypatch.delenv(location.VARIABLE, raising=False)
    copy = pickle.loads(data)
    assert (copy.num_examples("train"), copy.fingerprint()) == (1, before)


def test_real_files(shared, tmp_path, monkeypatch):
    monkeypatch.setattr(location, "_chosen", shared / "data")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    counts.forget()
    files = sorted((shared / "data" / "t0_p3").glob("*.jsonl.gz"))[::20]
    assert len(files) > 10
    for path in files:
        rows = read(P3Source(path.name.removesuffix(".jsonl.gz"), published=1))
        with gzip.open(path) as file:
            assert len(rows) == sum(1 for line in file if line.strip())
        assert all(isinstance(row, Example) for row in rows)
        assert not any("\n" in row.fields["question"] + row.answer for row in rows)
