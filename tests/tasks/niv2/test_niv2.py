"""NIv2: which tasks there are, which are left out, how they are worded."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from flan_tasks import niv2

from flan_t5x.data import registry
from flan_t5x.data.cache import CACHE_VARIABLE
from flan_t5x.data.definitions import Example
from flan_t5x.data.fewshot import ExemplarPool
from flan_t5x.data.formats import render
from flan_t5x.data.sources import counts, location
from flan_t5x.data.sources.niv2 import fold, task_number
from flan_t5x.data.templates import lint_templates
from flan_t5x.data.vocabulary import Vocabulary
from flan_t5x.errors import UserError
from tests.tasks import golden

MMLU = {*range(664, 668), *range(685, 738)}
FIELDS = ("definition", "input", "why")


@pytest.fixture
def own_notes(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    counts.forget()


@pytest.fixture
def real(shared, own_notes, monkeypatch) -> Path:
    monkeypatch.setattr(location, "_chosen", shared / "data")
    return shared / "data" / "niv2" / "tasks"


def test_tasks_as_published():
    entries = niv2.entries()
    assert len(entries) == 1556
    assert len({task_number(name) for name in entries}) == 1551
    assert max(entry.examples for entry in entries.values()) == 6500
    assert sum(min(entry.examples, 5000) for entry in entries.values()) == 4_235_910
    assert all(entry.category and all(entry.languages) for entry in entries.values())


def test_excluded_tasks():
    out = {name: why for name, why in niv2.exclusions().items() if why.by_default}
    assert {task_number(name) for name in out} == MMLU
    assert len(out) == 57
    assert all("mmmlu" in name and "MMLU" in why.reason for name, why in out.items())
    assert not set(out) & set(niv2.entries())
    assert not [name for name in niv2.entries() if task_number(name) in MMLU]
    kept = {name for name, why in niv2.exclusions().items() if not why.by_default}
    assert kept <= set(niv2.entries())


def test_every_name_makes_its_task():
    names = list(niv2.names())
    assert len(names) == len(set(names)) == 2 * 1556
    for name in names:
        assert re.fullmatch(r"niv2_task\d+_\w+_(zs|fs)opt", name)
    for name in names[::97]:
        task = niv2.task(name)
        assert (task.name, task.format) == (name, name[-5:-3])
    zero, few = niv2.task(names[0]), niv2.task(names[1])
    assert zero.source is few.source
    with pytest.raises(UserError, match="did you mean 'niv2_task001_quoref_question_generation"):
        niv2.task("niv2_task001_quoref_question_generation_zsop")


def test_templates_are_clean():
    t0, t1 = niv2.task(next(niv2.names())), niv2.task(list(niv2.names())[1])
    for task in (t0, t1):
        assert len(task.templates) == 10
        assert lint_templates(task, fields=FIELDS) == []
        assert all("{definition}" in t.inputs and "{input}" in t.inputs for t in task.templates)
    assert all("{exemplars}" in t.inputs and "{input}" in t.shot for t in t1.templates)


def test_the_cap_is_one_of_each_task():
    rows = registry.describe_mixture("niv2_zsopt", published_counts=True)
    assert {row.cap for row in rows} == {5000}
    assert sum(row.rate for row in rows if row.counted == "published") <= 4_235_910


TOY = {
    "Definition": ["You are given two animals. Write the larger one."],
    "Positive Examples": [
        {"input": "ant, cat", "output": "cat", "explanation": "A cat is larger than an ant."},
        {"input": "cow, hen", "output": "cow", "explanation": "Hens are small."},
    ],
    "Instances": [
        {"id": f"toy-{i}", "input": f"{a}, {b}", "output": [a]}
        for i, (a, b) in enumerate(
            [("dog", "bee"), ("horse", "mouse"), ("bear", "fox"), ("goat", "frog")]
        )
    ],
}


def test_golden_examples(tmp_path, own_notes, monkeypatch):
    monkeypatch.setattr(location, "_chosen", tmp_path)
    folder = tmp_path / "niv2" / "tasks"
    folder.mkdir(parents=True)
    names = list(niv2.names())[:2]
    file = next(iter(niv2.entries().values())).file
    (folder / f"{file}.json").write_text(json.dumps(TOY))
    lines = [line for name in names for line in golden.rendered(niv2.task(name), rows=4)]
    golden.check(Path(__file__).parent / "golden.txt", lines)


def test_real_files_render(real, shared):
    t5 = Vocabulary(str(shared / "data" / "t5_vocab" / "spiece.model"))
    stems = {fold(path.stem) for path in real.glob("*.json")} & set(niv2.entries())
    assert len(stems) > 100
    explained = 0
    for stem in sorted(stems)[::12]:
        for kind in niv2.KINDS:
            task = niv2.task(f"niv2_{stem}_{kind}")
            pool = ExemplarPool.for_task(task)
            whys = {row.fields["why"] for row in pool.examples} - {""} if pool else set()
            for row in task.source.read("train", 0, 12):
                assert isinstance(row, Example)
                made = render(task, row, exemplars=pool, vocabulary=t5, budget=1024)
                assert row.fields["definition"] in made.inputs
                assert row.fields["input"] in made.inputs
                assert made.targets == row.answer
                assert row.id not in made.exemplar_ids
                assert len(made.exemplar_ids) <= 2
                explained += any(why.strip() in made.inputs for why in whys)
    assert explained > 10


def test_every_real_file_belongs_to_a_task(real):
    known = {task_number(name) for name in {*niv2.entries(), *niv2.exclusions()}}
    for path in real.glob("*.json"):
        assert task_number(path.stem) in known
