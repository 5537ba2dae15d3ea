"""What a mini-Flan family is: a generator of questions, its wordings, and its place in the grid."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

from flan_t5x.data.definitions import FORMATS, Format, Template
from flan_t5x.data.draws import Draws

TEXT_STYLES = ("comma_or", "dash")  # an option's text stays the target
MARKER_STYLES = ("comma_or", "dash", "letter_paren")  # "(B)" may be the target


@dataclass(frozen=True, slots=True)
class Draft:
    """One generated question, before it has an id.

    Attributes:
        content: what makes the question this question, however it is worded: two drafts with
            equal content never stand in two splits.
        fields: text that templates name between braces.
        answer: the exact answer.
        valid: what a uniform guesser would draw from.
        options: shown answer options, in order.
        rationale: the chain of thought, where the family has one.
    """

    content: tuple[str, ...]
    fields: dict[str, str]
    answer: str
    valid: tuple[str, ...]
    options: tuple[str, ...] = ()
    rationale: str = ""

    def bucket(self) -> int:
        """0..9, a stable hash of the content: decides which split the question belongs to."""
        return zlib.crc32("\x1f".join(self.content).encode()) * 10 >> 32


Generator = Callable[[Draws], Draft]


@dataclass(frozen=True)
class Family:
    """A task family: one generator; at least eight wordings where it is trained or held out.

    Attributes:
        name: unique; tasks are called ``mini_<name>_<format>``.
        submixture: ``mini_muffin``, ``mini_t0``, ``mini_niv2``, ``mini_cot``, ``mini_heldout``,
            ``mini_pretrain``, ``mini_shifted`` or ``mini_inverted``.
        operation: what is done, e.g. ``count``.
        category: what it is done to, e.g. ``animal``, or a position, or a kind of text.
        generator: draws one question.
        templates: zero-shot wordings.
        few_shot: wordings of the few-shot formats, where they differ from `templates`.
        definitions: task definitions, one drawn per row into the field ``definition``.
        formats: the prompt formats the family has.
        option_styles: names in `OPTION_STYLES`.
        transfer: how a held-out or shifted family differs from training ("" for trained families).
    """

    name: str
    submixture: str
    operation: str
    category: str
    generator: Generator = field(repr=False)
    templates: tuple[Template, ...] = field(repr=False)
    few_shot: tuple[Template, ...] = field(default=(), repr=False)
    definitions: tuple[str, ...] = field(default=(), repr=False)
    formats: tuple[Format, ...] = ("zs", "fs")
    option_styles: tuple[str, ...] = TEXT_STYLES
    transfer: str = ""

    def wordings(self, format: Format) -> tuple[Template, ...]:
        """The templates of one prompt format."""
        if format not in FORMATS:
            raise ValueError(f"unknown format {format!r}")
        return self.few_shot if format.startswith("fs") and self.few_shot else self.templates


def _template(line: str) -> Template:
    """``inputs`` or ``inputs || how an exemplar's input is written``."""
    inputs, _, shot = line.partition(" || ")
    return Template(inputs=inputs.strip(), shot=shot.strip())


@cache
def _sections(file: str) -> dict[str, tuple[str, ...]]:
    """``[name]`` sections of a data file; blank lines and lines starting with # are skipped."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    text = resources.files(__package__).joinpath("data", file).read_text(encoding="utf-8")
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            lines = found.setdefault(line[1:-1], [])
        elif line and not line.startswith("#"):
            lines.append(line)
    return {name: tuple(section) for name, section in found.items()}


def wordings(file: str, section: str, **slots: str) -> tuple[str, ...]:
    """The lines of a section with ``<slot>`` replaced by its value.

    Args:
        file: a file in ``tasks/mini/data``.
        section: the name between square brackets.
        slots: values by slot name; an underscore stands for a space (``a_kind`` is ``<a kind>``).

    Raises:
        KeyError: where the file has no such section.
    """
    filled = []
    for line in _sections(file)[section]:
        for slot, value in slots.items():
            line = line.replace(f"<{slot.replace('_', ' ')}>", value)
        filled.append(line)
    return tuple(filled)


def templates(file: str, section: str, **slots: str) -> tuple[Template, ...]:
    """`wordings` as templates."""
    return tuple(_template(line) for line in wordings(file, section, **slots))
