"""Batched generation: tokens depend on the prompt (and its key) alone; few programs."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from flan_t5x.checkpoint.initial import place_params
from flan_t5x.decode.sampling import Sampling, decode
from flan_t5x.evaluation.generation import Generator, until_eos
from flan_t5x.model.model import Model, Params
from flan_t5x.parallel.mesh import make_mesh
from flan_t5x.parallel.rules import RULES, param_shardings
from tests.evaluation.toys import CONFIG, ONE_PART, params

LONGEST, DECODED = 80, 6


@pytest.fixture(scope="module")
def prompts() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    lengths = [5, 70, 33, 50, 2, 31, 64, 12, 40]
    return [np.append(rng.integers(2, 500, n - 1), 1).astype(np.int32) for n in lengths]


def make(mesh: dict[str, int] = ONE_PART, **settings: Any) -> tuple[Generator, Params]:
    model, placed = Model(CONFIG), make_mesh(mesh)
    named = "fsdp_tensor" if "fsdp" in mesh else "data_parallel"
    rules = RULES[settings.pop("rules", named)]
    shardings = param_shardings(model.abstract_params, model.logical_axes, rules=rules, mesh=placed)
    settings = {
        "batch_size": 4,
        "max_input_length": LONGEST,
        "max_decode_length": DECODED,
        **settings,
    }
    return Generator(model, mesh=placed, rules=rules, **settings), place_params(params(), shardings)


@pytest.fixture(scope="module")
def greedy() -> tuple[Generator, Params]:
    return make()


@pytest.fixture(scope="module")
def alone(prompts: list[np.ndarray]) -> list[list[int]]:
    """Greedy answers to every prompt by itself, all padded to one length, without a generator."""
    model, values = Model(CONFIG), params()
    run = jax.jit(lambda tokens: decode(model, values, tokens, max_length=DECODED).tokens[0])
    found = []
    for prompt in prompts:
        row = np.zeros((1, LONGEST), np.int32)
        row[0, : len(prompt)] = prompt
        found.append(until_eos(np.asarray(run(row))).tolist())
    assert len({tuple(tokens) for tokens in found}) == len(prompts), "a telling test"
    return found


def test_batches_buckets_and_order_change_nothing(
    prompts: list[np.ndarray], alone: list[list[int]], greedy: tuple[Generator, Params]
) -> None:
    generator, placed = greedy
    first = generator(placed, prompts)
    assert [t.tolist() for t in first.tokens] == alone
    again = generator(placed, prompts[::-1])
    assert [t.tolist() for t in again.tokens] == alone[::-1]
    np.testing.assert_allclose(again.log_probs, first.log_probs[::-1], rtol=1e-4)
    assert first.compilations == again.compilations == len(generator.buckets.lengths) == 3
    whole = make(batch_size=16)[0](placed, prompts)  # one batch, one bucket
    assert whole.compilations == 1
    assert [t.tolist() for t in whole.tokens] == alone


@pytest.mark.parametrize("mesh", [{"data": 8}, {"data": 2, "fsdp": 2, "tensor": 2}])
def test_meshes_change_nothing(
    mesh: dict[str, int], prompts: list[np.ndarray], alone: list[list[int]]
) -> None:
    generator, placed = make(mesh)
    assert generator.buckets.most_rows == (8 if mesh["data"] == 8 else 4)
    short = [i for i, prompt in enumerate(prompts) if len(prompt) <= 32]
    found = generator(placed, [prompts[i] for i in short])
    assert [t.tolist() for t in found.tokens] == [alone[i] for i in short]


def test_few_long_prompts_are_divided_by_position(
    prompts: list[np.ndarray], alone: list[list[int]]
) -> None:
    """Two rows on eight devices: no padding rows, and the same answers."""
    generator, placed = make({"fsdp": 8}, rules="long_inputs", batch_size=2)
    assert generator.buckets.most_rows == 2
    longest = [1, 6]
    found = generator(placed, [prompts[i] for i in longest])
    assert [t.tolist() for t in found.tokens] == [alone[i] for i in longest]


def test_samples_are_a_function_of_seed_and_number(
    prompts: list[np.ndarray], alone: list[list[int]]
) -> None:
    generator, placed = make(decoding=Sampling(temperature=1.0, top_k=50), max_input_length=33)
    short = [i for i, prompt in enumerate(prompts) if len(prompt) <= 32]
    found = generator(placed, [prompts[i] for i in short], seed=3)
    expected = dict(enumerate(t.tolist() for t in found.tokens))
    assert list(expected.values()) != [alone[i] for i in short]

    def answer(numbers: list[int], seed: int) -> list[list[int]]:
        some = [prompts[short[i]] for i in numbers]
        company = [*some, prompts[2]]  # 33 tokens: another bucket
        made = generator.answer(placed, company, numbers=[*numbers, 99], seed=seed)
        return [t.tolist() for t in made.tokens[:-1]]

    assert answer([3, 0], seed=3) == [expected[3], expected[0]]
    assert answer([3, 0], seed=4) != [expected[3], expected[0]]


def test_long_prompts_are_cut_before_their_end_token(
    prompts: list[np.ndarray], greedy: tuple[Generator, Params]
) -> None:
    generator, placed = greedy
    long = np.concatenate([prompts[1][:-1], prompts[1]])
    kept = np.append(long[: LONGEST - 1], 1).astype(np.int32)
    found = generator(placed, [long, kept])
    assert len(long) > LONGEST
    assert found.tokens[0].tolist() == found.tokens[1].tolist()


def test_progress_is_told(prompts: list[np.ndarray], greedy: tuple[Generator, Params]) -> None:
    generator, placed = greedy
    told: list[tuple[int, int]] = []
    generator(placed, [prompts[0]] * 5, progress=lambda *counts: told.append(counts))
    assert told == [(4, 5), (5, 5)]
    nothing = generator(placed, [])
    assert (nothing.tokens, nothing.log_probs.size) == ([], 0)


def test_until_eos() -> None:
    assert until_eos(np.array([5, 0, 6, 1, 7])).tolist() == [5, 6]
    assert until_eos(np.array([1, 5])).tolist() == []
    assert until_eos(np.array([5, 6])).tolist() == [5, 6]
