"""What the benchmarks share: how their tasks are called, and their mixtures.

A name is ``{benchmark}_{part}_{mode}_{k}shot``: the part is a subject, a subtask or a language,
the mode "direct" (the answer alone) or "cot" (reasons first), k the number of exemplars.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from flan_t5x.data.definitions import (
    FixedPrompt,
    Format,
    MixtureDefinition,
    MixturePart,
    TaskDefinition,
)
from flan_t5x.data.formats import COT_STYLES
from flan_t5x.data.sources.benchmark import BenchmarkSource
from flan_t5x.errors import UserError, nearest

MODES = ("direct", "cot")

TRIGGER = COT_STYLES[0].trigger
"""What asks for reasons where no published exemplar does: words that training uses too."""

_NAME = re.compile(r"(?P<part>\w+)_(?P<mode>direct|cot)_(?P<shots>\d+)shot")


class Parsed(NamedTuple):
    """A task's name taken apart."""

    part: str
    mode: str
    shots: int

    @property
    def cot(self) -> bool:
        """Whether reasons are asked for."""
        return self.mode == "cot"


def parse_name(
    benchmark: str,
    name: str,
    parts: Sequence[str],
    *,
    most_shots: int,
    modes: Sequence[str] = MODES,
) -> Parsed:
    """The pieces of a task's name.

    Args:
        benchmark: its prefix.
        name: the whole name.
        parts: subjects, subtasks or languages there are.
        most_shots: exemplars there are.
        modes: modes there are.

    Raises:
        UserError: no such name, with what is wrong in it and near names.
    """
    form = f"{benchmark}_{{part}}_{{{'|'.join(modes)}}}_{{k}}shot"
    found = _NAME.fullmatch(name.removeprefix(f"{benchmark}_"))
    if not found:
        raise UserError(f"there is no task {name!r}: names have the form {form}")
    part, mode, shots = found["part"], found["mode"], int(found["shots"])
    if part not in parts:
        hint = nearest(part, parts) or f"e.g. {', '.join(parts[:3])}"
        raise UserError(f"there is no task {name!r}: {benchmark} has no {part!r}; {hint}")
    if mode not in modes:
        raise UserError(f"there is no task {name!r}: {benchmark} has {' and '.join(modes)} only")
    if shots > most_shots:
        raise UserError(f"there is no task {name!r}: {benchmark} has 0 to {most_shots} exemplars")
    return Parsed(part, mode, shots)


def benchmark_task(
    name: str,
    source: BenchmarkSource,
    prompt: FixedPrompt,
    *,
    group: str,
    cot: bool = False,
    extract: str = "text",
    metrics: tuple[str, ...] = ("accuracy",),
) -> TaskDefinition:
    """A task with a fixed prompt that is never trained on.

    Args:
        name: of the task.
        source: its rows, and its exemplars where the prompt has some.
        prompt: the layout.
        group: for tables.
        cot: whether reasons come before the answer.
        extract: name of an extractor.
        metrics: names of metrics, the score first.
    """
    kind = "fs" if prompt.shots else "zs"
    format: Format = f"{kind}_cot" if cot else kind  # type: ignore[assignment]
    return TaskDefinition(
        name=name,
        source=source,
        templates=(),
        format=format,
        metrics=metrics,
        extract=extract,
        group=group,
        max_exemplars=prompt.shots,
        option_styles=(),
        prompt=prompt,
        evaluation_only=True,
    )


def task_names(
    benchmark: str, parts: Iterable[str], *, most_shots: int, modes: Sequence[str] = MODES
) -> list[str]:
    """All names, part by part."""
    return [
        f"{benchmark}_{part}_{mode}_{shots}shot"
        for part in parts
        for mode in modes
        for shots in range(most_shots + 1)
    ]


def evaluation_mixture(name: str, tasks: Iterable[str], about: str) -> MixtureDefinition:
    """Tasks that are scored and never trained on, each counting the same."""
    parts = tuple(MixturePart(task, rate=1.0) for task in tasks)
    return MixtureDefinition(name, parts, about, evaluation_only=True)


def shared_lead(solutions: Sequence[str]) -> str:
    """The first sentence of all solutions, where they share it: what asks for reasoning.

    Example:
        >>> shared_lead(["Think hard. 1 + 1 = 2.", "Think hard. It is red."])
        'Think hard.'
    """
    first = re.match(r"[^.!?\n]*[.!?]", solutions[0]) if solutions else None
    if first is None or not all(text.startswith(first[0]) for text in solutions):
        return ""
    return first[0]
