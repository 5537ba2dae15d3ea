"""Configurations of the small engine in `tests.cli.engine`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gin.config
import pytest
from gin.selector_map import SelectorMap

from flan_t5x.cli import gin_config
from flan_t5x.cli.gin_flags import parse_bindings, short_flags_to_long

RECIPE = """\
from __gin__ import dynamic_registration

from tests.cli import engine

MODEL_DIR = %gin.REQUIRED
TRAIN_STEPS = %gin.REQUIRED
LEARNING_RATE = 1e-3
TASK_FEATURE_LENGTHS = {'inputs': 64, 'targets': 16}
OPTIMIZER = @engine.adafactor()

engine.adafactor.learning_rate = %LEARNING_RATE
engine.Sizes.emb_dim = 64

engine.train:
  model_dir = %MODEL_DIR
  model = @engine.Sizes()
  optimizer = %OPTIMIZER
  train_steps = %TRAIN_STEPS
  task_feature_lengths = %TASK_FEATURE_LENGTHS
"""

Load = Callable[..., gin_config.Configuration]

_REGISTRY = SelectorMap()


@pytest.fixture
def engine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """gin knows the small engine alone, whatever ran in this process before.

    The real engine's functions have the same names, and a short name must be one function's. The
    registry is one for all tests: gin remembers what it registered, and does not do it again.
    """
    for selector, configurable in gin.config._REGISTRY.items():
        if not selector.startswith("flan_t5x.") and selector not in dict(_REGISTRY.items()):
            _REGISTRY[selector] = configurable
    monkeypatch.setattr(gin.config, "_REGISTRY", _REGISTRY)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine_only: None) -> Path:
    """An empty current folder, and the small engine's functions behind the commands."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        gin_config,
        "ENTRY_POINTS",
        {"train": "tests.cli.engine.train", "cache": "tests.cli.engine.build_cache"},
    )
    (tmp_path / "recipe.gin").write_text(RECIPE)
    return tmp_path


@pytest.fixture
def load(folder: Path) -> Load:
    """Loads the command ``train`` (or another) from command-line text."""

    def run(*arguments: str, command: str = "train", **keywords: Any) -> gin_config.Configuration:
        files = [a.removeprefix("--gin_file=") for a in arguments if a.startswith("--gin_file=")]
        flags = [
            a.removeprefix("--gin_bindings=")
            for a in short_flags_to_long(arguments)
            if a.startswith("--gin_bindings=")
        ]
        return gin_config.load(command, gin_files=files, bindings=parse_bindings(flags), **keywords)

    return run
