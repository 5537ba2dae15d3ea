"""What studies train and evaluate on: sizes, shares, answers, and nothing held out is trained."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from fractions import Fraction

import pytest
from flan_tasks.mini import SHARES, mixtures, tasks
from flan_tasks.mini.catalog import HELD_OUT_CELLS, HELDOUT, SUBMIXTURES, families, trained
from flan_tasks.mini.family import Family
from flan_tasks.mini.inverted import INVERTED_FAMILIES, content_field, inverted
from flan_tasks.mini.shifted import OF_KIND, SHIFTED, of_kind, shifted
from flan_tasks.mini.source import MiniSource
from flan_tasks.mini.studies import SHOT_FAMILIES, uneven_sizes
from flan_tasks.mini.transfer import (
    generator_cell,
    instruction_texts,
    shared_wordings,
    unknown_words,
)

from flan_t5x.data.definitions import Example
from flan_t5x.data.evaluation_only import refuse_training
from flan_t5x.data.registry import get_mixture, resolve
from flan_t5x.data.varied_mixture import Variation, dataset_name
from flan_t5x.errors import UserError
from flan_t5x.evaluation.baselines import baseline

from .solvers import numbers, owners, solve, words

VARIANTS = {**shifted(), **inverted()}
SIZES = {"train": 100, "validation": 100}


def rows(family: str, split: str = "validation", seed: int = 5) -> list[Example]:
    found = list(MiniSource(family, sizes=SIZES, seed=seed).read(split, 0, 100))
    assert all(isinstance(row, Example) for row in found)
    return [row for row in found if isinstance(row, Example)]


def names(mixture: str) -> set[str]:
    return {weighted.task.name for weighted in resolve(mixture)}


# Which tasks.


def test_held_out_families_with_and_without_a_chain_of_thought() -> None:
    reasoning = ("count_countries", "count_tools")
    steps = {f"mini_{name}_zs_cot" for name in reasoning}
    direct = {f"mini_{name}_zs" for name in reasoning}
    assert names("mini_heldout_step_by_step") == steps
    assert names("mini_heldout_cot_asked_directly") == direct
    assert names("mini_heldout_cot") == steps | direct
    assert names("mini_heldout_direct") == names("mini_heldout") - steps - direct


def test_the_same_trained_families_in_zero_and_few_shot_formats() -> None:
    homes = Counter(families()[name].submixture for name in SHOT_FAMILIES)
    assert homes == dict.fromkeys(SUBMIXTURES, 5)
    zero, few = names("mini_flan_zs"), names("mini_flan_fs")
    assert {name.replace("_zs", "_fs") for name in zero} == few
    assert zero | few < names("mini_flan")
    assert {re.sub("^mini_", "", dataset_name(w.task)) for w in resolve("mini_flan_fs")} == {
        *SHOT_FAMILIES
    }


def test_shifted_and_unshifted_tasks_stand_side_by_side() -> None:
    assert names("mini_unshifted") < names("mini_flan")
    for kind in OF_KIND:
        plain = [w.task for w in resolve(f"mini_unshifted_{kind}")]
        moved = [w.task for w in resolve(f"mini_shifted_{kind}")]
        assert [t.name.replace(f"_{kind}", "") for t in moved] == [t.name for t in plain]
        assert [t.format for t in moved] == [t.format for t in plain]
        assert {t.group for t in moved} == {SHIFTED}
    together = [names(f"mini_shifted_{kind}") for kind in OF_KIND]
    assert sum(map(len, together)) == len(set().union(*together)) == len(names("mini_shifted"))


EVALUATED = (
    "mini_heldout_cot",
    "mini_heldout_direct",
    "mini_heldout_step_by_step",
    "mini_heldout_cot_asked_directly",
    "mini_flan_zs",
    "mini_flan_fs",
    "mini_shifted",
    "mini_unshifted",
    "mini_shifted_longer",
    "mini_longer_any_tools_zs",
)


@pytest.mark.parametrize("name", EVALUATED)
def test_evaluation_mixtures_are_not_trained_on(name: str) -> None:
    with pytest.raises(UserError, match="for evaluation only"):
        refuse_training(name)


# What is trained.

TRAINABLE = sorted(mixture.name for mixture in mixtures() if not mixture.evaluation_only)


@pytest.mark.parametrize("name", [n for n in TRAINABLE if not n.startswith("mini_pretrain")])
def test_no_mixture_trains_a_held_out_cell(name: str) -> None:
    refuse_training(name)
    known = {**families(), **VARIANTS}
    made = {weighted.task.source.family for weighted in resolve(name)}  # type: ignore[attr-defined]
    assert made
    for family in (known[one] for one in made):
        assert generator_cell(family) not in HELD_OUT_CELLS, family.name
        assert family.submixture not in (HELDOUT, SHIFTED)
        assert family.transfer == ""


def test_a_tenth_of_draws_is_turned_round() -> None:
    found = resolve("mini_flan_inverted")
    total = sum(SHARES.values())
    for group, share in SHARES.items():
        rate = math.fsum(w.rate for w in found if w.task.group == group)
        assert rate == pytest.approx(0.9 * share / total, abs=1e-12)
    turned = [w for w in found if w.task.group == "mini_inverted"]
    assert {w.task.name for w in turned} == {f"mini_{name}_inv_zs" for name in INVERTED_FAMILIES}
    assert len(turned) >= 10
    assert [w.rate for w in turned] == pytest.approx([0.1 / len(turned)] * len(turned), abs=1e-12)
    plain = {w.task.name: 0.9 * w.rate for w in resolve("mini_flan")}
    rest = {w.task.name: w.rate for w in found if w.task.name in plain}
    assert rest == pytest.approx(plain, abs=1e-12)


def test_uneven_sizes_follow_zipf_over_mixed_submixtures() -> None:
    sizes = uneven_sizes()
    assert set(sizes) == {family.name for family in trained()}
    assert list(sizes.values()) == [max(20, 2000 // rank) for rank in range(1, 71)]
    largest = {families()[name].submixture for name in list(sizes)[:10]}
    assert largest == set(SUBMIXTURES)
    assert not any(part.cap for part in get_mixture("mini_flan_uneven").parts)
    formats = {name: len(families()[name].formats) for name in sizes}
    total = sum(sizes[name] * formats[name] for name in sizes)
    for weighted in resolve("mini_flan_uneven"):
        family = dataset_name(weighted.task).removeprefix("mini_uneven_")
        assert weighted.task.source.num_examples("train") == sizes[family]
        assert weighted.task.source.num_examples("validation") == 200
        assert weighted.task.group == families()[family].submixture
        assert weighted.rate == pytest.approx(float(Fraction(sizes[family], total)), abs=1e-12)


def test_a_cap_levels_uneven_sizes() -> None:
    found = resolve("mini_flan_uneven", variation=Variation(cap=20))
    sizes = uneven_sizes()
    assert len(found) == sum(len(families()[name].formats) for name in sizes) == 160
    assert [w.rate for w in found] == pytest.approx([1 / 160] * 160, abs=1e-12)


def test_rows_of_uneven_tasks_are_the_first_of_the_usual_ones() -> None:
    by_name = {task.name: task for task in tasks()}
    for name, size in list(uneven_sizes().items())[30:33]:
        fewer = by_name[f"mini_uneven_{name}_fs"].source
        usual = by_name[f"mini_{name}_fs"].source
        assert list(fewer.read("train", 0, 10**6)) == list(usual.read("train", 0, size))


# Data sets of every name.


def test_data_sets_are_families_whatever_the_format_and_direction() -> None:
    for task in tasks():
        family = task.source.family.removesuffix("_inv")  # type: ignore[attr-defined]
        uneven = "uneven_" if task.name.startswith("mini_uneven_") else ""
        assert dataset_name(task) == f"mini_{uneven}{family}"
    whole = resolve("mini_flan")
    two = resolve("mini_flan", variation=Variation(num_datasets=2))
    kept = {dataset_name(w.task) for w in two}
    assert len(kept) == 2
    assert {w.task.name for w in two} == {
        w.task.name for w in whole if dataset_name(w.task) in kept
    }


# Shifts.


@pytest.mark.parametrize("name", sorted(shifted()))
def test_shifted_answers_are_right_and_guessers_fair(name: str) -> None:
    family = shifted()[name]
    found = rows(name)
    for row in found:
        assert row.answer == solve(family.operation, family.category, row), row
        assert row.valid_answers.count(row.answer) == 1, row
    guess = baseline([r.answer for r in found], [r.valid_answers for r in found])
    assert guess.value < 0.6


@pytest.mark.parametrize(("plain", "moved"), of_kind("longer"), ids=OF_KIND["longer"])
def test_every_longer_list_is_longer_than_all_of_training(plain: Family, moved: Family) -> None:
    usual = {len(words(row)) for row in rows(plain.name, "train")}
    longer = {len(words(row)) for row in rows(moved.name)}
    assert max(usual) < min(longer) == max(usual) + 1
    assert moved.templates == plain.templates
    assert moved.definitions == plain.definitions


@pytest.mark.parametrize(("plain", "moved"), of_kind("larger"), ids=OF_KIND["larger"])
def test_every_larger_number_is_beyond_training(plain: Family, moved: Family) -> None:
    usual = rows(plain.name, "train") + rows(plain.name, "train", seed=6)
    beyond = max(n for row in usual for n in [*numbers(row), *sums(row)])
    assert beyond == 9
    for row in rows(moved.name):
        assert max([*numbers(row), *sums(row)]) > beyond
        if plain.operation == "compare":
            assert min(numbers(row)) > beyond
        for number in re.findall(r"\d+", row.rationale):
            assert int(number) in {*numbers(row), *sums(row)}
    assert moved.templates == plain.templates


def sums(row: Example) -> list[int]:
    return [int(row.answer)] if row.answer.isdigit() else []


@pytest.mark.parametrize(("plain", "moved"), of_kind("reworded"), ids=OF_KIND["reworded"])
def test_new_wordings_are_new_and_of_known_words(plain: Family, moved: Family) -> None:
    assert generator_cell(moved) == generator_cell(plain)
    assert unknown_words(moved) == set()
    assert shared_wordings(moved, plain) == set()
    assert len({*moved.definitions} or {t.inputs for t in moved.templates}) >= 6
    before = dataclasses.replace(moved, definitions=(), templates=plain.templates)
    if moved.definitions:  # the frames around a definition stay
        assert instruction_texts(before) == tuple(
            text for text in instruction_texts(moved) if text not in moved.definitions
        )


def test_held_out_wordings_are_not_the_new_ones() -> None:
    held = set(instruction_texts(families()["who_has_reworded"]))
    assert not any(held & set(instruction_texts(family)) for family in VARIANTS.values())


# Turned round.


@pytest.mark.parametrize("name", sorted(inverted()))
def test_what_is_written_has_the_answer_that_was_asked_for(name: str) -> None:
    family = inverted()[name]
    field = content_field(family.operation)
    for row in rows(name):
        told = row.fields["wanted"]
        assert "{" not in told
        written = dataclasses.replace(row, fields={field: row.answer} | asked_of(told, row.answer))
        answer = solve(family.operation, family.category, written)
        assert re.search(rf"\b{answer}\b", told), (told, row.answer)
        assert (row.options, row.valid_answers) == ((), ())


def asked_of(told: str, text: str) -> dict[str, str]:
    """The thing that is asked about, where a text is about things: the one that is told of."""
    things = re.findall(r"has an? (\w+)|The (\w+) is", text)
    named = [
        thing for pair in things for thing in pair if thing and re.search(rf"\b{thing}\b", told)
    ]
    return {"thing": named[0]} if named else {}


def test_the_check_of_what_is_written_can_fail() -> None:
    row = rows("who_has_inv")[0]
    held = owners(dataclasses.replace(row, fields={"passage": row.answer}))
    thing = asked_of(row.fields["wanted"], row.answer)["thing"]
    (owner,) = [name for name, owned in held.items() if owned == thing]
    assert owner in row.fields["wanted"]
    assert not any(name in row.fields["wanted"] for name in held if name != owner)


@pytest.mark.parametrize("name", INVERTED_FAMILIES)
def test_a_question_turned_round_stays_in_its_split(name: str) -> None:
    family = families()[name]
    field = content_field(family.operation)
    trained_on = {row.fields[field].replace(",", "") for row in rows(name, "train")}
    held = {row.answer.replace(",", "") for row in rows(f"{name}_inv", "validation")}
    # A passage is asked about in several ways, and each way is a question of its own.
    if field in ("list", "story"):
        assert not held & trained_on


@pytest.mark.parametrize("name", sorted(inverted()))
def test_families_turned_round_have_known_words_and_eight_wordings(name: str) -> None:
    family = inverted()[name]
    said = family.generator.keywords["said"]  # type: ignore[attr-defined]
    told = tuple(re.sub(r"\{\w+\}", "|", pattern) for pattern in said)
    assert unknown_words(dataclasses.replace(family, definitions=told)) == set()
    assert len({t.inputs for t in family.templates}) >= 8
    assert len(set(said)) >= 3
