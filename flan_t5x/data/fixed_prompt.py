"""A benchmark's prompt, and how one that is too long is fitted to the encoder.

The rule, in this order, until the prompt has at most `budget` tokens:

1. Exemplars are left out whole, the last one first, so that a 5-shot prompt with two left out is
   the 3-shot prompt of the same question. The question itself is never left out.
2. The description goes.
3. The query's field `FixedPrompt.cut` loses words at `FixedPrompt.cut_at`; the rest of the
   question (its options, the passage's question) stays whole.

What was done is in the `Rendered`, is counted in the cache's report and shown with the scores.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from flan_t5x.data.definitions import Example, FixedPrompt, RowError
from flan_t5x.data.vocabulary import Vocabulary

_WORD = re.compile(r"\S+\s*")
_END = 1  # the end-of-sequence token


class Fitted(NamedTuple):
    """A prompt that fits, and what it cost.

    Attributes:
        inputs: the prompt.
        exemplar_ids: ids of the exemplars shown, in order.
        left_out: exemplars that had no room.
        words_cut: words that the query's field lost; the description, where it went, not counted.
    """

    inputs: str
    exemplar_ids: tuple[str, ...]
    left_out: int
    words_cut: int


def fitted_prompt(
    prompt: FixedPrompt,
    example: Example,
    exemplars: Sequence[Example],
    *,
    vocabulary: Vocabulary,
    budget: int,
) -> Fitted:
    """The prompt of one row.

    Args:
        prompt: the benchmark's.
        example: the row.
        exemplars: in published order; the first `prompt.shots` are shown. One with the row's own
            id is passed over.
        vocabulary: counts tokens.
        budget: tokens for the inputs, end of sequence included. A question that does not fit even
            with its field cut to one word is returned so; truncating it is the caller's.

    Raises:
        RowError: "missing field" where a pattern names a field that the row lacks, "empty inputs"
            where nothing is asked.
    """
    shown = [row for row in exemplars if row.id != example.id][: prompt.shots]
    shots = [_fill(prompt.shot, row) for row in shown]
    shared = exemplars[0].fields if exemplars else {}
    description = _fill(prompt.description, example, shared)
    trigger = _fill(prompt.trigger, example, shared)

    def ask(**changed: str) -> str:
        question = _fill(prompt.question, example, shared, **changed)
        return f"{question} {trigger}" if trigger else question

    query = ask()
    if not example.fields.get(prompt.cut, query).strip():
        raise RowError("empty inputs", f"example {example.id!r}")

    def text(kept: int, lead: str = description) -> str:
        return prompt.separator.join(filter(None, [lead, *shots[:kept], query]))

    for kept in range(len(shots), -1, -1):
        if fits(text(kept), vocabulary, budget):
            ids = tuple(row.id for row in shown[:kept])
            return Fitted(text(kept), ids, len(shots) - kept, 0)
    if fits(text(0, ""), vocabulary, budget):
        return Fitted(text(0, ""), (), len(shots), 0)
    inputs, lost = _shortened(prompt, example, ask, vocabulary=vocabulary, budget=budget)
    return Fitted(inputs, (), len(shots), lost)


def fits(text: str, vocabulary: Vocabulary, budget: int) -> bool:
    """Whether the text and an end-of-sequence token take at most `budget` tokens."""
    # ASCII is not expanded by normalisation: at most one token a character, and one for the
    # space that SentencePiece puts in front. Most short prompts need no tokenizing here.
    if len(text) + 1 + _END <= budget and text.isascii():
        return True
    return len(vocabulary.encode(text)) + _END <= budget


def _shortened(
    prompt: FixedPrompt,
    example: Example,
    ask: Callable[..., str],
    *,
    vocabulary: Vocabulary,
    budget: int,
) -> tuple[str, int]:
    """The query with as many words of its field as fit, and how many were lost."""
    words = _WORD.findall(example.fields.get(prompt.cut, ""))

    def with_words(count: int) -> str:
        kept = words[len(words) - count :] if prompt.cut_at == "front" else words[:count]
        return ask(**{prompt.cut: "".join(kept).strip()})

    low, high = min(1, len(words)), max(len(words) - 1, 0)
    while low < high:  # the most words that fit; tokens grow with words
        middle = (low + high + 1) // 2
        if fits(with_words(middle), vocabulary, budget):
            low = middle
        else:
            high = middle - 1
    return with_words(low), len(words) - low


def _fill(
    pattern: str, example: Example, shared: Mapping[str, str] | None = None, **changed: str
) -> str:
    """The pattern with the row's answer and fields; `shared` gives those that it lacks."""
    own = {"answer": example.answer, "rationale": example.rationale, **example.fields}
    try:
        return pattern.format_map({**(shared or {}), **own, **changed})
    except KeyError as error:
        raise RowError(
            "missing field",
            f"the prompt names {error.args[0]!r}, example {example.id!r} has "
            f"{', '.join(example.fields) or 'no fields'}",
        ) from None
