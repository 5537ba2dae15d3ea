"""``flan-t5x tasks stats``: token lengths, what would be cut, and how a mixture would pack.

Keys of ``--json``: name, vocabulary; tasks: the attributes of `token_stats.TaskStats`, and share;
packing: the attributes of `token_stats.Forecast`.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
from typing import TYPE_CHECKING, Any

from flan_t5x.cli.shared import add_task_flags
from flan_t5x.cli.tables import add_part, print_json, print_table
from flan_t5x.errors import UserError

if TYPE_CHECKING:
    from flan_t5x.data.token_stats import Forecast, TaskStats

_LENGTHS = ("512/128", "1024/256", "2048/512")


def add(parts: Any) -> None:
    """Adds the part to ``flan-t5x tasks``."""
    part = add_part(parts, "stats", _stats, "token lengths, truncation, packing of a mixture")
    add_task_flags(part)
    part.add_argument("name", metavar="NAME", help="a task or mixture, e.g. mini")
    part.add_argument(
        "--num", type=int, default=500, metavar="N", help="rows sampled from each task (500)"
    )
    part.add_argument("--split", metavar="SPLIT", help="default: train, or the first there is")
    part.add_argument("--seed", type=int, default=0, metavar="SEED", help="which rows (0)")
    part.add_argument(
        "--vocabulary", default="mini", metavar="MODEL", help="'mini' or a SentencePiece file"
    )
    part.add_argument(
        "--lengths",
        action="append",
        metavar="INPUTS/TARGETS",
        help=f"a pair of lengths in tokens; repeatable (default: {', '.join(_LENGTHS)})",
    )
    part.add_argument(
        "--allow_missing", action="store_true", help="leave out tasks whose data is missing"
    )


def _stats(options: argparse.Namespace) -> None:
    from rich.console import Console

    from flan_t5x.data import registry
    from flan_t5x.data.row_progress import RowProgress
    from flan_t5x.data.token_stats import forecast, measure
    from flan_t5x.data.vocabulary import resolve_vocabulary

    capacities = [_capacity(text) for text in options.lengths or _LENGTHS]
    vocabulary = resolve_vocabulary(options.vocabulary)
    weighted = registry.resolve(options.name, allow_missing=options.allow_missing)
    measured = []
    with RowProgress("sampling", "sampled", "tasks", console=Console(stderr=True)) as shown:
        for number, one in enumerate(weighted):
            shown.update(number, len(weighted), one.task.name)
            measured.append(
                measure(
                    one.task,
                    vocabulary,
                    capacities,
                    num=options.num,
                    seed=options.seed,
                    split=options.split,
                )
            )
    rates = [one.rate for one in weighted]
    forecasts = [
        forecast(measured, rates, pair, position=position, seed=options.seed)
        for position, pair in enumerate(capacities)
    ]
    tasks = [one.stats for one in measured]
    if options.json:
        print_json(
            {
                "name": options.name,
                "vocabulary": options.vocabulary,
                "tasks": [
                    {**dataclasses.asdict(stats), "share": rate}
                    for stats, rate in zip(tasks, rates, strict=True)
                ],
                "packing": [dataclasses.asdict(one) for one in forecasts],
            }
        )
        return
    _print_tasks(options.name, tasks)
    _print_forecasts(forecasts)


def _capacity(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found:
        raise UserError(f"--lengths {text}: write INPUTS/TARGETS in tokens, e.g. --lengths=512/128")
    return int(found[1]), int(found[2])


def _print_tasks(name: str, tasks: list[TaskStats]) -> None:
    """A line for every task; "cut" is the share of rows at each pair of lengths."""
    fits = tasks[0].fits
    cuts = [f"cut {fit.inputs_length}" for fit in fits]
    drops = [f"drop {fit.targets_length}" for fit in fits]
    rows = []
    for task in tasks:
        spreads = [
            str(value)
            for spread in (task.inputs, task.targets)
            for value in (
                (spread.p50, spread.p90, spread.p99, spread.most) if spread else ("-",) * 4
            )
        ]
        rows.append(
            [
                task.task,
                f"{task.rows:,}",
                f"{task.sampled:,}",
                str(sum(task.unusable.values())),
                *spreads,
                *(f"{fit.truncated_inputs:.1%}" for fit in task.fits),
                *(f"{fit.rejected_targets:.1%}" for fit in task.fits),
                f"{task.unique_targets:.1%}",
                f"{task.unknown_pieces:.2%}",
            ]
        )
    lengths = [f"{side} {at}" for side in ("in", "out") for at in ("50%", "90%", "99%", "max")]
    print_table(
        f"{name}: tokens of inputs and targets, rows cut (inputs) and dropped (targets)",
        ["task", "rows", "seen", "bad", *lengths, *cuts, *drops, "unique", "unknown"],
        rows,
        numbers=1,
    )


def _print_forecasts(forecasts: list[Forecast]) -> None:
    print_table(
        "packing forecast, tasks by their share",
        ["row", "examples/row", "efficiency", "empty inputs", "empty targets", "cut", "dropped"],
        [
            [
                f"{one.inputs_length}/{one.targets_length}",
                f"{one.examples_per_row:.2f}",
                f"{one.efficiency:.1%}",
                f"{one.padded_inputs:.1%}",
                f"{one.padded_targets:.1%}",
                f"{one.truncated_inputs:.2%}",
                f"{one.rejected_targets:.2%}",
            ]
            for one in forecasts
        ],
        numbers=1,
    )
