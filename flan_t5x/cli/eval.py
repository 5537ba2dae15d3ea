"""score a checkpoint on tasks, by generation"""

from __future__ import annotations

import argparse

from flan_t5x.cli.shared import add_process_flags, add_run_flags, run_configured


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``flan-t5x eval``."""
    add_run_flags(parser)
    add_process_flags(parser)


def run(options: argparse.Namespace) -> int:
    """Evaluates, and returns the exit code."""
    run_configured("eval", options)
    return 0
