"""Reading, precedence, resolution and saving of configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flan_t5x.cli.gin_config import operative_config
from flan_t5x.errors import UserError
from tests.cli import engine
from tests.cli.conftest import RECIPE, Load

BASE = ("--gin_file=recipe.gin", "--gin.MODEL_DIR=/tmp/run", "--gin.TRAIN_STEPS=5")


def test_recipe_and_flags_reach_the_entry_point(load: Load) -> None:
    arguments = load(*BASE).call(dry_run=True)
    assert arguments == {
        "model_dir": "/tmp/run",
        "model": engine.Sizes(emb_dim=64),
        "optimizer": ("adafactor", 1e-3, 0),
        "train_steps": 5,
        "task_feature_lengths": {"inputs": 64, "targets": 16},
        "batch_size": 32,
        "learning_rate_factor": 1.0,
        "initial_checkpoint_path": None,
        "schedule": None,
        "dry_run": True,
    }


@pytest.mark.parametrize(
    "flag",
    [
        "--gin.TRAIN_STEPS=7",
        "--gin.train.train_steps=7",
        "--gin.engine.train.train_steps=7",
        "--gin.tests.cli.engine.train.train_steps=7",
        "--gin_bindings=train.train_steps = 7",
        "--gin_bindings=TRAIN_STEPS=7",
    ],
)
def test_a_flag_names_a_macro_or_a_parameter_by_any_end_of_its_path(load: Load, flag: str) -> None:
    assert load(*BASE[:2], flag).call()["train_steps"] == 7


def test_flags_may_name_what_no_binding_has_named_yet(load: Load) -> None:
    configuration = load(
        *BASE, "--gin.OPTIMIZER=@engine.adamw()", "--gin.engine.adamw.learning_rate=2"
    )
    assert configuration.call()["optimizer"] == ("adamw", 2)


def test_later_files_override_earlier_ones_and_flags_override_files(
    load: Load, folder: Path
) -> None:
    (folder / "more.gin").write_text("TRAIN_STEPS = 11\nLEARNING_RATE = 0.5\n")
    assert load(*BASE[:2], "--gin_file=more.gin").call()["train_steps"] == 11
    both = load(*BASE[:2], "--gin_file=more.gin", "--gin.TRAIN_STEPS=12").call()
    assert (both["train_steps"], both["optimizer"][1]) == (12, 0.5)
    swapped = load("--gin_file=more.gin", *BASE).call()
    assert (swapped["train_steps"], swapped["optimizer"][1]) == (5, 1e-3)
    last = load(*BASE[:2], "--gin.train.train_steps=1", "--gin.train.train_steps=2")
    assert last.call()["train_steps"] == 2


def test_an_include_counts_where_it_stands(load: Load, folder: Path) -> None:
    (folder / "mine.gin").write_text("TRAIN_STEPS = 1\ninclude 'recipe.gin'\nTRAIN_STEPS = 2\n")
    assert load("--gin_file=mine.gin", "--gin.MODEL_DIR=x").call()["train_steps"] == 2
    (folder / "mine.gin").write_text("TRAIN_STEPS = 1\ninclude 'recipe.gin'\n")
    with pytest.raises(UserError, match=r"^recipe\.gin:6 requires a value: add --gin\.TRAIN_STEPS"):
        load("--gin_file=mine.gin", "--gin.MODEL_DIR=x")


def test_search_paths_come_after_the_current_folder(load: Load, folder: Path) -> None:
    (folder / "far").mkdir()
    (folder / "far" / "recipe.gin").write_text(RECIPE.replace("1e-3", "9.0"))
    (folder / "far" / "only.gin").write_text("include 'recipe.gin'\nLEARNING_RATE = 7.0\n")
    flags = ("--gin.MODEL_DIR=x", "--gin.TRAIN_STEPS=5")
    near = load("--gin_file=recipe.gin", *flags, search_paths=["nowhere,far"])
    assert near.call()["optimizer"][1] == 1e-3
    far = load("--gin_file=only.gin", *flags, search_paths=["nowhere,far"])
    assert far.call()["optimizer"][1] == 7.0


def test_scopes_reach_only_what_is_called_in_them(load: Load) -> None:
    flags = (
        "--gin.OPTIMIZER=@slow/engine.adafactor()",
        "--gin.slow/engine.adafactor.learning_rate=0.25",
    )
    assert load(*BASE, *flags).call()["optimizer"][1] == 0.25
    with pytest.raises(UserError, match="nothing in the configuration uses adafactor"):
        load(*BASE, "--gin.slow/engine.adafactor.step_offset=3")


def test_a_bare_reference_is_handed_over_with_its_bindings(load: Load) -> None:
    flags = ("--gin.train.schedule=@engine.adamw", "--gin.engine.adamw.learning_rate=0.125")
    assert load(*BASE, *flags).call()["schedule"]() == ("adamw", 0.125)


def test_operative_config_runs_again_and_gives_the_same(load: Load, folder: Path) -> None:
    flags = ("--gin.train.batch_size=4", "--gin.MODEL_DIR=it's a dir")
    first = load(*BASE, *flags).call(dry_run=True)
    text = operative_config()
    assert "dry_run" not in text  # not a setting of the run
    assert "learning_rate_factor = 1.0" in text  # a default counts as configured
    (folder / "config.gin").write_text(text)
    again = load("--gin_file=config.gin").call(dry_run=True)
    assert again == first
    assert operative_config() == text


def test_operative_config_of_flags_alone_runs_again(load: Load, folder: Path) -> None:
    load("--gin.build_cache.batch_size=3", command="cache").call()
    (folder / "config.gin").write_text(operative_config())
    assert load("--gin_file=config.gin", command="cache").call() == 3


def test_flags_of_train_serve_the_other_commands(load: Load) -> None:
    # Macros of `train` that `cache` has no use for are neither required nor refused.
    assert load(*BASE, command="cache").call() == 8
    assert load("--gin_file=recipe.gin", command="cache").call() == 8
    with pytest.raises(UserError, match="nothing in the configuration uses TRAIN_STPES"):
        load(*BASE, "--gin.TRAIN_STPES=5", command="cache")


def test_the_engine_runs_outside_of_gin(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    # gin rewrites exceptions that pass through its wrappers; ours must arrive as raised.
    error = RuntimeError("as raised")

    def boom(**_: Any) -> None:
        raise error

    configuration = load(*BASE)
    entry = configuration.entry._replace(wrapped=engine.train)
    monkeypatch.setattr(type(configuration), "arguments", lambda self, **given: {})
    object.__setattr__(configuration, "entry", entry._replace(wrapped=boom))
    with pytest.raises(RuntimeError) as caught:
        configuration.call()
    assert caught.value is error
