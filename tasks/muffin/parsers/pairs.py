"""Two texts and a relation between them: entailment, paraphrase, word sense, coreference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flan_t5x.data.definitions import Example, RowError

from .common import NO_YES, YES_NO, chosen, classified, example

Row = dict[str, Any]

UNDECIDED = "it is not possible to tell"
ENTAIL = ("yes", UNDECIDED, "no")
"""entailment, neutral, contradiction: the order of SNLI, MNLI and ANLI."""


def _premise(id: str, row: Row, names: Sequence[str], first: str, second: str) -> Example:
    fields = {"premise": row[first], "hypothesis": row[second]}
    shown = ENTAIL if len(names) == len(ENTAIL) else YES_NO
    return classified(id, fields, names, row["label"], shown=shown)


def anli(id: str, row: Row) -> Example:
    """anli/r1..r3."""
    return _premise(id, row, ENTAIL, "context", "hypothesis")


def nli(id: str, row: Row) -> Example:
    """snli, glue/mnli."""
    return _premise(id, row, ENTAIL, "premise", "hypothesis")


def cb(id: str, row: Row) -> Example:
    """super_glue/cb; its classes are entailment, contradiction, neutral."""
    return _premise(id, row, ("yes", "no", UNDECIDED), "premise", "hypothesis")


def rte(id: str, row: Row) -> Example:
    """super_glue/rte; its classes are entailment, not entailment."""
    return _premise(id, row, YES_NO, "premise", "hypothesis")


def wnli(id: str, row: Row) -> Example:
    """glue/wnli; its classes are not entailment, entailment."""
    return _premise(id, row, NO_YES, "sentence1", "sentence2")


def qnli(id: str, row: Row) -> Example:
    """glue/qnli; its classes are entailment (the sentence answers), not entailment."""
    fields = {"question": row["question"], "sentence": row["sentence"]}
    return classified(id, fields, YES_NO, row["label"])


def _alike(id: str, row: Row, first: str, second: str) -> Example:
    """Classes are "different", "same"."""
    fields = {first: row[first], second: row[second]}
    return classified(id, fields, NO_YES, row["label"], shown=YES_NO)


def same_sentences(id: str, row: Row) -> Example:
    """glue/mrpc, paws_wiki."""
    return _alike(id, row, "sentence1", "sentence2")


def same_questions(id: str, row: Row) -> Example:
    """glue/qqp."""
    return _alike(id, row, "question1", "question2")


SCORES = ("0", "1", "2", "3", "4", "5")


def stsb(id: str, row: Row) -> Example:
    """glue/stsb; its score in [0, 5] is rounded to the nearest whole number, halves up."""
    score = float(row["label"])
    if not 0 <= score <= 5:
        raise RowError("unknown label", f"the score {score} is not in [0, 5]")
    fields = {"sentence1": row["sentence1"], "sentence2": row["sentence2"]}
    return example(id, fields, SCORES[int(score + 0.5)], SCORES)


def wic(id: str, row: Row) -> Example:
    """super_glue/wic; its classes are "different senses", "same sense"."""
    fields = {name: row[name] for name in ("word", "sentence1", "sentence2")}
    return classified(id, fields, NO_YES, row["label"], shown=YES_NO)


def wsc(id: str, row: Row) -> Example:
    """super_glue/wsc.fixed; its classes are "another", "the same"."""
    fields = {"text": row["text"], "noun": row["span1_text"], "pronoun": row["span2_text"]}
    return classified(id, fields, NO_YES, row["label"], shown=YES_NO)


def definite_pronoun(id: str, row: Row) -> Example:
    """definite_pronoun_resolution: two candidates."""
    fields = {"sentence": row["sentence"], "pronoun": row["pronoun"]}
    return chosen(id, fields, row["candidates"], row["label"])


def winogrande(id: str, row: Row) -> Example:
    """winogrande: a sentence with an underscore, two options."""
    options = (row["option1"], row["option2"])
    return chosen(id, {"sentence": row["sentence"]}, options, row["label"])
