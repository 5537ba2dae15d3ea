"""What a sweep varies. An axis has settings for a grid, and one for any point of the unit cube.

In a sweep's gin file, ``axes`` is a dictionary: a gin name, and what it takes.

| written | the axis |
|---|---|
| ``[1, 2, 'a']`` or ``{'values': [...]}`` | these; ``'scale': 'log'`` draws numbers so |
| ``{'linear': [low, high], 'count': n}`` | numbers evenly spaced |
| ``{'log': [low, high], 'count': n}`` | evenly spaced ratios; whole where both ends are |
| ``{'simplex': parts, 'divisions': n}`` | all shares that are multiples of 1/n |
| ``{'simplex': ..., 'centre': True}`` | equal shares as well |
| ``{'dirichlet': parts, 'draws': n}`` | random shares; ``'concentration'`` (1), ``'seed'`` (0) |
| ``{'ladder': mixture}`` | 1, 2, 4, ... and all of its data sets |
| ``{'leave_one_out': parts}`` | nothing left out, then each part |
| ``{'cases': {label: {name: value}}}`` | several bindings at once |

The name of an axis of cases is the sweep's own. ``parts`` is a list of names, or the name of a
mixture, whose parts are taken. Numbers and shares are intervals to random designs, all else is a
list to choose from.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flan_t5x.errors import UserError, nearest, require_count
from flan_t5x.sweep.table import AxisKind, Choice

Draw = Callable[[Sequence[float]], "Setting"]


@dataclass(frozen=True)
class Setting:
    """One value of an axis.

    Attributes:
        choice: as tables and pages show it.
        bindings: gin name -> value, a literal or gin source after "@" or "%".
    """

    choice: Choice
    bindings: Mapping[str, Any]


@dataclass(frozen=True)
class SweptAxis:
    """An axis of a sweep.

    Attributes:
        name: a gin name, or of cases the sweep's own.
        kind: how it is drawn.
        settings: of a grid, in order.
        parts: of "rates".
        dimensions: numbers of the unit cube that `draw` takes.
        draw: the setting at a point of [0, 1)^dimensions.
    """

    name: str
    kind: AxisKind
    settings: tuple[Setting, ...]
    draw: Draw
    parts: tuple[str, ...] = ()
    dimensions: int = 1


def parse_axis(name: str, spec: Any) -> SweptAxis:
    """An axis from its gin value; see the module's text.

    Raises:
        UserError: what it cannot be; the message names the axis.
    """
    try:
        return _parse(name, spec)
    except UserError as error:
        raise UserError(f"axis {name!r}: {error}") from error


def _parse(name: str, spec: Any) -> SweptAxis:
    if isinstance(spec, list | tuple):
        spec = {"values": spec}
    if not isinstance(spec, Mapping):
        raise UserError(f"{spec!r} is neither a list of values nor one of {_kinds()}")
    for key in spec:
        if key not in _KINDS and not any(key in more for _, more in _KINDS.values()):
            hint = nearest(str(key), _KINDS) or f"known are {_kinds()}"
            raise UserError(f"{key!r} is unknown; {hint}")
    named = [key for key in spec if key in _KINDS]
    if len(named) != 1:
        raise UserError(f"one of {_kinds()} is needed, and it has {named or 'none'}")
    make, more = _KINDS[named[0]]
    odd = [key for key in spec if key not in (named[0], *more)]
    if odd:
        raise UserError(f"{odd[0]!r} does not belong to {named[0]!r}")
    axis = make(name, **spec)
    if not axis.settings:
        raise UserError("it has no values")
    labels = [setting.choice.label for setting in axis.settings]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise UserError(f"{twice[0]} stands there twice")
    return axis


def _values(name: str, *, values: Sequence[Any], scale: str | None = None) -> SweptAxis:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if scale not in (None, "linear", "log"):
        raise UserError(f"scale {scale!r}: use 'linear' or 'log'")
    if scale and not numbers:
        raise UserError("only numbers have a scale")
    if scale == "log" and any(v <= 0 for v in values):
        raise UserError("a logarithmic scale needs numbers above 0")
    kind: AxisKind = "log" if scale == "log" else "number" if numbers else "category"
    settings = tuple(_number(name, v) if numbers else _word(name, v) for v in values)
    return _listed(name, kind, settings)


def _linear(name: str, *, linear: Sequence[float], count: int = 0) -> SweptAxis:
    low, high = _ends(linear)

    def at(share: float) -> float:
        return low + (high - low) * share

    return _interval(name, "number", at, count, whole=False)


def _log(name: str, *, log: Sequence[float], count: int = 0) -> SweptAxis:
    low, high = _ends(log)
    if low <= 0:
        raise UserError(f"log {list(log)}: a logarithmic scale needs numbers above 0")

    def at(share: float) -> float:
        return math.exp(math.log(low) * (1.0 - share) + math.log(high) * share)

    return _interval(name, "log", at, count, whole=all(isinstance(end, int) for end in log))


def _simplex(
    name: str, *, simplex: str | Sequence[str], divisions: int = 0, centre: bool = False
) -> SweptAxis:
    parts = _parts(simplex, least=2)
    points: list[tuple[float, ...]] = []
    if divisions:
        require_count("divisions", divisions)
        steps = itertools.product(range(divisions, -1, -1), repeat=len(parts))
        points = [tuple(k / divisions for k in step) for step in steps if sum(step) == divisions]
    settings = [_rates(name, parts, point) for point in points]
    if centre and not any(len(set(point)) == 1 for point in points):
        even = (1.0 / len(parts),) * len(parts)
        settings.append(_rates(name, parts, even, label="centre"))
    return _shares(name, parts, settings, concentration=1.0)


def _dirichlet(
    name: str,
    *,
    dirichlet: str | Sequence[str],
    draws: int = 0,
    concentration: float = 1.0,
    seed: int = 0,
) -> SweptAxis:
    import numpy as np

    parts = _parts(dirichlet, least=2)
    if not (math.isfinite(concentration) and concentration > 0):
        raise UserError(f"concentration {concentration!r}: a number above 0 is needed")
    settings = []
    if draws:
        require_count("draws", draws)
        random = np.random.default_rng(seed)
        drawn = random.dirichlet([concentration] * len(parts), draws)
        settings = [_rates(name, parts, [float(share) for share in point]) for point in drawn]
    return _shares(name, parts, settings, concentration=concentration)


def _ladder(name: str, *, ladder: str) -> SweptAxis:
    from flan_t5x.data.registry import describe_mixture, get_task
    from flan_t5x.data.varied_mixture import dataset_name

    rows = describe_mixture(ladder, published_counts=True)
    total = len({dataset_name(get_task(row.task)) for row in rows})
    counts = [2**k for k in range(total.bit_length()) if 2**k < total] + [total]
    return _listed(name, "log", tuple(_number(name, count) for count in counts))


def _leave_one_out(name: str, *, leave_one_out: str | Sequence[str]) -> SweptAxis:
    parts = _parts(leave_one_out, least=1)
    nothing = Setting(Choice("nothing"), {name: []})
    return _listed(
        name, "category", (nothing, *(Setting(Choice(part), {name: [part]}) for part in parts))
    )


def _cases(name: str, *, cases: Mapping[str, Mapping[str, Any]]) -> SweptAxis:
    if not isinstance(cases, Mapping):
        raise UserError(f"cases are a dictionary {{label: {{name: value}}}}, not {cases!r}")
    for label, bindings in cases.items():
        if not isinstance(bindings, Mapping):
            raise UserError(f"case {label!r} is {bindings!r}; a dictionary of bindings is needed")
    settings = tuple(Setting(Choice(str(label)), dict(b)) for label, b in cases.items())
    return _listed(name, "category", settings)


_KINDS: dict[str, tuple[Callable[..., SweptAxis], tuple[str, ...]]] = {
    "values": (_values, ("scale",)),
    "linear": (_linear, ("count",)),
    "log": (_log, ("count",)),
    "simplex": (_simplex, ("divisions", "centre")),
    "dirichlet": (_dirichlet, ("draws", "concentration", "seed")),
    "ladder": (_ladder, ()),
    "leave_one_out": (_leave_one_out, ()),
    "cases": (_cases, ()),
}


def _kinds() -> str:
    return ", ".join(map(repr, _KINDS))


def _listed(name: str, kind: AxisKind, settings: tuple[Setting, ...]) -> SweptAxis:
    """An axis that random designs choose from."""

    def draw(cube: Sequence[float]) -> Setting:
        return settings[min(int(cube[0] * len(settings)), len(settings) - 1)]

    return SweptAxis(name, kind, settings, draw)


def _interval(
    name: str, kind: AxisKind, at: Callable[[float], float], count: int, *, whole: bool
) -> SweptAxis:
    """An axis of numbers; `at` gives the one at a share of the way."""

    def number(share: float) -> float:
        return round(at(share)) if whole else float(f"{at(share):.6g}")

    shares = []
    if count:
        require_count("count", count, at_least=2)
        shares = [i / (count - 1) for i in range(count)]
    numbers = dict.fromkeys(number(share) for share in shares)
    settings = tuple(_number(name, n) for n in numbers)
    # Without a count it is for random designs only; a grid over it has its middle.
    settings = settings or (_number(name, number(0.5)),)
    return SweptAxis(name, kind, settings, lambda cube: _number(name, number(cube[0])))


def _shares(
    name: str, parts: tuple[str, ...], settings: Sequence[Setting], *, concentration: float
) -> SweptAxis:
    """An axis of shares; random designs draw them from a Dirichlet distribution."""

    def draw(cube: Sequence[float]) -> Setting:
        from scipy.special import gammaincinv

        inside = [min(max(u, 1e-9), 1.0 - 1e-9) for u in cube]
        weights = [float(gammaincinv(concentration, u)) for u in inside]
        return _rates(name, parts, [weight / sum(weights) for weight in weights])

    found = tuple(settings) or (draw([0.5] * len(parts)),)
    return SweptAxis(name, "rates", found, draw, parts=parts, dimensions=len(parts))


def _number(name: str, value: float) -> Setting:
    if not math.isfinite(value):
        raise UserError(f"{value!r} is no finite number")
    return Setting(Choice(f"{value:g}", number=float(value)), {name: value})


def _word(name: str, value: Any) -> Setting:
    return Setting(Choice(str(value)), {name: value})


def _rates(
    name: str, parts: tuple[str, ...], shares: Sequence[float], *, label: str = ""
) -> Setting:
    """A point of the simplex, rounded so that its label and its gin value say the same."""
    rates = {part: round(share, 4) for part, share in zip(parts, shares, strict=True)}
    label = label or " ".join(f"{part}={share:g}" for part, share in rates.items() if share)
    total = sum(rates.values())
    if not total > 0:
        raise UserError(f"the shares {list(shares)} sum to 0")
    choice = Choice(label, rates={part: rate / total for part, rate in rates.items()})
    return Setting(choice, {name: rates})


def _parts(named: str | Sequence[str], *, least: int) -> tuple[str, ...]:
    if isinstance(named, str):
        from flan_t5x.data.registry import get_mixture

        named = [part.name for part in get_mixture(named).parts]
    parts = tuple(named)
    if len(parts) < least or not all(isinstance(part, str) for part in parts):
        raise UserError(f"{list(parts)}: a list of {least} or more names, or a mixture, is needed")
    if len(set(parts)) < len(parts):
        raise UserError(f"{list(parts)}: a name stands there twice")
    return parts


def _ends(ends: Sequence[float]) -> tuple[float, float]:
    good = isinstance(ends, list | tuple) and len(ends) == 2
    good = good and all(isinstance(e, int | float) and math.isfinite(e) for e in ends)
    if not good or not ends[0] < ends[1]:
        raise UserError(f"{ends!r}: [low, high] with low < high is needed")
    return float(ends[0]), float(ends[1])
