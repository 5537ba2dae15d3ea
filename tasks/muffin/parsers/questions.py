"""Questions with and without a text: reading, knowledge, conversation, arithmetic."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from flan_t5x.data.definitions import Example, RowError
from flan_t5x.data.draws import Draws

from .common import NO_YES, YES_NO, chosen, classified, example, question_mark, tidy

Row = dict[str, Any]

UNANSWERABLE = "unanswerable"
_NO_ANSWER = "CANNOTANSWER"
_TAG = re.compile(r"<[^>]*>")
_SENTENCE_NUMBER = re.compile(r"\bSent \d+: ?")
_HIGHLIGHT = re.compile(r"\s*@highlight\s*")
_LETTERED = re.compile(r"\(([a-zA-Z])\)\s")


def _first(answers: Sequence[str]) -> str:
    """The first answer with text. Raises RowError where there is none."""
    for answer in answers:
        if answer.strip():
            return answer
    raise RowError("empty answer", "there is no text")


def bool_q(id: str, row: Row) -> Example:
    """bool_q."""
    fields = {
        "title": row["title"],
        "passage": row["passage"],
        "question": question_mark(row["question"]),
    }
    return example(id, fields, YES_NO[not row["answer"]], YES_NO)


def squad(id: str, row: Row) -> Example:
    """squad/v1.1 and squad/v2.0; where version 2 has no answer, it is "unanswerable"."""
    fields = {
        "title": row["title"].replace("_", " "),
        "passage": row["context"],
        "question": row["question"],
    }
    if row.get("is_impossible", False):
        return example(id, fields, UNANSWERABLE)
    answers = row["answers"]["text"]
    return example(id, fields, _first(answers), references=answers)


def drop(id: str, row: Row) -> Example:
    """drop: version 2.0.0 gives the first answer as text, and those of further annotators."""
    fields = {"passage": row["passage"], "question": row["question"]}
    return example(id, fields, row["answer"], references=row["validated_answers"])


def multirc(id: str, row: Row) -> Example:
    """super_glue/multirc: one row a proposed answer; sentence numbers and tags are dropped."""
    paragraph = _SENTENCE_NUMBER.sub("", _TAG.sub(" ", row["paragraph"]))
    fields = {"paragraph": paragraph, "question": row["question"], "response": row["answer"]}
    number = row["idx"]
    group = f"{number['paragraph']}/{number['question']}"
    return classified(id, fields, NO_YES, row["label"], shown=YES_NO, group=group)


def record(id: str, row: Row) -> Example:
    """super_glue/record: the answer is the first right entity; entities are the options.

    Other spellings of the entity are as right.
    """
    answer = tidy(_first(row["answers"]))
    entities = sorted({tidy(entity) for entity in row["entities"]})
    if answer not in entities:
        raise RowError("answer not among options", f"{answer!r} is none of the entities")
    passage = _HIGHLIGHT.sub(" ", row["passage"])
    fields = {"passage": passage, "query": row["query"]}
    return example(id, fields, answer, entities, references=row["answers"])


def openbookqa(id: str, row: Row) -> Example:
    """openbookqa: four choices and the science fact behind them."""
    question = row["question"]
    choices = [question[f"choice_{letter}"] for letter in "ABCD"]
    fact = tidy(row["fact1"]).rstrip(".")
    return chosen(id, {"question": question["stem"], "fact": fact}, choices, row["answerKey"])


def arc(id: str, row: Row) -> Example:
    """ai2_arc: three to five choices, each with its own label."""
    texts, labels = row["choices"]["text"], row["choices"]["label"]
    if row["answerKey"] not in labels:
        raise RowError("unknown label", f"{row['answerKey']} is not in {labels}")
    fields = {"question": row["question"]}
    return chosen(id, fields, texts, labels.index(row["answerKey"]))


def natural_questions(id: str, row: Row) -> Example:
    """natural_questions_open: the first of the answers that annotators gave; all are right."""
    fields = {"question": question_mark(row["question"])}
    return example(id, fields, _first(row["answer"]), references=row["answer"])


def trivia_qa(id: str, row: Row) -> Example:
    """trivia_qa/rc without its documents: knowledge alone. The answer's other names are right."""
    answer = row["answer"]
    return example(id, {"question": row["question"]}, answer["value"], references=answer["aliases"])


def unified_science(id: str, row: Row) -> Example:
    r"""unified_qa/ai2_science_middle: "question \n (A) one (B) two", the literal two signs."""
    stem, mark, block = row["input"].partition("\\n")
    pieces = _LETTERED.split(block)
    options = [tidy(text) for text in pieces[2::2]]
    if not mark or len(options) < 2 or tidy(pieces[0]):
        raise RowError("malformed options", f"{block[:60]!r} is not '(A) one (B) two'")
    answer = tidy(row["output"])
    if answer not in options:
        raise RowError("answer not among options", f"{answer!r} is not in {options}")
    return example(id, {"question": stem}, answer, options)


def lambada(id: str, row: Row) -> Example:
    """lambada: the last word of the passage is the answer."""
    passage, space, word = tidy(row["passage"]).rpartition(" ")
    if not space:
        raise RowError("empty passage", "a passage has at least two words")
    return example(id, {"passage": passage}, word)


def math(id: str, row: Row) -> Example:
    """math_dataset."""
    return example(id, {"question": row["question"]}, row["answer"])


def quac(id: str, row: Row) -> Example:
    """quac: one turn; the text ends in a mark for "no answer", which is no part of it."""
    fields = {
        "title": row["title"],
        "section": row["section_title"],
        "passage": row["context"].rstrip().removesuffix(_NO_ANSWER),
        "question": row["question"],
    }
    answer, *others = (
        UNANSWERABLE if text.strip() == _NO_ANSWER else text
        for text in (row["orig_answer"]["text"], *row["answers"]["text"])
    )
    return example(id, fields, answer, references=others)


def coqa(id: str, row: Row) -> Example:
    """coqa: a row is a whole conversation; one turn is asked, those before it are given.

    Which turn is drawn by the row's id, never the first, which would have no history.
    """
    questions, answers = row["questions"], row["answers"]["input_text"]
    if len(questions) < 2 or len(questions) != len(answers):
        raise RowError("no conversation", f"{len(questions)} questions, {len(answers)} answers")
    turn = 1 + Draws("coqa turn", id).integer(len(questions) - 1)
    before = zip(questions[:turn], answers[:turn], strict=True)
    fields = {
        "story": row["story"],
        "history": " ".join(f"Q: {tidy(q)} A: {tidy(a)}" for q, a in before),
        "question": questions[turn],
    }
    return example(id, fields, answers[turn])
