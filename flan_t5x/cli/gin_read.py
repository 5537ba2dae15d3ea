"""gin's parse loop, with a place for every binding and one line for every mistake."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import pkgutil
import re
import tokenize
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gin.config
from gin import config_parser

from flan_t5x.cli import gin_files
from flan_t5x.cli.gin_flags import Binding
from flan_t5x.cli.gin_names import FileNames, FlagNames, check_parameter
from flan_t5x.cli.messages import one_line
from flan_t5x.errors import UserError, nearest

MACRO = "gin.macro"  # gin keeps the macro NAME as parameter `value` of `gin.macro` in scope NAME


class Key(NamedTuple):
    """What a binding binds: a parameter of a function or class, maybe in a scope."""

    scope: str
    selector: str
    parameter: str


class PlacedError(UserError):
    """An error whose message already begins with its file and line, or its flag."""


@contextlib.contextmanager
def at(place: str) -> Iterator[None]:
    """Puts `place` before the message of a UserError that has none yet."""
    try:
        yield
    except PlacedError:
        raise
    except UserError as error:
        raise PlacedError(f"{place}: {one_line(error)}") from error


class Reader:
    """Reads files, then flags, into gin's global configuration.

    Attributes:
        places: where each key was bound last: ``gin/smoke.gin:12``, or the flag as typed.
        flags: the keys that flags bound, with the flag as typed.
    """

    def __init__(self, search_paths: Sequence[str]) -> None:
        self.places: dict[Key, str] = {}
        self.flags: dict[Key, str] = {}
        self._folders = gin_files.search_folders(search_paths)
        self._files: list[FileNames] = []
        self._open: list[Path] = []

    def read_file(self, name: str) -> None:
        """Reads the file `name`, looked up as `gin_files.search_folders` says.

        Raises:
            UserError: not found, not text, syntax, an unknown name.
        """
        path = gin_files.find(name, self._folders)
        shown = gin_files.shown(path)
        if path.resolve() in self._open:
            raise UserError(f"{shown} includes itself: remove this include")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{shown} cannot be read as text: {one_line(error)}") from error
        names = FileNames()
        self._open.append(path.resolve())
        self._read(text, names, lambda line: f"{shown}:{line}")
        self._open.pop()
        self._files.append(names)

    def read_flags(self, bindings: Sequence[Binding]) -> None:
        """Reads the command line's bindings, under the imports of all files read before.

        Raises:
            UserError: syntax, an unknown name.
        """
        names = FlagNames(self._files)
        for binding in bindings:
            before = dict(self.places)
            self._read(binding.statement, names, functools.partial(_same, binding.shown))
            self.flags |= {key: at for key, at in self.places.items() if before.get(key) != at}

    def _read(self, source: str, names: FileNames, place: Callable[[int], str]) -> None:
        gin.config._PARSE_CONTEXTS.append(names)
        try:
            with _parse_errors(place):
                parser = config_parser.ConfigParser(source, gin.config.ParserDelegate())
                for statement in parser:
                    where = place(statement.location.line_num)
                    with at(where):
                        self._take(statement, names, where)
        finally:
            gin.config._PARSE_CONTEXTS.pop()
        gin.config._IMPORTS.update(names.imports)

    def _take(self, statement: Any, names: FileNames, place: str) -> None:
        match statement:
            case config_parser.BindingStatement(scope, selector, parameter, value, _):
                if parameter:
                    configurable = names.get_configurable(selector)
                    check_parameter(configurable, parameter)
                    key = Key(scope, configurable.selector, parameter)
                else:
                    key = Key(f"{scope}/{selector}" if scope else selector, MACRO, "value")
                gin.config._CONFIG.setdefault((key.scope, key.selector), {})[key.parameter] = value
                self.places[key] = place
            case config_parser.BlockDeclaration():
                names.get_configurable(statement.selector)
            case config_parser.ImportStatement():
                _import(statement, names)
            case config_parser.IncludeStatement():
                self.read_file(statement.filename)


def _same(place: str, line: int) -> str:
    """A flag's place: it has no lines."""
    return place


def _import(statement: config_parser.ImportStatement, names: FileNames) -> None:
    try:
        names.process_import(statement)
    except ModuleNotFoundError as error:
        parent, _, name = statement.module.rpartition(".")
        near = nearest(name, _submodules(parent)) if error.name == statement.module else ""
        hint = near or "fix the name, or install it"
        raise UserError(f"{statement.format()}: {one_line(error)}: {hint}") from error
    except ImportError as error:
        raise UserError(f"{statement.format()}: {one_line(error)}") from error


def _submodules(package: str) -> list[str]:
    try:
        spec = importlib.util.find_spec(package) if package else None
    except ImportError:
        spec = None
    folders = spec.submodule_search_locations if spec else None
    return [module.name for module in pkgutil.iter_modules(folders)] if folders else []


@contextlib.contextmanager
def _parse_errors(place: Callable[[int], str]) -> Iterator[None]:
    try:
        yield
    except PlacedError:
        raise
    except tokenize.TokenError as error:
        message, (line, _) = error.args
        raise PlacedError(f"{place(line)}: {message}: a bracket or quote is not closed") from error
    except SyntaxError as error:
        raise PlacedError(f"{place(error.lineno or 1)}: {_syntax_message(error)}") from error
    except (UserError, ValueError, KeyError) as error:
        line = re.search(r" line (\d+)", str(error))  # gin's own note of the place
        where = place(int(line.group(1)) if line else 1)
        raise PlacedError(f"{where}: {one_line(error)}") from error


def _syntax_message(error: SyntaxError) -> str:
    message = " ".join(str(error.msg).split())
    word = re.search(r"Failed to parse token '(.*)'", message)
    if word:
        return f"{word.group(1)!r} is no value: a string needs quotes, a macro %, a reference @"
    source = (error.text or "").strip()
    return f"{message.rstrip('.')} in {source!r}" if source else message
