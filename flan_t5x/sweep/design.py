"""Which points of the axes' product are run: all, random ones, or a Sobol sequence."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from flan_t5x.errors import UserError, nearest, require_count
from flan_t5x.sweep.axes import Setting, SweptAxis

METHODS = ("grid", "random", "sobol", "optuna")

Point = tuple[Setting, ...]
"""A setting for each axis, in their order."""

_BATCHES = 8
"""How often random designs draw again where points came out twice."""


def require_method(method: str, points: int | None) -> None:
    """Raises UserError for an unknown method, or a number of points that it does not take."""
    if method not in METHODS:
        hint = nearest(method, METHODS) or f"known are {', '.join(METHODS)}"
        raise UserError(f"method {method!r} does not exist; {hint}")
    if method == "grid" and points is not None:
        raise UserError("points belongs to methods random, sobol and optuna; a grid has all")
    if method != "grid":
        require_count(f"points (method {method!r})", points)


def grid(axes: Sequence[SweptAxis]) -> list[Point]:
    """All combinations; the last axis changes fastest."""
    return list(itertools.product(*(axis.settings for axis in axes)))


def drawn(axes: Sequence[SweptAxis], *, method: str, points: int, seed: int) -> list[Point]:
    """Different points, at most `points` of them: a small space may not have as many.

    Args:
        axes: at least one.
        method: "random", or "sobol" for a scrambled Sobol sequence (Owen 1998), which covers the
            space more evenly.
        points: how many.
        seed: of the draws.
    """
    dimensions = sum(axis.dimensions for axis in axes)
    found: dict[tuple[str, ...], Point] = {}
    for batch in _cubes(method, dimensions, points, seed):
        for cube in batch:
            point = at(axes, cube)
            if len(found) < points:
                found.setdefault(tuple(s.choice.label for s in point), point)
        if len(found) == points:
            break
    return list(found.values())


def at(axes: Sequence[SweptAxis], cube: Sequence[float]) -> Point:
    """The point of the axes at a point of the unit cube."""
    settings = []
    first = 0
    for axis in axes:
        settings.append(axis.draw(cube[first : first + axis.dimensions]))
        first += axis.dimensions
    return tuple(settings)


def _cubes(
    method: str, dimensions: int, points: int, seed: int
) -> Iterator[Sequence[Sequence[float]]]:
    """Batches of points of the unit cube."""
    if method == "sobol":
        from scipy.stats import qmc

        # A power of two keeps the sequence balanced; what is too many is not used.
        sampler = qmc.Sobol(dimensions, scramble=True, seed=seed)
        power = max(points - 1, 1).bit_length()
        yield sampler.random_base2(power).tolist()
        return
    import numpy as np

    random = np.random.default_rng(seed)
    for _ in range(_BATCHES):
        yield random.random((points, dimensions)).tolist()
