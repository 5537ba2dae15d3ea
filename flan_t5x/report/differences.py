"""Whether one evaluation is better than another: the same examples, scored twice."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from flan_t5x.errors import UserError
from flan_t5x.evaluation.comparison import Comparison, Difference, compare
from flan_t5x.pages.elements import Child, details, dot, node, section, table
from flan_t5x.report.eval_files import Evaluation
from flan_t5x.report.show import counted

MOST_PAIRS = 8
"""More pairs are left to `flan-t5x eval --compare`."""


def differences_section(evaluations: Sequence[Evaluation], *, first: int) -> Element | None:
    """Each evaluation that has predictions against the first one that has one of its tasks.

    Args:
        evaluations: those on the page.
        first: number of the first one, for its colour.
    """
    pairs = [
        (base, other, number)
        for number, other in enumerate(evaluations, start=first)
        if (base := _base(evaluations, other)) is not other
    ]
    if not pairs:
        return None
    parts = [part for base, other, n in pairs[:MOST_PAIRS] for part in _pair(base, other, number=n)]
    left = len(pairs) - MOST_PAIRS
    if left > 0:
        parts.append(
            node("p", f"{counted(left, 'more pair')}: see `flan-t5x eval --compare`.", class_="bad")
        )
    note = (
        "Second less first, on the examples that both have: 95 % interval of the difference "
        "(paired bootstrap), and how often chance alone would do as much if both were equally "
        "good (p, paired randomisation test)."
    )
    return section("Differences", "differences", node("p", note, class_="soft"), *parts)


def _base(evaluations: Sequence[Evaluation], other: Evaluation) -> Evaluation:
    """The first evaluation that shares a task with this one: it may be this one itself."""
    tasks = set(other.answers.tasks) if other.answers else set()
    return next((e for e in evaluations if e.answers and tasks & set(e.answers.tasks)), other)


def _pair(base: Evaluation, other: Evaluation, *, number: int) -> list[Element]:
    label = f"{other.label} less {base.label}"
    title = node("h3", dot(number), label)
    try:
        found = compare(str(base.path), str(other.path))
    except UserError as error:
        return [title, node("p", str(error), class_="bad")]
    tasks = details("Task by task", _table(f"{label}: tasks", found.tasks))
    if not found.aggregates:
        tasks = _table(f"{label}: tasks", found.tasks)
        return [title, tasks, *_left_out(found)]
    return [title, _table(label, found.aggregates), tasks, *_left_out(found)]


def _table(label: str, differences: Sequence[Difference]) -> Element:
    head = ["figure", "examples", "first", "second", "difference", "95 % interval", "p"]
    return table(head, [_row(found) for found in differences], label=label)


def _row(found: Difference) -> list[Child]:
    low, high = found.interval
    gap = f"{found.second - found.first:+.3f}"
    return [
        found.name,
        f"{found.examples:,}",
        f"{found.first:.3f}",
        f"{found.second:.3f}",
        node("strong", gap) if low > 0 or high < 0 else gap,
        f"{low:+.3f} to {high:+.3f}",
        f"{found.p_value:.4f}",
    ]


def _left_out(found: Comparison) -> list[Element]:
    count = sum(found.unmatched.values())
    said = [f"{count:,} examples are in one of the two only, and left out."] if count else []
    said += [f"{name} needs {len(parts):,} more tasks." for name, parts in found.undefined.items()]
    return [node("p", " ".join(said), class_="soft")] if said else []
