"""Tokens do not depend on batch, bucket or devices but for ties, and ties are told from errors."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from flan_t5x.decode.beam import BeamSearch
from flan_t5x.decode.continuations import Decoding
from flan_t5x.decode.sampling import Sampling
from flan_t5x.evaluation.invariance import REFERENCE, TIE, Comparison, Setting
from flan_t5x.model.model import Model
from tests.evaluation.toys import CONFIG, params

SAMPLING = Sampling(temperature=1.0, top_k=100, top_p=0.95)
LENGTH = 8


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    rng = np.random.default_rng(0)
    prompts = [
        np.append(rng.integers(2, 600, n - 1), 1).astype(np.int32) for n in (3, 60, 31, 17, 44, 9)
    ]
    return Comparison(Model(CONFIG), params(), prompts, max_decode_length=LENGTH)


@functools.cache
def answers(comparison: Comparison, decoding: Decoding) -> list[np.ndarray]:
    return comparison.answers(decoding, REFERENCE)


@pytest.mark.parametrize(
    ("decoding", "devices"),
    [(Sampling(), 1), (Sampling(), 8), (SAMPLING, 8), (BeamSearch(beams=2), 1)],
    ids=str,
)
def test_differences_are_ties(comparison: Comparison, decoding: Decoding, devices: int) -> None:
    """Prompts one by one, not bucketed, beside batches of 16 in two buckets."""
    reference = answers(comparison, decoding)
    assert len({tuple(tokens) for tokens in reference}) > 4, "a telling test"
    setting = Setting(label="16", batch_size=16, devices=devices)
    found = comparison.difference(decoding, reference, comparison.answers(decoding, setting))
    assert found.rows == 6
    assert found.ties == found.different, found.gaps


@pytest.mark.parametrize("decoding", [Sampling(), SAMPLING], ids=str)
def test_the_gap_is_that_of_the_token_that_was_chosen(
    comparison: Comparison, decoding: Sampling
) -> None:
    """The gap's own logits lead to the reference's tokens: else it would speak of others."""
    reference = answers(comparison, decoding)
    wrong = [np.append(tokens[:-1], 7) for tokens in reference]
    found = comparison.difference(decoding, reference, wrong)
    assert found.different == 6
    assert found.ties == 0
    assert min(found.gaps) > TIE
    for number, tokens in enumerate(reference):
        for position in range(len(tokens)):
            best = comparison.candidates(decoding, number, tokens, position)
            assert int(np.argmax(best)) == tokens[position]
