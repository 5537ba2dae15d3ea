"""Flan 2022's chain-of-thought submixture: nine data sets in four prompt formats, and inverted.

Task names are ``cot_{data set}_{format}``; ``cot_{data set}_inv_{zs,fs}`` ask for the question,
the reasons, or both, and give the rest. The files are read from ``flan_cot/`` below the
folder of downloaded data; a task whose file is missing says so when it is first read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

from flan_t5x.data.definitions import Format, MixtureDefinition, TaskDefinition, Template
from flan_t5x.data.sources.exemplars import WithExemplars
from flan_t5x.data.sources.tsv import CotTsvSource, RowParser

from .. import mixtures as _mixtures
from . import rows, templates
from .gsm8k_test import Gsm8kTestSource

__all__ = ["DATASETS", "mixtures", "tasks"]

_ORIGIN = "flan/v2/cot_data of github.com/google-research/FLAN"
_TEXT_STYLES = ("dash", "star", "comma_or", "quoted_or", "slash", "letter_paren")
_LETTERED = "{question} {choices}"
_ALL_STYLES = (*_TEXT_STYLES, "letter_dot", "letter_colon", "number_dot", "number_paren")


@dataclass(frozen=True)
class _Dataset:
    """One file: how its rows are read and worded; `asked` and `solved` are its question
    and answer in inverted tasks."""

    parser: RowParser
    templates: tuple[Template, ...]
    styles: tuple[str, ...] = _TEXT_STYLES
    extract: str = "cot_answer"
    asked: str = "{question}"
    solved: str = "{answer}"
    key_fields: tuple[str, ...] = ("question",)


DATASETS: dict[str, _Dataset] = {
    "aqua": _Dataset(rows.lettered, templates.MATH_CHOICE, asked=_LETTERED, solved="{solution}"),
    "creak": _Dataset(
        rows.claim, templates.CLAIM, asked="Is this true? {claim}", key_fields=("claim",)
    ),
    "ecqa": _Dataset(rows.listed, templates.COMMON_SENSE, styles=_ALL_STYLES),
    "esnli": _Dataset(rows.listed_or_open, templates.ENTAILMENT),
    "gsm8k": _Dataset(rows.number, templates.MATH, extract="cot_number"),
    "qasc": _Dataset(rows.lettered, templates.SCIENCE_CHOICE, asked=_LETTERED, solved="{solution}"),
    "qed": _Dataset(rows.listed_or_open, templates.READING),
    "sensemaking": _Dataset(
        rows.nonsense,
        templates.NONSENSE,
        asked="{question} {sentences}",
        key_fields=("first", "second"),
    ),
    "strategyqa": _Dataset(rows.yes_no, templates.YES_NO),
}
"""The nine data sets by name."""


@cache
def _source(name: str) -> CotTsvSource:
    """One object for the four formats of a data set, so that its file is read once."""
    dataset = DATASETS[name]
    return CotTsvSource(
        f"flan_cot/{name}_train.tsv",
        dataset.parser,
        key_fields=dataset.key_fields,
        origin=_ORIGIN,
        published=_mixtures.COT_ROWS.get(name),
    )


def _task(name: str, format: Format) -> TaskDefinition:
    dataset = DATASETS[name]
    return TaskDefinition(
        name=f"cot_{name}_{format}",
        source=_source(name),
        templates=dataset.templates,
        format=format,
        extract=dataset.extract if format.endswith("_cot") else "text",
        group="cot",
        option_styles=dataset.styles,
    )


def _inverted(name: str, format: Literal["zs", "fs"]) -> TaskDefinition:
    """What is asked for has many right forms: scored by overlap of words."""
    return TaskDefinition(
        name=f"cot_{name}_inv_{format}",
        source=_source(name),
        templates=templates.inverted(DATASETS[name].asked, DATASETS[name].solved),
        format=format,
        metrics=("rouge",),
        group="cot",
        option_styles=(),
    )


def _gsm8k_test(format: Format) -> TaskDefinition:
    """Few-shot exemplars come from the training file: the test set has none of its own."""
    test = Gsm8kTestSource()
    few = format.startswith("fs")
    return TaskDefinition(
        name=f"cot_gsm8k_test_{format}",
        source=WithExemplars(test, _source("gsm8k"), "train") if few else test,
        templates=templates.MATH,
        format=format,
        extract="cot_number",
        group="gsm8k_test",
        evaluation_only=True,
    )


def tasks() -> Iterator[TaskDefinition]:
    """Nine data sets in four formats and inverted; the GSM8K test set in two formats."""
    for name in DATASETS:
        for format in get_args(Format):
            yield _task(name, format)
        yield _inverted(name, "zs")
        yield _inverted(name, "fs")
    yield _gsm8k_test("zs_cot")
    yield _gsm8k_test("fs_cot")


def mixtures() -> Iterator[MixtureDefinition]:
    """See `flan_tasks.mixtures`."""
    return _mixtures.cot(tuple(DATASETS), tuple(DATASETS))
