"""Mistakes that show before anything runs: no value, no effect, wrong type.

gin reads a configuration as a graph: the command's entry point, the functions, classes and
macros that its bound values refer to, and so on. Only what can be reached counts.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gin.config
from gin.config import Configurable, ConfigurableReference

from flan_t5x.cli.gin_names import parameters
from flan_t5x.cli.gin_read import MACRO, Key
from flan_t5x.cli.value_types import ANYTHING, fits, resolve
from flan_t5x.errors import UserError, nearest

Scope = tuple[str, ...]
Bindings = Mapping[tuple[str, str], Mapping[str, Any]]


@dataclass(frozen=True)
class Visit:
    """A function or class that the configuration calls, with what it is called with.

    Attributes:
        configurable: the function or class.
        called: False for a bare ``@name``, which the engine calls with more arguments.
        bound: its parameters' values by the key that binds them.
    """

    configurable: Configurable
    called: bool
    bound: Mapping[Key, Any]


def check(
    config: Bindings,
    *,
    without_flags: Bindings,
    entry: Configurable,
    entries: Sequence[Configurable],
    places: Mapping[Key, str],
    flags: Mapping[Key, str],
    given: Sequence[str] = (),
) -> None:
    """Raises UserError at the first mistake, most telling kind first.

    Args:
        config: gin's bindings, by (scope, selector) and parameter.
        without_flags: the same as the files alone have it.
        entry: what the command runs.
        entries: what all commands run: a flag that only another one uses is no mistake, so
            that the flags of ``train`` serve ``eval`` and ``cache`` too.
        places: where each key was bound.
        flags: the keys bound by flags.
        given: parameters of `entry` that the command passes itself.
    """
    _no_undefined_macro(config, places)
    _no_flag_without_effect(config, without_flags, entries, flags)
    visits = list(walk(config, [entry]))
    _no_missing_macro(visits, places)
    _no_missing_parameter(config, visits, entry, given)
    _no_wrong_type(config, visits, places)


def walk(config: Bindings, roots: Iterable[Configurable]) -> Iterator[Visit]:
    """What is called when `roots` are called, each once per scope it is called in."""
    todo: list[tuple[Scope, Configurable, bool]] = [((), root, True) for root in roots]
    seen = set()
    while todo:
        scope, configurable, called = todo.pop()
        if (scope, configurable.selector, called) in seen:
            continue
        seen.add((scope, configurable.selector, called))
        bound: dict[str, tuple[Key, Any]] = {}
        for depth in range(len(scope) + 1):  # an inner scope's binding covers an outer one's
            outer = "/".join(scope[:depth])
            for name, value in config.get((outer, configurable.selector), {}).items():
                bound[name] = (Key(outer, configurable.selector, name), value)
        yield Visit(configurable, called, dict(bound.values()))
        for _, value in bound.values():
            for reference in gin.config.iterate_references(value):
                inner = tuple(reference.scopes) or scope
                todo.append((inner, reference.configurable, reference.evaluate))


def _macro(value: object) -> str | None:
    """The name, where a value is ``%NAME``."""
    if isinstance(value, ConfigurableReference) and value.configurable.selector == MACRO:
        return "/".join(value.scopes)
    return None


def _is_required(value: object) -> bool:
    return isinstance(value, ConfigurableReference) and value.scoped_selector == (
        "gin.REQUIRED/gin.constant"
    )


def _no_undefined_macro(config: Bindings, places: Mapping[Key, str]) -> None:
    defined = [scope for scope, selector in config if selector == MACRO]
    for (scope, selector), bound in config.items():
        for parameter, value in bound.items():
            for reference in gin.config.iterate_references(value):
                name = _macro(reference)
                if name is not None and name not in defined:
                    place = places.get(Key(scope, selector, parameter), "the configuration")
                    near = nearest(name, defined)
                    raise UserError(
                        f"{place}: no file or flag defines %{name}: {near}{' ' if near else ''}"
                        f"Add the --gin_file that defines it, or --gin.{name}=VALUE"
                    )


def _no_flag_without_effect(
    config: Bindings,
    without_flags: Bindings,
    entries: Sequence[Configurable],
    flags: Mapping[Key, str],
) -> None:
    used = _used(config, entries)
    for key, flag in flags.items():
        if key in used:
            continue
        name = key.scope if key.selector == MACRO else key.selector.rsplit(".", 1)[-1]
        if key in _used(without_flags, entries):
            raise UserError(f"{flag}: other flags replace all that uses {name}: remove one of them")
        raise UserError(
            f"{flag}: nothing in the configuration uses {name}: "
            + (_near_macro(name, used, entries) if key.selector == MACRO else "remove the flag")
        )


def _used(config: Bindings, entries: Sequence[Configurable]) -> set[Key]:
    return {key for visit in walk(config, entries) for key in visit.bound}


def _near_macro(name: str, used: set[Key], entries: Sequence[Configurable]) -> str:
    macros = sorted(key.scope for key in used if key.selector == MACRO)
    own = [f"{e.name}.{parameter}" for e in entries for parameter in parameters(e.wrapped)]
    near = nearest(name, macros) or nearest(name, own)
    return near or f"it uses {', '.join(macros) or 'no macros; is a --gin_file missing?'}"


def _no_missing_macro(visits: Sequence[Visit], places: Mapping[Key, str]) -> None:
    missing = {
        key: None for visit in visits for key, value in visit.bound.items() if _is_required(value)
    }
    if missing:
        flags = [f"--gin.{_flag_name(key)}=VALUE" for key in sorted(missing)]
        where = places.get(next(iter(sorted(missing))), "the configuration")
        raise UserError(f"{where} requires a value: add {' '.join(flags)}")


def _flag_name(key: Key) -> str:
    if key.selector == MACRO:
        return key.scope
    short = f"{key.selector.rsplit('.', 1)[-1]}.{key.parameter}"
    return f"{key.scope}/{short}" if key.scope else short


def _no_missing_parameter(
    config: Bindings, visits: Sequence[Visit], entry: Configurable, given: Sequence[str]
) -> None:
    for visit in visits:
        bound = {key.parameter for key in visit.bound}
        if visit.configurable.selector == entry.selector:
            bound |= set(given)
        missing = [
            parameter.name
            for parameter in parameters(visit.configurable.wrapped).values()
            if parameter.default is parameter.empty
            and parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
            and parameter.name not in bound
        ]
        if visit.called and missing and visit.configurable.selector != MACRO:
            name = visit.configurable.name
            flags = " ".join(f"--gin.{name}.{parameter}=VALUE" for parameter in missing)
            recipe = "" if config else " (or a recipe, e.g. --gin_file=smoke.gin)"
            raise UserError(f"{name} needs {', '.join(missing)}: add {flags}{recipe}")


def _no_wrong_type(config: Bindings, visits: Sequence[Visit], places: Mapping[Key, str]) -> None:
    for visit in visits:
        function = visit.configurable.wrapped
        known = parameters(function)
        namespace = vars(sys.modules[function.__module__])
        for key, bound in visit.bound.items():
            if key.parameter not in known:  # taken by **kwargs
                continue
            annotation = known[key.parameter].annotation
            source, value = behind_macros(config, key, bound)
            if annotation is inspect.Parameter.empty or fits(
                _literal(config, value), resolve(annotation, namespace)
            ):
                continue
            wanted = (
                annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
            )
            bare = isinstance(value, ConfigurableReference) and not value.evaluate
            hint = f": write {value!r}() for its result" if bare else ""
            raise UserError(
                f"{places.get(source, 'the configuration')}: {visit.configurable.name}."
                f"{key.parameter} takes {wanted}, not {value!r}{hint}"
            )


def behind_macros(config: Bindings, key: Key, value: object) -> tuple[Key, object]:
    """The binding that a chain of macros ends in."""
    seen = [key]
    while (name := _macro(value)) is not None:
        key = Key(name, MACRO, "value")
        if key in seen:
            raise UserError(f"%{name} is defined by itself: give it a value")
        seen.append(key)
        value = config[name, MACRO]["value"]
    return key, value


def _literal(config: Bindings, value: object) -> object:
    """The value with macros replaced; what a reference will give is not known yet."""
    if isinstance(value, ConfigurableReference):
        if _macro(value) is not None:
            return _literal(config, behind_macros(config, Key("", "", ""), value)[1])
        return ANYTHING if value.evaluate else value.configurable.wrapped
    if isinstance(value, dict):
        return {key: _literal(config, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_literal(config, item) for item in value)
    return value
