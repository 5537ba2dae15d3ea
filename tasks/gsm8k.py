"""The GSM8K test set (Cobbe et al. 2021) as a benchmark, evaluation only.

Tasks are ``gsm8k_test_{direct|cot}_{k}shot`` with k from 0 to 8, ``gsm8k`` is the 8-shot
chain-of-thought one. Exemplars are the English ones of MGSM, which are those of Wei et al. 2022 but
for one. `flan_tasks.cot` has the same rows in the words of training (``cot_gsm8k_test``).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from flan_t5x.data.definitions import (
    BadRow,
    Example,
    MixtureDefinition,
    RowError,
    TaskDefinition,
)
from flan_t5x.data.sources.benchmark import BenchmarkFile, BenchmarkSource, Rows

from .benchmark import evaluation_mixture, parse_name, task_names
from .cot.gsm8k_test import FILE, parse_row
from .mgsm import SHOTS, exemplar_file, number_task


def parse_rows(text: str) -> Rows:
    """Rows of ``gsm8k/test.jsonl``."""
    rows: list[Example | BadRow] = []
    for number, line in enumerate(filter(str.strip, text.split("\n")), start=1):
        try:
            rows.append(parse_row(line, number))
        except RowError as error:
            rows.append(BadRow(str(number), error.reason, error.detail))
    return rows


def names() -> Iterator[str]:
    """Names of all tasks."""
    return iter(task_names("gsm8k", ("test",), most_shots=SHOTS))


def task(name: str) -> TaskDefinition:
    """The task of that name. Raises UserError, with near names, where there is none."""
    parsed = parse_name("gsm8k", name, ("test",), most_shots=SHOTS)
    return number_task(name, _source(), cot=parsed.cot, shots=parsed.shots, group="gsm8k")


@cache
def _source() -> BenchmarkSource:
    rows = BenchmarkFile("gsm8k", FILE, parse_rows)
    splits = dict.fromkeys(("test", "published", "published_test"), rows)
    return BenchmarkSource({**splits, "exemplars": exemplar_file("en")})


def mixtures() -> Iterator[MixtureDefinition]:
    """The 8-shot chain-of-thought task alone."""
    yield evaluation_mixture("gsm8k", ["gsm8k_test_cot_8shot"], "GSM8K test set, 8-shot")
