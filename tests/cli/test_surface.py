"""The command line is frozen here: a change to it is a change to this file, made on purpose."""

from __future__ import annotations

import argparse

from flan_t5x.cli.arguments import make_parser
from flan_t5x.cli.gin_config import ENTRY_POINTS

TASKS = ["--task_module", "--data_dir"]
DATA = ["--only", "--manifest", "--data_dir"]
GIN = ["--gin_file", "--gin_bindings", "--gin_search_paths"]
BENCH = ["--json", "--rounds"]
MODEL = ["--size", "--batch_size", "--peer"]
PROCESSES = ["--coordinator_address", "--process_count", "--process_index", "--join_seconds"]

SURFACE = {
    "flan-t5x": ["--version", "COMMAND", "--verbose"],
    "flan-t5x train": [*GIN, *TASKS, *PROCESSES, "--dry_run", "--verbose"],
    "flan-t5x eval": [
        *GIN,
        *TASKS,
        *PROCESSES,
        "--predictions",
        "--task",
        "--split",
        "--compare",
        "--json",
        "--verbose",
    ],
    "flan-t5x infer": [*GIN, *TASKS, *PROCESSES, "--verbose"],
    "flan-t5x sweep": [*GIN, *TASKS, "--dry_run", "--verbose"],
    "flan-t5x cache": [*GIN, *TASKS, "--runner", "--runner_option", "--verbose"],
    "flan-t5x plan": [
        "--tpu",
        "--slices",
        "--analytic",
        "--json",
        "--search",
        "--finalists",
        "--weak_scaling",
        "--save_program",
        *GIN,
        *TASKS,
        "--verbose",
    ],
    "flan-t5x tasks": ["PART", "--verbose"],
    "flan-t5x tasks list": ["--json", *TASKS, "--verbose"],
    "flan-t5x tasks show": ["--json", *TASKS, "NAME", "--verbose"],
    "flan-t5x tasks preview": [
        "--json",
        *TASKS,
        "NAME",
        "--num",
        "--split",
        "--seed",
        "--vocabulary",
        "--inputs_length",
        "--verbose",
    ],
    "flan-t5x tasks stats": [
        "--json",
        *TASKS,
        "NAME",
        "--num",
        "--split",
        "--seed",
        "--vocabulary",
        "--lengths",
        "--allow_missing",
        "--verbose",
    ],
    "flan-t5x tasks overlap": [
        "--json",
        *TASKS,
        "--train",
        "--held_out",
        "--words",
        "--shortest",
        "--write_exclusions",
        "--allow_missing",
        "--verbose",
    ],
    "flan-t5x tasks explore": [
        "--json",
        *TASKS,
        "NAME",
        "--out",
        "--num",
        "--seed",
        "--vocabulary",
        "--inputs_length",
        "--verbose",
    ],
    "flan-t5x report": ["RUN", "--eval", "--output", "--samples", *TASKS, "--verbose"],
    "flan-t5x data": ["PART", "--verbose"],
    "flan-t5x data list": ["--json", *DATA, "--verbose"],
    "flan-t5x data fetch": ["--json", "--all", "--workers", *DATA, "--verbose"],
    "flan-t5x data verify": ["--json", *DATA, "--verbose"],
    "flan-t5x convert": [
        "SRC",
        "DST",
        "--to",
        "--from",
        "--dtype",
        "--vocabulary",
        "--base",
        "--dry_run",
        "--verify",
        "--overwrite",
        "--verbose",
    ],
    "flan-t5x bench": ["PART", "--verbose"],
    "flan-t5x bench train": [*BENCH, *MODEL, *GIN, *TASKS, "--verbose"],
    "flan-t5x bench decode": [*BENCH, *MODEL, "--max_decode_length", *GIN, *TASKS, "--verbose"],
    "flan-t5x bench input": [*BENCH, *GIN, *TASKS, "--verbose"],
}

ENTRIES = {
    "train": "flan_t5x.train.loop.train",
    "eval": "flan_t5x.evaluation.run.evaluate",
    "infer": "flan_t5x.evaluation.infer.infer",
    "cache": "flan_t5x.data.build.build_cache",
    "sweep": "flan_t5x.sweep.run.sweep",
}


def surface(parser: argparse.ArgumentParser) -> dict[str, list[str]]:
    names: list[str] = []
    below: dict[str, list[str]] = {}
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        names.append(action.option_strings[0] if action.option_strings else str(action.metavar))
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                below |= surface(child)
    return {parser.prog: names, **below}


def test_options_of_every_command() -> None:
    assert surface(make_parser()) == SURFACE


def test_entry_points() -> None:
    assert ENTRY_POINTS == ENTRIES
