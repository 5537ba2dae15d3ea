"""Flags that several commands have, and the few lines that act on them."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from flan_t5x.cli.gin_flags import add_gin_flags, parse_bindings


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
        "several processes", "all three belong together; none on one machine or a TPU pod"
    )
    group.add_argument("--coordinator_address", metavar="HOST:PORT", help="of process 0")
    group.add_argument("--process_count", type=int, metavar="N", help="how many processes")
    group.add_argument("--process_index", type=int, metavar="I", help="which one this is, from 0")


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
    if "process_count" in options:
        from flan_t5x.parallel.distributed import initialize

        initialize(
            coordinator_address=options.coordinator_address,
            process_count=options.process_count,
            process_index=options.process_index,
        )
    return configuration.call(**given)
