"""BIG-Bench Hard (Suzgun et al. 2022): 27 subtasks, evaluation only.

Tasks are ``bbh_{subtask}_{direct|cot}_{k}shot`` with k 0 to 3; mixtures ``bbh_{mode}_{k}shot``,
and ``bbh_{mode}``, ``bbh_nlp_{mode}``, ``bbh_algorithmic_{mode}`` for the 3-shot ones of the paper.
There is one set of rows; it is the split "test", "published" and "published_test".

Prompts are the published ones, read from ``bbh/cot-prompts``; a direct exemplar is the same
question with the answer alone. They equal the prompts of the published code-davinci-002 outputs
to the letter, but for three direct ones (see `tests/tasks/test_bbh.py`). "cot" with 0 shots asks
for reasons in words of ours, after the published description.
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
from flan_t5x.evaluation.extraction import EXTRACTORS

from .benchmark import (
    MODES,
    TRIGGER,
    benchmark_task,
    evaluation_mixture,
    parse_name,
    shared_lead,
    task_names,
)

SHOTS = 3
"""Of the published results."""

ALGORITHMIC: dict[str, float] = {
    "boolean_expressions": 0.5,
    "dyck_languages": 0.012,
    "geometric_shapes": 0.116,
    "logical_deduction_five_objects": 0.2,
    "logical_deduction_seven_objects": 0.143,
    "logical_deduction_three_objects": 0.333,
    "multistep_arithmetic_two": 0.0,
    "navigate": 0.5,
    "object_counting": 0.0,
    "temporal_sequences": 0.25,
    "tracking_shuffled_objects_five_objects": 0.2,
    "tracking_shuffled_objects_seven_objects": 0.143,
    "tracking_shuffled_objects_three_objects": 0.333,
    "web_of_lies": 0.5,
    "word_sorting": 0.0,
}
NLP: dict[str, float] = {
    "causal_judgement": 0.5,
    "date_understanding": 0.172,
    "disambiguation_qa": 0.332,
    "formal_fallacies": 0.5,
    "hyperbaton": 0.5,
    "movie_recommendation": 0.25,
    "penguins_in_a_table": 0.0,
    "reasoning_about_colored_objects": 0.119,
    "ruin_names": 0.25,
    "salient_translation_error_detection": 0.167,
    "snarks": 0.5,
    "sports_understanding": 0.5,
}
"""Suzgun et al.'s halves, with the score of guessing that Chung et al. 2022 (footnote 5) normalise
by. Counting the triples of objects as one task each, code-davinci-002 has 45.9 on the first half
and 66.4 on the second, as Suzgun et al. print it."""

CHANCE: dict[str, float] = dict(sorted((ALGORITHMIC | NLP).items()))
"""The 27 subtasks with the score of guessing."""

SUBTASKS = tuple(CHANCE)

HALVES = {"nlp": tuple(NLP), "algorithmic": tuple(ALGORITHMIC)}

_CANARY_END = "-----"
_QUESTION = "Q: {question}\nA:"


def parse_rows(text: str) -> Rows:
    """Rows of ``{subtask}.json``: {"examples": [{"input", "target"}]}."""
    rows: list[Example | BadRow] = []
    for number, row in enumerate(json.loads(text)["examples"]):
        question, answer = row.get("input"), row.get("target")
        if not isinstance(question, str) or not isinstance(answer, str) or not answer.strip():
            rows.append(BadRow(str(number), "not a BBH row", "'input' or 'target' is no text"))
        else:
            rows.append(Example(str(number), {"question": question}, answer.strip()))
    return rows


def parse_prompt(text: str) -> Rows:
    """The exemplars of ``cot-prompts/{subtask}.txt``, each with the description beside it."""
    _, _, prompt = text.partition(f"{_CANARY_END}\n")
    description, *blocks = prompt.strip("\n").split("\n\nQ: ")
    asked = [block.partition("\nA:") for block in blocks]
    solutions = [solution.strip() for _, _, solution in asked]
    lead = shared_lead(solutions)
    rows: list[Example | BadRow] = []
    for number, ((question, _, _), solution) in enumerate(zip(asked, solutions, strict=True)):
        fields = {"question": question, "description": description, "lead": lead}
        answer = EXTRACTORS["bbh_answer"](solution)
        rows.append(Example(f"published {number}", fields, answer, rationale=solution))
    if len(rows) < SHOTS:
        raise ValueError(f"{len(rows)} exemplars, {SHOTS} expected")
    return rows


def names() -> Iterator[str]:
    """Names of all tasks."""
    return iter(task_names("bbh", SUBTASKS, most_shots=SHOTS))


def task(name: str) -> TaskDefinition:
    """The task of that name. Raises UserError, with near names, where there is none."""
    parsed = parse_name("bbh", name, SUBTASKS, most_shots=SHOTS)
    answer = "{rationale}" if parsed.cot else "{answer}"
    trigger = "{lead}" if parsed.shots else TRIGGER
    prompt = FixedPrompt(
        question=_QUESTION,
        shot=f"{_QUESTION} {answer}",
        description="{description}",
        trigger=trigger if parsed.cot else "",
        shots=parsed.shots,
    )
    source, group = _source(parsed.part), f"bbh_{parsed.mode}"
    return benchmark_task(name, source, prompt, cot=parsed.cot, extract="bbh_answer", group=group)


@cache
def _source(subtask: str) -> BenchmarkSource:
    rows = BenchmarkFile("bbh", f"bbh/{subtask}.json", parse_rows)
    prompt = BenchmarkFile("bbh_prompts", f"bbh/cot-prompts/{subtask}.txt", parse_prompt)
    splits = dict.fromkeys(("test", "published", "published_test"), rows)
    return BenchmarkSource({**splits, "exemplars": prompt})


def mixtures() -> Iterator[MixtureDefinition]:
    """All subtasks by mode and number of exemplars; the paper's, and its halves."""
    for mode in MODES:
        for shots in range(SHOTS + 1):
            tasks = [f"bbh_{subtask}_{mode}_{shots}shot" for subtask in SUBTASKS]
            about = f"BIG-Bench Hard, 27 subtasks, {mode}, {shots}-shot"
            yield evaluation_mixture(f"bbh_{mode}_{shots}shot", tasks, about)
        yield evaluation_mixture(f"bbh_{mode}", tasks, f"{about}: the published protocol")
        for half, subtasks in HALVES.items():
            tasks = [f"bbh_{subtask}_{mode}_{SHOTS}shot" for subtask in subtasks]
            about = f"BIG-Bench Hard, {half} half, {mode}, {SHOTS}-shot"
            yield evaluation_mixture(f"bbh_{half}_{mode}", tasks, about)
