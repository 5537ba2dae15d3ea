"""What a run left in its model_dir."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flan_t5x.report.files import Reader
from flan_t5x.report.scores import ScoreSet, number, numbers, objects, score_set
from flan_t5x.train.run_dir import BEST, CONFIG, FINAL, HELD_OUT, METRICS, MIXTURE, VERSIONS

TASK = "task/"
"""What precedes a task's name in the held-out lines of `METRICS`."""

_MIXTURE_ROW = re.compile(r"(?P<task>\S+) +(?P<group>\S+) +(\d+|\?) +(\d+|-) +([\d.]+)%")


@dataclass(frozen=True)
class Best:
    """The chosen checkpoint.

    Attributes:
        step: its step.
        metric: the figure that chose it, as the held-out lines name it.
        value: of that figure.
        scores: of each held-out task.
        on_test: whether a test split chose.
    """

    step: int
    metric: str
    value: float | None
    scores: Mapping[str, float]
    on_test: bool


@dataclass(frozen=True)
class Step:
    """The figures of one line: NaN for those that were not finite."""

    step: int
    figures: Mapping[str, float]


@dataclass(frozen=True)
class MixtureRow:
    """A task of the mixture; the share is of all draws."""

    task: str
    group: str
    examples: str
    cap: str
    share: float


@dataclass
class Run:
    """All that is known of a run; what is not there is empty.

    Attributes:
        path: its folder.
        label: names it on the page.
        best: the chosen step.
        lines: figures by kind ("train", "held_out"), by step.
        seconds: wall time by activity, of all processes that took part one after the other.
        sets: scores of the chosen step on the final sets.
        config: the operative configuration.
        mixture: its tasks.
        mixture_title: the line above them.
        versions: packages, machine, command line.
        problems: files that are missing or damaged, a sentence each.
    """

    path: Path
    label: str
    best: Best | None = None
    lines: dict[str, list[Step]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    sets: tuple[ScoreSet, ...] = ()
    config: str = ""
    mixture: tuple[MixtureRow, ...] = ()
    mixture_title: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def curve(self, kind: str, figure: str) -> list[tuple[int, float]]:
        """A figure at each step that has it."""
        lines = self.lines.get(kind, ())
        return [(line.step, line.figures[figure]) for line in lines if figure in line.figures]


def read_run(folder: Path, label: str) -> Run | None:
    """Reads a run; None where the folder holds no file of one."""
    reader = Reader(folder)
    run = Run(folder, label, problems=reader.problems)
    run.best = _best(reader)
    _metrics(reader, run)
    final = reader.record(FINAL)
    if final is not None:
        run.sets = tuple(score_set(n, found) for n, found in objects(final.get("sets")).items())
    run.config = reader.text(CONFIG) or ""
    _mixture(reader, run)
    run.versions = _flat(reader.record(VERSIONS) or {})
    return run if reader.found else None


def _best(reader: Reader) -> Best | None:
    record = reader.record(BEST)
    if record is None:
        return None
    step = number(record.get("step"))
    if step is None:
        reader.damaged(BEST, "it names no step")
        return None
    return Best(
        int(step),
        str(record.get("metric") or "").removeprefix(HELD_OUT),
        number(record.get("value")),
        numbers(record.get("values")),
        record.get("selected_on_test") is True,
    )


def _metrics(reader: Reader, run: Run) -> None:
    """A step that occurs twice counts once: a resumed run writes lost steps again."""
    by_kind: dict[str, dict[int, Step]] = {}
    wrong = 0
    for record in reader.lines(METRICS):
        step, kind = number(record.pop("step", None)), record.pop("kind", None)
        record.pop("time", None)
        if step is None or not isinstance(kind, str):
            wrong += 1
            continue
        figures = numbers(record)
        odd = record.get("non_finite")
        figures |= dict.fromkeys(map(str, odd), math.nan) if isinstance(odd, dict) else {}
        if kind == "time":  # a line of each process that trained, about its own life
            for name, seconds in figures.items():
                run.seconds[name] = run.seconds.get(name, 0.0) + seconds
        else:
            by_kind.setdefault(kind, {})[int(step)] = Step(int(step), figures)
    for summary in ("total", "goodput"):  # no activities
        run.seconds.pop(summary, None)
    run.lines = {
        kind: sorted(found.values(), key=lambda line: line.step) for kind, found in by_kind.items()
    }
    if wrong:
        reader.damaged(METRICS, f"{wrong:,} of its lines have no step or no kind")


def _mixture(reader: Reader, run: Run) -> None:
    text = reader.text(MIXTURE)
    if text is None:
        return
    title, *lines = text.splitlines() or [""]
    run.mixture_title = title.removeprefix("# ")
    rows = [_MIXTURE_ROW.fullmatch(line.strip()) for line in lines[1:]]  # after the head
    run.mixture = tuple(
        MixtureRow(row["task"], row["group"], row[3], row[4], float(row[5]) / 100)
        for row in rows
        if row
    )
    if not run.mixture or None in rows:
        reader.damaged(MIXTURE, f"{rows.count(None):,} of its rows cannot be read")


def _flat(record: Mapping[str, Any]) -> dict[str, str]:
    """Nested entries beside the others: {"packages": {"jax": "1"}} gives {"jax": "1"}."""
    found: dict[str, str] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            found |= {str(inner): _said(entry) for inner, entry in value.items()}
        else:
            found[str(name)] = _said(value)
    return found


def _said(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(map(str, value))
    return "not installed" if value is None else str(value)
