"""render and tokenize tasks into the token cache, before a run or for several

`flan-t5x train` builds what is missing by itself; the flags of a train command work here too.
With --runner the shards are built by Apache Beam, whose workers must see cache folder and raw
data under the same paths as this machine. Run again, it goes on at the first missing shard.
"""

from __future__ import annotations

import argparse

from flan_t5x.cli.shared import add_run_flags, run_configured
from flan_t5x.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``flan-t5x cache``."""
    add_run_flags(parser)
    group = parser.add_argument_group("Apache Beam", "pip install 'flan-t5x[beam]'")
    group.add_argument(
        "--runner",
        metavar="NAME",
        help="DirectRunner, DataflowRunner, SparkRunner, FlinkRunner (default: local processes)",
    )
    group.add_argument(
        "--runner_option",
        action="append",
        default=[],
        metavar="FLAG",
        help="one of Beam's flags, e.g. --runner_option=--region=europe-west4; repeatable",
    )


def run(options: argparse.Namespace) -> int:
    """Builds the cache, and returns the exit code."""
    if options.runner_option and options.runner is None:
        raise UserError("--runner_option needs --runner: name the Beam runner it is for")
    run_configured("cache", options, runner=options.runner, runner_options=options.runner_option)
    return 0
