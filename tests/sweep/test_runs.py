"""Configurations of runs, checked as `flan-t5x train` would, before any of them starts."""

from __future__ import annotations

from typing import Any

import pytest

from flan_t5x.cli.sweep import _Reader
from flan_t5x.errors import UserError
from flan_t5x.sweep.axes import parse_axis
from flan_t5x.sweep.runs import PlannedRun, plan_run, require_distinct

RECIPE = ["smoke.gin"]


def planned(
    axes: dict[str, Any], *, seed: int = 0, recipe: list[str] = RECIPE, **common: Any
) -> list[PlannedRun]:
    swept = [parse_axis(name, spec) for name, spec in axes.items()]
    (axis,) = swept
    return [
        plan_run(swept, (setting,), seed=seed, common=common, configure=_Reader(recipe, ()))
        for setting in axis.settings
    ]


def test_a_run_has_its_bindings() -> None:
    run, _ = planned({"LEARNING_RATE": [0.001, 0.01]}, seed=3, TRAIN_STEPS=7)
    assert [binding.statement for binding in run.bindings] == [
        "TRAIN_STEPS = 7",
        "LEARNING_RATE = 0.001",
        "SEED = 3",
    ]
    assert run.arguments["train_steps"] == 7
    assert run.arguments["seed"] == 3
    assert run.label == "LEARNING_RATE=0.001, seed=3"
    assert run.name.startswith("LEARNING_RATE=0.001,seed=3-")


def test_the_axis_wins_over_common_bindings() -> None:
    (run,) = planned({"TRAIN_STEPS": [9]}, TRAIN_STEPS=7)
    assert run.arguments["train_steps"] == 9


def test_gin_source_and_plain_strings() -> None:
    (run,) = planned({"MODEL": ["@config.T5Config()"]}, MIXTURE_OR_TASK_NAME="mini_t0")
    statements = [binding.statement for binding in run.bindings]
    assert "MODEL = @config.T5Config()" in statements
    assert "MIXTURE_OR_TASK_NAME = 'mini_t0'" in statements


def test_a_name_is_a_function_of_the_whole_configuration() -> None:
    (first,) = planned({"TRAIN_STEPS": [9]})
    assert planned({"TRAIN_STEPS": [9]})[0].name == first.name
    for other in (
        planned({"TRAIN_STEPS": [9]}, seed=1),
        planned({"TRAIN_STEPS": [8]}),
        planned({"TRAIN_STEPS": [9]}, EVAL_PERIOD=3),
        planned({"TRAIN_STEPS": [9]}, recipe=["smoke.gin", "models/nano.gin"]),
    ):
        assert other[0].name != first.name


def test_rates_cases_and_a_data_set_count() -> None:
    (run,) = planned({"train_config.DataConfig.num_datasets": [4]})
    assert run.arguments["data"].num_datasets == 4
    rates = {"simplex": "mini_flan", "divisions": 1}
    runs = planned({"train_config.DataConfig.mixture_rates": rates})
    assert [r.arguments["data"].mixture_rates["mini_cot"] for r in runs] == [0.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("axes", "common", "said"),
    [
        ({"LERNING_RATE": [1.0]}, {}, "LEARNING_RATE"),
        ({"train_config.DataConfig.mixtur_rates": [1]}, {}, "mixture_rates"),
        ({"TRAIN_STEPS": ["many"]}, {}, "TRAIN_STEPS"),
        ({"MIXTURE_OR_TASK_NAME": ["mini_flam"]}, {}, "mini_flan"),
        ({"EVAL_MIXTURE": ["mini_held"]}, {}, "mini_held"),
        ({"SEED": [1]}, {}, "SEED is set by the sweep itself"),
        ({"TRAIN_STEPS": [1]}, {"MODEL_DIR": "x"}, "MODEL_DIR is set by the sweep itself"),
        ({"INITIAL_CHECKPOINT_PATH": ["/nowhere"]}, {}, "/nowhere"),
        ({"INITIAL_CHECKPOINT_PATH": ["/nowhere.npz"]}, {}, "/nowhere.npz"),
        ({"train.evaluation": [None]}, {}, "no held-out evaluation"),
    ],
)
def test_known_before_any_run(axes: dict[str, Any], common: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as error:
        planned(axes, **common)
    assert said in str(error.value)


@pytest.mark.parametrize(
    "rates",
    [
        {"mini_muffin": 0.0, "mini_t0": 0.0, "mini_niv2": 0.0, "mini_cot": 0.0},
        {"mini_muffin": 1.0, "mini_t0": -1.0, "mini_niv2": 0.0, "mini_cot": 0.0},
        {"mini_muffin": float("nan"), "mini_t0": 1.0, "mini_niv2": 0.0, "mini_cot": 0.0},
        {"mini_muffin": 1.0, "mini_t0": 1.0, "mini_niv2": 0.0, "mini_cots": 0.0},
    ],
)
def test_rates_that_cannot_be(rates: dict[str, float]) -> None:
    with pytest.raises(UserError, match="rates"):
        planned({"train_config.DataConfig.mixture_rates": [rates]})


def test_two_runs_with_the_same_bindings() -> None:
    axis = {"data": {"cases": {"one": {"TRAIN_STEPS": 9}, "other": {"TRAIN_STEPS": 9}}}}
    with pytest.raises(UserError, match="the same bindings: data=one, seed=0; and data=other"):
        require_distinct(planned(axis))
    require_distinct([*planned(axis)[:1], *planned(axis, seed=1)[:1]])
