"""Evaluation sets are refused wherever they stand in what is to be trained on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flan_t5x.data import registry
from flan_t5x.data.aggregates import tasks_in
from flan_t5x.data.definitions import MixtureDefinition, MixturePart
from flan_t5x.data.evaluation_only import refuse_training
from flan_t5x.errors import UserError
from tests.data.rows import animal_task


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tasks and mixtures over them, in a registry of their own."""

    def mixture(name: str, *parts: str, evaluation_only: bool = False) -> MixtureDefinition:
        rated = tuple(MixturePart(part, rate=1.0) for part in parts)
        return MixtureDefinition(name, rated, evaluation_only=evaluation_only)

    made = registry._Registry()
    monkeypatch.setattr(registry, "_registry", made)
    monkeypatch.setattr(made, "providers", dict)
    trained = animal_task(name="trained")
    made.add(
        [trained, replace(trained, name="scored", evaluation_only=True)],
        [
            mixture("plain", "trained"),
            mixture("shown", "trained", evaluation_only=True),
            mixture("deep", "plain", "shown"),
            mixture("leaky", "plain", "scored"),
            mixture("round", "plain", "round"),
            mixture("twice", "plain", "trained"),
        ],
        origin="test",
    )


@pytest.mark.parametrize("name", ["trained", "plain", "round", "twice"])
def test_what_may_be_trained_on(name: str) -> None:
    refuse_training(name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("scored", "'scored' is for evaluation only"),
        ("shown", "'shown' is for evaluation only"),
        ("deep", "'deep' holds 'shown', which is for evaluation only"),
        ("leaky", "'leaky' holds 'scored', which is for evaluation only"),
        ("trianed", "no mixture or task named 'trianed'; did you mean 'trained'"),
    ],
)
def test_what_may_not(name: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        refuse_training(name)


def test_tasks_of_a_mixture() -> None:
    found = {name: list(tasks_in(registry.get_mixture(name))) for name in ("deep", "trained")}
    assert found == {"deep": ["trained", "trained"], "trained": ["trained"]}
    with pytest.raises(UserError, match="'round' holds itself"):
        list(tasks_in(registry.get_mixture("round")))
