"""What was found, in sentences: the page and the summary say the same."""

from __future__ import annotations

import math
from collections.abc import Sequence

from flan_t5x.evaluation.seeds import Interval
from flan_t5x.sweep.outcome import Blend, Law, Outcome
from flan_t5x.sweep.regression import Departure, Fit
from flan_t5x.sweep.scheffe import Model
from flan_t5x.sweep.statistics import Comparison, Difference, Undefined
from flan_t5x.sweep.table import COST, Table

_NAMED = 6  # choices that a sentence lists

STATES = ("done", "pruned", "failed", "running", "waiting", "no signal")
"""In the order in which they are counted."""


def figure(value: float) -> str:
    """A score with three decimals, a greater number with none."""
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"


def mean_text(found: Interval) -> str:
    """Mean and half width; the mean alone where there is no spread."""
    return figure(found.mean) + ("" if math.isnan(found.half) else f" ± {figure(found.half)}")


def gap_text(found: Interval) -> str:
    """A difference with its sign, three digits, and its half width."""
    return f"{found.mean:+.3g}" + ("" if math.isnan(found.half) else f" ± {found.half:.2g}")


def p_text(p_value: float | Undefined) -> str:
    """A p-value; "-" where it is undefined."""
    if isinstance(p_value, Undefined):
        return "-"
    return f"{p_value:.3f}" if p_value >= 0.001 else "< 0.001"


def p_said(p_value: float | Undefined) -> str:
    """A p-value within a sentence."""
    text = p_text(p_value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def counted(number: int, what: str) -> str:
    """A number of things, e.g. "1 run" or "1,200 runs"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def mixture_text(parts: Sequence[str], shares: Sequence[float]) -> str:
    """A mixture as percentages of its parts."""
    return ", ".join(
        f"{part} {100 * share:.3g} %" for part, share in zip(parts, shares, strict=True)
    )


def progress(table: Table) -> str:
    """How many runs came how far, and what they cost."""
    states = [row.status for row in table.rows]
    parts = [f"{states.count(state)} {state}" for state in STATES if state in states]
    seconds = sum(row.figures.get(f"{COST}seconds", 0.0) for row in table.rows)
    return f"{counted(len(states), 'run')}: {', '.join(parts) or 'none'}. Cost: {seconds:,.0f} s."


def anchors(found: Outcome) -> str:
    """What the figure is to be compared with."""
    known = [("guessing", found.baseline), ("before training", found.start)]
    parts = [f"{name} {figure(value)}" for name, value in known if value is not None]
    return f"To compare with: {', '.join(parts)}." if parts else ""


def best_text(found: Outcome) -> str:
    """The best combination of choices."""
    ranking = found.ranking
    if isinstance(ranking, Undefined):
        return f"No {found.metric}: {ranking}."
    best = ranking.best or "the only choice"
    return f"Best {found.metric}: {best}, {_with_runs(ranking, ranking.best)}."


def rivals_text(found: Outcome) -> str:
    """Which combinations are as good as the best one, as far as the runs tell."""
    ranking = found.ranking
    return "" if isinstance(ranking, Undefined) else _alike_text(ranking, "combination")


def law_text(metric: str, law: Law) -> str:
    """The fitted law with its uncertainty, and whether the runs depart from it."""
    fit = law.fit
    if isinstance(fit, Undefined):
        return f"No law of {law.axis.name}: {fit}."
    slope = f"{gap_text(fit.slope)} with {slope_unit(law)}"
    said = f"{metric} changes by {slope} ({_fit_facts(fit)}). "
    return said + _departure_text(fit.departure, log=law.axis.kind == "log")


LAW_HEAD = ("other choices", "slope", "p", "R²", "runs", "p of departure", "largest step")


def law_row(law: Law) -> tuple[str, ...]:
    """The same in a row of a table, under `LAW_HEAD`."""
    fit, group = law.fit, law.group or "none"
    if isinstance(fit, Undefined):
        return (group, f"undefined: {fit}", "", "", "", "", "")
    r_squared = "-" if isinstance(fit.r_squared, Undefined) else f"{fit.r_squared:.2f}"
    row = (group, gap_text(fit.slope), p_text(fit.p_value), r_squared, f"{fit.runs}")
    if isinstance(fit.departure, Undefined):
        return (*row, "-", "")
    jump = fit.departure.jump
    step = f"{gap_text(jump.gap)}, {jump.left:g} to {jump.right:g}"
    return (*row, p_text(fit.departure.p_value), step)


def slope_unit(law: Law) -> str:
    """What a slope is the change for."""
    return (
        f"each doubling of {law.axis.name}"
        if law.axis.kind == "log"
        else f"1 more of {law.axis.name}"
    )


def _fit_facts(fit: Fit) -> str:
    if isinstance(fit.p_value, Undefined):
        return f"{counted(fit.runs, 'run')}; no interval: {fit.p_value}"
    facts = [p_said(fit.p_value)]
    if not isinstance(fit.r_squared, Undefined):
        facts.append(f"R² {fit.r_squared:.2f}")
    return ", ".join([*facts, counted(fit.runs, "run")])


def _departure_text(departure: Departure | Undefined, *, log: bool) -> str:
    if isinstance(departure, Undefined):
        return f"Whether this law holds is not known: {departure}."
    lack, error = departure.freedom
    test = (
        f"lack of fit F({lack}, {error}) = {departure.statistic:.3g}, {p_said(departure.p_value)}"
    )
    if not departure.seen:
        return f"No departure from this law is seen ({test})."
    jump = departure.jump
    return (
        f"The runs depart from this law ({test}): it is no straight line"
        f"{' in the logarithm' if log else ''}. The largest step between neighbours is "
        f"{gap_text(jump.gap)}, from {jump.left:g} to {jump.right:g}."
    )


def blend_text(metric: str, blend: Blend) -> list[str]:
    """The recommended mixture and its evidence, a sentence or two each."""
    comparison, model = blend.comparison, blend.model
    best = mixture_text(blend.axis.parts, blend.rates[comparison.best])
    count = counted(len(comparison.means), "mixture")
    said = [
        f"Recommended: {best}, the best {metric} of {count} that were run: "
        f"{_with_runs(comparison, comparison.best)}. {_alike_text(comparison, 'mixture')}"
    ]
    if isinstance(model, Undefined):
        return [*said, f"No mixture model: {model}."]
    return [*said, _model_text(model), _optimum_text(model, comparison)]


def _model_text(model: Model) -> str:
    fit = (
        f"R² is undefined: {model.r_squared}"
        if isinstance(model.r_squared, Undefined)
        else f"R² {model.r_squared:.2f}"
    )
    if isinstance(model.error, Undefined) or isinstance(model.plain_error, Undefined):
        return f"Scheffé's quadratic model: {fit}; error of left-out mixtures: {model.error}."
    verdict = "better" if model.predicts else "no better"
    return (
        f"Scheffé's quadratic model: {fit}; it foretells left-out mixtures with an error of "
        f"{figure(model.error)}, {verdict} than their mean does ({figure(model.plain_error)})."
    )


def _optimum_text(model: Model, comparison: Comparison) -> str:
    place = mixture_text(model.parts, list(model.optimum.values()))
    said = f"The model's optimum: {place}, expected {mean_text(model.expected)}. "
    if not model.inside:
        said += "It is an extrapolation: it lies outside of the mixtures that were run. "
    if optimum_is_better(model, comparison):
        return said + "That is beyond the interval of the best mixture that was run: worth a run."
    if not model.predicts:
        return said + "The model has not shown that it can foretell: no reason to follow it."
    if math.isnan(comparison.means[comparison.best].half):
        return said + "The best mixture that was run has no interval to compare it with."
    return said + (
        "That is within the interval of the best mixture that was run: no reason to prefer it."
    )


def optimum_is_better(model: Model, comparison: Comparison) -> bool:
    """Whether a model that foretells expects more than the interval of the best run mixture."""
    best = comparison.means[comparison.best]
    upward = all(best.mean >= found.mean for found in comparison.means.values())
    gain = model.expected.mean - best.mean
    return model.predicts and (gain if upward else -gain) > best.half  # never above NaN


def _with_runs(comparison: Comparison, name: str) -> str:
    runs = comparison.runs[name]
    missing = " (no interval)" if runs == 1 else ""
    return f"{mean_text(comparison.means[name])} over {counted(runs, 'run')}{missing}"


def _alike_text(comparison: Comparison, what: str) -> str:
    """Which others are not told apart from the best."""
    others, alike = comparison.differences, comparison.alike
    if not others:
        return f"There is no other {what} to compare with."
    if not alike:
        return f"Every other {what} is worse (Holm's correction, 5 %)."
    names = "; ".join(alike[:_NAMED]) + (
        f" and {len(alike) - _NAMED} more" if alike[_NAMED:] else ""
    )
    return (
        f"Not told apart from it (Holm's correction, 5 %), {len(alike)} of {len(others)}: {names}."
    )


def tested_text(difference: Difference) -> str:
    """How a difference was tested."""
    if isinstance(difference.p_value, Undefined):
        return f"not tested: {difference.p_value}"
    return f"{difference.blocks} pairs" if difference.blocks else "Welch"
