"""Shares where data is missing: refused, weighed as published, or left out by name."""

from __future__ import annotations

import pytest

from flan_t5x.data import registry
from flan_t5x.data.definitions import MixtureDefinition, MixturePart
from flan_t5x.data.own_files import register_jsonl, register_rendered
from flan_t5x.data.sources.location import MissingDataError
from flan_t5x.errors import UserError

from .rows import ListSource, animal, animal_task


class AbsentSource(ListSource):
    """Data that is not there; perhaps with a published count."""

    def __init__(self, raw: str, published: int | None) -> None:
        super().__init__({"train": []})
        self.raw, self.published = raw, published

    def num_examples(self, split: str) -> int:
        raise MissingDataError(f"{self.raw} is not there, get it", raw=self.raw)

    def expected_examples(self, split: str) -> int | None:
        return self.published


class BrokenSource(ListSource):
    def __init__(self) -> None:
        super().__init__({"train": []})

    def num_examples(self, split: str) -> int:
        raise UserError("the file 'x' is damaged")


def there(name: str, rows: int):
    source = ListSource({"train": [animal("train", i) for i in range(rows)]})
    return animal_task(name=name, source=source)


def absent(name: str, raw: str, published: int | None):
    return animal_task(name=name, source=AbsentSource(raw, published))


@pytest.fixture(autouse=True)
def mix(monkeypatch):
    """A registry with three present and four absent tasks; returns what adds mixtures."""
    made = registry._Registry()
    monkeypatch.setattr(registry, "_registry", made)
    monkeypatch.setattr(made, "providers", dict)
    shared = AbsentSource("raw two", 50)
    tasks = [
        there("a", 10),
        there("b", 30),
        absent("gone", "raw one", 60),
        absent("unknown", "raw three", None),
        animal_task(name="twin_1", source=shared),
        animal_task(name="twin_2", source=shared),
        animal_task(name="broken", source=BrokenSource()),
    ]
    made.add(tasks, [], origin="test")

    def add(name: str, *parts: MixturePart, **more: bool) -> str:
        made.add([], [MixtureDefinition(name, parts, **more)], origin="test")
        return name

    return add


def shares(rows) -> dict[str, float]:
    return {row.task: row.share for row in rows}


def test_missing_data_is_refused_with_all_that_is_missing(mix):
    name = mix("m", *map(MixturePart, ("a", "twin_1", "gone", "twin_2")))
    with pytest.raises(UserError) as caught:
        registry.resolve(name)
    assert str(caught.value).splitlines() == [
        "mixture 'm' cannot be used:",
        "  - twin_1, twin_2: raw two is not there, get it",
        "  - gone: raw one is not there, get it",
        "  - `flan-t5x data list` shows what is there and how to get the rest; "
        "--gin.ALLOW_MISSING_TASKS=True trains on the rest and prints the share lost.",
    ]
    with pytest.raises(UserError, match="raw one is not there"):
        registry.describe_mixture(name)


def test_many_missing_sources_take_a_line_each(mix):
    many = [absent(f"t{i}_{j}", f"raw {i}", 10) for i in range(20) for j in range(40)]
    registry._registry.add(many, [], origin="test")
    with pytest.raises(UserError) as caught:
        registry.resolve(mix("m", *(MixturePart(task.name) for task in many)))
    lines = str(caught.value).splitlines()
    assert len(lines) == 1 + 20 + 1
    assert lines[1] == "  - raw 0: 5.00% of the mixture, 40 tasks (t0_0, t0_1 and 38 more)"


def test_published_counts(mix):
    name = mix("m", MixturePart("a"), MixturePart("gone", cap=20), MixturePart("unknown"))
    rows = registry.describe_mixture(name, published_counts=True)
    assert [(r.task, r.examples, r.rate, r.counted) for r in rows] == [
        ("a", 10, 10, "data"),
        ("gone", 60, 20, "published"),
        ("unknown", 0, 0, "unknown"),
    ]
    assert shares(rows) == pytest.approx({"a": 1 / 3, "gone": 2 / 3, "unknown": 0})


def test_what_is_left_out_goes_to_what_stands_beside_it(mix):
    mix("inner", MixturePart("a"), MixturePart("gone"))
    mix("all_gone", MixturePart("twin_1"), MixturePart("twin_2"))
    rates = {"inner": 3.0, "b": 1.0, "all_gone": 4.0}
    name = mix("outer", *(MixturePart(n, rate=r) for n, r in rates.items()))
    found = {w.task.name: w.rate for w in registry.resolve(name, allow_missing=True)}
    assert found == {"a": 0.75, "b": 0.25}
    groups = registry.missing_data(name)
    assert [(g.raw, g.tasks) for g in groups] == [
        ("raw one", ("gone",)),
        ("raw two", ("twin_1", "twin_2")),
    ]
    assert [g.share for g in groups] == pytest.approx([3 / 8 * 6 / 7, 0.5])
    assert registry.missing_text(name).splitlines() == [
        "outer: 82.1% of the mixture is left out, 3 tasks without data:",
        "  - raw one: 32.14% of the mixture, 1 task (gone)",
        "  - raw two: 50.00% of the mixture, 2 tasks (twin_1, twin_2)",
    ]


def test_nothing_missing_and_nothing_there(mix):
    assert registry.missing_text(mix("m", MixturePart("a"))) == ""
    assert registry.resolve("m", allow_missing=True) == registry.resolve("m")
    with pytest.raises(UserError, match="mixture 'n': none of its data is there"):
        registry.resolve(mix("n", MixturePart("gone", rate=2.0)), allow_missing=True)


def test_other_problems_stay_errors(mix):
    name = mix("m", MixturePart("a"), MixturePart("broken"), MixturePart("gone"))
    for call in (
        lambda: registry.resolve(name, allow_missing=True),
        lambda: registry.describe_mixture(name, published_counts=True),
    ):
        with pytest.raises(UserError, match="broken: the file 'x' is damaged") as caught:
            call()
        assert "raw one" not in str(caught.value)


def test_a_users_own_file_must_be_there(mix, tmp_path):
    register_jsonl("mine", tmp_path / "mine.jsonl")
    register_rendered("dump", tmp_path / "dump.jsonl")
    for name in ("mine", "dump"):
        both = mix(f"with_{name}", MixturePart(name), MixturePart("a"))
        with pytest.raises(UserError, match=r"jsonl' does not exist\. Check its path"):
            registry.resolve(both, allow_missing=True)


def test_the_part_is_the_outermost(mix):
    mix("inner", MixturePart("a"), MixturePart("b"))
    mix("middle", MixturePart("inner", rate=1.0))
    rows = registry.describe_mixture(
        mix("outer", MixturePart("middle", rate=1), MixturePart("b", rate=1))
    )
    assert [(r.task, r.part, r.share) for r in rows] == [
        ("a", "middle", 0.125),
        ("b", "middle", 0.375),
        ("b", "b", 0.5),
    ]


def test_draws_before_a_repeat(mix):
    # a has 10 rows at half of the draws, b 30 rows at the other half.
    mix("m", MixturePart("a", rate=1), MixturePart("b", rate=1))
    assert registry.draws_before_repeat("m") == registry.Repeat("a", 20)
    # Two tasks over the same 50 rows use them up twice as fast.
    mix("n", MixturePart("b", rate=1), MixturePart("twin_1", rate=2), MixturePart("twin_2", rate=2))
    assert registry.draws_before_repeat("n") == registry.Repeat("twin_1", 62)
    assert registry.draws_before_repeat(mix("o", MixturePart("unknown", rate=1))) is None
