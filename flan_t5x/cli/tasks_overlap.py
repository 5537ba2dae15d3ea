"""``flan-t5x tasks overlap``: held-out rows that stand in the training data.

Keys of ``--json``: train, held_out, words, shortest; held_out_tasks: the attributes of
`overlap.HeldOutFigures`; train_tasks: those of `overlap.TrainFigures`. A line of the exclusion
file: tasks (all that read the row's source), split, id; held_out_task, held_out_split,
held_out_id (of the first match), words (that both have).
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flan_t5x.cli.shared import add_task_flags
from flan_t5x.cli.tables import add_part, print_json, print_table

if TYPE_CHECKING:
    from flan_t5x.data.overlap import Hit, Overlap, RowRef


def add(parts: Any) -> None:
    """Adds the part to ``flan-t5x tasks``."""
    part = add_part(parts, "overlap", _overlap, "held-out rows that stand in the training data")
    add_task_flags(part)
    part.add_argument(
        "--train", required=True, metavar="NAME", help="a task or mixture that is trained on"
    )
    part.add_argument(
        "--held_out", required=True, metavar="NAME", help="a task or mixture that is scored"
    )
    part.add_argument(
        "--words", type=int, default=13, metavar="N", help="words in a row that count (13)"
    )
    part.add_argument(
        "--shortest",
        type=int,
        default=8,
        metavar="N",
        help="a text of fewer words counts only together with the rest of its row (8)",
    )
    part.add_argument(
        "--write_exclusions", metavar="FILE", help="JSON lines: every training row that overlaps"
    )
    part.add_argument(
        "--allow_missing", action="store_true", help="leave out tasks whose data is missing"
    )


def _overlap(options: argparse.Namespace) -> None:
    from rich.console import Console

    from flan_t5x.data import registry
    from flan_t5x.data.overlap import Settings, find_overlap
    from flan_t5x.data.row_progress import RowProgress

    settings = Settings(words=options.words, shortest=options.shortest)
    train, held_out = (
        [one.task for one in registry.resolve(name, allow_missing=options.allow_missing)]
        for name in (options.train, options.held_out)
    )
    with (
        _exclusions(options.write_exclusions) as on_hit,
        RowProgress("comparing", "compared", "rows", console=Console(stderr=True)) as shown,
    ):
        report = find_overlap(
            train, held_out, settings=settings, on_hit=on_hit, progress=shown.update
        )
    if options.json:
        print_json(_as_json(report, options))
    else:
        _print(report, options)


@contextlib.contextmanager
def _exclusions(path: str | None) -> Iterator[Callable[[Hit], None]]:
    """Writes a line for every hit; the file appears when all are written."""
    from flan_t5x.files import whole_file

    if path is None:
        yield lambda hit: None
        return
    with whole_file(Path(path).expanduser()) as file:

        def write(hit: Hit) -> None:
            line = {
                "tasks": list(hit.train.tasks),
                "split": hit.train.split,
                "id": hit.train.id,
                "held_out_task": hit.held_out.tasks[0],
                "held_out_split": hit.held_out.split,
                "held_out_id": hit.held_out.id,
                "words": hit.words,
            }
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

        yield write


def _as_json(report: Overlap, options: argparse.Namespace) -> dict[str, Any]:
    return {
        "train": options.train,
        "held_out": options.held_out,
        "words": options.words,
        "shortest": options.shortest,
        "held_out_tasks": [
            {
                **{
                    f.name: getattr(one, f.name)
                    for f in dataclasses.fields(one)
                    if f.name != "examples"
                },
                "examples": [
                    {
                        "train": hit.train._asdict(),
                        "held_out": hit.held_out._asdict(),
                        "words": hit.words,
                    }
                    for hit in one.examples
                ],
            }
            for one in report.held_out
        ],
        "train_tasks": [dataclasses.asdict(one) for one in report.train],
    }


def _named(tasks: tuple[str, ...]) -> str:
    return tasks[0] if len(tasks) == 1 else f"{tasks[0]} (+{len(tasks) - 1})"


def _print(report: Overlap, options: argparse.Namespace) -> None:
    print_table(
        f"{options.held_out}: rows that share {options.words} words in a row with {options.train}",
        ["held-out task", "split", "rows", "overlapping", "share", "mostly", "only boilerplate"],
        [
            [
                _named(one.tasks),
                one.split,
                f"{one.rows:,}",
                f"{one.overlapping:,}",
                f"{one.overlapping / max(1, one.rows):.2%}",
                f"{one.mostly:,}",
                f"{one.boilerplate:,}",
            ]
            for one in report.held_out
        ],
        numbers=2,
    )
    guilty = [one for one in report.train if one.overlapping]
    if guilty:
        print_table(
            "training tasks with such rows",
            ["training task", "rows", "overlapping", "share"],
            [
                [
                    _named(one.tasks),
                    f"{one.rows:,}",
                    f"{one.overlapping:,}",
                    f"{one.overlapping / max(1, one.rows):.2%}",
                ]
                for one in guilty
            ],
            numbers=1,
        )
        for one in report.held_out:
            for hit in one.examples:
                print(f"{_place(hit.held_out)} stands in {_place(hit.train)}: {hit.words}")
    total = sum(one.overlapping for one in report.train)
    rows = sum(one.rows for one in report.train)
    print(f"{total:,} of {rows:,} training rows overlap")
    if options.write_exclusions:
        print(f"written to {options.write_exclusions}")


def _place(ref: RowRef) -> str:
    return f"{_named(ref.tasks)} {ref.split} {ref.id}"
