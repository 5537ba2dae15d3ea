"""Rows of a task as a person looks at them: rendered, tokenized, or why they are unusable."""

from __future__ import annotations

from dataclasses import dataclass

from flan_t5x.data.definitions import BadRow, RowError, TaskDefinition
from flan_t5x.data.draws import Draws
from flan_t5x.data.fewshot import ExemplarPool
from flan_t5x.data.formats import Rendered, render
from flan_t5x.data.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Preview:
    """A row as `flan-t5x tasks preview` shows it.

    Attributes:
        id: the row's id.
        rendered: what came out; None for an unusable row.
        rejected: why the row is unusable, e.g. ``"rationale missing: example '7' ..."``.
        input_ids: token ids of the inputs, end of sequence included, not truncated.
        target_ids: token ids of the targets, likewise.
    """

    id: str
    rendered: Rendered | None
    rejected: str = ""
    input_ids: tuple[int, ...] = ()
    target_ids: tuple[int, ...] = ()


def preview(
    task: TaskDefinition,
    vocabulary: Vocabulary,
    n: int,
    seed: int,
    *,
    split: str | None = None,
    budget: int = 512,
) -> list[Preview]:
    """`n` rows drawn by `seed`, rendered and tokenized; fewer where the split has fewer.

    Args:
        task: the task.
        vocabulary: turns text into ids.
        n: number of rows.
        seed: which rows.
        split: None takes "train", or the first split where there is no "train".
        budget: input length in tokens, see `render`.

    Raises:
        UserError: where the source cannot be read.
    """
    splits = task.source.splits
    split = split or ("train" if "train" in splits else splits[0])
    total = task.source.num_examples(split)
    pool = ExemplarPool.for_task(task)
    shown = []
    for position in Draws("preview", task.name, seed).sample(range(total), min(n, total)):
        (row,) = task.source.read(split, position, position + 1)
        if isinstance(row, BadRow):
            shown.append(Preview(row.id, None, f"{row.reason}: {row.detail}"))
            continue
        try:
            made = render(task, row, exemplars=pool, vocabulary=vocabulary, budget=budget)
        except RowError as error:
            shown.append(Preview(row.id, None, str(error)))
            continue
        ids, answer = vocabulary.encode_batch([made.inputs, made.targets])
        eos = vocabulary.eos_id
        shown.append(Preview(row.id, made, "", (*ids, eos), (*answer, eos)))
    return shown
