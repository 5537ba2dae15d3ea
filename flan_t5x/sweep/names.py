"""Names of axes as short as they can be told apart."""

from __future__ import annotations

from dataclasses import replace

from flan_t5x.sweep.table import Table


def with_short_names(table: Table) -> Table:
    """The table with the last part of each axis' name, where no other axis ends alike.

    "train/Optimizer.learning_rate" is "learning_rate" then.
    """
    last = [axis.name.rsplit("/", 1)[-1].rsplit(".", 1)[-1] for axis in table.axes]
    short = {
        axis.name: end if end and last.count(end) == 1 else axis.name
        for axis, end in zip(table.axes, last, strict=True)
    }
    axes = tuple(replace(axis, name=short[axis.name]) for axis in table.axes)
    rows = tuple(
        replace(row, choices={short.get(name, name): c for name, c in row.choices.items()})
        for row in table.rows
    )
    return replace(table, axes=axes, rows=rows)
