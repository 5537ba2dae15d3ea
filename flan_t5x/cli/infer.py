"""write a checkpoint's answers to prompts"""

from __future__ import annotations

import argparse

from flan_t5x.cli.shared import add_process_flags, add_run_flags, run_configured


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``flan-t5x infer``."""
    add_run_flags(parser)
    add_process_flags(parser)


def run(options: argparse.Namespace) -> int:
    """Answers, and returns the exit code."""
    run_configured("infer", options)
    return 0
