"""A sweep in, one page out: a single HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from xml.etree.ElementTree import Element

from flan_t5x.pages.elements import details, markup, node, section
from flan_t5x.pages.shell import shared, whole_page
from flan_t5x.sweep.names import with_short_names
from flan_t5x.sweep.outcome import Outcome, outcome
from flan_t5x.sweep.page_metric import metric_section
from flan_t5x.sweep.page_tables import runs_table
from flan_t5x.sweep.table import Axis, Table
from flan_t5x.sweep.words import best_text, counted, progress

_LISTED = 12  # choices of an axis

_HOW = (
    "± and [ ]: 95 % intervals, Student's t over runs. Differences to the best are paired over "
    "what two choices share (seeds, and other choices where they are not held fixed); with fewer "
    "than two shared, Welch's test. p is Holm's, corrected for the comparisons of its table; "
    "bold: below 0.05. Laws are least squares over all runs, and the test of departure compares "
    "the means' distance from the line with the spread over seeds; in a random design, where the "
    "other choices are not the same, that spread is theirs as well. The best of many is best "
    "partly by luck: its mean is a little too good. An interval that leaves a drawing ends at its "
    "edge. The tick in a bar is what guessing gets."
)


def page(shown: Table) -> str:
    """The page as text."""
    asked, shown = shown, with_short_names(shown)
    found = [outcome(shown, metric) for metric in shown.metrics]
    sections = [
        _overview(asked, found),
        *(
            metric_section(one, shown.axes, anchor=f"metric-{number}")
            for number, one in enumerate(found, start=1)
        ),
        _runs(shown),
    ]
    folder = resources.files("flan_t5x.sweep") / "page"
    return whole_page(
        title=f"Sweep: {shown.name}",
        body=markup(_header(shown, sections), node("main", *sections)),
        style=shared("charts.css") + (folder / "sweep.css").read_text("utf-8"),
        script=shared("charts.js"),
        data={},
    )


def _header(shown: Table, sections: Sequence[Element]) -> Element:
    links = (node("a", s[0].text, href=f"#{s.get('id')}") for s in sections)
    title = node("h1", f"Sweep: {shown.name}")
    return node("header", title, node("nav", *links, aria_label="Parts"))


def _overview(shown: Table, found: Sequence[Outcome]) -> Element:
    failed = [row for row in shown.rows if row.status == "failed"]
    problems = node("ul", *(node("li", f"{r.run}: {r.problem}", class_="bad") for r in failed))
    return section(
        "Overview",
        "overview",
        node("p", shown.about),
        node("p", progress(shown)),
        *(node("p", best_text(one), class_="outcome") for one in found),
        node("ul", *(node("li", note) for note in shown.notes)) if shown.notes else None,
        *((node("h3", counted(len(failed), "failed run")), problems) if failed else ()),
        node("h3", "What is varied") if shown.axes else None,
        node("ul", *map(_axis, shown.axes)) if shown.axes else None,
        details("How the figures are made", node("p", _HOW)),
    )


def _axis(axis: Axis) -> Element:
    parts = f" of {', '.join(axis.parts)}" if axis.parts else ""
    listed = ", ".join(axis.choices[:_LISTED]) + (", …" if axis.choices[_LISTED:] else "")
    count = counted(len(axis.choices), "choice")
    return node("li", node("strong", axis.name), f" ({axis.kind}{parts}), {count}: {listed}")


def _runs(shown: Table) -> Element:
    return section(
        "Runs",
        "runs",
        details(f"{counted(len(shown.rows), 'run')}, one by one", runs_table(shown)),
    )
