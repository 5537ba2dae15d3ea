"""Names, rates and messages of the registry."""

from __future__ import annotations

import json
import sys
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flan_t5x.data import registry
from flan_t5x.data.definitions import MixtureDefinition, MixturePart
from flan_t5x.data.own_files import register_jsonl
from flan_t5x.errors import UserError

from .rows import ListSource, animal, animal_task


def sized(name: str, train: int | None, **others: int):
    """A task with that many rows; None: without a train split."""
    sizes = others if train is None else {"train": train, **others}
    source = ListSource({s: [animal(s, i) for i in range(n)] for s, n in sizes.items()})
    return animal_task(name=name, source=source, group=f"group of {name}")


TASKS = [
    sized("a", 10),
    sized("b", 30),
    sized("c", 60),
    sized("held_out", None, validation=5, test=5),
    sized("empty", 0),
]


@pytest.fixture
def fresh(monkeypatch):
    """An empty registry without providers; returns a function that adds mixtures."""
    made = registry._Registry()
    monkeypatch.setattr(registry, "_registry", made)
    monkeypatch.setattr(made, "providers", dict)
    made.add(TASKS, [], origin="test")

    def mix(name: str, *parts: MixturePart, **more: bool) -> str:
        made.add([], [MixtureDefinition(name, parts, **more)], origin="test")
        return name

    return mix


def rates(name: str) -> dict[str, float]:
    return {w.task.name: w.rate for w in registry.resolve(name)}


def test_numbers_of_examples_and_caps(fresh):
    name = fresh("m", MixturePart("a"), MixturePart("b", cap=20), MixturePart("c", cap=70))
    assert rates(name) == pytest.approx({"a": 10 / 90, "b": 20 / 90, "c": 60 / 90})


def test_given_rates(fresh):
    name = fresh("m", MixturePart("a", rate=1), MixturePart("b", rate=3, cap=1))
    assert rates(name) == {"a": 0.25, "b": 0.75}


def test_a_nested_mixture_shares_its_rate(fresh):
    inner = fresh("inner", MixturePart("a"), MixturePart("b"))
    outer = fresh("outer", MixturePart(inner, rate=1), MixturePart("c", rate=3))
    assert rates(outer) == pytest.approx({"a": 0.0625, "b": 0.1875, "c": 0.75})


def test_a_nested_mixture_without_a_rate_weighs_its_parts(fresh):
    inner = fresh("inner", MixturePart("a"), MixturePart("b"))
    assert rates(fresh("o1", MixturePart(inner), MixturePart("c"))) == pytest.approx(
        {"a": 0.1, "b": 0.3, "c": 0.6}
    )
    assert rates(fresh("o2", MixturePart(inner, cap=20), MixturePart("c"))) == pytest.approx(
        {"a": 5 / 80, "b": 15 / 80, "c": 0.75}
    )


def test_a_task_named_twice_is_merged(fresh):
    inner = fresh("inner", MixturePart("a", rate=1), MixturePart("b", rate=1))
    outer = fresh("outer", MixturePart(inner, rate=1), MixturePart("a", rate=1))
    assert rates(outer) == {"a": 0.75, "b": 0.25}
    assert [row.task for row in registry.describe_mixture(outer)] == ["a", "b", "a"]


def test_a_rate_of_zero_leaves_a_task_out(fresh):
    name = fresh("m", MixturePart("a", rate=0), MixturePart("b", rate=2))
    assert rates(name) == {"b": 1.0}


@given(st.lists(st.floats(1e-6, 1e6), min_size=3, max_size=3))
def test_rates_sum_to_one_and_keep_their_ratios(given_rates):
    parts = tuple(MixturePart(n, rate=r) for n, r in zip("abc", given_rates, strict=True))
    made = registry._Registry()
    made.add(TASKS, [MixtureDefinition("m", parts)], origin="test")
    former, registry._registry = registry._registry, made
    try:
        got = rates("m")
    finally:
        registry._registry = former
    assert sum(got.values()) == pytest.approx(1)
    for name, rate in zip("abc", given_rates, strict=True):
        assert got[name] == pytest.approx(rate / sum(given_rates))


def test_the_table(fresh):
    name = fresh("m", MixturePart("a"), MixturePart("b", cap=20))
    one, two = registry.describe_mixture(name)
    assert (one.task, one.group, one.examples, one.cap, one.rate) == (
        "a",
        "group of a",
        10,
        None,
        10,
    )
    assert (two.task, two.examples, two.cap, two.rate) == ("b", 30, 20, 20)
    assert two.share == pytest.approx(2 / 3)


def test_evaluation_only(fresh):
    name = fresh("held", MixturePart("held_out"), MixturePart("a"), evaluation_only=True)
    assert rates(name) == {"held_out": 0.5, "a": 0.5}
    assert [row.examples for row in registry.describe_mixture(name)] == [0, 10]
    outer = fresh("training", MixturePart(name, rate=1), MixturePart("b"))
    with pytest.raises(UserError, match="held: is for evaluation only"):
        registry.resolve(outer)


def test_a_single_task_is_a_mixture_of_itself(fresh):
    assert rates("a") == {"a": 1.0}
    assert rates("held_out") == {"held_out": 1.0}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([MixturePart("held_out")], "held_out: has no train split"),
        ([MixturePart("empty")], "empty: has no rows in its train split"),
        ([MixturePart("a", rate=-1), MixturePart("b")], r"a: has the rate -1\.0"),
        ([MixturePart("a", rate=float("nan"))], "a: has the rate nan"),
        ([MixturePart("a", rate=0)], r"its rates sum to 0"),
        ([MixturePart("held_ou")], "held_ou: is neither a task nor a mixture; did you mean"),
        ([MixturePart("m")], "a mixture cannot hold itself: m -> m"),
        ([], "its rates sum to 0"),
    ],
)
def test_mixtures_that_cannot_be_used(fresh, parts, message):
    with pytest.raises(UserError, match=message):
        registry.resolve(fresh("m", *parts))


def test_all_problems_are_listed_at_once(fresh):
    name = fresh("m", MixturePart("a"), MixturePart("held_out"), MixturePart("nothing_like_it"))
    with pytest.raises(UserError) as caught:
        registry.resolve(name)
    assert len(str(caught.value).splitlines()) == 3


def test_unknown_names_have_near_ones(fresh):
    with pytest.raises(UserError, match=r"no task named 'held_oot'; did you mean 'held_out'\?"):
        registry.get_task("held_oot")
    with pytest.raises(UserError, match=r"no mixture or task named 'xyz'; .*tasks list"):
        registry.get_mixture("xyz")
    fresh("m", MixturePart("a"))
    with pytest.raises(UserError, match="'m' is a mixture"):
        registry.get_task("m")


def test_names_must_be_valid_and_free(fresh):
    with pytest.raises(UserError, match="'a b' is not a valid name"):
        registry._registry.add([sized("a b", 1)], [], origin="test")
    with pytest.raises(UserError, match="the name 'a' is taken"):
        fresh("a", MixturePart("b"))
    with pytest.raises(UserError, match="the name 'new' is taken"):
        registry._registry.add([sized("new", 1), sized("new", 1)], [], origin="test")
    assert "new" not in registry.task_names()  # all or nothing


def test_a_lookup_imports_one_provider_only(monkeypatch):
    monkeypatch.setattr(registry, "_registry", registry._Registry())
    registry.get_task("cot_gsm8k_zs")
    assert registry._registry.loaded == {"flan_tasks.cot"}
    registry.get_mixture("cot")
    assert registry._registry.loaded == {"flan_tasks.cot"}


def test_every_provider_keeps_to_its_prefixes(monkeypatch):
    monkeypatch.setattr(registry, "_registry", registry._Registry())
    providers = registry._registry.providers()
    for module in set(providers.values()):
        one = registry._Registry()
        one.load(module)
        prefixes = tuple(f"{p}_" for p, provider in providers.items() if provider == module)
        names = [*one.tasks, *one.makers, *one.mixtures]
        assert names
        assert [n for n in names if not f"{n}_".startswith(prefixes)] == []
    assert set(registry.mixture_names()) >= {"cot", "cot_seven", "flan2022_b", "flan2021"}


def test_no_name_has_two_prefixes():
    prefixes = list(registry._registry.providers())
    assert not [(a, b) for a in prefixes for b in prefixes if a != b and b.startswith(f"{a}_")]


LAZY = """
from flan_t5x.data.definitions import MixtureDefinition, MixturePart
from tests.data.rows import animal_task

MADE = []

def names():
    return [f"lazy_{i}" for i in range(2000)]

def task(name):
    MADE.append(name)
    return animal_task(name=name)

def mixtures():
    parts = tuple(MixturePart(f"lazy_{i}", rate=1.0) for i in range(10))
    return [MixtureDefinition("lazy_ten", parts)]
"""


def test_a_task_is_made_when_it_is_needed(fresh, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "lazy_tasks_for_test.py").write_text(LAZY)
    registry.register_module("lazy_tasks_for_test")
    made = sys.modules["lazy_tasks_for_test"].MADE
    assert "lazy_1999" in registry.task_names()
    assert registry.get_mixture("lazy_17").parts[0].name == "lazy_17"
    assert made == []
    assert len(registry.resolve("lazy_ten")) == 10
    registry.resolve("lazy_ten")
    assert made == [f"lazy_{i}" for i in range(10)]
    assert registry.get_task("lazy_3") is registry.get_task("lazy_3")
    with pytest.raises(UserError, match="the name 'lazy_5' is taken"):
        fresh("lazy_5", MixturePart("a"))
    sys.modules.pop("lazy_tasks_for_test")


MODULE = """
from flan_t5x.data.definitions import MixtureDefinition, MixturePart
from flan_t5x.data.registry import get_task
from tests.data.rows import animal_task

def tasks():
    return [animal_task(name="own_animals")]

def mixtures():
    return [MixtureDefinition("own", (MixturePart("own_animals"),))]
"""


def test_own_modules(fresh, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_tasks_for_test.py").write_text(textwrap.dedent(MODULE))
    (tmp_path / "half_a_module_for_test.py").write_text("def tasks(): return []\n")
    registry.register_module("own_tasks_for_test")
    registry.register_module("own_tasks_for_test")
    assert rates("own") == {"own_animals": 1.0}
    with pytest.raises(UserError, match=r"has no function mixtures\(\)"):
        registry.register_module("half_a_module_for_test")
    with pytest.raises(UserError, match="cannot import the task module 'no_such_module_at_all'"):
        registry.register_module("no_such_module_at_all")
    sys.modules.pop("own_tasks_for_test")


def test_own_files(fresh, tmp_path):
    path = tmp_path / "mine.jsonl"
    task = register_jsonl("mine", path, format="zs", templates=["Please: {inputs}"])
    assert task.extract == "text"
    assert task.metrics == ("accuracy",)
    with pytest.raises(UserError, match=r"mine.*does not exist"):
        rates(fresh("own_mixture", MixturePart("mine")))
    rows = [{"inputs": f"question {i}", "targets": str(i), "split": "train"} for i in range(4)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert rates("own_mixture") == {"mine": 1.0}
    again = register_jsonl("mine", path, format="zs", templates=["Please: {inputs}"])
    assert registry.get_task("mine") == again
    with pytest.raises(UserError, match="the name 'mine' is taken"):
        register_jsonl("mine", tmp_path / "other.jsonl")
    cot = register_jsonl("mine_cot", path, format="zs_cot")
    assert cot.extract == "cot_answer"
