"""many training runs that differ in some bindings, one table and page at the end

A sweep is a gin file: a recipe and axes. Run the same command again to go on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flan_t5x.cli.shared import add_run_flags, run_configured

if TYPE_CHECKING:
    from flan_t5x.sweep.runs import Binding, Configure, Configured


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``flan-t5x sweep``."""
    add_run_flags(parser)
    parser.add_argument(
        "--dry_run",
        action="store_true",
        help="check every run's configuration, print the runs and what they take, then stop",
    )


def run(options: argparse.Namespace) -> int:
    """Sweeps, and returns the exit code: 0, or `errors.EXIT_PREEMPTED` after a signal."""
    passed_on = [f"--gin_search_paths={paths}" for paths in options.gin_search_paths]
    passed_on += [f"--task_module={module}" for module in options.task_module]
    if options.data_dir is not None:
        passed_on.append(f"--data_dir={options.data_dir}")

    def configure(recipe: Sequence[str]) -> Configure:
        return _Reader(recipe, options.gin_search_paths)

    result = run_configured(
        "sweep",
        options,
        dry_run=options.dry_run,
        configure=configure,
        passed_on=passed_on,
    )
    return int(result.exit_code)


class _Reader:
    """Reads a recipe with a run's bindings, as `flan-t5x train` would."""

    def __init__(self, recipe: Sequence[str], search_paths: Sequence[str]) -> None:
        self._recipe, self._search_paths = recipe, search_paths

    def __call__(self, bindings: Sequence[Binding]) -> Configured:
        from flan_t5x.cli.gin_config import load
        from flan_t5x.cli.gin_flags import Binding as Flag
        from flan_t5x.sweep.runs import Configured

        configuration = load(
            "train",
            gin_files=self._recipe,
            bindings=[Flag(b.origin, b.statement) for b in bindings],
            search_paths=self._search_paths,
            given=("dry_run", "operative_config"),
        )
        return Configured(configuration.arguments(), configuration.facts())
