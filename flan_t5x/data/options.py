"""How a list of answer options is written, and what then counts as the answer.

Every style survives the T5 vocabulary, which has no newline, tab, brace or tilde. Where each
option carries a marker of its own, the marker is the target, as in most of Flan 2022's
option formats (Longpre et al. 2023); elsewhere the option's text is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from flan_t5x.data.draws import Draws

MarkerKind = Literal["", "upper", "lower", "number", "roman"]

_LEADS = (
    "Options:",
    "Choices:",
    "Choose from:",
    "Pick one:",
    "Possible answers:",
    "Answer with one of these:",
    "Select one:",
    "Available answers:",
)
_SENTENCE_LEADS = ("Options:", "Choose from", "Pick one of", "The answer is one of", "Say", "Write")

_ROMAN = ((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))


def _letters(position: int) -> str:
    """0 -> a, 25 -> z, 26 -> aa: no number of options is too large."""
    text = ""
    position += 1
    while position:
        position, digit = divmod(position - 1, 26)
        text = chr(ord("a") + digit) + text
    return text


def _roman(position: int) -> str:
    text, rest = "", position + 1
    for value, letters in _ROMAN:
        while rest >= value:
            text += letters
            rest -= value
    return text


@dataclass(frozen=True)
class OptionStyle:
    """One way to write options.

    Attributes:
        item: one option; ``{0}`` is the marker, ``{1}`` the option's text.
        kind: how markers count; empty means that options have no marker of their own.
        target: the marker as an answer, ``{0}`` being the bare marker.
        joiner: between options.
        last_joiner: between the last two, where it differs.
        starts: what may stand before the options; one is drawn.
        ends: what may stand after them; one is drawn.
    """

    item: str
    kind: MarkerKind = ""
    target: str = ""
    joiner: str = " "
    last_joiner: str = ""
    starts: tuple[str, ...] = _LEADS
    ends: tuple[str, ...] = ("",)

    def marker(self, position: int) -> str:
        """The bare marker of the option at a position; empty for styles without markers."""
        if self.kind == "upper":
            return _letters(position).upper()
        if self.kind == "lower":
            return _letters(position)
        if self.kind == "number":
            return str(position + 1)
        if self.kind == "roman":
            return _roman(position)
        return ""


OPTION_STYLES: dict[str, OptionStyle] = {
    "dash": OptionStyle("- {1}"),
    "star": OptionStyle("* {1}"),
    "comma_or": OptionStyle(
        "{1}", joiner=", ", last_joiner=" or ", starts=_SENTENCE_LEADS, ends=("", ".")
    ),
    "quoted_or": OptionStyle(
        '"{1}"', joiner=", ", last_joiner=" or ", starts=_SENTENCE_LEADS, ends=("", ".")
    ),
    "semicolon": OptionStyle("{1}", joiner="; ", ends=("", ".")),
    "slash": OptionStyle("{1}", joiner=" / "),
    "pipe": OptionStyle("{1}", joiner=" | "),
    "letter_paren": OptionStyle("({0}) {1}", "upper", "({0})"),
    "letter_dot": OptionStyle("{0}. {1}", "upper", "{0}"),
    "letter_colon": OptionStyle("{0}: {1}", "upper", "{0}", joiner="; "),
    "letter_bracket": OptionStyle("[{0}] {1}", "lower", "[{0}]"),
    "number_dot": OptionStyle("{0}. {1}", "number", "{0}"),
    "number_paren": OptionStyle("({0}) {1}", "number", "({0})"),
    "number_hash": OptionStyle("#{0} {1}", "number", "#{0}", joiner=", "),
    "roman_paren": OptionStyle("({0}) {1}", "roman", "({0})"),
}
"""Styles by the name that `TaskDefinition.option_styles` uses."""


@lru_cache(maxsize=65536)
def _block_pattern(name: str, start: str, end: str, count: int) -> str:
    """The block for `count` options, as a `str.format` pattern of their texts."""
    style = OPTION_STYLES[name]
    items = [style.item.format(style.marker(i), f"{{{i}}}") for i in range(count)]
    if style.last_joiner and count > 1:
        items[-2:] = [style.last_joiner.join(items[-2:])]
    return f"{start} {style.joiner.join(items)}{end}"


@lru_cache(maxsize=65536)
def _marker_target(name: str, position: int) -> str:
    style = OPTION_STYLES[name]
    return style.target.format(style.marker(position))


@dataclass(frozen=True, slots=True)
class OptionLayout:
    """A style with the drawn words around it; exemplars and query of one prompt share it.

    Attributes:
        name: a name in `OPTION_STYLES`.
        start: what stands before the options.
        end: what stands after them.
    """

    name: str
    start: str
    end: str

    @classmethod
    def draw(cls, names: Sequence[str], draws: Draws) -> OptionLayout:
        """Three draws, always: later draws do not depend on which style came out.

        Raises:
            KeyError: for a name that is not in `OPTION_STYLES` (`lint_templates` reports it).
        """
        name = draws.choice(names)
        style = OPTION_STYLES[name]
        return cls(name, draws.choice(style.starts), draws.choice(style.ends))

    def block(self, options: Sequence[str]) -> str:
        """The whole block, e.g. ``Options: (A) cat (B) dog``."""
        return _block_pattern(self.name, self.start, self.end, len(options)).format(*options)

    def target(self, options: Sequence[str], answer: str) -> str:
        """What the answer is called in this layout: its marker, or its text.

        Raises:
            ValueError: where the answer is not one of the options.
        """
        position = options.index(answer)
        return _marker_target(self.name, position) if OPTION_STYLES[self.name].kind else answer
