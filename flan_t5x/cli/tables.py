"""What parts of commands share: how they are added, and how they print."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any


def add_part(
    parts: Any, name: str, part: Callable[[argparse.Namespace], None], summary: str
) -> argparse.ArgumentParser:
    """A part of a command, e.g. ``list`` of ``flan-t5x tasks``, with ``--json``.

    Args:
        parts: what `add_subparsers` of the command gave.
        name: of the part.
        part: called with the parsed options, which hold it as ``part``.
        summary: one line.
    """
    parser: argparse.ArgumentParser = parts.add_parser(name, help=summary, description=summary)
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    parser.set_defaults(part=part)
    return parser


def print_json(value: object) -> None:
    """Prints a value as indented JSON."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def print_table(
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
