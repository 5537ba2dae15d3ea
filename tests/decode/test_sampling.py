"""Cached decoding against teacher forcing; sampling as a function of the row's key."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from flan_t5x.decode import sampling as sampling_module
from flan_t5x.decode.sampling import Decoded, Sampling, filter_logits, largest, perturbed
from flan_t5x.errors import UserError
from flan_t5x.model.config import T5Config
from flan_t5x.model.model import Model

CONFIG = T5Config(
    vocab_size=48, emb_dim=32, num_heads=2, head_dim=16, mlp_dim=48,
    num_encoder_layers=2, num_decoder_layers=3,
)  # fmt: skip
LENGTH = 10


@functools.partial(jax.jit, static_argnums=(0,), static_argnames=("max_length", "sampling"))
def decode(model: Model, *args: Any, **settings: Any) -> Decoded:
    """The function under test, compiled as it is in use."""
    return sampling_module.decode(model, *args, **settings)


@pytest.fixture(scope="module")
def setup() -> tuple[Model, dict, np.ndarray]:
    rng = np.random.default_rng(0)
    prompts = rng.integers(2, 48, size=(6, 12)).astype(np.int32)
    for row, length in enumerate((12, 3, 7, 1, 12, 5)):
        prompts[row, length:] = 0
    model = Model(CONFIG)
    return model, jax.jit(model.init)(jax.random.key(3)), prompts


def test_greedy_is_the_argmax_of_teacher_forced_logits(setup: tuple) -> None:
    """Every generated token is the most likely one given the full, uncached forward pass."""
    model, params, prompts = setup
    result = decode(model, params, prompts, max_length=LENGTH)
    tokens = np.asarray(result.tokens)
    inputs = np.concatenate([np.zeros((6, 1), np.int32), tokens[:, :-1]], axis=1)
    batch = {
        "encoder_input_tokens": prompts,
        "decoder_input_tokens": inputs,
        "decoder_target_tokens": np.ones_like(tokens),
    }
    logits = jax.jit(model.logits)(params, batch)
    log_probs = np.asarray(jax.nn.log_softmax(logits))
    for row in range(6):
        total = 0.0
        for i, token in enumerate(tokens[row]):
            assert token == np.argmax(logits[row, i])
            total += log_probs[row, i, token]
            if token == 1:
                break
        np.testing.assert_allclose(result.log_probs[row], total, rtol=1e-4)


def test_tokens_do_not_depend_on_the_batch_around(setup: tuple) -> None:
    model, params, prompts = setup
    for sampling in (Sampling(), Sampling(temperature=1.0, top_k=20, top_p=0.95)):
        keys = jax.random.split(jax.random.key(1), 6)
        whole = decode(model, params, prompts, max_length=LENGTH, sampling=sampling, keys=keys)
        for row in range(6):
            alone = decode(
                model,
                params,
                prompts[row : row + 1],
                max_length=LENGTH,
                sampling=sampling,
                keys=keys[row : row + 1],
            )
            np.testing.assert_array_equal(alone.tokens[0], whole.tokens[row])


def test_stops_when_every_row_has_ended(setup: tuple) -> None:
    """With the end token made the likeliest everywhere, one step is enough."""
    model, params, prompts = setup
    kernel = params["decoder"]["logits_dense"]["kernel"]
    scale = params["decoder"]["decoder_norm"]["scale"]
    certain = jnp.zeros_like(kernel).at[:, 1].set(100.0)
    params = {**params, "decoder": {**params["decoder"], "logits_dense": {"kernel": certain}}}
    params["decoder"]["decoder_norm"] = {"scale": jnp.zeros_like(scale)}
    # zero features: all logits equal, argmax is token 0 for ever -> runs to the end
    assert int(decode(model, params, prompts, max_length=LENGTH).steps) == LENGTH
    biased = jnp.full_like(kernel, -1.0).at[:, 1].set(1.0)
    params["decoder"]["logits_dense"] = {"kernel": jnp.abs(biased) * jnp.sign(biased)}
    params["decoder"]["decoder_norm"] = {"scale": scale}
    result = decode(model, params, prompts, max_length=LENGTH)
    ended = np.asarray(result.tokens == 1).any(axis=1)
    assert (int(result.steps) < LENGTH) == bool(ended.all())


def test_tokens_are_drawn_by_their_probability() -> None:
    """Over 300 tokens, more than two blocks: unequal, some impossible, one block wholly so."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=300).astype(np.float32) * 2
    logits[[5, 130]] = -np.inf
    logits[140:280] = -np.inf
    count = 100_000
    keys = jax.random.split(jax.random.key(2), count)
    tokens = jax.jit(jax.vmap(lambda key: largest(perturbed(key, logits))))(keys)
    drawn = np.bincount(tokens, minlength=300)
    assert drawn.sum() == count
    assert len(drawn) == 300
    assert not drawn[np.isinf(logits)].any()
    expected = np.asarray(jax.nn.softmax(logits)) * count
    often = expected > 5  # as the test's approximation needs
    rare = ~often & np.isfinite(logits)
    observed = np.append(drawn[often], drawn[rare].sum())
    foreseen = np.append(expected[often], expected[rare].sum())
    assert scipy.stats.chisquare(observed, foreseen, sum_check=False).pvalue > 0.001


@pytest.mark.parametrize("size", [1, 127, 128, 300, 32128])
def test_largest_is_argmax(size: int) -> None:
    rng = np.random.default_rng(size)
    rows = rng.integers(0, 40, size=(20, size)).astype(np.float32)  # many ties
    rows[1] = -np.inf
    rows[2, :-1] = -np.inf
    rows[3] = np.inf
    found = jax.jit(jax.vmap(largest))(rows)
    np.testing.assert_array_equal(found, jnp.argmax(rows, axis=-1))


def test_filters_keep_what_they_say() -> None:
    logits = jnp.log(jnp.asarray([[0.5, 0.25, 0.15, 0.1]]))
    kept = filter_logits(logits, Sampling(temperature=1.0, top_k=2))
    assert np.isfinite(kept).tolist() == [[True, True, False, False]]
    kept = filter_logits(logits, Sampling(temperature=1.0, top_p=0.7))
    assert np.isfinite(kept).tolist() == [[True, True, False, False]]
    kept = filter_logits(logits[:, ::-1], Sampling(temperature=1.0, top_p=0.8))
    assert np.isfinite(kept).tolist() == [[False, True, True, True]]
    kept = filter_logits(logits, Sampling(temperature=1.0, top_p=0.01))
    assert np.isfinite(kept).tolist() == [[True, False, False, False]]


def test_bad_settings_are_refused() -> None:
    for bad in ({"temperature": -1.0}, {"top_k": -1}, {"top_p": 0.0}):
        with pytest.raises(UserError):
            Sampling(**bad)
