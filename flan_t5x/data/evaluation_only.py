"""Evaluation sets never enter training: the one place that refuses them."""

from __future__ import annotations

from flan_t5x.data.registry import get_mixture, get_task, is_task
from flan_t5x.errors import UserError


def refuse_training(name: str) -> None:
    """Refuses a mixture or task that is for evaluation only, or that holds such a one.

    Raises:
        UserError: naming the part that is; or an unknown name.
    """
    held = _evaluation_only(name, ())
    if held is None:
        return
    inside = "" if held == name else f" holds {held!r}, which"
    raise UserError(
        f"{name!r}{inside} is for evaluation only and is never trained on; train on another "
        "mixture (`flan-t5x tasks list`), and name this one in EvalConfig or `flan-t5x eval`"
    )


def _evaluation_only(name: str, above: tuple[str, ...]) -> str | None:
    """The name itself or the first part below it that is for evaluation only."""
    if is_task(name):
        return name if get_task(name).evaluation_only else None
    mixture = get_mixture(name)
    if mixture.evaluation_only:
        return name
    if name in above:  # it holds itself, which `resolve` refuses
        return None
    found = (_evaluation_only(part.name, (*above, name)) for part in mixture.parts)
    return next((held for held in found if held is not None), None)
