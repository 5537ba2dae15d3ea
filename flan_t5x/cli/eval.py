"""score checkpoints on tasks, by generation or ranking; or predictions of any system, model-free"""

from __future__ import annotations

import argparse
import json

from flan_t5x.cli.shared import add_process_flags, add_run_flags, run_configured, use_tasks
from flan_t5x.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``flan-t5x eval``."""
    add_run_flags(parser)
    add_process_flags(parser)
    group = parser.add_argument_group("without a model")
    group.add_argument(
        "--predictions",
        metavar="FILE",
        help='score this JSON Lines file: "prediction", and "id" or "inputs", in each row',
    )
    group.add_argument("--task", metavar="NAME", help="the task or mixture it answers")
    group.add_argument("--split", metavar="SPLIT", help="of the task (validation, else test)")
    group.add_argument(
        "--compare",
        nargs=2,
        metavar=("A", "B"),
        help="compare two evaluations' folders, example by example, by a paired test",
    )
    group.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Evaluates, and returns the exit code."""
    if options.predictions is not None or options.task is not None:
        return _score(options)
    if options.compare is not None:
        return _compare(options)
    for name in ("split", "json"):
        if getattr(options, name):
            raise UserError(f"--{name} belongs to --predictions or --compare; see --help")
    run_configured("eval", options)
    return 0


def _score(options: argparse.Namespace) -> int:
    if options.predictions is None or options.task is None:
        raise UserError("--predictions=FILE and --task=NAME belong together; give both")
    from flan_t5x.evaluation.predictions import judge
    from flan_t5x.evaluation.results import result_table

    use_tasks(options)
    judged = judge(options.predictions, options.task, split=options.split)
    if options.json:
        print(json.dumps(judged.as_json(), allow_nan=False))
        return 0
    label = f"{options.predictions} on {options.task}, split {judged.split}"
    print(result_table(label, judged.result))
    for match in judged.matches:
        print(*match.lines(), sep="\n", end="\n" if any(match.lines()) else "")
    return 0


def _compare(options: argparse.Namespace) -> int:
    from flan_t5x.evaluation.comparison import compare

    use_tasks(options)
    found = compare(*options.compare)
    print(json.dumps(found.as_json(), allow_nan=False) if options.json else found.table())
    return 0
