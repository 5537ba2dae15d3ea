"""The promises about held-out families, checkable: known words, known parts, new combination.

A held-out family transfers only if a model can know each of its parts. `unknown_words` and
`missing_parts` say which it cannot know; `clashes` says where its combination is trained
after all. All three are empty for every held-out family, which a test holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial

from .catalog import BY_WORDING, HELD_OUT_CELLS, trained
from .family import Family
from .inverted import turned_round

_PLACEHOLDER = re.compile(r"\{[a-z_]+\}")
_WORD = re.compile(r"[a-z]+")
_RUN = 5  # so many words in a row count as the same wording

_OPERATION_OF = {"any_of": "any", "all_of": "all", "copy_at": "copy"}
_OPERATION_OF |= {"opposite_at": "opposite", "kind_at": "kind"}
_CELL_ARGUMENTS = ("category", "position", "direction")  # others only make a question larger


def instruction_texts(family: Family) -> tuple[str, ...]:
    """All that a family says besides a row's own words: templates and definitions.

    Placeholders become a bar, so that the words on their two sides are not neighbours.
    """
    forms = (*family.templates, *family.few_shot)
    written = [text for form in forms for text in (form.inputs, form.shot) if text]
    return tuple(_PLACEHOLDER.sub("|", text) for text in (*written, *family.definitions))


def words_of(texts: Iterable[str]) -> set[str]:
    """The words of some texts, in lower case."""
    return {word for text in texts for word in _WORD.findall(text.lower())}


def unknown_words(family: Family) -> set[str]:
    """Instruction words of a held-out family that no trained family's instructions have."""
    known = {word for other in trained() for word in words_of(instruction_texts(other))}
    return words_of(instruction_texts(family)) - known


def generator_cell(family: Family) -> tuple[str, str]:
    """(operation, category or position), read off the family's generator, not off its claim.

    The function that makes the rows and the arguments bound to it decide what is asked; a family
    turned round has the cell of the question that it writes.
    """
    made = family.generator
    if isinstance(made, partial) and made.func is turned_round:
        made = made.keywords["forward"]
    if not isinstance(made, partial):
        return getattr(made, "__name__", ""), ""
    name, bound = made.func.__name__, dict(made.keywords)
    if name == "end_of":
        return bound["position"], bound["category"]
    (value,) = [bound[name] for name in _CELL_ARGUMENTS if name in bound] or [""]
    return _OPERATION_OF.get(name, name), value


def missing_parts(family: Family) -> set[str]:
    """Operation, category or position of a held-out family that no trained family has."""
    cells = [generator_cell(other) for other in trained()]
    operation, value = generator_cell(family)
    known = {part for cell in cells for part in cell}
    return {operation, value} - known


def clashes(family: Family) -> list[str]:
    """Reasons why a held-out family counts as trained; empty where its combination is new.

    For a new wording of a known operation the cell may be trained, but the wordings must share
    neither a whole text nor five words in a row with any family of the same cell. Every other
    family's cell must be declared in `HELD_OUT_CELLS`, have no trained generator, and share no
    question with a trained family.
    """
    cell = generator_cell(family)
    found = []
    reworded = family.transfer == BY_WORDING
    if not reworded and cell not in HELD_OUT_CELLS:
        found.append(f"{family.name}: {cell} is not declared as held out")
    if not reworded and cell != (family.operation, family.category):
        found.append(f"{family.name}: claims {family.operation, family.category}, makes {cell}")
    for other in trained():
        same_cell = generator_cell(other) == cell
        if same_cell and not reworded:
            found.append(f"{family.name}: {other.name} has the same generator and arguments")
        shared = set(_questions(family)) & set(_questions(other))
        if same_cell and reworded:
            shared = shared_wordings(family, other)
        found += [f"{family.name}: {other.name} also says {text!r}" for text in sorted(shared)]
    return found


def shared_wordings(family: Family, other: Family) -> set[str]:
    """Whole questions, and stretches of five words in a row, that two families both say."""
    ours, theirs = _questions(family), _questions(other)
    return (set(ours) & set(theirs)) | (_runs(ours) & _runs(theirs))


def _questions(family: Family) -> tuple[str, ...]:
    """What tells the family from others: its definitions, or its templates where it has none."""
    return family.definitions or tuple(template.inputs for template in family.templates)


def _runs(texts: Iterable[str]) -> set[str]:
    """Every `_RUN` words in a row, not across placeholders."""
    found = set()
    for text in texts:
        for stretch in _PLACEHOLDER.sub("|", text).lower().split("|"):
            words = _WORD.findall(stretch)
            found |= {" ".join(words[i : i + _RUN]) for i in range(len(words) - _RUN + 1)}
    return found
