"""Dumps that others have rendered: passed through, chosen by column, divided by hash."""

from __future__ import annotations

import json
import pickle

import pytest

from flan_t5x.data import registry
from flan_t5x.data.cache import CACHE_VARIABLE
from flan_t5x.data.definitions import BadRow, Example, Source
from flan_t5x.data.own_files import register_rendered
from flan_t5x.data.sources import counts
from flan_t5x.data.sources.rendered import RenderedSource, combinations
from flan_t5x.errors import UserError

from .test_records import write

ROWS = [
    {
        "inputs": f"Question {i}\n\n?",
        "targets": f" answer {i}",
        "task_source": "CoT" if i % 3 == 0 else "P3",
        "task_name": f"name {i % 2}",
        "template_type": "zs_opt" if i % 2 else "fs_opt",
    }
    for i in range(60)
]


@pytest.fixture(autouse=True)
def own_notes(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    counts.forget()


@pytest.fixture(params=["dump.jsonl", "dump.jsonl.gz", "dump.parquet"])
def path(request, tmp_path):
    return write(tmp_path, request.param, ROWS)


def read(source: RenderedSource, split: str = "train") -> list[Example | BadRow]:
    return list(source.read(split, 0, source.num_examples(split)))


def test_the_whole_file(path):
    source = RenderedSource(path)
    assert isinstance(source, Source)
    assert source.splits == ("train",)
    assert read(source)[7] == Example("7", {"inputs": "Question 7\n\n?"}, " answer 7")
    assert len(read(source)) == 60
    assert list(source.read("train", 10, 12)) == read(source)[10:12]


def test_chosen_rows(path):
    source = RenderedSource(path, where={"task_source": "CoT", "template_type": "zs_opt"})
    assert [row.id for row in read(source)] == [str(i) for i in range(3, 60, 6)]
    assert [row.id for row in source.read("train", 2, 4)] == ["15", "21"]
    assert list(source.read("train", 10, 20)) == []
    assert [row.id for row in pickle.loads(pickle.dumps(source)).read("train", 0, 1)] == ["3"]
    assert combinations(path) == {
        ("CoT", "zs_opt"): 10,
        ("CoT", "fs_opt"): 10,
        ("P3", "zs_opt"): 20,
        ("P3", "fs_opt"): 20,
    }
    with pytest.raises(UserError, match="no column 'xyz': it has task_source, "):
        RenderedSource(path, where={"xyz": "x"})
    with pytest.raises(UserError, match="did you mean 'template_type'"):
        RenderedSource(path, where={"template_typ": "x"})


def test_a_held_back_part(path):
    source = RenderedSource(path, validation_share=0.2)
    train, held = read(source), read(source, "validation")
    assert len(train) + len(held) == 60
    assert 4 <= len(held) <= 22
    assert not {row.id for row in train} & {row.id for row in held}


def test_fingerprints(path):
    prints = {
        RenderedSource(path).fingerprint(),
        RenderedSource(path, where={"task_source": "P3"}).fingerprint(),
        RenderedSource(path, validation_share=0.1).fingerprint(),
    }
    assert len(prints) == 3
    assert RenderedSource(str(path)).fingerprint() in prints


def test_bad_rows(tmp_path):
    path = tmp_path / "dump.jsonl"
    rows = [{"inputs": "x"}, {"inputs": "x", "targets": " "}, {"inputs": 1, "targets": "y"}, [1]]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n{")
    for source in (RenderedSource(path), RenderedSource(path, validation_share=1e-9)):
        assert [row.reason for row in read(source)] == [
            "missing field",
            "empty targets",
            "wrong type",
            "not a JSON object",
            "not JSON",
        ]
    assert read(source)[1].detail == "dump.jsonl row 2: 'targets' has no text"


def test_files_that_cannot_be_used(tmp_path):
    for options in ({}, {"validation_share": 0.5}):
        with pytest.raises(UserError, match=r"no.jsonl' does not exist\. Check its path"):
            RenderedSource(tmp_path / "no.jsonl", **options).num_examples("train")
        (tmp_path / "empty.jsonl").write_text("")
        with pytest.raises(UserError, match=r"empty.jsonl' is empty"):
            RenderedSource(tmp_path / "empty.jsonl", **options).num_examples("train")
    with pytest.raises(UserError, match="has no split 'test'"):
        RenderedSource(tmp_path / "no.jsonl").num_examples("test")


def test_registering(path, monkeypatch):
    monkeypatch.setattr(registry, "_registry", registry._Registry())
    task = register_rendered("dump_cot", path, where={"task_source": "CoT"})
    assert register_rendered("dump_cot", path, where={"task_source": "CoT"}) is task
    assert task.source.num_examples("train") == 20
    assert [t.inputs for t in task.templates] == ["{inputs}"]
    with pytest.raises(UserError, match="the name 'dump_cot' is taken"):
        register_rendered("dump_cot", path)
