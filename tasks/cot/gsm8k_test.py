"""The GSM8K test set (Cobbe et al. 2021): evaluation only, never in a training mixture."""

from __future__ import annotations

import json
import re
from pathlib import Path

from flan_t5x.data.definitions import Example, RowError
from flan_t5x.data.sources.lines import LineSource
from flan_t5x.data.sources.location import data_dir, how_to_get
from flan_t5x.data.sources.splits import TEST

FILE = "gsm8k/test.jsonl"
ORIGIN = "grade_school_math/data/test.jsonl of github.com/openai/grade-school-math"

_ANSWER = "####"
_CALCULATOR = re.compile(r"<<[^>]*>>")


class Gsm8kTestSource(LineSource):
    """Rows ``{"question": ..., "answer": "steps #### number"}``; one split, "test"."""

    home_split = TEST

    def __repr__(self) -> str:
        return f"Gsm8kTestSource({FILE!r})"

    def locate(self) -> Path:
        """Below `data_dir()`. Raises UserError where that is not set."""
        return data_dir() / FILE

    @property
    def splits(self) -> tuple[str, ...]:
        """Only "test"."""
        return (TEST,)

    def missing(self, path: Path) -> str:
        """Names the file and where it comes from."""
        return how_to_get(path, ORIGIN)

    def parse(self, line: str, number: int) -> tuple[str, Example]:
        """See `parse_row`."""
        return TEST, parse_row(line, number)


def parse_row(line: str, number: int) -> Example:
    """Steps become the rationale, without calculator marks; the number is the answer.

    Raises:
        RowError: for a line that is no such row.
    """
    try:
        row = json.loads(line)
        question, solution = row["question"].strip(), row["answer"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RowError("not a GSM8K row", f"{type(error).__name__}: {error}") from None
    steps, mark, answer = solution.partition(_ANSWER)
    answer = answer.strip().replace(",", "")
    if not question or not mark or not answer:
        raise RowError("not a GSM8K row", "question, or answer after '####', is missing")
    rationale = _CALCULATOR.sub("", steps).strip()
    return Example(str(number), {"question": question}, answer, rationale=rationale)
