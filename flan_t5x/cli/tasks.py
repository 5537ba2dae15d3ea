"""list tasks and mixtures, show one, preview its prompts

Keys of --json, which stay as they are:
list     mixtures: name, parts (how many), about; tasks: name, group, format
show     of a mixture: name; parts: name, tasks (how many), rate, share; draws_before_repeat: task,
         draws (or null); missing: raw, share, tasks (how many); tasks: task, group, examples, cap,
         rate, share, counted ("data", "published", "unknown"), part
         of a task: name, group, format, examples (by split; null: missing), metrics, extract,
         option_styles, templates
preview  a list: task, id, rendered (null for an unusable row: inputs, targets, template, format,
         exemplar_ids, option_style, valid_answers), rejected, input_ids, target_ids
Shares are of the whole mixture and sum to 1.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from flan_t5x.cli import tasks_explore, tasks_overlap, tasks_stats
from flan_t5x.cli.shared import add_task_flags, use_tasks
from flan_t5x.cli.tables import add_part, print_json, print_table
from flan_t5x.errors import UserError

if TYPE_CHECKING:
    from flan_t5x.data.definitions import TaskDefinition
    from flan_t5x.data.preview import Preview
    from flan_t5x.data.registry import MixtureRow

_NAME = "a task or mixture, e.g. mini"
_MARKS = {"data": "", "published": "*", "unknown": "?"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``flan-t5x tasks`` and of its parts."""
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
    tasks_stats.add(parts)
    tasks_overlap.add(parts)
    tasks_explore.add(parts)


def run(options: argparse.Namespace) -> int:
    """Prints one part, and returns the exit code."""
    use_tasks(options)
    options.part(options)
    return 0


def _add_part(
    parts: Any, name: str, part: Callable[[argparse.Namespace], None], summary: str
) -> argparse.ArgumentParser:
    parser = add_part(parts, name, part, summary)
    add_task_flags(parser)
    return parser


def _list(options: argparse.Namespace) -> None:
    from flan_t5x.data import registry

    mixtures = [registry.get_mixture(name) for name in registry.mixture_names()]
    tasks = [registry.get_task(name) for name in registry.task_names()]
    if options.json:
        print_json(
            {
                "mixtures": [
                    {"name": m.name, "parts": len(m.parts), "about": m.about} for m in mixtures
                ],
                "tasks": [{"name": t.name, "group": t.group, "format": t.format} for t in tasks],
            }
        )
        return
    print_table(
        f"{len(mixtures)} mixtures",
        ["mixture", "parts", "about"],
        [[m.name, str(len(m.parts)), m.about] for m in mixtures],
    )
    print_table(
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
    description: dict[str, Any] = {
        "name": task.name,
        "group": task.group,
        "format": task.format,
        "examples": _counts(task),
        "metrics": list(task.metrics),
        "extract": task.extract,
        "option_styles": list(task.option_styles),
        "templates": [template.inputs for template in task.templates],
    }
    if task.prompt is not None:
        description["prompt"] = {key: str(value) for key, value in vars(task.prompt).items()}
    if as_json:
        print_json(description)
        return
    for key, value in description.items():
        if key == "templates":
            print("templates:", *(f"  {text}" for text in value), sep="\n")
        elif key == "prompt":
            print("prompt:", *(f"  {part}: {text!r}" for part, text in value.items()), sep="\n")
        elif isinstance(value, dict):
            counts = (f"{split} {_count_text(count)}" for split, count in value.items())
            print(f"{key}: {', '.join(counts)}")
        else:
            print(f"{key}: {', '.join(value) if isinstance(value, list) else value}")


def _counts(task: TaskDefinition) -> dict[str, int | None]:
    """Rows by split; None where the data is missing."""
    from flan_t5x.data.sources.location import MissingDataError

    found: dict[str, int | None] = {}
    for split in task.source.splits:
        try:
            found[split] = task.source.num_examples(split)
        except MissingDataError:
            found[split] = None
    return found


def _count_text(count: int | None) -> str:
    return "missing" if count is None else f"{count:,}"


def _show_mixture(name: str, *, as_json: bool) -> None:
    from flan_t5x.data import registry

    rows = registry.describe_mixture(name, published_counts=True)
    parts = _parts(name, rows)
    repeat = registry.draws_before_repeat(name)
    missing = registry.missing_data(name)
    if as_json:
        print_json(
            {
                "name": name,
                "parts": parts,
                "draws_before_repeat": repeat and dataclasses.asdict(repeat),
                "missing": [
                    {"raw": group.raw, "share": group.share, "tasks": len(group.tasks)}
                    for group in missing
                ],
                "tasks": [dataclasses.asdict(row) for row in rows],
            }
        )
        return
    if any(part["tasks"] > 1 for part in parts):
        cells = [
            [part["name"], f"{part['tasks']:,}", f"{part['rate']:,.6g}", f"{part['share']:.2%}"]
            for part in parts
        ]
        print_table(
            f"{name}: {len(parts)} parts", ["part", "tasks", "rate", "share"], cells, numbers=1
        )
        print()
    total = sum(row.examples for row in rows)
    print_table(
        f"{name}: {len(rows)} tasks, {total:,} training examples",
        ["task", "group", "examples", "cap", "rate", "share"],
        [
            [
                row.task,
                row.group,
                f"{row.examples:,}{_MARKS[row.counted]}",
                "" if row.cap is None else f"{row.cap:,}",
                f"{row.rate:,.6g}",
                f"{row.share:.2%}",
            ]
            for row in rows
        ],
        numbers=2,
    )
    if repeat is not None and repeat.draws > 0:
        print(f"after {repeat.draws:,} draws the first rows repeat: those of {repeat.task}")
    if missing:
        lost = sum(group.share for group in missing)
        print(
            f"* data is missing ({lost:.1%} of the mixture), counted as published; "
            "? missing, and no count is published. See `flan-t5x data list`."
        )


def _parts(name: str, rows: Sequence[MixtureRow]) -> list[dict[str, Any]]:
    """The mixture's own parts in order: name, tasks, rate and share."""
    from flan_t5x.data import registry

    shares: dict[str, float] = {}
    tasks: dict[str, set[str]] = {}
    rates: dict[str, float] = {}
    for row in rows:
        shares[row.part] = shares.get(row.part, 0.0) + row.share
        tasks.setdefault(row.part, set()).add(row.task)
        rates[row.part] = rates.get(row.part, 0.0) + row.rate
    return [
        {
            "name": part.name,
            "tasks": len(tasks.get(part.name, ())),
            "rate": rates.get(part.name, 0.0) if part.rate is None else part.rate,
            "share": shares.get(part.name, 0.0),
        }
        for part in registry.get_mixture(name).parts
    ]


def _preview(options: argparse.Namespace) -> None:
    from flan_t5x.data import registry
    from flan_t5x.data.preview import preview
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
        print_json([{"task": task.name, **dataclasses.asdict(row)} for task, row in found])
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
