"""How a list of answer options is written, and what then counts as the answer.

Where each option carries a marker of its own, the marker is the target, as in most of Flan
2022's option formats (Longpre et al. 2023); elsewhere the option's text is. The styles
themselves are in `option_styles`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from flan_t5x.data.draws import Draws
from flan_t5x.data.option_styles import OPTION_STYLES, OptionStyle

__all__ = ["OPTION_STYLES", "OptionLayout", "OptionStyle"]

_STOPS = (".", "!", "?", ";")


@lru_cache(maxsize=65536)
def _block_pattern(name: str, start: str, end: str, count: int) -> str:
    """The block for `count` options, as a `str.format` pattern of their texts."""
    style = OPTION_STYLES[name]
    items = [style.item.format(style.marker(i), f"{{{i}}}") for i in range(count)]
    if style.last_joiner and count > 1:
        items[-2:] = [style.last_joiner.join(items[-2:])]
    return f"{start} {style.joiner.join(items)}{end}".lstrip()


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
        end = self.end
        if OPTION_STYLES[self.name].one_stop and options and options[-1].endswith(_STOPS):
            end = ""
        return _block_pattern(self.name, self.start, end, len(options)).format(*options)

    def target(self, options: Sequence[str], answer: str) -> str:
        """What the answer is called in this layout: its marker, or its text.

        Raises:
            ValueError: where the answer is not one of the options.
        """
        position = options.index(answer)
        return _marker_target(self.name, position) if OPTION_STYLES[self.name].kind else answer
