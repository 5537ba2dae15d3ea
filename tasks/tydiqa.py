"""TyDiQA GoldP (Clark et al. 2020): questions about a passage in nine languages, evaluation only.

Tasks are ``tydiqa_{language}_direct_{k}shot`` with k 0 or 1, scored by exact match (SQuAD's
normalisation) with the nearest of the right answers. ``tydiqa`` is the 1-shot mixture of the eight
languages of Chung et al. 2022; English stands apart as ``tydiqa_en_direct_1shot``. The rows are the
development set ("validation", "published", "published_test"); the exemplar is the first row of the
language's training file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache

from flan_t5x.data.definitions import (
    BadRow,
    Example,
    FixedPrompt,
    MixtureDefinition,
    TaskDefinition,
)
from flan_t5x.data.sources.benchmark import BenchmarkFile, BenchmarkSource, Rows

from .benchmark import benchmark_task, evaluation_mixture, parse_name, task_names

SHOTS = 1
"""Of the published results."""

LANGUAGES = {
    "ar": "arabic",
    "bn": "bengali",
    "fi": "finnish",
    "id": "indonesian",
    "ko": "korean",
    "ru": "russian",
    "sw": "swahili",
    "te": "telugu",
    "en": "english",
}
"""Codes and names of the files."""

PUBLISHED = tuple(code for code in LANGUAGES if code != "en")
"""The eight languages of the published mean."""

_TRAIN = "tydiqa_goldp/tydiqa-goldp-v1.1-train.json"
_EXEMPLARS = 16
_QUESTION = "{passage}\nQ: {question}\nA:"


def parse_rows(text: str) -> Rows:
    """Rows of a file in SQuAD's format; of several right answers the first is the answer."""
    rows: list[Example | BadRow] = []
    for article in json.loads(text)["data"]:
        for paragraph in article["paragraphs"]:
            passage = paragraph["context"].strip()
            rows += [_row(question, passage) for question in paragraph["qas"]]
    return rows


def parse_exemplars(text: str, *, language: str) -> Rows:
    """The first rows of a language, of a file of that language or of all: ids begin with it."""
    rows = [row for row in parse_rows(text) if row.id.startswith(f"{language}-")]
    return rows[:_EXEMPLARS]


def _row(row: dict[str, object], passage: str) -> Example | BadRow:
    id = str(row.get("id"))
    question, answers = row.get("question"), row.get("answers")
    if not isinstance(question, str) or not isinstance(answers, list):
        return BadRow(id, "not a TyDiQA row", "'question' or 'answers' is missing")
    texts = [str(answer.get("text", "")).strip() for answer in answers]
    right = tuple(dict.fromkeys(text for text in texts if text))
    if not right:
        return BadRow(id, "unanswerable", "the row has no answer")
    fields = {"passage": passage, "question": question.strip()}
    return Example(id, fields, right[0], references=right[1:])


def names() -> Iterator[str]:
    """Names of all tasks."""
    return iter(task_names("tydiqa", LANGUAGES, most_shots=SHOTS, modes=("direct",)))


def task(name: str) -> TaskDefinition:
    """The task of that name. Raises UserError, with near names, where there is none."""
    parsed = parse_name("tydiqa", name, tuple(LANGUAGES), most_shots=SHOTS, modes=("direct",))
    prompt = FixedPrompt(
        question=_QUESTION,
        shot=f"{_QUESTION} {{answer}}",
        shots=parsed.shots,
        cut="passage",
        cut_at="back",
    )
    source = _source(parsed.part, exemplars=parsed.shots > 0)
    metrics = ("normalized_accuracy", "f1")
    return benchmark_task(name, source, prompt, metrics=metrics, group="tydiqa")


@cache
def _source(code: str, *, exemplars: bool) -> BenchmarkSource:
    rows = BenchmarkFile("tydiqa", f"tydiqa_goldp/{LANGUAGES[code]}_tydiqa_dev.json", parse_rows)
    files = dict.fromkeys(("validation", "published", "published_test"), rows)
    if exemplars:
        files["exemplars"] = BenchmarkFile(
            "tydiqa_train",
            f"tydiqa_goldp/{LANGUAGES[code]}_tydiqa_train.json",
            parse_exemplars,
            (("language", LANGUAGES[code]),),
            others=(_TRAIN,),
        )
    return BenchmarkSource(files)


def mixtures() -> Iterator[MixtureDefinition]:
    """The eight languages of the published mean, by number of exemplars."""
    for shots in range(SHOTS + 1):
        tasks = [f"tydiqa_{code}_direct_{shots}shot" for code in PUBLISHED]
        about = f"TyDiQA GoldP, 8 languages without English, {shots}-shot"
        yield evaluation_mixture(f"tydiqa_{shots}shot", tasks, about)
    yield evaluation_mixture("tydiqa", tasks, f"{about}: the published protocol")
