"""The commands and their options. Importing this loads nothing heavy."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

import flan_t5x
from flan_t5x.cli import (
    bench,
    cache,
    convert,
    data,
    eval,
    infer,
    plan,
    report,
    sweep,
    tasks,
    train,
)
from flan_t5x.cli.gin_flags import short_flags_to_long
from flan_t5x.errors import UserError, nearest

COMMANDS = {
    "train": train,
    "eval": eval,
    "infer": infer,
    "sweep": sweep,
    "cache": cache,
    "tasks": tasks,
    "data": data,
    "report": report,
    "convert": convert,
    "bench": bench,
    "plan": plan,
}


class Parser(argparse.ArgumentParser):
    """argparse, with one line per mistake and no guessing of shortened options."""

    def __init__(self, **keywords: object) -> None:
        super().__init__(
            **keywords,  # type: ignore[arg-type]
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """Raises UserError instead of printing the usage and leaving."""
        raise UserError(f"{message}; see `{self.prog} --help`")

    def command(self, arguments: Sequence[str]) -> Parser:
        """The parser of the command that the arguments name, as far down as they do."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                for argument in arguments:
                    if argument in action.choices:
                        found: Parser = action.choices[argument]
                        return found.command(arguments)
        return self

    def all_options(self) -> list[str]:
        """This parser's option names and those of its commands."""
        names = list(self._option_string_actions)
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                for parser in action.choices.values():
                    names += parser.all_options()
        return names


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The parsed command line; ``run`` in it is what to call with it.

    Raises:
        UserError: unknown command or option, missing value.
    """
    parser = make_parser()
    if arguments and not arguments[0].startswith("-") and arguments[0] not in COMMANDS:
        hint = nearest(arguments[0], COMMANDS) or f"the commands are {', '.join(COMMANDS)}"
        raise UserError(f"there is no command {arguments[0]!r}: {hint}")
    options, unknown = parser.parse_known_args(short_flags_to_long(arguments))
    if unknown:
        name = unknown[0].split("=")[0]
        near = nearest(name, parser.command(arguments).all_options())
        near = near or nearest(name, parser.all_options())
        hint = near or f"see `flan-t5x {arguments[0]} --help`"
        raise UserError(f"unknown argument {unknown[0]!r}: {hint}")
    return options


def make_parser() -> Parser:
    """The whole command line's parser."""
    parser = Parser(
        prog="flan-t5x",
        description="Instruction tuning of encoder-decoders: mixtures in, "
        "a held-out-chosen checkpoint out.",
        epilog="Start with: flan-t5x train --gin_file=smoke.gin --gin.MODEL_DIR=runs/smoke",
    )
    parser.add_argument("--version", action="version", version=f"flan-t5x {flan_t5x.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        summary, _, details = (module.__doc__ or "").partition("\n")
        command = commands.add_parser(
            name, help=summary, description=f"{summary}\n{details}".strip()
        )
        module.add_arguments(command)
        command.set_defaults(command=name, run=module.run)
    add_verbose(parser)
    return parser


def add_verbose(parser: argparse.ArgumentParser) -> None:
    """Adds ``--verbose`` to a parser and to every command below it."""
    parser.add_argument(
        "--verbose",
        action="store_true",
        default=argparse.SUPPRESS,
        help="tracebacks, and what the libraries below have to say",
    )
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                add_verbose(command)
