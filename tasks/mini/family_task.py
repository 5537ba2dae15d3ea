"""A family in one format as a task."""

from __future__ import annotations

from flan_t5x.data.definitions import FORMATS, Format, TaskDefinition

from .catalog import HELDOUT
from .family import Family
from .inverted import INVERTED
from .pretrain import PRETRAIN
from .shifted import SHIFTED
from .source import MiniSource

TRAIN_ROWS, EVALUATION_ROWS, PRETRAIN_ROWS = 2_000, 200, 20_000

EVALUATED_ONLY = (HELDOUT, SHIFTED)
"""Groups that have no training rows."""


def family_task(
    family: Family, format: Format, *, prefix: str = "mini", train_rows: int | None = None
) -> TaskDefinition:
    """One family in one format. Formats have seeds of their own, so they share no rows.

    Args:
        family: the family.
        format: one of its formats.
        prefix: the task is called ``<prefix>_<family>_<format>``.
        train_rows: training rows; None for the usual number of its group. Fewer are the first.
    """
    usual = {PRETRAIN: PRETRAIN_ROWS}.get(family.submixture, TRAIN_ROWS)
    sizes = {"train": usual if train_rows is None else train_rows}
    if family.submixture in EVALUATED_ONLY:
        sizes = {}
    sizes |= {"validation": EVALUATION_ROWS, "test": EVALUATION_ROWS}
    return TaskDefinition(
        name=f"{prefix}_{family.name}_{format}",
        source=MiniSource(family.name, sizes=sizes, seed=FORMATS.index(format)),
        templates=family.wordings(format),
        format=format,
        # What is turned round has many right answers: scored by overlap of words.
        metrics=("rouge",) if family.submixture == INVERTED else ("accuracy",),
        extract="cot_answer" if format.endswith("_cot") else "text",
        group=family.submixture,
        max_exemplars=2,
        option_styles=family.option_styles,
        evaluation_only=family.submixture in EVALUATED_ONLY,
    )
