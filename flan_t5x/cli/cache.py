"""render and tokenize tasks into the token cache, before a run or for several

`flan-t5x train` builds what is missing by itself; the flags of a train command work here too.
"""

from __future__ import annotations

import argparse

from flan_t5x.cli.shared import add_run_flags, run_configured


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``flan-t5x cache``."""
    add_run_flags(parser)


def run(options: argparse.Namespace) -> int:
    """Builds the cache, and returns the exit code."""
    run_configured("cache", options)
    return 0
