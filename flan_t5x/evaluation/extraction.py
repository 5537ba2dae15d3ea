"""From generated text to the answer that is scored. Pure functions that never raise."""

from __future__ import annotations

import re
from collections.abc import Callable

_ANSWER_CUES = re.compile(r"(?:\banswer(?:\s+is)?\s*:|\banswer\s+is\b|\bfinal\s+answer\b)", re.I)
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_BBH_CUE = re.compile(r"\bthe answer is\b", re.I)
_MARKED_LETTER = re.compile(r"\(([A-E])\)")
_BARE_LETTER = re.compile(r"\s*([A-E])(?:[).:,]|\s*$)")  # not the article of "A cat"
# Digits of any script; a mark or space before exactly three of them groups, as 1,000 or 1.000.
_WORLD_NUMBER = re.compile(r"[-\u2212]?\d+(?:[.,\u00a0\u202f ]\d{3}(?!\d))*(?:[.,]\d+)?")
_GROUPING = re.compile(r"[.,\u00a0\u202f ](?=\d{3}(?!\d))")


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


def bbh_answer(prediction: str) -> str:
    """What follows the last "the answer is", else the whole text, without one closing full stop.

    The protocol of Suzgun et al. 2022 for direct and chain-of-thought prompts: the comparison with
    the target is then exact, parentheses included.
    """
    return text(_BBH_CUE.split(prediction)[-1]).removesuffix(".").strip()


def option_letter(prediction: str) -> str:
    """The letter of an option, A to E; "" if none.

    After an answer cue the first letter in parentheses, or the bare letter it begins with; without
    a cue (or with nothing after it) the last letter in parentheses, or a bare letter at the start.
    """
    _, *after = _ANSWER_CUES.split(prediction)
    if after:
        found = _MARKED_LETTER.search(after[-1]) or _BARE_LETTER.match(after[-1])
        if found:
            return found[1]
    marked = _MARKED_LETTER.findall(prediction)
    if marked:
        return str(marked[-1])
    bare = _BARE_LETTER.match(prediction)
    return bare[1] if bare else ""


def any_number(prediction: str) -> str:
    """The last number after the answer cue, else in the text, in ASCII digits; "" if none.

    For answers in any language (MGSM, Shi et al. 2022): digits of every script count, and a comma,
    point or space before exactly three digits groups them, so that 1,000, 1.000 and 1 000 are one
    number. A fraction of exactly three digits is therefore read as a group; MGSM has none.
    """
    numbers: list[str] = []
    for place in (_ANSWER_CUES.split(prediction)[-1], prediction):
        numbers = numbers or _WORLD_NUMBER.findall(place)
    if not numbers:
        return ""
    number = _GROUPING.sub("", numbers[-1]).replace(",", ".").replace("\u2212", "-")
    number = "".join(str(int(c)) if c.isdigit() else c for c in number)
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return number


EXTRACTORS: dict[str, Callable[[str], str]] = {
    "text": text,
    "cot_answer": cot_answer,
    "cot_number": cot_number,
    "bbh_answer": bbh_answer,
    "option_letter": option_letter,
    "any_number": any_number,
}
"""Extractors by the name a task definition uses; applied to predictions and to targets."""

_WITH_CUE = {"cot_answer": _ANSWER_CUES, "bbh_answer": _BBH_CUE, "option_letter": _ANSWER_CUES}


def failure(extractor: str, prediction: str, *, cot: bool) -> str:
    """Why nothing sensible could be extracted; "" where something was.

    Args:
        extractor: a name in `EXTRACTORS`.
        prediction: what came.
        cot: whether reasons were asked for, so that an answer cue is due.

    Returns:
        "empty prediction", "no answer found" (no letter, no number), "no answer cue" or "".
    """
    if not prediction.strip():
        return "empty prediction"
    if not EXTRACTORS[extractor](prediction):
        return "no answer found"
    cue = _WITH_CUE.get(extractor)
    if cot and cue is not None and not cue.search(prediction):
        return "no answer cue"
    return ""
