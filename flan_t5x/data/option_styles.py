"""The ways to write a list of answer options.

`BASE` is what own tasks use and what the shipped vocabulary was made from. `WIDE` are the
many styles of Flan 2022 (Longpre et al. 2023 draw among 16 starts, 87 markers and 3 ends per
example): bullets, separators, letters, digits and Roman numbers in all common forms. Every one
of them survives the T5 vocabulary, which has no newline, tab, brace, tilde or "less than" sign.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

MarkerKind = Literal["", "upper", "lower", "number", "roman", "upper_roman"]

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
_WIDE_STARTS = (
    "",
    "Options:",
    "OPTIONS:",
    "Choices:",
    "Possible replies:",
    "Choose your answer:",
    "Pick the right one:",
    "The options are",
    "One of these is right:",
    "Your answer is one of the following.",
    "Select from",
    "Here are the choices.",
    "What to choose from:",
    "Candidates:",
    "Answer options:",
    "Let us see what there is to choose from.",
)
_WIDE_ENDS = ("", ".", ";")

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
    """0 -> i, 8 -> ix. 40 and more are written with tens alone, which keeps them different."""
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
        starts: what may stand before the options; one is drawn. May be empty.
        ends: what may stand after them; one is drawn.
        one_stop: whether the end is left out after an option that is a sentence.
    """

    item: str
    kind: MarkerKind = ""
    target: str = ""
    joiner: str = " "
    last_joiner: str = ""
    starts: tuple[str, ...] = _LEADS
    ends: tuple[str, ...] = ("",)
    one_stop: bool = False

    def marker(self, position: int) -> str:
        """The bare marker of the option at a position; empty for styles without markers."""
        if self.kind == "number":
            return str(position + 1)
        if self.kind in ("upper", "lower"):
            letters = _letters(position)
            return letters.upper() if self.kind == "upper" else letters
        if self.kind in ("roman", "upper_roman"):
            roman = _roman(position)
            return roman.upper() if self.kind == "upper_roman" else roman
        return ""


BASE: dict[str, OptionStyle] = {
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
"""Styles of the own tasks. Their rendered text is fixed: caches and a trained base hold it."""

_BULLETS = ("-", "+", "*", ">", "--", "->", "=>", "+ -", "**", "•", "»", "...", "(*)", "[ ]", "( )")
_WRAPPED = {"quoted": '"{1}"', "square": "[{1}]", "round": "({1})", "starred": "*{1}*"}
_SEPARATORS = {"semicolon": "; ", "slash": " / ", "bar": " | ", "or": " or ", "bars": " || "}

# Name -> (item, target, joiner). A bracket belongs to the answer, other signs do not.
_MARKED = {
    "paren": ("({0}) {1}", "({0})", " "),
    "right": ("{0}) {1}", "{0}", " "),
    "dot": ("{0}. {1}", "{0}", " "),
    "colon": ("{0}: {1}", "{0}", "; "),
    "square": ("[{0}] {1}", "[{0}]", " "),
    "hyphen": ("{0} - {1}", "{0}", "; "),
    "equals": ("{0} = {1}", "{0}", "; "),
    "bar": ("{0} | {1}", "{0}", " || "),
    "bullet": ("- {0}. {1}", "{0}", " "),
    "named": ("option {0}: {1}", "option {0}", ", "),
    "choice": ("Choice {0}) {1}", "Choice {0}", " "),
}
_KINDS: tuple[MarkerKind, ...] = ("upper", "lower", "number", "roman", "upper_roman")


def _wide() -> Iterator[tuple[str, OptionStyle]]:
    """All of them by name: bullets, options in signs, options between signs, markers."""
    more: dict[str, Any] = {"starts": _WIDE_STARTS, "ends": _WIDE_ENDS, "one_stop": True}
    for i, bullet in enumerate(_BULLETS):
        yield f"wide_bullet_{i}", OptionStyle(f"{bullet} {{1}}", **more)
    for name, item in _WRAPPED.items():
        yield f"wide_{name}", OptionStyle(item, joiner=", ", **more)
    for name, joiner in _SEPARATORS.items():
        yield f"wide_{name}", OptionStyle("{1}", joiner=joiner, **more)
    for kind in _KINDS:
        for name, (item, target, joiner) in _MARKED.items():
            yield f"wide_{kind}_{name}", OptionStyle(item, kind, target, joiner, **more)


WIDE: dict[str, OptionStyle] = dict(_wide())
"""Styles of the Flan collection's tasks."""

WIDE_LETTERS = tuple(n for n, s in WIDE.items() if s.kind in ("", "upper", "lower"))
"""For options that are themselves numbers: no style that numbers them."""

OPTION_STYLES: dict[str, OptionStyle] = {**BASE, **WIDE}
"""Styles by the name that `TaskDefinition.option_styles` uses."""
