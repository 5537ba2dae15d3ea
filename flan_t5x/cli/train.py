"""tune a model on a mixture and keep the checkpoint that is best on held-out tasks

Missing token caches are built first. Run the same command again to resume.
"""

from __future__ import annotations

import argparse

from flan_t5x.cli.shared import add_process_flags, add_run_flags, run_configured


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``flan-t5x train``."""
    add_run_flags(parser)
    add_process_flags(parser)
    parser.add_argument(
        "--dry_run",
        action="store_true",
        help="check configuration, tasks, shapes and memory, then stop",
    )


def run(options: argparse.Namespace) -> int:
    """Trains, and returns the exit code: 0, or `errors.EXIT_PREEMPTED` after a signal."""
    from flan_t5x.cli.gin_config import operative_config

    result = run_configured(
        "train", options, dry_run=options.dry_run, operative_config=operative_config
    )
    return int(result.exit_code)
