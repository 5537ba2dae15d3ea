"""Progress over rows on a terminal and elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from flan_t5x.data import row_progress
from flan_t5x.data.row_progress import RowProgress


def console(*, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=200)


def text(where: Console) -> str:
    assert isinstance(where.file, io.StringIO)
    return where.file.getvalue()


def test_progress_is_a_bar_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    bar, plain = console(terminal=True), console()
    for where in (bar, plain):
        with RowProgress("caching", "cached", "rows", console=where) as progress:
            progress.update(5, 10, "toy_a train")
            progress.update(10, 10, "toy_a train")
    assert "10/10" in text(bar)
    assert "toy_a train" in text(bar)
    assert text(plain) == "", "a short build needs no line in between"
    monkeypatch.setattr(row_progress, "_PLAIN_SECONDS", 0.0)
    with RowProgress("caching", "cached", "rows", console=plain) as progress:
        progress.update(5, 10, "toy_a train")
        progress.update(1000, 1000)
    assert text(plain) == "cached 5 of 10 rows (toy_a train)\ncached 1,000 of 1,000 rows\n"
