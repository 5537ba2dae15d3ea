"""What each way of writing an axis comes to, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flan_t5x.errors import UserError
from flan_t5x.sweep.axes import SweptAxis, parse_axis

PARTS = ("mini_muffin", "mini_t0", "mini_niv2")


def labels(axis: SweptAxis) -> list[str]:
    return [setting.choice.label for setting in axis.settings]


def bound(axis: SweptAxis) -> list[Any]:
    return [setting.bindings[axis.name] for setting in axis.settings]


def test_a_list_of_numbers() -> None:
    axis = parse_axis("STEPS", [100, 200])
    assert axis.kind == "number"
    assert bound(axis) == [100, 200]
    assert [s.choice.number for s in axis.settings] == [100.0, 200.0]


def test_a_list_of_words_and_none() -> None:
    axis = parse_axis("PATH", ["mini_base", None, True])
    assert axis.kind == "category"
    assert labels(axis) == ["mini_base", "None", "True"]
    assert bound(axis) == ["mini_base", None, True]


def test_linear_and_log() -> None:
    assert bound(parse_axis("a", {"linear": [0.0, 1.0], "count": 5})) == [0, 0.25, 0.5, 0.75, 1]
    assert bound(parse_axis("a", {"log": [0.001, 0.1], "count": 3})) == [0.001, 0.01, 0.1]
    whole = parse_axis("a", {"log": [1, 64], "count": 7})
    assert bound(whole) == [1, 2, 4, 8, 16, 32, 64]
    assert all(isinstance(value, int) for value in bound(whole))
    assert whole.kind == "log"


def test_simplex_has_every_point_once() -> None:
    axis = parse_axis("r", {"simplex": list(PARTS), "divisions": 4, "centre": True})
    # Compositions of 4 into 3 parts: C(6, 2) = 15, and the centre, which is none of them.
    assert len(axis.settings) == 16
    assert labels(axis)[-1] == "centre"
    points = [tuple(rates.values()) for rates in bound(axis)[:-1]]
    assert len(set(points)) == 15
    assert all(sum(point) == 1.0 and {4 * p for p in point} <= {0, 1, 2, 3, 4} for point in points)
    assert axis.kind == "rates"
    assert axis.parts == PARTS


def test_the_centre_is_not_there_twice() -> None:
    axis = parse_axis("r", {"simplex": list(PARTS), "divisions": 3, "centre": True})
    assert len(axis.settings) == 10


def test_parts_of_a_mixture() -> None:
    axis = parse_axis("r", {"simplex": "mini_flan", "divisions": 1})
    assert axis.parts == ("mini_muffin", "mini_t0", "mini_niv2", "mini_cot")
    assert labels(axis) == [f"{part}=1" for part in axis.parts]


def test_dirichlet_is_a_function_of_its_seed() -> None:
    spec = {"dirichlet": list(PARTS), "draws": 5, "seed": 3}
    assert parse_axis("r", spec).settings == parse_axis("r", spec).settings
    assert parse_axis("r", spec).settings != parse_axis("r", {**spec, "seed": 4}).settings
    for setting in parse_axis("r", spec).settings:
        assert math.isclose(sum(setting.choice.rates.values()), 1.0)
        assert setting.bindings["r"].keys() == set(PARTS)


def test_ladder_ends_with_all_data_sets() -> None:
    from flan_tasks.mini.catalog import trained

    axis = parse_axis("n", {"ladder": "mini_flan"})
    assert bound(axis) == [1, 2, 4, 8, 16, 32, 64, len(trained())]
    assert axis.kind == "log"


def test_leave_one_out() -> None:
    axis = parse_axis("w", {"leave_one_out": "mini_flan"})
    assert bound(axis) == [[], ["mini_muffin"], ["mini_t0"], ["mini_niv2"], ["mini_cot"]]


def test_cases_bind_several_names() -> None:
    axis = parse_axis("size", {"cases": {"small": {"A": 1, "B": 2}, "large": {"A": 3, "B": 4}}})
    assert [s.bindings for s in axis.settings] == [{"A": 1, "B": 2}, {"A": 3, "B": 4}]
    assert labels(axis) == ["small", "large"]


@given(st.floats(0, 1, exclude_max=True))
def test_draws_stay_inside(u: float) -> None:
    log = parse_axis("a", {"log": [0.001, 0.1]}).draw([u])
    assert 0.001 <= log.choice.number <= 0.1
    assert parse_axis("a", [1, 2, 3]).draw([u]).choice.number == 1 + int(3 * u)
    rates = parse_axis("r", {"simplex": list(PARTS)}).draw([u, 0.3, 0.9]).choice.rates
    assert math.isclose(sum(rates.values()), 1.0)
    assert min(rates.values()) >= 0


def test_uniform_on_the_simplex() -> None:
    """With concentration 1 a share is below 1/2 with probability 1 - (1/2)**2 for three parts."""
    import numpy as np

    axis = parse_axis("r", {"simplex": list(PARTS)})
    cubes = np.random.default_rng(0).random((4000, 3))
    below = np.mean([axis.draw(c).choice.rates["mini_t0"] < 0.5 for c in cubes.tolist()])
    assert abs(below - 0.75) < 0.03  # four standard deviations


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ([], "it has no values"),
        ([1, 1], "1 stands there twice"),
        ("fast", "neither a list of values nor one of"),
        ({"logg": [1, 2]}, "did you mean 'log'?"),
        ({"log": [1, 2], "linear": [1, 2]}, "one of 'values'"),
        ({"log": [0, 1], "count": 3}, "needs numbers above 0"),
        ({"log": [2, 1], "count": 3}, "low < high"),
        ({"linear": [0, math.nan], "count": 3}, "low < high"),
        ({"linear": [0, 1], "divisions": 3}, "'divisions' does not belong to 'linear'"),
        ({"linear": [0, 1], "count": 1}, "a whole number >= 2"),
        ([1.0, math.nan], "no finite number"),
        ({"values": ["a"], "scale": "log"}, "only numbers have a scale"),
        ({"simplex": ["one"], "divisions": 2}, "a list of 2 or more names"),
        ({"simplex": ["a", "a"], "divisions": 2}, "a name stands there twice"),
        ({"simplex": "mini_flam", "divisions": 2}, "mini_flan"),
        ({"dirichlet": ["a", "b"], "draws": 2, "concentration": -1.0}, "a number above 0"),
        ({"cases": ["a"]}, "cases are a dictionary"),
        ({"cases": {"a": 1}}, "a dictionary of bindings"),
    ],
)
def test_refused(spec: Any, said: str) -> None:
    with pytest.raises(UserError, match="axis 'LEARNING_RATE'") as error:
        parse_axis("LEARNING_RATE", spec)
    assert said in str(error.value)
