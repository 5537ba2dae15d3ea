"""ROUGE, BLEU and edits: closed forms, and the libraries that others use, where they are there."""

from __future__ import annotations

import random

import pytest

from flan_t5x.evaluation.text_metrics import bleu, edit_distance, edit_similarity, rouge

WORDS = tuple("the a cat dog sat on mat ran home and . it was red blue ! big old 3 14".split())  # noqa: SIM905


def texts(seed: int, count: int = 40) -> list[tuple[str, str]]:
    """Pairs of texts with words in common, some of several sentences."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        target = draw.choices(WORDS, k=draw.randint(1, 25))
        said = [word for word in target if draw.random() < 0.7]
        said.insert(draw.randint(0, len(said)), draw.choice(WORDS))
        found.append((" ".join(target), " ".join(said)))
    return found


def test_rouge_by_hand() -> None:
    found = rouge(["the cat sat on the mat"], ["the cat on mat"])
    assert found["rouge1"] == pytest.approx(2 * 4 / (6 + 4))
    assert found["rouge2"] == pytest.approx(2 * 1 / (5 + 3))
    assert found["rougeLsum"] == pytest.approx(2 * 4 / (6 + 4))
    crossed = rouge(["Police killed the gunman. It rained."], ["It rained. The gunman was killed."])
    assert crossed["rougeLsum"] == pytest.approx(2 * 4 / (6 + 6)), "sentences in any order"
    assert rouge(["a b"], ["..."]) == {"rougeLsum": 0.0, "rouge1": 0.0, "rouge2": 0.0}


@pytest.mark.parametrize("seed", range(5))
def test_rouge_is_rouge_scores(seed: int) -> None:
    scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="the extra 'peers' is missing")
    theirs = scorer.RougeScorer(["rouge1", "rouge2", "rougeLsum"], use_stemmer=False)
    for target, said in texts(seed):
        lines = [text.replace(". ", ".\n").replace("! ", "!\n") for text in (target, said)]
        expected = {name: s.fmeasure for name, s in theirs.score(*lines).items()}
        assert rouge([target], [said]) == pytest.approx(expected, abs=1e-12), (target, said)


def test_bleu_by_hand() -> None:
    """Precisions 4/5, 3/4, 2/3, 1/2 and a penalty for five words beside six."""
    found = bleu(["a b c d e f"], ["a b c d x"])["bleu"]
    precision = (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25
    assert found == pytest.approx(precision * 2.718281828459045 ** (1 - 6 / 5))
    assert bleu(["a b c d e"], ["a b c d e"]) == {"bleu": pytest.approx(1.0)}
    assert bleu(["A b c d e"], ["a b c d e"])["bleu"] < 1.0, "case counts"


def test_bleu_of_several_references() -> None:
    """The words of each prediction may come from any of its references."""
    both = bleu([("a b c d x", "y b c d e"), "k l m n"], ["a b c d e", "k l m n"])["bleu"]
    first = bleu(["a b c d x", "k l m n"], ["a b c d e", "k l m n"])["bleu"]
    assert 0.0 < first < both == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("a", "b", "edits"),
    [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("", "", 0), ("flaw", "lawn", 2)],
)
def test_edit_distance_by_hand(a: str, b: str, edits: int) -> None:
    assert edit_distance(a, b) == edit_distance(b, a) == edits


def test_edit_distance_is_that_of_the_library() -> None:
    editdistance = pytest.importorskip("editdistance")
    for target, said in texts(9):
        assert edit_distance(target, said) == editdistance.eval(target, said)


def test_edit_similarity() -> None:
    assert edit_similarity(["abcd", "same"], ["abce", "same"]) == {"edit_similarity": 0.875}
    assert edit_similarity([("abcd", "abce"), ""], ["abce", ""]) == {"edit_similarity": 1.0}
