"""Exemplars: which rows may serve, and how they are laid out before the query.

Which split they come from (never the test split, so that no test row is shown with its
answer; see `exemplar_split`): the split "exemplars" where the source declares one, else
"train", else "validation". A row is never an exemplar of itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flan_t5x.data.definitions import Example, RowError, Source, TaskDefinition
from flan_t5x.data.templates import check_usable
from flan_t5x.errors import UserError

POOL_SIZE = 512
EXEMPLARS = "exemplars"
_SPLITS_IN_ORDER = (EXEMPLARS, "train", "validation")
_READ_AHEAD = 256


@dataclass(frozen=True, slots=True)
class ShotStyle:
    """Words around a question and its answer, and what stands between exemplars."""

    question: str
    answer: str
    separator: str


SHOT_STYLES: tuple[ShotStyle, ...] = (
    ShotStyle("Q:", "A:", " ## "),
    ShotStyle("Question:", "Answer:", " || "),
    ShotStyle("Input:", "Output:", " ;; "),
    ShotStyle("Problem:", "Solution:", " *** "),
    ShotStyle("[Q]", "[A]", " -- "),
    ShotStyle("Task:", "Result:", " == "),
    ShotStyle("In:", "Out:", " | "),
    ShotStyle("Example:", "Reply:", " // "),
    ShotStyle("Given:", "Response:", " >> "),
    ShotStyle("", "=>", " ## "),
)
"""Drawn per prompt. Visible to the T5 vocabulary: a separator made of newlines would vanish."""


def exemplar_split(source: Source) -> str:
    """The split that exemplars come from: "exemplars", else "train", else "validation".

    Raises:
        UserError: where the source has none of them (exemplars never come from a test split).
    """
    splits = list(source.splits)
    for name in _SPLITS_IN_ORDER:
        if name in splits:
            return name
    raise UserError(
        f"there is no split to take few-shot exemplars from: the source has {splits}. "
        f"Give it one of {list(_SPLITS_IN_ORDER)}, or use a zero-shot format."
    )


class ExemplarPool:
    """The rows that few-shot prompts of a task draw from: a fixed, picklable list.

    Args:
        examples: usable rows, in source order.
    """

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = tuple(examples)

    def __len__(self) -> int:
        return len(self.examples)

    @classmethod
    def for_task(cls, task: TaskDefinition, *, size: int = POOL_SIZE) -> ExemplarPool | None:
        """The first `size` usable rows of the task's exemplar split; None for zero-shot formats.

        A fixed prompt may take its description from there, so it has a pool where there is one.

        Raises:
            UserError: where no split may serve, or no row of it is usable.
        """
        described = task.prompt is not None and EXEMPLARS in task.source.splits
        if not task.format.startswith("fs") and not described:
            return None
        try:
            split = exemplar_split(task.source)
        except UserError as error:
            raise UserError(f"task {task.name!r}: {error}") from error
        total = task.source.num_examples(split)
        found: list[Example] = []
        for start in range(0, total, _READ_AHEAD):
            for row in task.source.read(split, start, min(start + _READ_AHEAD, total)):
                if isinstance(row, Example) and _is_usable(task, row):
                    found.append(row)
            if len(found) >= size:
                break
        if not found:
            raise UserError(
                f"task {task.name!r}: none of the {total} rows of split {split!r} can serve as a "
                "few-shot exemplar. Check the source, or use a zero-shot format."
            )
        return cls(found[:size])


def _is_usable(task: TaskDefinition, example: Example) -> bool:
    try:
        check_usable(task, example)
    except RowError:
        return False
    return True
