"""Flags that several commands have, and the few lines that act on them."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flan_t5x.cli.gin_flags import add_gin_flags, parse_bindings
from flan_t5x.errors import UserError

if TYPE_CHECKING:
    from flan_t5x.cli.gin_config import Configuration


def add_task_flags(parser: argparse.ArgumentParser) -> None:
    """Adds where definitions and their data come from, besides the package."""
    group = parser.add_argument_group("tasks")
    group.add_argument(
        "--task_module",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module of your own with tasks() and mixtures(); repeatable",
    )
    group.add_argument(
        "--data_dir",
        metavar="DIR",
        help="folder with the datasets that are read from files (default: $FLAN_T5X_DATA_DIR)",
    )


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    """Adds what every configured command has: gin and task flags."""
    add_gin_flags(parser)
    add_task_flags(parser)


def add_process_flags(parser: argparse.ArgumentParser) -> None:
    """Adds T5X's flags for a run of several processes."""
    group = parser.add_argument_group(
        "several processes",
        "the first three belong together; none on one machine, a TPU pod, GKE or SLURM",
    )
    group.add_argument("--coordinator_address", metavar="HOST:PORT", help="of process 0")
    group.add_argument("--process_count", type=int, metavar="N", help="how many processes")
    group.add_argument("--process_index", type=int, metavar="I", help="which one this is, from 0")
    group.add_argument(
        "--join_seconds", type=int, metavar="S", help="how long to wait for the others (default 50)"
    )


def use_data_dir(options: argparse.Namespace) -> None:
    """Makes the folder of ``--data_dir`` known, to worker processes too."""
    if options.data_dir is not None:
        os.environ["FLAN_T5X_DATA_DIR"] = options.data_dir


def use_tasks(options: argparse.Namespace) -> None:
    """Makes the user's own definitions known.

    Raises:
        UserError: a task module that cannot be imported or used.
    """
    use_data_dir(options)
    # A user's own modules are found in the current folder, last, so that they shadow nothing.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    if options.task_module:
        from flan_t5x.data.registry import register_module

        for module in options.task_module:
            register_module(module)


def run_configured(command: str, options: argparse.Namespace, **given: Any) -> Any:
    """Reads the configuration, joins the other processes, runs the command's entry point.

    Args:
        command: a key of `gin_config.ENTRY_POINTS`.
        options: the parsed command line.
        given: arguments of the entry point that do not come from gin.

    Returns:
        What the entry point returns.

    Raises:
        UserError: bad configuration, found before anything is started.
    """
    from flan_t5x.cli.gin_config import load

    use_tasks(options)
    configuration = load(
        command,
        gin_files=options.gin_file,
        bindings=parse_bindings(options.gin_bindings),
        search_paths=options.gin_search_paths,
        given=list(given),
    )
    if "process_count" not in options:
        return configuration.call(**given)
    from flan_t5x.parallel import together

    _join(options)
    with together.failing_together():
        _require_same_run(configuration, options)
        return configuration.call(**given)


def _join(options: argparse.Namespace) -> None:
    """Joins the other processes, where there are any."""
    from flan_t5x.parallel import distributed

    if options.join_seconds is not None and options.join_seconds < 1:
        raise UserError(f"--join_seconds {options.join_seconds}: at least 1 is needed")
    distributed.initialize(
        coordinator_address=options.coordinator_address,
        process_count=options.process_count,
        process_index=options.process_index,
        timeout_seconds=options.join_seconds or distributed.JOIN_SECONDS,
    )


def _require_same_run(configuration: Configuration, options: argparse.Namespace) -> None:
    """Raises UserError where another process runs another configuration, code or library."""
    import flan_t5x
    from flan_t5x.data.registry import tasks_folder
    from flan_t5x.parallel import agreement, together

    if not together.several():
        return
    folders = {"flan_t5x": Path(flan_t5x.__file__).parent, "tasks": tasks_folder()}
    facts = agreement.code_facts(folders) | configuration.facts()
    facts["--task_module"] = " ".join(options.task_module)
    agreement.require_same(facts)
