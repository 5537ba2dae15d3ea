"""Rendered examples compared to the letter with a text that is checked in.

Regenerate with ``UPDATE_GOLDEN=1`` after reading the difference.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from flan_t5x.data.definitions import Example, TaskDefinition
from flan_t5x.data.fewshot import ExemplarPool
from flan_t5x.data.formats import render
from flan_t5x.data.vocabulary import default_vocabulary


def rendered(task: TaskDefinition, *, rows: int, budget: int = 512) -> Iterable[str]:
    """The first rows of a task's training split: name, inputs and targets, a line each."""
    pool = ExemplarPool.for_task(task)
    for row in task.source.read("train", 0, rows):
        assert isinstance(row, Example)
        made = render(task, row, exemplars=pool, vocabulary=default_vocabulary(), budget=budget)
        yield f"{task.name} {row.id} ({made.format})"
        yield f"  inputs:  {made.inputs}"
        yield f"  targets: {made.targets}"


def check(path: Path, lines: Iterable[str]) -> None:
    """Compares, or writes where the switch is set."""
    text = "\n".join(lines) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, "utf-8")
    assert path.read_text("utf-8") == text
