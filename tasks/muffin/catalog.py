"""Reads ``datasets.toml`` (what a data set is) and ``templates/*.toml`` (how it is asked)."""

from __future__ import annotations

import importlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from flan_t5x.data.definitions import Template
from flan_t5x.data.option_styles import WIDE, WIDE_LETTERS
from flan_t5x.data.sources.tfds import RowParser, TfdsSource

_CONDITION = re.compile(r"<([^<>|]*)(?:\|([^<>]*))?>")
_SPACES = re.compile(r" {2,}")


@dataclass(frozen=True)
class Dataset:
    """One key of FLAN; a table of ``datasets.toml``.

    Attributes:
        cluster: FLAN's cluster, the unit that is held out.
        tfds: ``name[/config]:version``.
        parser: ``module.function`` below ``parsers``.
        wordings: ``file.table`` below ``templates``.
        rows: published rows of the builder's own splits.
        splits: our splits as slices of the builder's.
        metrics: names in `flan_t5x.evaluation.metrics.METRICS`, the score first.
        inverted: whether the wordings have ways to turn it round.
        numeric_options: whether options are numbers, so that no style may number them.
        manual: the step that only a person can take to get the data.
    """

    cluster: str
    tfds: str
    parser: str
    wordings: str
    rows: Mapping[str, int]
    splits: Mapping[str, str]
    metrics: tuple[str, ...] = ("accuracy",)
    inverted: bool = False
    numeric_options: bool = False
    manual: str = ""

    @property
    def option_styles(self) -> tuple[str, ...]:
        """Names of the styles that its options may be written in."""
        return WIDE_LETTERS if self.numeric_options else tuple(WIDE)

    def row_parser(self) -> RowParser:
        """The function that `parser` names."""
        module, function = self.parser.split(".")
        found: RowParser = getattr(
            importlib.import_module(f".parsers.{module}", __package__), function
        )
        return found


@dataclass(frozen=True)
class Wordings:
    """One table of a file in ``templates``.

    Attributes:
        fields: the names that rows offer.
        with_options: wordings for tasks that show their options.
        without_options: the same wordings where none are shown.
        inverted: the task turned round; empty where there is no sensible way to.
    """

    fields: tuple[str, ...]
    with_options: tuple[Template, ...]
    without_options: tuple[Template, ...]
    inverted: tuple[Template, ...] = ()


@cache
def datasets() -> Mapping[str, Dataset]:
    """All keys, in the order of the file."""
    return {
        key: Dataset(**(table | {"metrics": tuple(table.get("metrics", ("accuracy",)))}))
        for key, table in _read("datasets.toml").items()
    }


@cache
def source(key: str) -> TfdsSource:
    """One object for all tasks of a key, so that its description is read once."""
    dataset = datasets()[key]
    return TfdsSource(
        dataset.tfds,
        dataset.row_parser(),
        splits=dataset.splits,
        published=dataset.rows,
        manual=dataset.manual,
    )


@cache
def wordings(name: str) -> Wordings:
    """The wordings ``file.table``."""
    file, table = name.split(".")
    found = _read(f"templates/{file}.toml")[table]
    forward = found["forward"]
    return Wordings(
        tuple(found["fields"]),
        tuple(Template(conditional(text, shown=True)) for text in forward),
        tuple(Template(conditional(text, shown=False)) for text in forward),
        tuple(Template(**entry) for entry in found.get("inverted", ())),
    )


def conditional(text: str, *, shown: bool) -> str:
    """A wording without its conditions: ``<shown|hidden>`` becomes one of its two sides.

    Where options are hidden, ``{options}`` goes as well.

    Example:
        >>> conditional("{question} <Which is it? {options}|What is it?>", shown=False)
        '{question} What is it?'
    """
    text = _CONDITION.sub(lambda found: found.group(1 if shown else 2) or "", text)
    if not shown:
        text = text.replace("{options}", "")
    return _SPACES.sub(" ", text).strip()


@cache
def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((resources.files(__package__) / name).read_text("utf-8"))
