"""From generated text to the answer that is scored. Pure functions that never raise."""

from __future__ import annotations

import re
from collections.abc import Callable

_ANSWER_CUES = re.compile(r"(?:\banswer(?:\s+is)?\s*:|\banswer\s+is\b|\bfinal\s+answer\b)", re.I)
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def text(prediction: str) -> str:
    """The text itself, with runs of spaces folded."""
    return " ".join(prediction.split())


def cot_answer(prediction: str) -> str:
    """What follows the last "answer is", "answer:" or "final answer"; else the whole text.

    One trailing full stop, comma or question mark is dropped, and quotation marks and a colon
    around the answer; parentheses stay (Suzgun et al. 2022 keep them, "(B)" is an answer).
    """
    piece = _ANSWER_CUES.split(prediction)[-1]
    return text(piece).strip(" :\"'").rstrip(".,?").strip(" \"'")


def cot_number(prediction: str) -> str:
    """The last number after the answer cue (else in the text), without commas; "" if none."""
    numbers = _NUMBER.findall(cot_answer(prediction)) or _NUMBER.findall(prediction)
    if not numbers:
        return ""
    number = numbers[-1].replace(",", "")
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return number


EXTRACTORS: dict[str, Callable[[str], str]] = {
    "text": text,
    "cot_answer": cot_answer,
    "cot_number": cot_number,
}
"""Extractors by the name a task definition uses; applied to predictions and to targets."""
