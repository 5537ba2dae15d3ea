"""Rules of beam search on numbers small enough to do by hand (tests/oracle: whole searches)."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from flan_t5x.decode.beam import BeamSearch
from flan_t5x.decode.beam_rules import BEAM_RULES, NEVER, BeamRules
from flan_t5x.errors import UserError

T5X, THEIRS = BEAM_RULES["t5x"], BEAM_RULES["transformers"]


def test_penalties() -> None:
    assert float(T5X.penalty(0.6, 7)) == pytest.approx(2**0.6)
    assert float(THEIRS.penalty(0.6, 7)) == pytest.approx(7**0.6)
    assert float(T5X.penalty(0.0, 7)) == float(THEIRS.penalty(0.0, 7)) == 1.0


def test_who_may_end() -> None:
    """Of four extensions, for two beams."""
    ended = jnp.array([[False, True, True, False], [True, False, False, True]])
    is_open = jnp.array([True, False])
    for last in (jnp.array(False), jnp.array(True)):
        assert (T5X.finished(ended, is_open, last=last) == ended).all()
    early = THEIRS.finished(ended, is_open, last=jnp.array(False))
    assert early.tolist() == [[False, True, False, False], [False] * 4]
    late = THEIRS.finished(ended, is_open, last=jnp.array(True))
    assert late.tolist() == [[True, True, False, False], [False] * 4]


@pytest.mark.parametrize("rules", [T5X, THEIRS], ids=["t5x", "transformers"])
@pytest.mark.parametrize(
    ("answers", "goes_on"), [([], True), ([-1.0], True), ([-1.0, -2.0], False)]
)
def test_when_a_row_is_closed(rules: BeamRules, answers: list[float], goes_on: bool) -> None:
    """Two beams; the live one has -6 after 2 of 4 tokens: -3 or, at full length, -4."""
    lacking = 2 - len(answers)
    given = {
        "best_live": jnp.array([-6.0]),
        "done": jnp.array([[True] * len(answers) + [False] * lacking]),
        "scores": jnp.array([[*answers, *[NEVER] * lacking]]),
        "alpha": 1.0,
        "length": jnp.array(2),
        "max_length": 4,
    }
    assert rules.open_rows(jnp.array([True]), **given).tolist() == [goes_on]  # type: ignore[arg-type]
    better = given | {"best_live": jnp.array([-0.1])}
    again = rules.open_rows(jnp.array([False]), **better)  # type: ignore[arg-type]
    assert again.tolist() == [rules is T5X], "transformers closes a row for good"


def test_the_live_beam_is_judged_at_another_length() -> None:
    """-3.9 / 1.5 at T5X's 4 tokens beats -3; -3.9 / 1 at the present one does not."""
    given = {
        "best_live": jnp.array([-3.9]),
        "done": jnp.ones((1, 2), bool),
        "scores": jnp.array([[-1.0, -3.0]]),
        "alpha": 1.0,
        "length": jnp.array(1),
        "max_length": 4,
    }
    assert T5X.open_rows(jnp.array([True]), **given).all()  # type: ignore[arg-type]
    assert not THEIRS.open_rows(jnp.array([True]), **given).any()  # type: ignore[arg-type]


def test_whose_score_has_a_penalty() -> None:
    ended = np.array([True, False])
    assert T5X.has_penalty(ended).tolist() == [True, False]
    assert THEIRS.has_penalty(ended).tolist() == [True, True]


def test_bad_names() -> None:
    with pytest.raises(UserError, match=r"BeamSearch.rules = 'transformer' is not known; .*"):
        BeamSearch(rules="transformer")  # type: ignore[arg-type]
