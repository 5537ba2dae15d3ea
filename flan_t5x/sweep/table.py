"""What a sweep came to, in memory: axes, runs, figures. Files are `flan_t5x.sweep.results`'s."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

AxisKind = Literal["number", "log", "category", "rates"]
Status = Literal["done", "failed", "running", "waiting", "no signal", "pruned"]

SCORE, START, BASELINE = "score", "score_at_start", "baseline"
"""Figures of every finished run: the selection metric at the chosen step and before training, and
what guessing gets."""

TASK, FINAL, COST = "task/", "final/", "cost/"
"""Figures in groups: ``task/NAME`` scores of the selecting set at the chosen step;
``final/LABEL/average``, ``final/LABEL/baseline`` and ``final/LABEL/task/NAME`` of the final sets;
``cost/seconds`` wall time in the training loop, ``cost/steps``, ``cost/tokens``, ``cost/flops``."""


@dataclass(frozen=True)
class Axis:
    """What is varied.

    Attributes:
        name: a gin name, or the sweep's own name for a set of cases.
        kind: "number" (drawn on a linear scale), "log" (on a logarithmic one), "category",
            or "rates" (points on a simplex of mixture parts).
        choices: labels in the order of the sweep; with random designs those that were drawn.
        parts: of "rates", the names of what is mixed.
    """

    name: str
    kind: AxisKind
    choices: tuple[str, ...]
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """One value of an axis.

    Attributes:
        label: as shown; unique on its axis.
        number: of "number" and "log" axes; NaN else.
        rates: of "rates" axes: a share >= 0 for each part, summing to 1.
    """

    label: str
    number: float = math.nan
    rates: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One run.

    Attributes:
        run: its folder's name in the sweep's ``runs/``.
        status: how far it came.
        choices: axis name -> choice.
        seed: of data order and dropout.
        figures: name -> value, see `SCORE`, `TASK`, `FINAL`, `COST`; empty unless done.
        best_step: the chosen step; -1 unless done.
        problem: why it failed, one line; else "".
    """

    run: str
    status: Status
    choices: Mapping[str, Choice]
    seed: int
    figures: Mapping[str, float] = field(default_factory=dict)
    best_step: int = -1
    problem: str = ""


@dataclass(frozen=True)
class Table:
    """A sweep's outcome.

    Attributes:
        name: of the sweep.
        about: what it asks, in a sentence or two.
        axes: what is varied, in the order of the sweep.
        metrics: names of the figures that the page is about, the first one decides.
        rows: every planned run.
        notes: what else a reader has to know, e.g. where there was no signal.
    """

    name: str
    about: str
    axes: tuple[Axis, ...]
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
