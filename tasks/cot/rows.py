"""How the columns of each chain-of-thought file become an example.

The files carry their options inside the question, below a line "Options:". Where the rationale
may name an option by its letter (aqua, qasc), letters stay as they are; where the answer is
the option's text (creak, ecqa), the options are taken out and shown in the renderer's styles.
"""

from __future__ import annotations

import re

from flan_t5x.data.definitions import Example, RowError

_HEADER = "\nOptions:\n"
_LETTERED = re.compile(r"(?:- )?(\([A-Z]\)) *(.*)")
_SENTENCE = re.compile(r"- Sentence ([AB]): *(.*)")
_QUOTED = re.compile(r'^.*?"(.*)".*$', re.DOTALL)
YES_NO = ("yes", "no")


def _split_options(id: str, question: str) -> tuple[str, list[str]]:
    """Question without its options, and the option lines. Raises RowError for none."""
    stem, header, block = question.partition(_HEADER)
    lines = [line.strip() for line in block.split("\n") if line.strip()]
    if not header or not lines:
        raise RowError("no options", f"row {id}: the question has no lines below 'Options:'")
    return stem.strip(), lines


def number(id: str, question: str, answer: str, rationale: str) -> Example:
    """A question whose answer is a number."""
    return Example(id, {"question": question}, answer.replace(",", ""), rationale=rationale)


def lettered(id: str, question: str, answer: str, rationale: str) -> Example:
    """A question with options (A) .. (Z), answered by the letter in parentheses.

    The field "solution" holds the letter with its option.
    """
    stem, lines = _split_options(id, question)
    found = [_LETTERED.fullmatch(line) for line in lines]
    markers = [match.group(1) for match in found if match]
    if len(markers) < len(lines):
        bad = next(line for line, match in zip(lines, found, strict=True) if not match)
        raise RowError("malformed option", f"row {id}: {bad!r} has no letter such as (A)")
    if answer not in markers:
        raise RowError("answer not among options", f"row {id}: {answer!r} is not in {markers}")
    choices = [f"{m.group(1)} {m.group(2)}".strip() for m in found if m]
    fields = {
        "question": stem,
        "choices": " ".join(choices),
        "solution": choices[markers.index(answer)],
    }
    return Example(
        id,
        fields,
        answer,
        rationale=rationale,
        valid_answers=tuple(markers),
    )


def listed(id: str, question: str, answer: str, rationale: str) -> Example:
    """A question with options after dashes, answered by an option's text."""
    stem, lines = _split_options(id, question)
    options = tuple(dict.fromkeys(line.removeprefix("- ").strip() for line in lines))
    if answer not in options:
        raise RowError("answer not among options", f"row {id}: {answer!r} is not in {options}")
    return Example(id, {"question": stem}, answer, options, rationale, options)


def listed_or_open(id: str, question: str, answer: str, rationale: str) -> Example:
    """Like `listed` where the question ends in options that hold the answer; else as it is."""
    try:
        return listed(id, question, answer, rationale)
    except RowError:
        return Example(id, {"question": question}, answer, rationale=rationale)


def _check_yes_no(id: str, answer: str) -> None:
    if answer not in YES_NO:
        raise RowError("answer not among options", f"row {id}: {answer!r} is not yes or no")


def yes_no(id: str, question: str, answer: str, rationale: str) -> Example:
    """A question answered by yes or no."""
    _check_yes_no(id, answer)
    return Example(id, {"question": question}, answer, YES_NO, rationale, YES_NO)


def claim(id: str, question: str, answer: str, rationale: str) -> Example:
    """A claim in quotation marks, inside a question about its truth."""
    _check_yes_no(id, answer)
    stem = question.partition(_HEADER)[0]
    quoted = _QUOTED.match(stem)
    if not quoted or not quoted.group(1).strip():
        raise RowError("no claim", f"row {id}: there is nothing in quotation marks in {stem!r}")
    fields = {"claim": f'"{quoted.group(1).strip()}"'}
    return Example(id, fields, answer, YES_NO, rationale, YES_NO)


def nonsense(id: str, question: str, answer: str, rationale: str) -> Example:
    """Two sentences, A and B, one of which makes no sense."""
    stem, lines = _split_options(id, question)
    found = {m.group(1): m.group(2) for m in map(_SENTENCE.fullmatch, lines) if m}
    if sorted(found) != ["A", "B"] or len(lines) != len(found):
        raise RowError("malformed option", f"row {id}: sentences A and B expected, got {lines}")
    valid = ("Sentence A", "Sentence B")
    if answer not in valid:
        raise RowError("answer not among options", f"row {id}: {answer!r} is not in {valid}")
    fields = {
        "question": stem,
        "first": found["A"],
        "second": found["B"],
        "sentences": f"Sentence A: {found['A']} Sentence B: {found['B']}",
    }
    return Example(id, fields, answer, rationale=rationale, valid_answers=valid)
