"""Ranking: packed options score as each alone; few programs; order and batches change nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flan_t5x.checkpoint.initial import place_params
from flan_t5x.evaluation.ranking import OptionScores, Ranker, target_bucket
from flan_t5x.model.model import Model, Params
from flan_t5x.parallel.mesh import make_mesh
from flan_t5x.parallel.rules import RULES, param_shardings
from tests.evaluation.toys import CONFIG, ONE_PART, params


def make(mesh: dict[str, int] = ONE_PART, **settings: Any) -> tuple[Ranker, Params]:
    model, devices = Model(CONFIG), make_mesh(mesh)
    rules = RULES["data_parallel"]
    shardings = param_shardings(
        model.abstract_params, model.logical_axes, rules=rules, mesh=devices
    )
    settings = {"batch_size": 4, "max_input_length": 64, **settings}
    return Ranker(model, mesh=devices, **settings), place_params(params(), shardings)


@pytest.fixture(scope="module")
def questions() -> tuple[list[np.ndarray], list[list[np.ndarray]]]:
    rng = np.random.default_rng(1)

    def text(length: int) -> np.ndarray:
        return np.append(rng.integers(2, 600, length - 1), 1).astype(np.int32)

    prompts = [text(n) for n in (5, 40, 33, 12, 64, 20)]
    counts = [(2, 3), (4, 9, 1), (2, 2, 2, 2), (3, 4), (30, 40, 5), (6, 6)]
    return prompts, [[text(n) for n in lengths] for lengths in counts]


def alone(prompt: np.ndarray, option: np.ndarray) -> tuple[float, bool]:
    """The option by itself, unpadded, through the plain forward pass."""
    batch = {
        "encoder_input_tokens": prompt[None],
        "decoder_input_tokens": np.append(0, option[:-1]).astype(np.int32)[None],
        "decoder_target_tokens": option[None],
    }
    logits = np.asarray(Model(CONFIG).logits(params(), batch), np.float64)[0]
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    own = log_probs[np.arange(len(option)), option].sum()
    return float(own), bool((logits.argmax(-1) == option).all())


def test_packed_options_score_as_each_alone(
    questions: tuple[list[np.ndarray], list[list[np.ndarray]]],
) -> None:
    prompts, options = questions
    ranker, placed = make()
    found = ranker(placed, prompts, options)
    for of_prompt, scores in zip(options, found, strict=True):
        assert scores.lengths.tolist() == [len(option) for option in of_prompt]
    for number in (0, 1, 4):  # every bucket; a plain forward pass compiles for each pair of lengths
        scores = found[number]
        for i, option in enumerate(options[number]):
            log_prob, greedy = alone(prompts[number], option)
            np.testing.assert_allclose(scores.log_probs[i], log_prob, rtol=1e-5)
            assert scores.greedy[i] == greedy
    # (bucket of prompts, bucket of options): 64 x 128, 64 x 32, 32 x 32
    assert ranker.compilations == 3
    told: list[tuple[int, int]] = []
    again = ranker(
        placed, prompts[::-1], options[::-1], progress=lambda *counts: told.append(counts)
    )
    assert ranker.compilations == 3
    assert told[-1] == (6, 6)
    for one, other in zip(found, again[::-1], strict=True):
        np.testing.assert_allclose(one.log_probs, other.log_probs, rtol=1e-5)


def test_meshes_change_nothing(
    questions: tuple[list[np.ndarray], list[list[np.ndarray]]],
) -> None:
    prompts, options = questions
    short = [0, 3, 5]
    expected = make()[0](make()[1], [prompts[i] for i in short], [options[i] for i in short])
    ranker, placed = make({"data": 8})
    found = ranker(placed, [prompts[i] for i in short], [options[i] for i in short])
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(one.log_probs, other.log_probs, rtol=1e-5)


def test_long_options_go_in_smaller_batches() -> None:
    ranker, _ = make(batch_size=64, max_batch_tokens=1024)
    prompts = [np.array([5, 1], np.int32)] * 10
    short = [[np.array([6, 1], np.int32)] * 2] * 10
    long = [[np.array([6] * 99 + [1], np.int32)]] * 10
    assert [len(b) for b in ranker.batches(prompts, short)] == [8, 2]
    assert [len(b) for b in ranker.batches(prompts, long)] == [2] * 5
    assert [target_bucket(n) for n in (0, 32, 33, 129)] == [32, 32, 128, 512]


def test_the_best_option() -> None:
    scores = OptionScores(np.array([-4.0, -6.0]), np.array([2, 6]), np.array([False, False]))
    assert scores.best(normalized=False) == 0
    assert scores.best(normalized=True) == 1
    equal = OptionScores(np.array([-1.0, -1.0]), np.array([1, 1]), np.array([False, False]))
    assert equal.best(normalized=True) == 0
    odd = OptionScores(np.array([-1.0, np.nan]), np.array([1, 1]), np.array([False, False]))
    assert odd.best(normalized=False) is None


def test_options_of_no_tokens(questions: tuple[list[np.ndarray], list[list[np.ndarray]]]) -> None:
    prompts, options = questions
    ranker, placed = make()
    (found,) = ranker(placed, prompts[:1], [[np.zeros(0, np.int32), options[0][0]]])
    assert found.log_probs[0] == 0.0
    assert found.greedy[0]
    np.testing.assert_allclose(found.log_probs[1], alone(prompts[0], options[0][0])[0], atol=1e-4)
