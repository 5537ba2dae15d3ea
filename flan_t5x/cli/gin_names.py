"""Which names a gin file or flag may use; an unknown one is answered with near names.

This module and `gin_config` are the only places that reach into gin's internals (gin-config
0.5: `ParseContext`, the registry): gin's own parse loop forgets file and line, and cannot say
what would have been right.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import gin.config
from gin.config_parser import ImportStatement, Location

from flan_t5x.errors import UserError, nearest

DYNAMIC_REGISTRATION = ImportStatement(
    module="__gin__.dynamic_registration",
    is_from=True,
    alias=None,
    location=Location(None, 0, None, ""),
)


class FileNames(gin.config.ParseContext):
    """The names of one gin file: what it imports, looked up as attributes."""

    def get_configurable(self, selector: str) -> gin.config.Configurable:
        """The function or class called `selector` in this file.

        Raises:
            UserError: nothing is called so here; the message has near names.
        """
        if not self._dynamic_registration:
            return registered(selector)
        self._check(selector)
        return super().get_configurable(selector)

    def _imported(self) -> list[str]:
        return [name for name in self._symbol_table if name != "gin"]

    def _check(self, selector: str) -> None:
        first, *attributes = selector.split(".")
        if first not in self._symbol_table:
            raise UserError(
                f"{first!r} is not imported in this file: "
                + (nearest(first, self._imported()) or "add an import, or fix the name")
            )
        found = self._symbol_table[first]
        for attribute in attributes:
            if not hasattr(found, attribute):
                name = getattr(found, "__name__", first)
                near = nearest(attribute, configurable_names(found))
                raise UserError(f"{name} has no {attribute!r}: {near or 'fix the name'}")
            found = getattr(found, attribute)
        if not callable(found):
            raise UserError(f"{selector!r} is not a function or class, so it has no parameters")


class FlagNames(FileNames):
    """The names of the command line: all that is configured so far, by the end of its path.

    Precedence: 1. a function or class that a file has named, by any unambiguous end of its
    dotted path (``train``, ``loop.train``); 2. a name as a file would write it, under the
    imports of all files (where two files import different things under one name, the later).
    """

    def __init__(self, files: Iterable[FileNames]) -> None:
        super().__init__()
        self.process_import(DYNAMIC_REGISTRATION)
        for names in files:
            self._symbol_table.update(names._symbol_table)
            self._symbol_source.update(names._symbol_source)

    def get_configurable(self, selector: str) -> gin.config.Configurable:
        """As in `FileNames`, by the precedence above."""
        if gin.config._REGISTRY.matching_selectors(selector):
            return registered(selector)
        if selector.split(".")[0] in self._symbol_table:
            return super().get_configurable(selector)
        near = nearest(selector, [*self._imported(), *_ends()])
        raise UserError(f"nothing called {selector!r} is configured: {near or 'fix the name'}")


def registered(selector: str) -> gin.config.Configurable:
    """The one registered function or class whose dotted path ends in `selector`.

    Raises:
        UserError: there is none, or more than one.
    """
    matches = gin.config._REGISTRY.matching_selectors(selector)
    if len(matches) > 1:
        raise UserError(f"{selector!r} could be {' or '.join(matches)}: write more of it")
    if not matches:
        near = nearest(selector, _ends())
        raise UserError(f"nothing is called {selector!r}: {near or 'fix the name'}")
    return gin.config._REGISTRY[matches[0]]


def parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a function, or of a class's construction (without ``self``)."""
    return dict(inspect.signature(function).parameters)


def check_parameter(configurable: gin.config.Configurable, name: str) -> None:
    """Raises UserError, with near names, where the function or class has no such parameter."""
    known = parameters(configurable.wrapped)
    if name in known or any(p.kind is p.VAR_KEYWORD for p in known.values()):
        return
    near = nearest(name, known) or f"it has {', '.join(known) or 'none'}"
    raise UserError(f"{configurable.name} has no parameter {name!r}: {near}")


def configurable_names(module: object) -> list[str]:
    """Public functions, classes and modules in `module`, for near names."""
    return [name for name in dir(module) if not name.startswith("_")]


def _ends() -> list[str]:
    # `train` and `loop.train` of flan_t5x.train.loop.train: what a user is likely to write.
    paths = [path.split(".") for path, _ in gin.config._REGISTRY.items()]
    mine = [path for path in paths if path[0] != "gin"]
    return [".".join(path[-n:]) for n in (1, 2) for path in mine]
