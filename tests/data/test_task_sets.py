"""Task sets: which tasks an evaluation may read, and the mixture's table."""

from __future__ import annotations

import pytest

from flan_t5x.data import registry
from flan_t5x.data.cache import CACHE_VARIABLE, default_cache_dir
from flan_t5x.data.definitions import MixtureDefinition, MixturePart
from flan_t5x.data.task_sets import evaluation_tasks, mixture_table
from flan_t5x.errors import UserError

from .rows import animal_source, animal_task


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    made = registry._Registry()
    monkeypatch.setattr(registry, "_registry", made)
    monkeypatch.setattr(made, "providers", dict)
    tasks = [
        animal_task(name="whole", source=animal_source(train=30), group="zoo"),
        animal_task(name="no_test", source=animal_source(train=10, test=0), group="zoo"),
    ]
    parts = (MixturePart("whole", cap=20), MixturePart("no_test"))
    made.add(tasks, [MixtureDefinition("both", parts)], origin="test")


def test_every_task_must_have_the_split() -> None:
    tasks = evaluation_tasks("both", "validation")
    assert [task.name for task in tasks.tasks] == ["whole", "no_test"]
    assert (tasks.name, tasks.split) == ("both", "validation")
    with pytest.raises(UserError, match="no split 'test' in no_test; no_test has train, valida"):
        evaluation_tasks("both", "test")
    with pytest.raises(UserError, match=r"has train, validation\. did you mean 'validation'"):
        evaluation_tasks("no_test", "validaton")
    with pytest.raises(UserError, match="split 'train' is for training"):
        evaluation_tasks("both", "train")
    with pytest.raises(UserError, match="named 'bth'; did you mean 'both'"):
        evaluation_tasks("bth", "validation")


def test_table() -> None:
    assert mixture_table(evaluation_tasks("both", "validation")).splitlines() == [
        "# mixture both, split validation: 2 tasks",
        "task                                         group           examples      cap    share",
        "whole                                        zoo                   30       20 66.6667%",
        "no_test                                      zoo                   10        - 33.3333%",
    ]


def test_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, "/somewhere")
    assert default_cache_dir() == "/somewhere"
    monkeypatch.delenv(CACHE_VARIABLE)
    assert default_cache_dir().endswith("/.cache/flan_t5x")
