"""Template checks: each problem is found, and nothing else."""

from __future__ import annotations

import pytest

from flan_t5x.data.definitions import Template
from flan_t5x.data.templates import lint_templates

from .rows import animal_task, make_vocabulary


def problems(*templates: Template, **more) -> list[str]:
    return lint_templates(animal_task(templates=templates, **more))


def test_good_templates_have_no_problems(tmp_path):
    assert lint_templates(animal_task()) == []
    good = Template("Do this. {exemplars} {story} {options}", "It is {answer}", shot="{story} So:")
    assert problems(good) == []


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (Template("{tale} Which?"), "{tale} is not a field"),
        (Template("{story} Which? "), "begins or ends with a space"),
        (Template("{story}  Which?"), "two spaces"),
        (Template("{story}\nWhich?"), "has a newline"),
        (Template("{story}\tWhich?"), "has a tab"),
        (Template("{story} {{x}} Which?"), "has a brace"),
        (Template("{story Which?"), "braces do not match"),
        (Template("{story!r} Which?"), "format specification"),
        (Template("{story:>9} Which?"), "format specification"),
        (Template(""), "inputs: is empty"),
        (Template("{story}", ""), "targets: names no field"),
        (Template("{story}", "yes"), "targets: names no field"),
        (Template("{story}", "{answer} {exemplars}"), "exemplars cannot stand here"),
        (Template("{story}", shot="{tale} Answer:"), "template 0, shot: {tale}"),
        (Template("{} Which?"), "is not a field"),
    ],
)
def test_each_problem(template, expected):
    found = problems(template)
    assert len([p for p in found if expected in p]) == 1, found


def test_repeated_templates():
    found = problems(Template("{story} a?"), Template("{story} b?"), Template("{story} a?"))
    assert found == ["template 2 repeats template 0"]


@pytest.mark.parametrize(
    "twin", ["{story} A?", "{story}  a", "{STORY} a?", "{story} - a.", "{story}a?"]
)
def test_templates_alike_after_folding(twin):
    found = problems(Template("{story} a?"), Template(twin))
    assert "template 1 repeats template 0" in found


def test_the_target_is_part_of_what_makes_templates_alike():
    assert problems(Template("{story} a?"), Template("{story} a?", "So: {answer}")) == []


def test_the_rationale_may_be_named_by_every_template():
    assert problems(Template("{rationale} {answer} So what was asked?", "{story}")) == []


def test_problems_of_the_task():
    assert problems() == ["there are no templates"]
    found = problems(Template("{story}"), format="few", option_styles=("dash", "dots"))
    assert found == [
        "format 'few' is not one of zs, fs, zs_cot, fs_cot",
        "option style 'dots' does not exist",
    ]


def test_given_fields_spare_the_source():
    task = animal_task(templates=(Template("{tale}"),))
    assert lint_templates(task, fields=["tale"]) == []


def test_unknown_characters_are_named(tmp_path):
    task = animal_task(templates=(Template("{story} 雪 Which?"),))
    (found,) = lint_templates(task, vocabulary=make_vocabulary(tmp_path))
    assert found == "template 0, inputs: has characters unknown to the vocabulary: 雪"
