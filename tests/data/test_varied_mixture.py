"""A mixture as a run wants it: exact shares, what is kept of them, and every message."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flan_t5x.data import registry
from flan_t5x.data.definitions import MixtureDefinition, MixturePart, TaskDefinition
from flan_t5x.data.registry import WeightedTask
from flan_t5x.data.sources.location import MissingDataError
from flan_t5x.data.task_sets import mixture_table
from flan_t5x.data.varied_mixture import Variation, dataset_name, first_datasets
from flan_t5x.errors import UserError
from flan_t5x.train.config import DataConfig
from flan_t5x.train.job import training_tasks
from tests.data.rows import ListSource, animal, animal_task

SIZES = {"a": 10, "b": 30, "c": 60, "d": 20}
LENGTHS = {"inputs": 64, "targets": 16}


class Absent(ListSource):
    """Data that is not there, with a published count."""

    def num_examples(self, split: str) -> int:
        raise MissingDataError("raw e is not there, get it", raw="raw e")

    def expected_examples(self, split: str) -> int | None:
        return 40


def task(dataset: str, format: str, group: str) -> TaskDefinition:
    rows = [animal("train", i) for i in range(SIZES.get(dataset, 0))]
    source = Absent({"train": []}) if dataset == "e" else ListSource({"train": rows})
    return animal_task(format, name=f"{dataset}_{format}", source=source, group=group)


@pytest.fixture(autouse=True)
def mixtures(monkeypatch: pytest.MonkeyPatch) -> None:
    """`sized` weighs by rows, `rated` by rates, `deep` holds both, `lacking` has missing data."""
    made = registry._Registry()
    monkeypatch.setattr(registry, "_registry", made)
    monkeypatch.setattr(made, "providers", dict)
    made.add(
        [
            *(task(dataset, form, "group_1") for dataset in ("a", "b") for form in ("zs", "fs")),
            *(task("c", form, "group_2") for form in ("zs", "fs", "zs_cot", "fs_cot")),
            *(task("d", form, "group_3") for form in ("zs", "zs_cot")),
            task("e", "zs", "group_3"),
        ],
        [
            mixture("sized", *(MixturePart(n, cap=50) for n in ("a_zs", "a_fs", "b_zs", "c_zs"))),
            mixture("rated", *(MixturePart(n, rate=r) for n, r in RATED.items())),
            mixture("deep", MixturePart("sized", rate=1), MixturePart("rated", rate=3)),
            mixture("deeper", MixturePart("deep", rate=1), MixturePart("b_fs")),
            mixture("zero_shot", MixturePart("a_zs"), MixturePart("d_zs_cot")),
            mixture("few_shot", MixturePart("a_fs"), MixturePart("c_fs_cot")),
            mixture("lacking", MixturePart("a_zs"), MixturePart("b_zs"), MixturePart("e_zs")),
            mixture("twice", *map(MixturePart, ("a_zs", "b_zs", "a_zs"))),
        ],
        origin="test",
    )


def mixture(name: str, *parts: MixturePart) -> MixtureDefinition:
    return MixtureDefinition(name, parts)


RATED = {"c_zs": 4, "c_fs": 1, "d_zs_cot": 5, "c_fs_cot": 2}


def shares(name: str, *, allow_missing: bool = False, **settings) -> dict[str, float]:
    found = registry.resolve(name, allow_missing=allow_missing, variation=Variation(**settings))
    return {one.task.name: one.rate for one in found}


def exactly(expected: dict[str, Fraction]):
    assert sum(expected.values()) == 1
    return pytest.approx({name: float(share) for name, share in expected.items()}, abs=1e-12)


def test_rates_replace_those_of_the_parts_and_nothing_inside() -> None:
    sized, rated = Fraction(1, 4), Fraction(3, 4)
    expected = {
        "a_zs": sized * Fraction(10, 100),
        "a_fs": sized * Fraction(10, 100),
        "b_zs": sized * Fraction(30, 100),
        "c_zs": sized * Fraction(50, 100) + rated * Fraction(4, 12),
        "c_fs": rated * Fraction(1, 12),
        "d_zs_cot": rated * Fraction(5, 12),
        "c_fs_cot": rated * Fraction(2, 12),
    }
    assert shares("deep") == exactly(expected)
    assert shares("deep", rates={"rated": 0.3, "sized": 0.1}) == exactly(expected)
    alone = {name: Fraction(rate, 12) for name, rate in RATED.items()}
    assert shares("deep", rates={"sized": 0, "rated": 7}) == exactly(alone)
    halves = {"a_zs": Fraction(1, 3), "b_zs": Fraction(2, 3)}
    assert shares("twice", rates={"a_zs": 1, "b_zs": 2}) == exactly(halves)


def test_a_cap_reaches_every_depth_and_replaces_the_own_ones() -> None:
    capped = {"a_zs": 10, "a_fs": 10, "b_zs": 15, "c_zs": 15}
    assert shares("sized", cap=15) == exactly({n: Fraction(w, 50) for n, w in capped.items()})
    uncapped = {"a_zs": 10, "a_fs": 10, "b_zs": 30, "c_zs": 60}
    assert shares("sized", cap=60) == exactly({n: Fraction(w, 110) for n, w in uncapped.items()})
    # In `deeper` b_fs weighs its capped number against `deep`'s rate of 1.
    found = shares("deeper", cap=15)
    assert found["b_fs"] == pytest.approx(15 / 16, abs=1e-12)
    assert found["b_zs"] == pytest.approx(1 / 16 * 1 / 4 * 15 / 50, abs=1e-12)
    rows = registry.describe_mixture("deeper", variation=Variation(cap=15))
    assert {row.task: row.cap for row in rows if row.part == "b_fs"} == {"b_fs": 15}
    assert {row.cap for row in rows if row.task == "d_zs_cot"} == {None}


@pytest.mark.parametrize(
    ("without", "left"),
    [
        (["sized"], {"c_zs", "c_fs", "d_zs_cot", "c_fs_cot", "b_fs"}),  # inside a part
        (["deep"], {"b_fs"}),  # a part
        (["group_1"], {"c_zs", "c_fs", "d_zs_cot", "c_fs_cot"}),  # a group
        (["c"], {"a_zs", "a_fs", "b_zs", "b_fs", "d_zs_cot"}),  # a data set
        (["c_fs", "a"], {"c_zs", "b_zs", "b_fs", "d_zs_cot", "c_fs_cot"}),  # a task, a data set
    ],
)
def test_the_rest_keeps_its_relative_shares(without: list[str], left: set[str]) -> None:
    whole = registry.describe_mixture("deeper")
    found = registry.describe_mixture("deeper", variation=Variation(without=without))
    assert {row.task for row in found} == left
    assert math.fsum(row.share for row in found) == pytest.approx(1.0, abs=1e-12)
    # A task may come in by several parts: rows are compared, not sums by task.
    rows = [row for row in whole if row.task in left]
    if without == ["sized"]:
        rows = [row for row in rows if row.cap is None]
    factors = [one.share / other.share for one, other in zip(found, rows, strict=True)]
    assert factors == pytest.approx([1 / math.fsum(r.share for r in rows)] * len(rows), rel=1e-12)


def test_data_sets_are_nested_and_their_order_is_of_names_and_seed() -> None:
    whole = shares("deep")
    kept = [set(shares("deep", num_datasets=n, datasets_seed=3)) for n in (1, 2, 3, 4)]
    assert all(one < other for one, other in pairwise(kept))
    assert kept[-1] == set(whole)
    for names in kept:
        assert all({n for n in whole if n[0] == name[0]} <= names for name in names)
    names = [f"n{i}" for i in range(40)]
    orders = {tuple(first_datasets(names, 40, seed=seed)) for seed in range(5)}
    assert len(orders) == 5
    for order in orders:
        assert sorted(order) == sorted(names)
    whole_order = first_datasets(names, 40, seed=0)
    assert first_datasets(names[::-1], 40, seed=0) == whole_order
    assert first_datasets(names[5:], 35, seed=0) == [n for n in whole_order if n in names[5:]]


def test_few_shot_share_keeps_the_proportions_of_each_side() -> None:
    quarter = {
        "c_zs": Fraction(3, 4) * Fraction(4, 9),
        "d_zs_cot": Fraction(3, 4) * Fraction(5, 9),
        "c_fs": Fraction(1, 4) * Fraction(1, 3),
        "c_fs_cot": Fraction(1, 4) * Fraction(2, 3),
    }
    assert shares("rated", few_shot_share=0.25) == exactly(quarter)
    only = {"c_fs": Fraction(1, 3), "c_fs_cot": Fraction(2, 3)}
    assert shares("rated", few_shot_share=1) == exactly(only)
    none = {"c_zs": Fraction(4, 9), "d_zs_cot": Fraction(5, 9)}
    assert shares("rated", few_shot_share=0.0) == exactly(none)
    assert shares("zero_shot", few_shot_share=0) == exactly(
        {"a_zs": Fraction(10, 30), "d_zs_cot": Fraction(20, 30)}
    )


def test_the_order_of_application() -> None:
    found = shares(
        "deep", rates={"sized": 1, "rated": 1}, cap=10, without=["d"], few_shot_share=0.5
    )
    # sized: 10 each of four; rated without d: 4, 1, 2 of 12.
    zero = {"a_zs": Fraction(1, 8), "b_zs": Fraction(1, 8), "c_zs": Fraction(1, 8) + Fraction(1, 6)}
    few = {"a_fs": Fraction(1, 8), "c_fs": Fraction(1, 24), "c_fs_cot": Fraction(1, 12)}
    expected = {name: share / sum(zero.values()) / 2 for name, share in zero.items()}
    expected |= {name: share / sum(few.values()) / 2 for name, share in few.items()}
    assert found == exactly(expected)
    two = shares("deep", without=["d"], num_datasets=2)
    order = first_datasets(["a", "b", "c"], 2, seed=0)
    assert {name[0] for name in two} == set(order)


def test_missing_data_that_is_left_out_is_not_missed() -> None:
    with pytest.raises(UserError, match="raw e is not there"):
        shares("lacking")
    expected = {"a_zs": Fraction(1, 4), "b_zs": Fraction(3, 4)}
    assert shares("lacking", without=["e"]) == exactly(expected)
    assert shares("lacking", without=["e_zs"], allow_missing=True) == exactly(expected)
    alone = {"a_zs": Fraction(1)}
    assert shares("lacking", rates={"a_zs": 1, "b_zs": 0, "e_zs": 0}) == exactly(alone)
    cut = Variation(without=["b"])
    assert "80.0% of the mixture is left out" in registry.missing_text("lacking", variation=cut)
    assert registry.missing_text("lacking", variation=Variation(without=["e"])) == ""


def test_data_sets_are_counted_with_the_missing_ones() -> None:
    order = first_datasets(["a", "b", "e"], 3, seed=1)
    for count in (1, 2, 3):
        expected = {f"{name}_zs" for name in order[:count] if name != "e"}
        if expected:
            found = shares("lacking", allow_missing=True, num_datasets=count, datasets_seed=1)
            assert set(found) == expected


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("deep", {"rates": {"sized": 1}}, "gives no rate to rated of 'deep'; every part needs one"),
        (
            "deep",
            {"rates": {"sized": 1, "rate": 1}},
            "names 'rate', which is no part of 'deep'; did you mean 'rated'?",
        ),
        (
            "deep",
            {"rates": {"sized": 1, "rated": 1, "xyz": 1}},
            "names 'xyz', which is no part of 'deep'; its parts are sized, rated",
        ),
        ("rated", {"cap": 5}, "mixture_cap = 5 has no effect: nothing in 'rated' weighs by its"),
        ("deep", {"rates": {"sized": 0, "rated": 1}, "cap": 5}, "mixture_cap = 5 has no effect"),
        (
            "deep",
            {"without": ["group_"]},
            "without names 'group_', which is no part, mixture, group, data set or task in 'deep'; "
            "did you mean 'group_",
        ),
        ("deep", {"without": ["b_fs"]}, "without names 'b_fs', which is no part"),
        ("deep", {"without": ["qqqq"]}, "in 'deep'; its parts are sized, rated"),
        (
            "deep",
            {"without": ["sized", "rated"]},
            r"without = \['sized', 'rated'\] leaves nothing of 'deep'; its parts are sized, rated",
        ),
        ("deep", {"num_datasets": 5}, "num_datasets = 5: 'deep' has 4 data sets"),
        ("deep", {"num_datasets": 4, "without": ["c"]}, "= 4: 'deep' without c has 3 data sets"),
        ("zero_shot", {"few_shot_share": 0.5}, "share = 0.5 needs few-shot tasks, and 'zero_shot'"),
        ("few_shot", {"few_shot_share": 0.5}, "share = 0.5 needs zero-shot tasks, and 'few_shot'"),
    ],
)
def test_what_a_mixture_cannot_give(name: str, settings: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        shares(name, **settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mixture_rates": {"a": math.nan}}, r"mixture_rates\['a'\] = nan: a number >= 0"),
        ({"mixture_rates": {"a": -1}}, r"mixture_rates\['a'\] = -1: a number >= 0"),
        ({"mixture_rates": {"a": math.inf}}, r"mixture_rates\['a'\] = inf: a number >= 0"),
        ({"mixture_rates": {"a": True}}, r"mixture_rates\['a'\] = True: a number >= 0"),
        ({"mixture_rates": {"a": "1"}}, r"mixture_rates\['a'\] = '1': a number >= 0"),
        ({"mixture_rates": {"a": 0, "b": 0.0}}, "every rate is 0, so nothing would be drawn"),
        ({"mixture_rates": {}}, "every rate is 0, so nothing would be drawn"),
        ({"mixture_rates": ["a"]}, r"mixture_rates = \['a'\]: rates by part are needed"),
        ({"mixture_cap": 0}, "DataConfig.mixture_cap = 0: a whole number >= 1"),
        ({"mixture_cap": 1.5}, "DataConfig.mixture_cap = 1.5: a whole number >= 1"),
        ({"without": "mini_cot"}, "without = 'mini_cot': a list of names is needed"),
        ({"without": [1]}, r"without = \[1\]: a list of names is needed"),
        ({"num_datasets": 0}, "DataConfig.num_datasets = 0: a whole number >= 1"),
        ({"datasets_seed": -1}, "DataConfig.datasets_seed = -1: a whole number >= 0"),
        ({"few_shot_share": 1.01}, "few_shot_share = 1.01: a number from 0 to 1"),
        ({"few_shot_share": -0.1}, "few_shot_share = -0.1: a number from 0 to 1"),
        ({"few_shot_share": math.nan}, "few_shot_share = nan: a number from 0 to 1"),
        ({"few_shot_share": True}, "few_shot_share = True: a number from 0 to 1"),
    ],
)
def test_settings_are_checked_where_they_are_made(settings: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        DataConfig(mixture_or_task_name="deep", task_feature_lengths=LENGTHS, **settings)


NAMES = ("sized", "rated", "group_1", "group_2", "a", "b", "c", "d", "c_zs", "c_fs", "d_zs_cot")


@given(
    rates=st.fixed_dictionaries({"sized": st.floats(1e-3, 1e3), "rated": st.floats(1e-3, 1e3)}),
    cap=st.none() | st.integers(1, 100),
    without=st.lists(st.sampled_from(NAMES), max_size=3),
    count=st.none() | st.integers(1, 4),
    seed=st.integers(0, 9),
    few=st.none() | st.floats(0, 1),
)
def test_any_variation_is_a_mixture(rates, cap, without, count, seed, few) -> None:
    base = Variation(rates=rates, cap=cap)
    cut = replace(base, without=without, num_datasets=count, datasets_seed=seed)
    try:
        found = registry.resolve("deep", variation=replace(cut, few_shot_share=few))
    except UserError as caught:
        refused = str(caught)
        if any(why in refused for why in ("leaves nothing", "data sets", "-shot tasks")):
            return
        raise
    assert all(one.rate > 0 for one in found)
    assert math.fsum(one.rate for one in found) == pytest.approx(1.0, abs=1e-12)
    selected = registry.resolve("deep", variation=cut)
    for side in (False, True):
        now, before = (_side(some, side) for some in (found, selected))
        if not now:
            continue
        assert now.keys() == before.keys()
        total = math.fsum(before.values())
        share = total if few is None else few if side else 1 - few
        expected = {name: rate / total * share for name, rate in before.items()}
        assert now == pytest.approx(expected, rel=1e-9)


def _side(some: list[WeightedTask], few: bool) -> dict[str, float]:
    return {w.task.name: w.rate for w in some if w.task.format.startswith("fs") == few}


def test_a_run_trains_on_it_and_its_table_says_so() -> None:
    data = DataConfig(
        mixture_or_task_name="deep",
        task_feature_lengths=LENGTHS,
        mixture_rates={"sized": 1, "rated": 1.5},
        mixture_cap=20,
        without=["d"],
        num_datasets=3,
        datasets_seed=2,
        few_shot_share=0.25,
    )
    tasks = training_tasks(data)
    assert {w.task.name: w.rate for w in tasks.weighted} == shares(
        "deep",
        rates={"sized": 1, "rated": 1.5},
        cap=20,
        without=["d"],
        num_datasets=3,
        datasets_seed=2,
        few_shot_share=0.25,
    )
    title, _, first, *_ = mixture_table(tasks).splitlines()
    assert title == (
        "# mixture deep, split train: 6 tasks; rates sized=1 rated=1.5; cap 20; without d; "
        "3 data sets (seed 2); few-shot share 0.25"
    )
    assert first.split()[:4] == ["a_zs", "group_1", "10", "20"]
    plain = DataConfig(mixture_or_task_name="deep", task_feature_lengths=LENGTHS)
    assert mixture_table(training_tasks(plain)).startswith("# mixture deep, split train: 7 tasks\n")


def test_own_data_is_mixed_in_afterwards(tmp_path) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text('{"inputs": "a", "targets": "b"}\n')
    data = DataConfig(
        mixture_or_task_name="rated",
        task_feature_lengths=LENGTHS,
        few_shot_share=0.5,
        user_jsonl={"own": str(own)},
        user_jsonl_share=0.2,
    )
    found = {w.task.name: w.rate for w in training_tasks(data).weighted}
    assert found["own"] == pytest.approx(0.2, abs=1e-12)
    assert found["c_fs"] + found["c_fs_cot"] == pytest.approx(0.4, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mini_count_animals_fs_cot", "mini_count_animals"),
        ("mini_add_inv_zs", "mini_add"),
        ("cot_gsm8k_zs_cot", "cot_gsm8k"),
        ("cot_gsm8k_inv_fs", "cot_gsm8k"),
        ("flan_anli_r1_zsnoopt", "flan_anli_r1"),
        ("flan_anli_r1_inv_zs", "flan_anli_r1"),
        ("t0_wiqa_effect_with_label_answer_fsopt", "t0_wiqa_effect_with_label_answer"),
        (
            "niv2_task001_quoref_question_generation_zsopt",
            "niv2_task001_quoref_question_generation",
        ),
        ("dialog_qrecc_fsopt", "dialog_qrecc"),
        ("dialog_qrecc_inv_fs", "dialog_qrecc"),
        ("bbh_boolean_expressions_cot_3shot", "bbh_boolean_expressions"),
        ("mmlu_anatomy_direct_5shot", "mmlu_anatomy"),
        ("own", "own"),
        ("_zs", "_zs"),
    ],
)
def test_data_sets_of_names(name: str, expected: str) -> None:
    assert dataset_name(animal_task(name=name)) == expected
