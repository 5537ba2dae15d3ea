"""MGSM (Shi et al. 2022): 250 GSM8K questions in eleven languages, evaluation only.

Tasks are ``mgsm_{language}_{direct|cot}_{k}shot`` with k from 0 to 8. ``mgsm`` is the 8-shot
chain-of-thought mixture of the ten languages of Chung et al. 2022; English stands apart as
``mgsm_en_cot_8shot``. Exemplars, and the words before a question and its answer, are the published
ones of the language (``mgsm/exemplars.py``, or its constants in ``exemplars.json``). There is one
set of rows: "test", "published" and "published_test".
"""

from __future__ import annotations

import ast
import contextlib
import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from flan_t5x.data.definitions import (
    BadRow,
    Example,
    FixedPrompt,
    MixtureDefinition,
    TaskDefinition,
)
from flan_t5x.data.sources.benchmark import BenchmarkFile, BenchmarkSource, Rows

from .benchmark import MODES, TRIGGER, benchmark_task, evaluation_mixture, parse_name, task_names

SHOTS = 8
"""Of the published results."""

LANGUAGES = ("bn", "de", "es", "fr", "ja", "ru", "sw", "te", "th", "zh", "en")

PUBLISHED = tuple(code for code in LANGUAGES if code != "en")
"""The ten languages of the published mean."""

_UP_TO_COLON = re.compile(r"[^:：]*[:：]")
_QUESTION = "{ask} {question}\n{reply}"


def parse_rows(text: str) -> Rows:
    """Rows of ``mgsm_{language}.tsv``: question and number, without a header."""
    rows: list[Example | BadRow] = []
    for number, line in enumerate(filter(str.strip, text.split("\n"))):
        cells = [cell.strip() for cell in line.rstrip("\r").split("\t")]
        if len(cells) != 2 or not all(cells):
            rows.append(BadRow(str(number), "not an MGSM row", f"{len(cells)} columns, 2 expected"))
        else:
            rows.append(Example(str(number), {"question": cells[0]}, cells[1].replace(",", "")))
    return rows


def parse_exemplars(text: str, *, language: str) -> Rows:
    """The exemplars of a language, each with the words that introduce question and answer."""
    content = json.loads(text) if text.lstrip().startswith("{") else _literals(text)
    answers, found = content["EXEMPLAR_NUMBER_ANSWERS"], content["MGSM_EXEMPLARS"][language]
    ordered = [found[key] for key in sorted(found, key=int)]
    ask = _introduction([row["q"] for row in ordered])
    reply = _introduction([row["a"] for row in ordered])
    rows: list[Example | BadRow] = []
    for number, (row, answer) in enumerate(zip(ordered, answers, strict=True)):
        fields = {
            "question": row["q"].removeprefix(ask).strip(),
            "asked": row["q"],
            "ask": ask,
            "reply": reply,
        }
        rows.append(Example(f"published {number}", fields, str(answer), rationale=row["a"]))
    return rows


def _literals(code: str) -> dict[str, Any]:
    """The constants that the published module assigns; its code is not run."""
    found = {}
    for statement in ast.parse(code).body:
        target, value = None, None
        if isinstance(statement, ast.Assign):
            target, value = statement.targets[0], statement.value
        elif isinstance(statement, ast.AnnAssign):
            target, value = statement.target, statement.value
        if isinstance(target, ast.Name) and value is not None:
            with contextlib.suppress(ValueError):
                found[target.id] = ast.literal_eval(value)
    return found


def _introduction(texts: list[str]) -> str:
    """What all of them begin with, up to the first colon. Raises ValueError for nothing."""
    found = _UP_TO_COLON.match(texts[0])
    if found is None or not all(text.startswith(found[0]) for text in texts):
        raise ValueError("the exemplars share no introduction that ends in a colon")
    return found[0]


def names() -> Iterator[str]:
    """Names of all tasks."""
    return iter(task_names("mgsm", LANGUAGES, most_shots=SHOTS))


def task(name: str) -> TaskDefinition:
    """The task of that name. Raises UserError, with near names, where there is none."""
    parsed = parse_name("mgsm", name, LANGUAGES, most_shots=SHOTS)
    return number_task(name, _source(parsed.part), cot=parsed.cot, shots=parsed.shots, group="mgsm")


def number_task(
    name: str, source: BenchmarkSource, *, cot: bool, shots: int, group: str
) -> TaskDefinition:
    """A task whose answer is a number and whose exemplars are MGSM's.

    Args:
        name: of the task.
        source: its exemplars have the fields of `parse_exemplars`.
        cot: whether reasons come first. With no exemplars they are asked for in words of ours.
        shots: how many exemplars.
        group: for tables.
    """
    prompt = FixedPrompt(
        question=_QUESTION,
        shot="{asked}\n{rationale}" if cot else "{asked}\n{reply} {answer}",
        trigger=TRIGGER if cot and not shots else "",
        shots=shots,
    )
    return benchmark_task(name, source, prompt, cot=cot, extract="any_number", group=group)


@cache
def _source(language: str) -> BenchmarkSource:
    rows = BenchmarkFile("mgsm", f"mgsm/mgsm_{language}.tsv", parse_rows)
    splits = dict.fromkeys(("test", "published", "published_test"), rows)
    return BenchmarkSource({**splits, "exemplars": exemplar_file(language)})


def exemplar_file(language: str) -> BenchmarkFile:
    """The published exemplars of a language."""
    return BenchmarkFile(
        "mgsm_prompts",
        "mgsm/exemplars.py",
        parse_exemplars,
        (("language", language),),
        others=("mgsm/exemplars.json",),
    )


def mixtures() -> Iterator[MixtureDefinition]:
    """The ten languages of the published mean, by mode and number of exemplars."""
    for mode in reversed(MODES):
        for shots in range(SHOTS + 1):
            tasks = [f"mgsm_{code}_{mode}_{shots}shot" for code in PUBLISHED]
            about = f"MGSM, 10 languages without English, {mode}, {shots}-shot"
            yield evaluation_mixture(f"mgsm_{mode}_{shots}shot", tasks, about)
    tasks = [f"mgsm_{code}_cot_{SHOTS}shot" for code in PUBLISHED]
    about = f"MGSM, 10 languages without English, {SHOTS}-shot: the published protocol"
    yield evaluation_mixture("mgsm", tasks, about)
