"""Batched generation: tokens depend on the prompt (and its key) alone; few programs."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from flan_t5x.checkpoint.initial import place_params
from flan_t5x.decode.sampling import Sampling, decode
from flan_t5x.evaluation.generation import Generator, length_buckets, until_eos
from flan_t5x.model.model import Model, Params
from flan_t5x.parallel.mesh import make_mesh
from flan_t5x.parallel.rules import RULES, param_shardings
from tests.evaluation.toys import CONFIG, ONE_PART, params

LONGEST, DECODED = 80, 6
SAMPLED = Sampling(temperature=1.0, top_k=50)


@pytest.fixture(scope="module")
def prompts() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    lengths = [5, 70, 33, 80, 2, 31, 64, 12, 40]
    return [np.append(rng.integers(2, 500, n - 1), 1).astype(np.int32) for n in lengths]


def make(mesh: dict[str, int] = ONE_PART, **settings: Any) -> tuple[Generator, Params]:
    model, placed = Model(CONFIG), make_mesh(mesh)
    rules = RULES["fsdp_tensor" if "fsdp" in mesh else "data_parallel"]
    shardings = param_shardings(model.abstract_params, model.logical_axes, rules=rules, mesh=placed)
    settings = {
        "batch_size": 4,
        "max_input_length": LONGEST,
        "max_decode_length": DECODED,
        **settings,
    }
    return Generator(model, mesh=placed, **settings), place_params(params(), shardings)


def alone(prompts: list[np.ndarray], sampling: Sampling | None = None) -> list[list[int]]:
    """Every prompt by itself, padded to one length, without a generator."""
    batch = np.zeros((len(prompts), LONGEST), np.int32)
    for row, prompt in enumerate(prompts):
        batch[row, : len(prompt)] = prompt
    keys = jax.vmap(jax.random.fold_in, (None, 0))(
        jax.random.key(3), np.arange(len(prompts), dtype=np.uint32)
    )
    model, values = Model(CONFIG), params()
    run = jax.jit(
        lambda x, k: decode(model, values, x, max_length=DECODED, sampling=sampling, keys=k)
    )
    found = [run(batch[i : i + 1], keys[i : i + 1]).tokens[0] for i in range(len(prompts))]
    return [until_eos(np.asarray(tokens)).tolist() for tokens in found]


def test_batches_buckets_and_order_change_nothing(prompts: list[np.ndarray]) -> None:
    expected = alone(prompts)
    assert len({tuple(tokens) for tokens in expected}) == len(prompts), "a telling test"
    generator, placed = make()
    first = generator(placed, prompts)
    assert [t.tolist() for t in first.tokens] == expected
    assert first.compilations == 3, "one program for each of the lengths 32, 64, 80"
    again = generator(placed, prompts[::-1])
    assert [t.tolist() for t in again.tokens] == expected[::-1]
    np.testing.assert_allclose(again.log_probs, first.log_probs[::-1], rtol=1e-4)
    assert again.compilations == 3
    whole = make(batch_size=16)[0](placed, prompts)  # one batch, one bucket
    assert whole.compilations == 1
    assert [t.tolist() for t in whole.tokens] == expected


@pytest.mark.parametrize("mesh", [{"data": 8}, {"data": 2, "fsdp": 2, "tensor": 2}])
def test_meshes_change_nothing(mesh: dict[str, int], prompts: list[np.ndarray]) -> None:
    generator, placed = make(mesh)
    assert generator.batch_size % 4 == 0
    short = [p for p in prompts if len(p) <= 32]
    found = generator(placed, short)
    assert [t.tolist() for t in found.tokens] == alone(short)


def test_samples_are_a_function_of_seed_and_number(prompts: list[np.ndarray]) -> None:
    prompts = [p for p in prompts if len(p) <= 33]
    expected = alone(prompts, SAMPLED)
    generator, placed = make(sampling=SAMPLED, max_input_length=33)
    found = generator(placed, prompts, seed=3)
    assert [t.tolist() for t in found.tokens] == expected
    assert expected != alone(prompts)
    order = [4, 2, 0]  # any of them, in any company: the number decides
    part = generator.answer(placed, [prompts[i] for i in order], numbers=order, seed=3)
    assert [t.tolist() for t in part.tokens] == [expected[i] for i in order]
    other = generator.answer(placed, [prompts[i] for i in order], numbers=order, seed=4)
    assert [t.tolist() for t in other.tokens] != [expected[i] for i in order]


def test_long_prompts_are_cut_before_their_end_token(prompts: list[np.ndarray]) -> None:
    generator, placed = make(max_input_length=32)
    long, kept = prompts[3], np.append(prompts[3][:31], 1).astype(np.int32)
    found = generator(placed, [long, kept])
    assert found.tokens[0].tolist() == found.tokens[1].tolist()
    assert generator.buckets == (32,)


def test_batches_are_whole_and_sorted_by_length() -> None:
    generator, _ = make()
    batches = generator.batches([9, 1, 5, 5, 2, 70])
    assert [b.tolist() for b in batches] == [[1, 4, 2, 3], [0, 5]]
    assert generator.batches([]) == []


def test_progress_is_told(prompts: list[np.ndarray]) -> None:
    generator, placed = make(max_input_length=32)
    told: list[tuple[int, int]] = []
    generator(placed, [prompts[0]] * 5, progress=lambda *counts: told.append(counts))
    assert told == [(4, 5), (5, 5)]
    nothing = generator(placed, [])
    assert (nothing.tokens, nothing.log_probs.size) == ([], 0)


def test_buckets() -> None:
    assert length_buckets(8) == (8,)
    assert length_buckets(32) == (32,)
    assert length_buckets(1024) == (32, 64, 128, 256, 512, 1024)
    assert length_buckets(100) == (32, 64, 100)


def test_until_eos() -> None:
    assert until_eos(np.array([5, 0, 6, 1, 7])).tolist() == [5, 6]
    assert until_eos(np.array([1, 5])).tolist() == []
    assert until_eos(np.array([5, 6])).tolist() == [5, 6]
