"""What the parsers share: clean text, labels, options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flan_t5x.data.definitions import Example, RowError

YES_NO = ("yes", "no")
NO_YES = ("no", "yes")


def tidy(text: str) -> str:
    """Every run of white space as one space: T5's vocabulary has neither newline nor tab."""
    return " ".join(text.split())


def label(names: Sequence[str], index: int) -> str:
    """The name of a class. Raises RowError for an unlabelled row (-1) or an unknown class."""
    if index == -1:
        raise RowError("no label", "the label is -1")
    if not 0 <= index < len(names):
        raise RowError("unknown label", f"{index} is not in 0..{len(names) - 1}")
    return names[index]


def example(
    id: str,
    fields: Mapping[str, str],
    answer: str,
    options: Sequence[str] = (),
    *,
    may_be_empty: Sequence[str] = (),
    references: Sequence[str] = (),
    group: str = "",
) -> Example:
    """An example with tidy text; equal options are shown once.

    Args:
        id: row id.
        fields: text by field name.
        answer: the answer.
        options: the fixed set that the answer is from, where there is one.
        may_be_empty: fields that need no text.
        references: all right answers, where there are several.
        group: what rows belong to that are only right together.

    Raises:
        RowError: for a field, an answer or an option without text.
    """
    clean = {name: tidy(text) for name, text in fields.items()}
    empty = [name for name, text in clean.items() if not text and name not in may_be_empty]
    if empty:
        raise RowError(f"empty {empty[0]}", "there is no text")
    shown = tuple(dict.fromkeys(tidy(option) for option in options))
    if "" in shown:
        raise RowError("empty option", f"options {list(shown)}")
    if not tidy(answer):
        raise RowError("empty answer", "there is no text")
    others = tuple(t for t in dict.fromkeys(map(tidy, references)) if t and t != tidy(answer))
    return Example(
        id,
        clean,
        tidy(answer),
        shown,
        valid_answers=shown,
        references=others,
        group=group,
    )


def classified(
    id: str,
    fields: Mapping[str, str],
    names: Sequence[str],
    index: int,
    *,
    shown: Sequence[str] | None = None,
    group: str = "",
) -> Example:
    """An example whose answer is one of a few fixed class names.

    Args:
        id: row id.
        fields: text by field name.
        names: class names in the order of the data set's class numbers.
        index: the class number.
        shown: the options in the order that people expect, where it is another one.
        group: see `example`.
    """
    return example(id, fields, label(names, index), shown or names, group=group)


def chosen(id: str, fields: Mapping[str, str], choices: Sequence[str], index: int) -> Example:
    """An example whose options are the row's own; the answer is the one at `index`."""
    return example(id, fields, label(choices, index), choices)


def question_mark(question: str) -> str:
    """A lower-case question without its mark, as search logs have them, made a sentence."""
    question = tidy(question)
    if question and question[-1] not in ".?!":
        question += "?"
    return question[:1].upper() + question[1:]
