"""Whole small runs in this process, by the command's own `main`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.train import small_job

STEPS = 6
"""Last step of the job in `small_job` as it stands; it evaluates every 3."""


@dataclasses.dataclass(frozen=True)
class Small:
    """Starts the small job.

    Attributes:
        folder: holds the recipe and the runs.
        recipe: the job's gin file.
        cache_dir: the token cache that the runs share.
        undisturbed: model_dir of a run of `STEPS` steps that nobody touched.
    """

    folder: Path
    recipe: Path
    cache_dir: Path
    undisturbed: Path

    def train(self, model_dir: Path, *flags: str, **macros: object) -> int:
        """Runs ``flan-t5x train``; the exit code."""
        from flan_t5x.cli.main import main

        given = {"cache_dir": self.cache_dir, **macros}
        arguments = small_job.arguments(self.recipe, model_dir, **given)  # type: ignore[arg-type]
        return main([*arguments, *flags])


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Programs compiled once serve all runs of the session: each compiles in seconds."""
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("xla")),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture(scope="session")
def small(compiled: None, tmp_path_factory: pytest.TempPathFactory) -> Small:
    """The small job, with its cache built and its undisturbed run made."""
    folder = tmp_path_factory.mktemp("small")
    recipe = small_job.write_recipe(folder)
    job = Small(folder, recipe, folder / "cache", folder / "undisturbed")
    assert job.train(job.undisturbed) == 0
    return job
