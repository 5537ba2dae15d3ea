"""What a run was made of: its mixture, its configuration, its versions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element

from flan_t5x.pages.bars import parted_bar
from flan_t5x.pages.elements import Child, details, dot, node, section, table
from flan_t5x.report.run_files import MixtureRow, Run
from flan_t5x.report.show import counted, with_dot

_BINDING = re.compile(r"^([\w./@]+) = (.*(?:\n[ \t]+.*|\n[\])}].*)*)", re.M)
"""A name at the beginning of a line, and its value with the lines that go on with it."""


def mixture_section(runs: Sequence[Run]) -> Element | None:
    """Shares of the submixtures, and the whole table of tasks below."""
    parts: list[Element] = []
    for number, run in enumerate(runs):
        if not run.mixture:
            continue
        groups: dict[str, float] = {}
        for row in run.mixture:
            groups[row.group] = groups.get(row.group, 0.0) + row.share
        parts += [
            node("h3", dot(number), f"{run.label}: {run.mixture_title}"),
            parted_bar(list(groups.items()), label="shares of the submixtures"),
            details(counted(len(run.mixture), "task"), _mixture(run.label, run.mixture)),
        ]
    return section("Mixture", "mixture", *parts) if parts else None


def _mixture(label: str, rows: Sequence[MixtureRow]) -> Element:
    cells = [[row.task, row.group, row.examples, row.cap, f"{row.share:.3%}"] for row in rows]
    head = ["task", "group", "examples", "cap", "share"]
    return table(head, cells, label=f"Mixture of {label}", numbers_from=2)


def configuration_section(runs: Sequence[Run]) -> Element | None:
    """In what the runs differ, and the whole text of each."""
    there = [(number, run) for number, run in enumerate(runs) if run.config]
    if not there:
        return None
    settings = {run.label: dict(_BINDING.findall(run.config)) for _, run in there}
    texts = (
        details(
            f"config.gin of {run.label}",
            node("pre", run.config, tabindex="0", role="region", aria_label=run.label),
        )
        for _, run in there
    )
    return section(
        "Configuration", "configuration", *_differences(there, settings, "settings"), *texts
    )


def versions_section(runs: Sequence[Run]) -> Element | None:
    """Packages, machine and command line of each run; first in what they differ."""
    there = [(number, run) for number, run in enumerate(runs) if run.versions]
    if not there:
        return None
    values = {run.label: run.versions for _, run in there}
    names = list(dict.fromkeys(name for found in values.values() for name in found))
    whole = _settings(there, values, names, label="Versions")
    return section(
        "Versions", "versions", *_differences(there, values, "versions"), details("All", whole)
    )


def _differences(
    runs: Sequence[tuple[int, Run]], values: Mapping[str, Mapping[str, str]], what: str
) -> list[Element]:
    """The names whose values are not the same in all runs; nothing for a single run."""
    if len(runs) < 2:
        return []
    names = list(dict.fromkeys(name for found in values.values() for name in found))
    differing = [n for n in names if len({found.get(n) for found in values.values()}) > 1]
    if not differing:
        return [node("p", f"All {what} are the same.")]
    heading = node("h3", f"Different {what}")
    return [heading, _settings(runs, values, differing, label=f"Different {what}")]


def _settings(
    runs: Sequence[tuple[int, Run]],
    values: Mapping[str, Mapping[str, str]],
    names: Sequence[str],
    *,
    label: str,
) -> Element:
    head: list[Child] = ["name", *(with_dot(run.label, number) for number, run in runs)]
    rows = [[name, *(values[run.label].get(name, "") for _, run in runs)] for name in names]
    return table(head, rows, label=label, numbers_from=len(head))
