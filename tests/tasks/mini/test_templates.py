"""Wordings: enough of them, complete, clean, and each asks for what the row holds."""

from __future__ import annotations

import re

import pytest
from flan_tasks.mini import tasks
from flan_tasks.mini.catalog import families, held_out, trained
from flan_tasks.mini.inverted import INVERTED
from flan_tasks.mini.pretrain import PRETRAIN
from flan_tasks.mini.studies import UNEVEN

from flan_t5x.data.definitions import Example, TaskDefinition
from flan_t5x.data.fewshot import ExemplarPool
from flan_t5x.data.formats import render
from flan_t5x.data.templates import lint_templates, placeholders
from flan_t5x.data.vocabulary import default_vocabulary

# Tasks of unequal sizes have the wordings and rows of others.
TASKS = {
    task.name: task
    for task in tasks()
    if task.group != PRETRAIN and not task.name.startswith(UNEVEN)
}


def first_row(task: TaskDefinition) -> Example:
    row = next(iter(task.source.read("validation", 0, 1)))
    assert isinstance(row, Example)
    return row


def test_there_are_enough_families_and_wordings() -> None:
    assert len(trained()) >= 44
    assert len(held_out()) >= 10
    for family in families().values():
        for format in family.formats:
            wordings = {(t.inputs, t.shot) for t in family.wordings(format)}
            assert len(wordings) == len(family.wordings(format)) >= 8, family.name
    for family in (f for f in families().values() if f.definitions):
        assert len(set(family.definitions)) >= 4


@pytest.mark.parametrize("name", sorted(TASKS))
def test_templates_pass_the_lint(name: str) -> None:
    assert lint_templates(TASKS[name], vocabulary=default_vocabulary()) == []


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_template_shows_all_that_the_answer_needs(name: str) -> None:
    task = TASKS[name]
    row = first_row(task)
    for template in task.templates:
        named = set(placeholders(template.inputs))
        assert set(row.fields) <= named, template
        if row.options and set(row.options) != {"yes", "no"} and "passage" not in row.fields:
            told = all(re.search(rf"\b{option}\b", template.inputs) for option in row.options)
            assert told or "options" in named, template
        if template.shot:
            assert set(placeholders(template.shot)) == set(row.fields) - {"definition"}
            assert "exemplars" in named


def test_no_slot_is_left_unfilled() -> None:
    for task in TASKS.values():
        row = first_row(task)
        for text in (*(t.inputs for t in task.templates), *row.fields.values()):
            assert "<" not in text, (task.name, text)


@pytest.mark.parametrize("name", sorted(TASKS))
def test_prompts_are_short_and_known_to_the_vocabulary(name: str) -> None:
    task, vocabulary = TASKS[name], default_vocabulary()
    split = "train" if "train" in task.source.splits else "validation"
    pool = ExemplarPool.for_task(task, size=16)
    few, cot = task.format.startswith("fs"), task.format.endswith("_cot")
    for row in task.source.read(split, 0, 25):
        assert isinstance(row, Example)
        done = render(task, row, exemplars=pool, vocabulary=vocabulary, budget=256)
        inputs, targets = vocabulary.encode(done.inputs), vocabulary.encode(done.targets)
        assert vocabulary.unk_id not in inputs + targets
        assert len(inputs) <= (200 if few else 60)
        assert len(targets) <= (40 if cot else 25 if task.group == INVERTED else 12)
