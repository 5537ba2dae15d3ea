"""Whether a value from a configuration fits a parameter's annotation."""

from __future__ import annotations

import collections.abc
import types
import typing
from collections.abc import Mapping
from typing import Any


class _Anything:
    def __repr__(self) -> str:
        return "<made when the command runs>"


ANYTHING = _Anything()  # a value that is only known when the command runs; fits everywhere


def resolve(annotation: object, namespace: Mapping[str, Any]) -> object:
    """The type meant by an annotation that is still text; ``Any`` where that cannot be told."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, dict(namespace))  # the text is the engine's own source code
    except Exception:
        return Any


def fits(value: object, hint: object) -> bool:
    """True where `value` may be passed for a parameter annotated with `hint`.

    Annotations that are not understood fit everything: the engine checks its own values. An
    int fits ``float``, a bool does not fit ``int``, lists and tuples stand for each other
    (gin users write both).

    >>> fits(3, float), fits(True, int), fits("3", int | None), fits([1], tuple[int, ...])
    (True, False, False, True)
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if value is ANYTHING or hint is Any or hint is object:
        return True
    if hint is None or hint is type(None):
        return value is None
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in arguments)
    if origin is typing.Literal:
        return value in arguments
    if origin is typing.Annotated:
        return fits(value, arguments[0])
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return _container_fits(value, origin or hint, arguments)


def _container_fits(value: object, kind: object, arguments: tuple[Any, ...]) -> bool:
    if not isinstance(kind, type):
        return True
    if kind is collections.abc.Callable:
        return callable(value)
    if kind is not str and issubclass(kind, collections.abc.Mapping):
        if not isinstance(value, Mapping):
            return False
        key, item = arguments if len(arguments) == 2 else (Any, Any)
        return all(fits(k, key) and fits(v, item) for k, v in value.items())
    if kind is not str and issubclass(kind, collections.abc.Sequence | collections.abc.Set):
        if not isinstance(value, list | tuple | set | frozenset):
            return False
        each = arguments[0] if arguments else Any
        fixed = kind is tuple and arguments and arguments[-1] is not Ellipsis
        items = zip(value, arguments, strict=False) if fixed else ((item, each) for item in value)
        return (not fixed or len(value) == len(arguments)) and all(fits(i, h) for i, h in items)
    try:
        return isinstance(value, kind)
    except TypeError:  # a protocol that cannot be checked at run time
        return True
