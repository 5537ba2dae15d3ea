"""The gin flags of T5X, with string values that need no quotes inside quotes.

``--gin_file`` (repeatable), ``--gin.NAME=VALUE``, ``--gin_bindings`` (repeatable, whole gin
statements) and ``--gin_search_paths`` (comma-separated, repeatable).
"""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

from flan_t5x.errors import UserError

_SHORT = "--gin."
_LONG = "--gin_bindings"
_ASSIGNMENT = re.compile(r"\s*([\w./]+)\s*=(?!=)(.*)", re.DOTALL)
_GIN_SYNTAX = ("@", "%", "[", "(", "{", '"', "'")


@dataclass(frozen=True)
class Binding:
    """One binding from the command line.

    Attributes:
        shown: the flag as the user typed it, for messages.
        statement: the same in gin's language, e.g. ``TRAIN_STEPS = 5``.
    """

    shown: str
    statement: str


def add_gin_flags(parser: argparse.ArgumentParser) -> None:
    """Adds T5X's gin flags. Call `short_flags_to_long` on the arguments before parsing them."""
    group = parser.add_argument_group("configuration (gin)")
    group.add_argument(
        "--gin_file",
        action="append",
        default=[],
        metavar="FILE",
        help="a gin file, e.g. smoke.gin; repeatable, later files override earlier ones",
    )
    group.add_argument(
        _LONG,
        action="append",
        default=[],
        metavar="STATEMENT",
        help="a gin statement, e.g. 'TRAIN_STEPS = 500'; repeatable, overrides the files. "
        "The short form is --gin.NAME=VALUE, e.g. --gin.TRAIN_STEPS=500",
    )
    group.add_argument(
        "--gin_search_paths",
        action="append",
        default=[],
        metavar="DIRS",
        help="comma-separated folders in which gin files are looked up, after the current one",
    )


def short_flags_to_long(arguments: Sequence[str]) -> list[str]:
    """Rewrites ``--gin.NAME=VALUE`` so that argparse keeps it in order with ``--gin_bindings``.

    Raises:
        UserError: a short flag without ``=``.
    """
    rewritten = []
    for argument in arguments:
        if argument.startswith(_SHORT):
            if "=" not in argument:
                raise UserError(f"{argument} has no value: write {argument}=VALUE")
            argument = f"{_LONG}={argument}"
        rewritten.append(argument)
    return rewritten


def parse_bindings(flags: Sequence[str]) -> list[Binding]:
    """The command line's bindings in order, each as one gin statement.

    Args:
        flags: values of ``--gin_bindings`` after `short_flags_to_long`.
    """
    bindings = []
    for flag in flags:
        short = flag.startswith(_SHORT)
        shown = flag if short else f"{_LONG}={flag!r}"
        assignment = _ASSIGNMENT.fullmatch(flag.removeprefix(_SHORT) if short else flag)
        if assignment:
            name, value = assignment.groups()
            statement = f"{name} = {gin_value(value)}"
        elif short:
            raise UserError(f"{flag}: a gin name has letters, digits, '_', '.' and '/' only")
        else:
            statement = flag
        bindings.append(Binding(shown, statement))
    return bindings


def gin_value(text: str) -> str:
    """What the user typed after ``=``, as gin source.

    Precedence: gin syntax first (``@name``, ``%MACRO``, brackets, quotes: left alone), then a
    number, ``True``, ``False`` or ``None``; anything else is a plain string.

    >>> gin_value("/tmp/run 1"), gin_value("1e-3"), gin_value("@adafactor()")
    ("'/tmp/run 1'", '0.001', '@adafactor()')
    """
    text = text.strip()
    if text.startswith(_GIN_SYNTAX):
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return repr(text)
    # `1,2` is a tuple to Python but not to gin, `1+2j` a number to neither of our purposes.
    return repr(value) if isinstance(value, bool | int | float | None) else repr(text)
