"""Self-consistency: the score by the number of samples that vote."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from flan_t5x.pages.elements import details, node, section, table
from flan_t5x.pages.line_chart import Curve, Point, line_chart
from flan_t5x.report.eval_files import Evaluation
from flan_t5x.report.show import share, with_dot


def votes_section(evaluations: Sequence[Evaluation], *, first: int) -> Element | None:
    """The mean over tasks as a curve, and each task's scores as a table."""
    voted = [(n, one) for n, one in enumerate(evaluations, start=first) if one.consistency]
    if not voted:
        return None
    curves = [Curve(one.label, _mean(one), number) for number, one in voted]
    tables = []
    for number, one in voted:
        ks = sorted({k for curve in one.consistency.values() for k in curve})
        rows = [
            [task, *(share(curve[k]) if k in curve else "" for k in ks)]
            for task, curve in one.consistency.items()
        ]
        label = f"Self-consistency of {one.label}"
        head = ["task", *(f"samples: {k}" if k == ks[0] else str(k) for k in ks)]
        tables.append(
            node("div", node("h3", with_dot(one.label, number)), table(head, rows, label=label))
        )
    chart = line_chart("Mean of the tasks by number of voting samples", curves, x_name="samples")
    return section(
        "Self-consistency",
        "votes",
        node("div", chart, class_="charts"),
        details("Task by task", *tables),
    )


def _mean(one: Evaluation) -> list[Point]:
    """At each number of samples that all tasks have."""
    curves = list(one.consistency.values())
    common = set(curves[0]).intersection(*curves[1:])
    return [Point(float(k), sum(c[k] for c in curves) / len(curves)) for k in sorted(common)]
