"""Rows that a list leaves out: counted, neither asked nor shown, part of the fingerprint."""

from __future__ import annotations

import json

import pytest

from flan_t5x.data.cache import ensure_cached
from flan_t5x.data.definitions import BadRow, Example, TaskDefinition, Template
from flan_t5x.data.fewshot import ExemplarPool
from flan_t5x.data.sources.excluding import (
    EXCLUDED,
    Excluding,
    exclude_rows,
    exclusion_text,
    read_exclusions,
)
from flan_t5x.data.sources.exemplars import WithExemplars
from flan_t5x.errors import UserError
from tests.data.cache_toys import ToySource, make_vocabulary, toy_spec, toy_task


def write(tmp_path, *rows):
    path = tmp_path / "list.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "\n")
    return str(path)


def row(id: str, *tasks: str, split: str = "train", **more: str) -> dict:
    return {"tasks": list(tasks), "split": split, "id": id, **more}


def test_rows_keep_their_places(tmp_path):
    source = ToySource(rows=(("train", 9), ("validation", 3)))
    without = Excluding(source, {"train": frozenset({"train-4", "no such row"})})
    assert without.num_examples("train") == 9
    rows = list(without.read("train", 3, 7))
    assert [r.id for r in rows] == [f"train-{i}" for i in range(3, 7)]
    assert rows[1] == BadRow("train-4", EXCLUDED, "split train")
    assert all(isinstance(r, Example) for r in (rows[0], *rows[2:]))
    assert list(without.read("validation", 0, 3)) == list(source.read("validation", 0, 3))


def test_every_list_has_its_own_fingerprint():
    source = ToySource()
    ids = [{}, {"train": {"a"}}, {"train": {"b"}}, {"test": {"a"}}, {"train": {"a", "b"}}]
    prints = {
        Excluding(source, {s: frozenset(i) for s, i in one.items()}).fingerprint() for one in ids
    }
    assert len(prints | {source.fingerprint()}) == 6


def test_only_named_tasks_change(tmp_path):
    path = write(tmp_path, row("train-1", "toy_a", "elsewhere"), row("train-2", "toy_a"))
    tasks = [toy_task("toy_a"), toy_task("toy_b")]
    changed = exclude_rows(tasks, path)
    assert changed[1] is tasks[1]
    assert changed[0].source == Excluding(
        tasks[0].source, {"train": frozenset({"train-1", "train-2"})}
    )
    assert exclusion_text(tasks, path) == f"exclusions: 2 rows of 1 tasks are left out ({path})"


def test_an_excluded_row_is_no_exemplar(tmp_path):
    wordings = (Template("Which word is last in {text}?"),)
    task = TaskDefinition("toy_fs", ToySource(rows=(("train", 6),)), wordings, format="fs")
    (without,) = exclude_rows([task], write(tmp_path, row("train-2", "toy_fs")))
    pool = ExemplarPool.for_task(without)
    assert [one.id for one in pool.examples] == [f"train-{i}" for i in (0, 1, 3, 4, 5)]


def test_exemplars_of_another_source_stay(tmp_path):
    asked, shown = ToySource(rows=(("train", 3),)), ToySource(salt="other")
    wordings = (Template("Which word is last in {text}?"),)
    task = TaskDefinition("toy_x", WithExemplars(asked, shown, "train"), wordings, format="fs")
    (without,) = exclude_rows([task], write(tmp_path, row("train-1", "toy_x")))
    assert isinstance(without.source, WithExemplars)
    assert without.source.pool is shown
    assert sum(isinstance(r, BadRow) for r in without.source.read("train", 0, 3)) == 1


def test_the_report_counts_them_and_many_are_no_damage(tmp_path):
    vocabulary = make_vocabulary(tmp_path)
    ids = [row(f"train-{i}", "toy_last") for i in range(30)]
    (task,) = exclude_rows([toy_task()], write(tmp_path, *ids))
    spec = toy_spec(vocabulary, task, splits=("train",))
    split = ensure_cached(spec, tmp_path / "cache", num_workers=1)["toy_last", "train"]
    assert split.num_examples == 10
    rejected = split.report()["rejected"][EXCLUDED]
    assert rejected["count"] == 30
    assert rejected["first"][0] == {"id": "train-0", "detail": "split train"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1]\n", "line 1"),
        ('\n{"tasks": "a", "split": "train", "id": "1"}\n', "line 2"),
        ('{"tasks": ["a"], "split": "train", "id": 1}\n', "texts are needed"),
        ('{"tasks": ["a"], "split": "train"}\n', "'id'"),
        ("{\n", "line 1"),
    ],
)
def test_lines_that_are_no_exclusions(text, words, tmp_path):
    path = tmp_path / "list.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match=words):
        read_exclusions(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not UTF-8"):
        read_exclusions(path)
