"""Figures over several scores, by name: what the task package defines, and any mixture's mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

from flan_t5x.data.definitions import AggregateDefinition, AggregatePart, MixtureDefinition
from flan_t5x.data.registry import aggregates_module, get_mixture, is_task, mixture_names
from flan_t5x.errors import UserError, nearest


def get_aggregate(name: str) -> AggregateDefinition:
    """The figure of that name; a mixture's name gives the unweighted mean of its tasks' scores.

    Raises:
        UserError: with near names, where there is neither.
    """
    found = defined_aggregates().get(name)
    if found is not None:
        return found
    try:
        mixture = get_mixture(name)
    except UserError:
        known = [*defined_aggregates(), *mixture_names()]
        hint = nearest(name, known) or "`flan-t5x tasks list` shows all mixtures."
        raise UserError(f"there is no aggregate or mixture named {name!r}; {hint}") from None
    parts = tuple(AggregatePart(task) for task in dict.fromkeys(tasks_in(mixture)))
    return AggregateDefinition(name, parts, about=mixture.about)


@cache
def published_scores() -> Mapping[str, Mapping[str, float]]:
    """Model -> figure or task -> published share: what tables put beside ours."""
    found: Mapping[str, Mapping[str, float]] = aggregates_module().published()
    return found


@cache
def defined_aggregates() -> Mapping[str, AggregateDefinition]:
    """What the task package defines, by name."""
    return {found.name: found for found in aggregates_module().aggregates()}


def tasks_in(mixture: MixtureDefinition, above: tuple[str, ...] = ()) -> Iterator[str]:
    """Names of a mixture's tasks, nested ones included, as often as they are named; no source is
    opened.

    Raises:
        UserError: for a mixture that holds itself.
    """
    if mixture.name in above:
        raise UserError(f"mixture {mixture.name!r} holds itself: {' -> '.join(above)}")
    for part in mixture.parts:
        if is_task(part.name):
            yield part.name
        else:
            yield from tasks_in(get_mixture(part.name), (*above, mixture.name))
