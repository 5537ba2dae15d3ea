"""MMLU (Hendrycks et al. 2021): 57 subjects of four-way multiple choice, evaluation only.

Tasks are ``mmlu_{subject}_{direct|cot}_{k}shot`` with k from 0 to 5; mixtures over the subjects
``mmlu_{direct|cot}_{k}shot``, and ``mmlu_direct``, ``mmlu_cot`` for the 5-shot ones of Chung et al.
2022. Splits are "validation" and "test"; "published" is validation, which the paper's tables but
1 and 4 use, "published_test" is test.

Direct exemplars are the rows of the dev split, under a heading of ours. Chain-of-thought ones are
the subject's published prompt (``mmlu/mmlu-cot.json``) word for word, but for characters that its
JSON escapes ate (``\\f`` of ``\\frac``); three subjects have four of them. "cot" with 0 shots asks
for reasons in words of ours.
"""

from __future__ import annotations

import csv
import io
import json
import re
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

from .benchmark import (
    MODES,
    TRIGGER,
    benchmark_task,
    evaluation_mixture,
    parse_name,
    shared_lead,
    task_names,
)

SHOTS = 5
"""Of the published results."""

LETTERS = ("(A)", "(B)", "(C)", "(D)")

_NAMES = """
abstract_algebra anatomy astronomy business_ethics clinical_knowledge college_biology
college_chemistry college_computer_science college_mathematics college_medicine
college_physics computer_security conceptual_physics econometrics electrical_engineering
elementary_mathematics formal_logic global_facts high_school_biology high_school_chemistry
high_school_computer_science high_school_european_history high_school_geography
high_school_government_and_politics high_school_macroeconomics high_school_mathematics
high_school_microeconomics high_school_physics high_school_psychology high_school_statistics
high_school_us_history high_school_world_history human_aging human_sexuality
international_law jurisprudence logical_fallacies machine_learning management marketing
medical_genetics miscellaneous moral_disputes moral_scenarios nutrition philosophy prehistory
professional_accounting professional_law professional_medicine professional_psychology
public_relations security_studies sociology us_foreign_policy virology
world_religions
"""

SUBJECTS: tuple[str, ...] = tuple(_NAMES.split())
"""The 57 subjects."""

_HEADER = ("question", "choice0", "choice1", "choice2", "choice3", "answer")
_EATEN = str.maketrans({"\f": "\\f", "\r": "\\r", "\t": "\\t", "\b": "\\b"})
_SOLVED = re.compile(r"answer is (\([A-E]\))")
_HEADING = "Multiple choice questions about {topic}, each with the letter of its right answer."
_QUESTION = "Q: {question}\n{choices}\nA:"


def parse_rows(text: str, *, subject: str, split: str) -> Rows:
    """Rows of ``{split}/{subject}_{split}.csv``: question, four choices, answer.

    Both layouts are read: without a header and with letters, as published, or with a header and
    the numbers 0 to 3.
    """
    lines = [cells for cells in csv.reader(io.StringIO(text, newline="")) if any(cells)]
    if lines and tuple(cell.strip().lower() for cell in lines[0]) == _HEADER:
        lines = lines[1:]
    return [_row(cells, subject, f"{split} {number}") for number, cells in enumerate(lines)]


def _row(cells: list[str], subject: str, id: str) -> Example | BadRow:
    if len(cells) != len(_HEADER):
        return BadRow(id, "not an MMLU row", f"{len(cells)} columns, {len(_HEADER)} expected")
    question, *choices, answer = (cell.strip() for cell in cells)
    place = ("0123" if answer.isdigit() else "ABCD").find(answer)
    if len(answer) != 1 or place < 0:
        return BadRow(id, "answer is no option", f"{answer!r} is not A to D or 0 to 3")
    if not question:
        return BadRow(id, "empty question", "the row asks nothing")
    listed = " ".join(f"{mark} {choice}" for mark, choice in zip(LETTERS, choices, strict=True))
    fields = {"question": question, "choices": listed, "topic": subject.replace("_", " ")}
    return Example(id, fields, LETTERS[place], valid_answers=LETTERS)


def parse_published(text: str, *, subject: str) -> Rows:
    """The chain-of-thought exemplars of a subject, each with the prompt's heading beside it."""
    heading, *blocks = json.loads(text)[subject].translate(_EATEN).strip().split("\n\nQ: ")
    asked = [block.strip().partition("\nA: ") for block in blocks]
    lead = shared_lead([solution for _, _, solution in asked])
    rows: list[Example | BadRow] = []
    for number, (question, _, solution) in enumerate(asked):
        answers = _SOLVED.findall(solution)
        if not answers:
            rows.append(BadRow(f"published {number}", "not an exemplar", "it names no answer"))
            continue
        fields = {"asked": question, "heading": heading, "lead": lead}
        rows.append(Example(f"published {number}", fields, answers[-1], rationale=solution))
    return rows


def names() -> Iterator[str]:
    """Names of all tasks."""
    return iter(task_names("mmlu", SUBJECTS, most_shots=SHOTS))


def task(name: str) -> TaskDefinition:
    """The task of that name. Raises UserError, with near names, where there is none."""
    parsed = parse_name("mmlu", name, SUBJECTS, most_shots=SHOTS)
    published = parsed.cot and parsed.shots > 0
    prompt = FixedPrompt(
        question=_QUESTION,
        shot="Q: {asked}\nA: {rationale}" if published else f"{_QUESTION} {{answer}}",
        description="{heading}" if published else _HEADING,
        trigger="{lead}" if published else TRIGGER if parsed.cot else "",
        shots=parsed.shots,
    )
    source, group = _source(parsed.part, published=published), f"mmlu_{parsed.mode}"
    return benchmark_task(
        name, source, prompt, cot=parsed.cot, extract="option_letter", group=group
    )


@cache
def _source(subject: str, *, published: bool) -> BenchmarkSource:
    def rows(split: str) -> BenchmarkFile:
        options = (("subject", subject), ("split", split))
        raw = "mmlu_validation" if split == "val" else "mmlu"
        return BenchmarkFile(raw, f"mmlu/{split}/{subject}_{split}.csv", parse_rows, options)

    options = (("subject", subject),)
    worked = BenchmarkFile("mmlu_prompts", "mmlu/mmlu-cot.json", parse_published, options)
    return BenchmarkSource(
        {
            "validation": rows("val"),
            "test": rows("test"),
            "published": rows("val"),
            "published_test": rows("test"),
            "exemplars": worked if published else rows("dev"),
        }
    )


def mixtures() -> Iterator[MixtureDefinition]:
    """All subjects, by mode and number of exemplars."""
    for mode in MODES:
        for shots in range(SHOTS + 1):
            tasks = [f"mmlu_{subject}_{mode}_{shots}shot" for subject in SUBJECTS]
            about = f"MMLU, 57 subjects, {mode}, {shots}-shot"
            yield evaluation_mixture(f"mmlu_{mode}_{shots}shot", tasks, about)
        yield evaluation_mixture(f"mmlu_{mode}", tasks, f"{about}: the published protocol")
