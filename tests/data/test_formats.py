"""Rendering: exact prompts, purity, budget, and every reason for rejecting a row."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flan_t5x.data.definitions import FORMATS, Example, RowError, Template
from flan_t5x.data.formats import (
    BASE_STYLES,
    COT_STYLES,
    OPTION_STYLES,
    RENDERER_VERSION,
    SHOT_STYLES,
    ExemplarPool,
    fixed_texts,
    render,
)
from flan_t5x.data.vocabulary import Vocabulary
from flan_t5x.evaluation.extraction import cot_answer

from .rows import ListSource, animal, animal_source, animal_task, make_vocabulary


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory) -> Vocabulary:
    return make_vocabulary(tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture
def draw(vocabulary):
    """Renders a row of a task in whatever format it has."""

    def go(task, example, budget=512):
        pool = ExemplarPool.for_task(task)
        return render(task, example, exemplars=pool, vocabulary=vocabulary, budget=budget)

    return go


ROW = Example("7", {"story": "One is red."}, "dog", ("cat", "dog"), "The dog is it", ())


def only(template: str, format: str = "zs", style: str = "dash", **more):
    """A task that leaves nothing to be drawn but the words around the options."""
    more = {"templates": (Template(template),), "option_styles": (style,), **more}
    return animal_task(format, **more)


def test_zero_shot(draw):
    made = draw(only("{story} Which? {options}", style="letter_paren"), ROW)
    assert re.fullmatch(r"One is red\. Which\? .+[:] \(A\) cat \(B\) dog", made.inputs)
    assert made.targets == "(B)"
    assert made.valid_answers == ("(A)", "(B)")
    assert (made.template, made.format, made.option_style) == (0, "zs", "letter_paren")
    assert made.exemplar_ids == ()


def test_without_an_options_block_the_text_is_the_target(draw):
    made = draw(only("{story} Which?", style="letter_paren"), ROW)
    assert (made.inputs, made.targets) == ("One is red. Which?", "dog")
    assert made.option_style == ""
    assert made.valid_answers == ("cat", "dog")


@pytest.mark.parametrize("format", ["zs", "fs"])
def test_without_styles_no_options_are_shown(draw, format):
    for pattern in ("{story} Which? {options}", "{options} {story} Which?", "{story} Which?"):
        task = only(pattern, format, option_styles=(), max_exemplars=2)
        made = draw(task, ROW)
        assert "One is red. Which?" in made.inputs
        assert "cat" not in made.inputs.rpartition("One is red.")[2]
        assert "  " not in made.inputs
        assert (made.targets, made.valid_answers) == ("dog", ("cat", "dog"))
        assert made.option_style == ""
        if format == "zs":
            assert made.inputs == "One is red. Which?"
        else:
            rows = {row.id: row for row in task.source.rows["train"]}
            assert made.exemplar_ids
            for id in made.exemplar_ids:
                shot = f"{rows[id].fields['story']} Which? "
                assert re.search(f"{re.escape(shot)}\\S+ {rows[id].answer}\\b", made.inputs)


def test_an_inverted_template(draw):
    pattern = Template("Answer: {answer}. Because: {rationale} Story:", targets="{story}")
    made = draw(only("", templates=(pattern,), option_styles=()), ROW)
    assert made.inputs == "Answer: dog. Because: The dog is it Story:"
    assert (made.targets, made.valid_answers) == ("One is red.", ())
    both = Template("{rationale} What was it?", targets="{story} Answer: {answer}")
    made = draw(only("", templates=(both,), option_styles=()), ROW)
    assert (made.targets, made.valid_answers) == ("One is red. Answer: dog", ())


def test_inverted_exemplars_may_ask_the_same(vocabulary):
    """Only two questions are possible, yet a prompt can show more than one exemplar of each."""
    rows = [replace(animal("train", i), answer="dog", options=()) for i in range(9)]
    twin = replace(rows[0], id="twin")  # the same question and the same target: the query's answer
    task = only(
        "",
        "fs",
        templates=(Template("Write about a {answer}.", targets="{story}"),),
        source=ListSource({"train": [*rows, twin]}),
        max_exemplars=4,
    )
    pool = ExemplarPool.for_task(task)
    shown = set()
    for i in range(30):
        row = replace(rows[0], id=f"query {i}")
        made = render(task, row, exemplars=pool, vocabulary=vocabulary, budget=5000)
        assert made.inputs.count("Write about a dog.") == 1 + len(made.exemplar_ids)
        assert made.targets not in made.inputs
        shown.add(len(made.exemplar_ids))
    assert max(shown) == 4


def test_a_rationale_that_a_template_names_must_be_there(draw):
    task = only("", templates=(Template("{rationale} Story:", targets="{story}"),))
    with pytest.raises(RowError, match="rationale missing"):
        draw(task, replace(ROW, rationale=" "))
    # A row that brings a field of this name keeps its own.
    row = replace(ROW, fields={"story": "x", "rationale": "mine"})
    assert draw(task, row).inputs == "mine Story:"


def test_exemplars_that_lack_a_field_are_passed_over(vocabulary):
    rows = [animal("train", i) for i in range(6)]
    odd = [replace(row, fields={"tale": "x"}) for row in rows[1:]]
    task = only("{story}", "fs", source=ListSource({"train": [rows[0], *odd]}), max_exemplars=1)
    made = [
        render(
            task,
            animal("test", i),
            exemplars=ExemplarPool.for_task(task),
            vocabulary=vocabulary,
            budget=300,
        )
        for i in range(8)
    ]
    assert {m.exemplar_ids for m in made} <= {(rows[0].id,), ()}
    assert any(m.exemplar_ids for m in made)


def test_a_row_without_options_leaves_no_gap(draw):
    row = Example("7", {"story": "One is red."}, "dog")
    for template in ("{story} {options} Which?", "{options} {story} Which?"):
        assert draw(only(template), row).inputs == "One is red. Which?"
    assert draw(only("{story} Which? {options}"), row).inputs == "One is red. Which?"


def test_valid_answers_of_the_row_come_before_its_options(draw):
    row = replace(ROW, valid_answers=("dog", "hen"))
    made = draw(only("{story} {options}", style="number_dot"), row)
    assert made.valid_answers == ("2", "hen")


def test_target_pattern(draw):
    task = only("", templates=(Template("{story}", targets="It is the {answer}."),))
    made = draw(task, ROW)
    assert made.targets == "It is the dog."
    assert made.valid_answers == ("It is the cat.", "It is the dog.")


@pytest.mark.parametrize("question", ["{story} Which?", "{story} Answer:"])
def test_chain_of_thought(draw, question):
    made = draw(only(question, "zs_cot"), ROW)
    plain = question.format(story="One is red.")
    style = next(s for s in COT_STYLES if s.trigger in made.inputs)
    if plain.endswith(":"):
        assert made.inputs == f"{style.trigger} {plain}"
    else:
        assert made.inputs == f"{plain} {style.trigger}"
    assert made.targets == f"The dog is it. {style.connector} dog."
    assert cot_answer(made.targets) == "dog"


@pytest.mark.parametrize("style", COT_STYLES, ids=lambda s: s.connector)
@pytest.mark.parametrize("answer", ["dog", "(B)", "42", "Sentence A", "it is so."])
def test_every_connector_is_a_cue_for_the_extractor(style, answer):
    stop = "" if answer.endswith(".") else "."
    said = cot_answer(f"Because of this. {style.connector} {answer}{stop}")
    assert said == answer.rstrip(".")


def test_few_shot_layout(draw):
    task = only("{story} Which? {options}", "fs", max_exemplars=2)
    rows = {row.id: row for row in task.source.rows["train"]}
    seen = set()
    for i in range(12):
        made = draw(task, animal("validation", i))
        style = next(s for s in SHOT_STYLES if made.inputs.endswith(f" {s.answer}"))
        *shots, query = made.inputs.split(style.separator)
        assert 1 <= len(shots) == len(made.exemplar_ids) <= 2
        seen.add(len(shots))
        lead = f"{style.question} " if style.question else ""
        for shot, id in zip(shots, made.exemplar_ids, strict=True):
            row = rows[id]
            assert shot.startswith(f"{lead}{row.fields['story']} Which? ")
            assert shot.endswith(f" {style.answer} {row.answer}")
        assert query.startswith(f"{lead}In validation story {i} the ")
        # One choice of option words for the whole prompt.
        starts = {re.search(r"Which\? (.*?) - ", part).group(1) for part in [*shots, query]}
        assert len(starts) == 1
    assert seen == {1, 2}


def test_few_shot_with_a_place_for_exemplars(draw):
    template = Template(
        "Find the red animal. {exemplars} Now you: {story} Red:", shot="Story: {story} Red:"
    )
    task = only("", "fs", templates=(template,), max_exemplars=1)
    made = draw(task, ROW)
    (id,) = made.exemplar_ids
    (row,) = [r for r in task.source.rows["train"] if r.id == id]
    pattern = (
        re.escape(f"Find the red animal. Story: {row.fields['story']} Red: {row.answer} ")
        + r"\S+"
        + re.escape(" Now you: One is red. Red:")
    )
    assert re.fullmatch(pattern, made.inputs)


def test_exemplars_with_reasons_carry_the_connector_of_the_target(draw):
    task = only("{story} Which?", "fs_cot")
    made = draw(task, ROW)
    style = next(s for s in COT_STYLES if made.inputs.startswith(s.trigger))
    assert made.inputs.count(f". {style.connector} ") == len(made.exemplar_ids)
    assert made.targets == f"The dog is it. {style.connector} dog."


@pytest.mark.parametrize("format", FORMATS)
def test_a_pure_function_of_task_row_and_seed(format, vocabulary):
    task = animal_task(format)
    pool = ExemplarPool.for_task(task)
    rows = [animal("validation", i) for i in range(12)]

    def all_rows(task, order=1):
        made = {
            row.id: render(task, row, exemplars=pool, vocabulary=vocabulary, budget=512)
            for row in rows[::order]
        }
        return [made[row.id] for row in rows]

    first = all_rows(task)
    assert all_rows(task, order=-1) == first
    assert all_rows(replace(task, source=animal_source())) == first
    assert all_rows(replace(task, seed=1)) != first
    assert all_rows(replace(task, name="another")) != first
    assert len({made.template for made in first}) == 3


def test_a_change_of_the_renderer_needs_a_new_version(vocabulary):
    """Caches are told apart by RENDERER_VERSION alone: where this digest changes, raise it."""
    digest = hashlib.sha256()
    for format in FORMATS:
        task = animal_task(format, option_styles=tuple(BASE_STYLES))
        pool = ExemplarPool.for_task(task)
        for i in range(200):
            row = animal("validation", i)
            made = render(task, row, exemplars=pool, vocabulary=vocabulary, budget=512)
            text = repr(made).replace(", references=()", "")  # a later field: rows have none here
            digest.update(text.encode())
    assert (RENDERER_VERSION, digest.hexdigest()[:16]) == (1, "9d6d154612fb58ac")


def test_all_templates_and_styles_are_drawn_about_equally(draw):
    task = animal_task("zs")
    made = [draw(task, animal("train", i)) for i in range(600)]
    counts = [sum(m.template == t for m in made) for t in range(3)]
    assert all(150 < count < 250 for count in counts)
    styles = {m.option_style for m in made if m.option_style}
    assert styles == set(task.option_styles)


@settings(max_examples=60, deadline=None)
@given(
    budget=st.integers(10, 200),
    i=st.integers(0, 59),
    format=st.sampled_from(["fs", "fs_cot"]),
    accents=st.booleans(),
)
def test_never_over_budget_and_never_itself(vocabulary, budget, i, format, accents):
    task = animal_task(format)
    pool = ExemplarPool.for_task(task)
    row = animal("train", i)
    if accents:  # not ASCII: takes the exact path
        row = replace(row, fields={"story": row.fields["story"] + " Où ça ﷺ"})
    made = render(task, row, exemplars=pool, vocabulary=vocabulary, budget=budget)
    tokens = len(vocabulary.encode(made.inputs)) + 1
    assert row.id not in made.exemplar_ids
    assert len(set(made.exemplar_ids)) == len(made.exemplar_ids) <= task.max_exemplars
    if made.exemplar_ids:
        assert made.format == format
        assert tokens <= budget
    else:
        # Nothing fitted: written as zero-shot, whatever its length.
        assert made.format == format.replace("fs", "zs")


def test_a_wide_budget_always_finds_exemplars_and_a_tight_one_none(draw):
    task = animal_task("fs")
    assert draw(task, animal("test", 1), budget=4096).format == "fs"
    made = draw(task, animal("test", 1), budget=12)
    zero = draw(replace(task, format="zs"), animal("test", 1))
    assert made.format == "zs"
    assert (made.inputs, made.targets) == (zero.inputs, zero.targets)


def test_the_longest_exemplar_is_left_out_first(vocabulary):
    long = replace(animal("train", 0), id="long", fields={"story": "red " * 300})
    short = animal("train", 1)
    task = only("{story}", "fs", source=ListSource({"train": [long, short]}), max_exemplars=2)
    pool = ExemplarPool.for_task(task)
    for i in range(20):
        row = animal("test", i)
        made = render(task, row, exemplars=pool, vocabulary=vocabulary, budget=100)
        assert set(made.exemplar_ids) <= {short.id}
        wide = render(task, row, exemplars=pool, vocabulary=vocabulary, budget=5000)
        if len(wide.exemplar_ids) == 2:
            assert made.exemplar_ids == (short.id,)


def test_an_identical_text_is_no_exemplar(vocabulary):
    row = animal("train", 3)
    twins = [replace(row, id=f"twin {i}") for i in range(3)]
    task = only("{story} {options}", "fs", source=ListSource({"train": twins}))
    pool = ExemplarPool.for_task(task)
    made = render(task, row, exemplars=pool, vocabulary=vocabulary, budget=512)
    assert (made.exemplar_ids, made.format) == ((), "zs")


def test_a_pool_of_the_query_alone_gives_a_zero_shot_prompt(vocabulary):
    row = animal("train", 3)
    task = only("{story} {options}", "fs", source=ListSource({"train": [row]}))
    pool = ExemplarPool.for_task(task)
    made = render(task, row, exemplars=pool, vocabulary=vocabulary, budget=512)
    assert (made.exemplar_ids, made.format) == ((), "zs")
    other = render(task, animal("test", 1), exemplars=pool, vocabulary=vocabulary, budget=512)
    assert (other.exemplar_ids, other.format) == ((row.id,), "fs")


@pytest.mark.parametrize(
    ("change", "format", "reason"),
    [
        ({"answer": "  "}, "zs", "empty answer"),
        ({"answer": "hen"}, "zs", "answer not among options"),
        ({"rationale": " "}, "zs_cot", "rationale missing"),
        ({"rationale": ""}, "fs_cot", "rationale missing"),
        ({"fields": {"tale": "x"}}, "zs", "missing field"),
        ({"fields": {"story": " "}}, "zs", "empty inputs"),
    ],
)
def test_unusable_rows(draw, change, format, reason):
    with pytest.raises(RowError) as caught:
        draw(only("{story}", format), replace(ROW, **change))
    assert caught.value.reason == reason
    assert "'7'" in caught.value.detail


def test_an_empty_target_pattern_is_refused(draw):
    task = only("", templates=(Template("{story}", targets="{remark}"),))
    row = replace(ROW, fields={"story": "x", "remark": " "}, options=())
    with pytest.raises(RowError, match="empty target"):
        draw(task, row)


def test_braces_in_a_field_are_text(draw):
    row = replace(ROW, fields={"story": "set {story} and {} to {0}"})
    assert draw(only("Read {story} now."), row).inputs == "Read set {story} and {} to {0} now."


def test_few_shot_needs_a_pool(vocabulary):
    with pytest.raises(ValueError, match="exemplar pool"):
        render(only("{story}", "fs"), ROW, exemplars=None, vocabulary=vocabulary, budget=9)


def test_all_that_the_renderer_adds_survives_the_t5_vocabulary(shared):
    t5 = Vocabulary(str(shared / "data" / "t5_vocab" / "spiece.model"))
    texts = fixed_texts(tuple(OPTION_STYLES))
    assert len(texts) > len(OPTION_STYLES) + len(SHOT_STYLES) + len(COT_STYLES)
    assert set(fixed_texts()) < set(texts)
    for text in texts:
        assert t5.decode(t5.encode(text)) == text
