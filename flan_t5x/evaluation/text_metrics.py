"""Scores of texts of which many would be right: overlap with references. Shares in [0, 1]."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from flan_t5x.evaluation.answers import Target, best_mean, paired

_WORD = re.compile(r"[a-z0-9]+")
_SENTENCE_END = re.compile(r"\n|(?<=[.!?])\s+")


def rouge(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, float]:
    """ROUGE-Lsum, -1 and -2 (Lin 2004): mean F1 of words, without stemming, best reference each.

    Sentences end at a newline, or at a full stop, question or exclamation mark before a space.
    """
    return {
        "rougeLsum": best_mean(targets, predictions, _rouge_lsum),
        "rouge1": best_mean(targets, predictions, lambda t, p: _rouge_n(t, p, 1)),
        "rouge2": best_mean(targets, predictions, lambda t, p: _rouge_n(t, p, 2)),
    }


def bleu(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, float]:
    """Corpus BLEU by sacrebleu (Post 2018), with T5's settings: "intl" words, case counts."""
    pairs = paired(targets, predictions)
    if not pairs:
        return {"bleu": float("nan")}
    import sacrebleu

    most = max(len(right) for right, _ in pairs)
    references = [[right[i] if i < len(right) else None for right, _ in pairs] for i in range(most)]
    found = sacrebleu.corpus_bleu(
        [said for _, said in pairs],
        references,  # type: ignore[arg-type]  # None where an example has fewer, as documented
        tokenize="intl",
        smooth_method="exp",
    )
    return {"bleu": min(found.score / 100.0, 1.0)}


def edit_similarity(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, float]:
    """1 - edits / length of the longer text, in characters: mean, best reference each."""

    def similarity(target: str, said: str) -> float:
        longer = max(len(target), len(said))
        return 1.0 - edit_distance(target, said) / longer if longer else 1.0

    return {"edit_similarity": best_mean(targets, predictions, similarity)}


def edit_distance(a: str, b: str) -> int:
    """Fewest characters to put in, take out or replace (Levenshtein 1966), row by row."""
    if not a or not b:
        return len(a) + len(b)
    codes = np.array([ord(sign) for sign in b])
    places = np.arange(len(b) + 1)
    row = places.copy()
    for count, sign in enumerate(a, start=1):
        # Replacing or taking out first; putting in runs along the row, as a running minimum.
        new = np.empty_like(row)
        new[0] = count
        new[1:] = np.minimum(row[:-1] + (codes != ord(sign)), row[1:] + 1)
        row = np.minimum.accumulate(new - places) + places
    return int(row[-1])


def _f1(common: int, of_target: int, of_prediction: int) -> float:
    return 2.0 * common / (of_target + of_prediction) if common else 0.0


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _rouge_n(target: str, said: str, n: int) -> float:
    gold, found = (
        Counter(zip(*(words[i:] for i in range(n)), strict=False))
        for words in (_words(target), _words(said))
    )
    return _f1((gold & found).total(), gold.total(), found.total())


def _rouge_lsum(target: str, said: str) -> float:
    """F1 of the words of a target's sentences that a common subsequence with any sentence holds."""
    gold, found = (
        [words for part in _SENTENCE_END.split(text) if (words := _words(part))]
        for text in (target, said)
    )
    left_gold, left_found = (Counter(w for s in text for w in s) for text in (gold, found))
    of_gold, of_found = left_gold.total(), left_found.total()
    common = 0
    for sentence in gold:
        held = sorted(set().union(*(_common_places(sentence, other) for other in found)))
        for word in (sentence[place] for place in held):
            if left_gold[word] > 0 and left_found[word] > 0:
                left_gold[word] -= 1
                left_found[word] -= 1
                common += 1
    return _f1(common, of_gold, of_found)


def _common_places(a: Sequence[str], b: Sequence[str]) -> set[int]:
    """Places in `a` of a longest common subsequence; of several, the one nearest to the ends."""
    length = np.zeros((len(a) + 1, len(b) + 1), np.int32)
    for i, word in enumerate(a, start=1):
        for j, other in enumerate(b, start=1):
            if word == other:
                length[i, j] = length[i - 1, j - 1] + 1
            else:
                length[i, j] = max(length[i - 1, j], length[i, j - 1])
    places = set()
    i, j = len(a), len(b)
    while i and j:
        if a[i - 1] == b[j - 1]:
            i, j = i - 1, j - 1
            places.add(i)
        elif length[i, j - 1] > length[i - 1, j]:
            j -= 1
        else:
            i -= 1
    return places
