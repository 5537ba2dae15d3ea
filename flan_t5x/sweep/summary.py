"""A sweep's outcome as Markdown, for documents of results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flan_t5x.sweep.names import with_short_names
from flan_t5x.sweep.outcome import Blend, Categories, Law, Outcome, outcome
from flan_t5x.sweep.statistics import Comparison
from flan_t5x.sweep.table import Axis, Table
from flan_t5x.sweep.words import (
    LAW_HEAD,
    anchors,
    best_text,
    blend_text,
    gap_text,
    law_row,
    law_text,
    mean_text,
    p_text,
    progress,
    rivals_text,
    slope_unit,
    tested_text,
)

MOST_ROWS = 20
"""More combinations than these are on the page, the best ones here."""


_FEW = 4
"""More laws are a table, and more analyses of an axis go without their tables."""


def summary(table: Table) -> str:
    """The outcome: numbers of runs, then for each metric tables, laws and recommendations."""
    table = with_short_names(table)
    lines = [f"## {_plain(table.name)}", "", _plain(table.about), "", progress(table)]
    failed = [row for row in table.rows if row.status == "failed"]
    lines += [""] * bool(failed) + [f"* failed: {row.run}: {_plain(row.problem)}" for row in failed]
    lines += [""] * bool(table.notes) + [f"* {_plain(note)}" for note in table.notes]
    for metric in table.metrics:
        lines += ["", *_metric(outcome(table, metric), table.axes)]
    return "\n".join(lines) + "\n"


def _metric(found: Outcome, axes: Sequence[Axis]) -> Iterable[str]:
    yield f"### {_plain(found.metric)}"
    yield ""
    yield _plain(f"{best_text(found)} {rivals_text(found)} {anchors(found)}")
    if isinstance(found.ranking, Comparison) and found.ranking.best:
        yield from _compared(found.ranking, "choices", higher=found.higher)
    for axis in axes:
        yield from _laws(found, [law for law in found.laws if law.axis == axis])
        yield from _blends(found, [blend for blend in found.blends if blend.axis == axis])
        yield from _categories(found, [part for part in found.categories if part.axis == axis])


def _laws(found: Outcome, laws: Sequence[Law]) -> Iterable[str]:
    """Sentences for a few, a table for more."""
    if not laws:
        return
    yield ""
    if len(laws) <= _FEW:
        yield from (f"* {_grouped(law.group)}{_plain(law_text(found.metric, law))}" for law in laws)
        return
    yield f"Change of {_plain(found.metric)} with {_plain(slope_unit(laws[0]))}:"
    yield from _table(LAW_HEAD, map(law_row, laws))


def _blends(found: Outcome, blends: Sequence[Blend]) -> Iterable[str]:
    for blend in blends:
        yield from ("", f"{_plain(blend.axis.name)}{_where(blend.group)}:", "")
        yield from (f"* {_plain(said)}" for said in blend_text(found.metric, blend))
        if len(found.cells) > len(blend.rates) and len(blends) <= _FEW:
            yield from _compared(blend.comparison, blend.axis.name, higher=found.higher)


def _categories(found: Outcome, parts: Sequence[Categories]) -> Iterable[str]:
    """Where there are many combinations of the other choices, only all of them together."""
    for part in parts if len(parts) <= _FEW else parts[:1]:
        if len(found.cells) > len(part.comparison.means):
            yield from ("", f"{_plain(part.axis.name)}{_where(part.group)}:")
            yield from _compared(part.comparison, part.axis.name, higher=found.higher)


def _compared(found: Comparison, head: str, *, higher: bool) -> Iterable[str]:
    """A table of choices, the best first."""
    names = sorted(found.means, key=lambda name: found.means[name].mean, reverse=higher)
    rows: list[Sequence[str]] = []
    for name in names[:MOST_ROWS]:
        row = [name, mean_text(found.means[name]), str(found.runs[name])]
        other = found.differences.get(name)
        if other is None:
            rows.append([*row, "best", "", ""])
        else:
            rows.append([*row, gap_text(other.gap), p_text(other.adjusted), tested_text(other)])
    yield from _table((head, "mean", "runs", "less the best", "p (Holm)", "test"), rows)
    if names[MOST_ROWS:]:
        yield from ("", f"{len(names) - MOST_ROWS} more are left out.")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    yield ""
    for row in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(map(_plain, row))} |"


def _grouped(group: str) -> str:
    return f"{_plain(group)}: " if group else ""


def _where(group: str) -> str:
    return f", {_plain(group)}" if group else ""


def _plain(text: str) -> str:
    """One line that stays text in a table and in Markdown with HTML."""
    for sign in "\\|*`[]<":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())
