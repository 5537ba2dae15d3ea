"""Votes with known outcomes; the curve against the definition, set by set."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flan_t5x.errors import UserError
from flan_t5x.evaluation.self_consistency import (
    Rationales,
    check_vote,
    consistency_table,
    curve,
    steps,
    vote,
)


def made(*samples: tuple[str, float], texts: list[str] | None = None) -> Rationales:
    answers = [answer for answer, _ in samples]
    return Rationales(texts or answers, answers, [log_prob for _, log_prob in samples])


def test_the_majority_wins_and_its_likeliest_rationale_speaks() -> None:
    assert vote(made(("3", -1.0), ("4", -9.0), ("4", -7.0))) == 2
    assert vote(made(("3", -1.0))) == 0


def test_ties_go_to_the_greater_summed_log_probability() -> None:
    assert vote(made(("3", -4.0), ("4", -1.0), ("3", -4.0), ("4", -6.5))) == 1
    assert vote(made(("3", -4.0), ("4", -1.0), ("3", -3.0), ("4", -6.5))) == 2
    assert vote(made(("3", -4.0), ("4", -4.0))) == 0, "then to the earlier"


def test_what_could_not_be_extracted_has_no_vote() -> None:
    assert vote(made(("", -1.0), ("", -1.0), ("5", -9.0))) == 2
    assert vote(made(("", -2.0), ("", -1.0))) == 1


def test_log_probabilities_that_are_no_numbers_lose() -> None:
    assert vote(made(("3", math.nan), ("4", -50.0))) == 1
    assert vote(made(("3", math.nan), ("4", math.nan))) == 0


def test_with_complexity_the_longest_rationales_vote() -> None:
    texts = ["No.", "One. Two. Three.", "No.", "One. Two. Three. Four."]
    samples = [("a", -1.0), ("b", -5.0), ("a", -1.0), ("b", -6.0)]
    assert vote(made(*samples, texts=texts)) == 0
    assert vote(made(*samples, texts=texts), "complexity") == 1
    assert vote(made(*samples, texts=texts), "complexity", complex_share=0.25) == 3
    assert vote(made(*samples, texts=texts), "complexity", complex_share=1.0) == 0


def test_steps() -> None:
    assert steps("") == 0
    assert steps("There are 3.5 apples") == 1
    assert steps("One is first. Then two; three\n\nfour. ") == 4


questions = st.integers(1, 5).flatmap(
    lambda n: st.lists(
        st.lists(
            st.tuples(st.sampled_from(["", "1", "2"]), st.floats(-9, 0)), min_size=n, max_size=n
        ),
        min_size=1,
        max_size=4,
    )
)


@given(questions)
def test_the_curve_is_the_mean_over_circular_windows(drawn: list[list[tuple[str, float]]]) -> None:
    asked = [made(*samples) for samples in drawn]
    n = len(drawn[0])

    def share(answers: list[str]) -> float:
        return sum(answer == "1" for answer in answers) / len(answers)

    found = curve(asked, share)  # type: ignore[arg-type]
    assert list(found) == list(range(1, n + 1))
    singles = [answer == "1" for samples in drawn for answer, _ in samples]
    assert found[1] == pytest.approx(sum(singles) / len(singles)), "one sample has the only vote"
    assert found[n] == share([q.answers[vote(q)] for q in asked])
    for k in range(1, n):
        expected = []
        for start in range(n):
            window = sorted((start + i) % n for i in range(k))
            some = [made(*(samples[i] for i in window)) for samples in drawn]
            expected.append(share([q.answers[vote(q)] for q in some]))
        assert found[k] == pytest.approx(sum(expected) / n)


def test_the_table_shows_powers_of_two_and_all() -> None:
    curves = {"a": {k: 0.1 * k for k in range(1, 7)}, "b": dict.fromkeys(range(1, 7), 0.3)}
    assert consistency_table(curves).endswith("1: 0.2000, 2: 0.2500, 4: 0.3500, 6: 0.4500")
    assert curve([], lambda _: 0.0) == {}


def test_bad_settings() -> None:
    with pytest.raises(UserError, match="vote = 'majorty': did you mean 'majority'"):
        check_vote("majorty", complex_share=0.5)
    with pytest.raises(UserError, match="complex_share = 0"):
        check_vote("complexity", complex_share=0)
