"""list tasks and mixtures, show one, preview its prompts"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from flan_t5x.cli.shared import add_task_flags, use_tasks
from flan_t5x.errors import UserError

if TYPE_CHECKING:
    from flan_t5x.data.definitions import TaskDefinition
    from flan_t5x.data.formats import Preview

_NAME = "a task or mixture, e.g. mini"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``flan-t5x tasks`` and of its three parts."""
    parts = parser.add_subparsers(title="what to see", metavar="PART", required=True)
    _add_part(parts, "list", _list, "names of all tasks and mixtures")
    show = _add_part(parts, "show", _show, "a mixture's table of rates, or a task's definition")
    show.add_argument("name", metavar="NAME", help=_NAME)
    preview = _add_part(parts, "preview", _preview, "rendered and tokenized examples")
    preview.add_argument("name", metavar="NAME", help=_NAME)
    preview.add_argument(
        "--num", type=int, metavar="N", help="rows per task (a task: 3, each task of a mixture: 1)"
    )
    preview.add_argument("--split", metavar="SPLIT", help="default: train, or the first there is")
    preview.add_argument("--seed", type=int, default=0, metavar="SEED", help="which rows (0)")
    preview.add_argument(
        "--vocabulary", default="mini", metavar="MODEL", help="'mini' or a SentencePiece file"
    )
    preview.add_argument(
        "--inputs_length", type=int, default=512, metavar="TOKENS", help="few-shot budget (512)"
    )


def run(options: argparse.Namespace) -> int:
    """Prints one part, and returns the exit code."""
    use_tasks(options)
    options.part(options)
    return 0


def _add_part(
    parts: Any, name: str, part: Callable[[argparse.Namespace], None], summary: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = parts.add_parser(name, help=summary, description=summary)
    add_task_flags(parser)
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    parser.set_defaults(part=part)
    return parser


def _list(options: argparse.Namespace) -> None:
    from flan_t5x.data import registry

    mixtures = [registry.get_mixture(name) for name in registry.mixture_names()]
    tasks = [registry.get_task(name) for name in registry.task_names()]
    if options.json:
        _print_json(
            {
                "mixtures": [
                    {"name": m.name, "parts": len(m.parts), "about": m.about} for m in mixtures
                ],
                "tasks": [{"name": t.name, "group": t.group, "format": t.format} for t in tasks],
            }
        )
        return
    _print_table(
        f"{len(mixtures)} mixtures",
        ["mixture", "parts", "about"],
        [[m.name, str(len(m.parts)), m.about] for m in mixtures],
    )
    _print_table(
        f"{len(tasks)} tasks",
        ["task", "group", "format"],
        [[t.name, t.group, t.format] for t in tasks],
    )


def _show(options: argparse.Namespace) -> None:
    from flan_t5x.data import registry

    if _is_task(options.name):
        _show_task(registry.get_task(options.name), as_json=options.json)
    else:
        _show_mixture(options.name, as_json=options.json)


def _is_task(name: str) -> bool:
    """Whether a name is a task's; raises UserError, with near names, where it is nobody's."""
    from flan_t5x.data import registry

    return [part.name for part in registry.get_mixture(name).parts] == [name]


def _show_task(task: TaskDefinition, *, as_json: bool) -> None:
    description = {
        "name": task.name,
        "group": task.group,
        "format": task.format,
        "examples": {split: task.source.num_examples(split) for split in task.source.splits},
        "metrics": list(task.metrics),
        "extract": task.extract,
        "option_styles": list(task.option_styles),
        "templates": [template.inputs for template in task.templates],
    }
    if as_json:
        _print_json(description)
        return
    for key, value in description.items():
        if key == "templates":
            print("templates:", *(f"  {text}" for text in value), sep="\n")
        elif isinstance(value, dict):
            print(f"{key}: {', '.join(f'{split} {count:,}' for split, count in value.items())}")
        else:
            print(f"{key}: {', '.join(value) if isinstance(value, list) else value}")


def _show_mixture(name: str, *, as_json: bool) -> None:
    from flan_t5x.data import registry

    rows = registry.describe_mixture(name)
    if as_json:
        _print_json({"name": name, "tasks": [dataclasses.asdict(row) for row in rows]})
        return
    total = sum(row.examples for row in rows)
    _print_table(
        f"{name}: {len(rows)} tasks, {total:,} training examples",
        ["task", "group", "examples", "cap", "rate", "share"],
        [
            [
                row.task,
                row.group,
                f"{row.examples:,}",
                "" if row.cap is None else f"{row.cap:,}",
                f"{row.rate:,.6g}",
                f"{row.share:.2%}",
            ]
            for row in rows
        ],
        numbers=2,
    )


def _preview(options: argparse.Namespace) -> None:
    from flan_t5x.data import registry
    from flan_t5x.data.formats import preview
    from flan_t5x.data.vocabulary import resolve_vocabulary

    num = options.num if options.num is not None else 3 if _is_task(options.name) else 1
    if num < 1:
        raise UserError(f"--num {num}: at least 1 row is needed")
    vocabulary = resolve_vocabulary(options.vocabulary)
    found = []
    for name in dict.fromkeys(row.task for row in registry.describe_mixture(options.name)):
        task = registry.get_task(name)
        _check_split(task, options.split)
        rows = preview(
            task,
            vocabulary,
            num,
            options.seed,
            split=options.split,
            budget=options.inputs_length,
        )
        found += [(task, row) for row in rows]
    if options.json:
        _print_json([{"task": task.name, **dataclasses.asdict(row)} for task, row in found])
        return
    for task, row in found:
        _print_row(task, row)


def _check_split(task: TaskDefinition, split: str | None) -> None:
    if split is not None and split not in task.source.splits:
        known = ", ".join(task.source.splits)
        raise UserError(f"--split {split}: {task.name} has the splits {known}")


def _print_row(task: TaskDefinition, row: Preview) -> None:
    print(f"--- {task.name}, row {row.id}")
    if row.rendered is None:
        print(f"not usable: {row.rejected}\n")
        return
    drawn = [f"format {row.rendered.format}", f"template {row.rendered.template}"]
    if row.rendered.option_style:
        drawn.append(f"options {row.rendered.option_style}")
    if row.rendered.exemplar_ids:
        drawn.append(f"exemplars {', '.join(row.rendered.exemplar_ids)}")
    print(", ".join(drawn))
    for name, text, ids in (
        ("inputs", row.rendered.inputs, row.input_ids),
        ("targets", row.rendered.targets, row.target_ids),
    ):
        print(f"{name} ({len(ids)} tokens): {text}")
        print(f"  {' '.join(map(str, ids))}")
    print()


def _print_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))


def _print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: int | None = None
) -> None:
    """Prints a table; columns from index `numbers` on are set to the right."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for position, column in enumerate(columns):
        right = numbers is not None and position >= numbers
        table.add_column(column, justify="right" if right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    # Into a pipe or file, no name is cut off to fit a width that nobody sees.
    watched = sys.stdout.isatty()
    console = Console(highlight=False, markup=False, width=None if watched else 10_000)
    with console.capture() as text:
        console.print(table)
    print("\n".join(line.rstrip() for line in text.get().splitlines()))
