"""Tables of sweeps, made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flan_t5x.sweep.table import BASELINE, COST, SCORE, START, Axis, Choice, Row, Table

EVIL = "</script><b>'\"&<!--"


def log_axis(name: str, *numbers: float) -> tuple[Axis, list[Choice]]:
    """A logarithmic axis and its choices."""
    choices = [Choice(f"{number:g}", number) for number in numbers]
    return Axis(name, "log", tuple(choice.label for choice in choices)), choices


def category_axis(name: str, *labels: str) -> tuple[Axis, list[Choice]]:
    """An axis of names."""
    return Axis(name, "category", labels), [Choice(label) for label in labels]


def rates_axis(
    name: str, parts: Sequence[str], points: Sequence[Sequence[float]]
) -> tuple[Axis, list[Choice]]:
    """An axis of mixtures."""
    choices = [
        Choice(":".join(f"{r:g}" for r in rates), rates=dict(zip(parts, rates, strict=True)))
        for rates in points
    ]
    return Axis(name, "rates", tuple(c.label for c in choices), tuple(parts)), choices


def done(number: int, choices: Mapping[str, Choice], seed: int, score: float, **more: float) -> Row:
    """A finished run that guessing gets 0.25 on, and that took 10 seconds."""
    figures = {SCORE: score, START: 0.2, BASELINE: 0.25, f"{COST}seconds": 10.0, **more}
    return Row(f"run_{number}", "done", choices, seed, figures, best_step=40)


def failed(number: int, choices: Mapping[str, Choice], problem: str) -> Row:
    """A run that failed."""
    return Row(f"run_{number}", "failed", choices, 0, problem=problem)


def whole(
    axes: Sequence[Axis], rows: Sequence[Row], *, metrics: tuple[str, ...] = (SCORE,)
) -> Table:
    """A sweep."""
    return Table("toy", "Does it matter?", tuple(axes), metrics, tuple(rows))
