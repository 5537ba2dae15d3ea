"""Gin files and flags become one checked configuration of one command.

Precedence, from weak to strong: defaults in the code; gin files in the order given (what a file
includes counts at the place of its ``include``); then ``--gin.NAME=VALUE`` and
``--gin_bindings`` in the order given. The last one to bind a name wins.

The engine is free of gin: files import its modules (``from __gin__ import
dynamic_registration``) and bind parameters of its functions and classes.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gin.config

from flan_t5x.cli.gin_check import behind_macros, check
from flan_t5x.cli.gin_flags import Binding
from flan_t5x.cli.gin_read import MACRO, Key, Reader, at
from flan_t5x.cli.messages import one_line
from flan_t5x.errors import UserError

# What each command runs. A recipe may configure several; only one runs at a time.
ENTRY_POINTS = {
    "train": "flan_t5x.train.loop.train",
    "eval": "flan_t5x.evaluation.run.evaluate",
    "infer": "flan_t5x.evaluation.infer.infer",
    "cache": "flan_t5x.data.build.build_cache",
    "sweep": "flan_t5x.sweep.run.sweep",
}


@dataclass(frozen=True)
class Configuration:
    """What one command will call, and with what.

    Attributes:
        entry: the function behind the command, as gin knows it.
        places: where each parameter was bound last, for messages.
    """

    entry: gin.config.Configurable
    places: dict[Key, str]

    def call(self, **given: Any) -> Any:
        """Calls the entry point with its configured arguments and `given`; returns its result.

        Raises:
            UserError: an argument could not be made, e.g. a class refused its parameters.
        """
        return self.entry.wrapped(**self.arguments(**given))

    def arguments(self, **given: Any) -> dict[str, Any]:
        """The entry point's keyword arguments: references resolved, `given` on top.

        Raises:
            UserError: as for `call`.
        """
        function, name, selector = self.entry.wrapped, self.entry.name, self.entry.selector
        # gin's wrapper around a function that only hands back its arguments: the entry itself
        # runs outside of gin, which would rewrite every exception that passes through it.
        collect = gin.config._make_gin_wrapper(
            lambda **arguments: arguments, function, name, selector, None, None
        )
        try:
            arguments: dict[str, Any] = collect(**given)
        except (UserError, TypeError, ValueError) as error:
            raise UserError(self._placed(error)) from error
        return arguments

    def facts(self) -> dict[str, str]:
        """Name -> value of every binding, references as they are written."""
        found = {}
        for (scope, selector), bound in gin.config._CONFIG.items():
            for parameter, value in bound.items():
                name = f"{scope}/{selector}.{parameter}".lstrip("/")
                found[scope if selector == MACRO else name] = repr(value)
        return found

    def _placed(self, error: Exception) -> str:
        """The error's line, with the place of the binding it speaks of, as far as can be told."""
        called = re.search(r"In call to configurable '([\w.]+)'", str(error))
        name = called.group(1) if called else self.entry.name
        message = one_line(error).removeprefix(f"{name}: ").removeprefix(f"{name}.")
        keys = [key for key in self.places if key.selector.rsplit(".", 1)[-1] == name]
        named = [key for key in keys if re.search(rf"\b{key.parameter}\b", message)]
        where = ""
        for key in (named or keys)[-1:]:
            value = gin.config._CONFIG[key.scope, key.selector][key.parameter]
            source, _ = behind_macros(gin.config._CONFIG, key, value)
            where = f" (set in {self.places[source]})"
        return f"{name}: {message}{where}"


def operative_config() -> str:
    """Every value in use, defaults included, as a gin file that can be run again.

    gin notes values as it hands them out: complete once the entry point runs.
    """
    return str(gin.config.operative_config_str())


def load(
    command: str,
    *,
    gin_files: Sequence[str] = (),
    bindings: Sequence[Binding] = (),
    search_paths: Sequence[str] = (),
    given: Sequence[str] = (),
) -> Configuration:
    """Reads and checks the configuration of one command. It replaces what gin held before.

    Args:
        command: a key of `ENTRY_POINTS`.
        gin_files: values of ``--gin_file``.
        bindings: the command line's bindings.
        search_paths: values of ``--gin_search_paths``.
        given: the entry point's parameters that the command passes itself, e.g. ``dry_run``.

    Raises:
        UserError: file or name not found, syntax, missing or unused macro, wrong type.
    """
    gin.config.clear_config()
    reader = Reader(search_paths)
    entry = _registered(ENTRY_POINTS[command])
    for file in gin_files:
        with at(f"--gin_file={file}"):
            reader.read_file(file)
    without_flags = {key: dict(bound) for key, bound in gin.config._CONFIG.items()}
    reader.read_flags(bindings)
    check(
        gin.config._CONFIG,
        without_flags=without_flags,
        entry=entry,
        entries=[_registered(path) for path in ENTRY_POINTS.values() if _is_imported(path)],
        places=reader.places,
        flags=reader.flags,
        given=given,
    )
    return Configuration(entry, reader.places)


def _is_imported(path: str) -> bool:
    # Only a file that imports another command's module can configure it.
    return path.rsplit(".", 1)[0] in sys.modules


def _registered(path: str) -> gin.config.Configurable:
    """The function at a dotted path, known to gin, so that flags can name it without a file."""
    module_name, name = path.rsplit(".", 1)
    function: Callable[..., Any] = getattr(importlib.import_module(module_name), name)
    if gin.config._inverse_lookup(function) is None:
        gin.config.external_configurable(function, name=name, module=module_name)
    return gin.config._inverse_lookup(function)
