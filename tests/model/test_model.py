"""Sizes, isolation of packed examples, dropout, and the mathematics of small parts."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flan_t5x.errors import UserError
from flan_t5x.model.config import T5Config
from flan_t5x.model.layers import relative_position_bucket, toeplitz
from flan_t5x.model.losses import loss_sums
from flan_t5x.model.model import Model, Params
from flan_t5x.plan.flops import traced_flops
from flan_t5x.train.step import dropout_keys
from tests.model.sizes import PARAMETERS, published

SMALL = T5Config(
    vocab_size=64, emb_dim=32, num_heads=2, head_dim=16, mlp_dim=48,
    num_encoder_layers=2, num_decoder_layers=2,
)  # fmt: skip


@pytest.mark.parametrize("size", PARAMETERS)
def test_published_parameter_counts(size: str) -> None:
    """Built abstractly (no memory), counted, and compared with the arithmetic."""
    config = published(size)
    leaves = jax.tree.leaves(Model(config).abstract_params)
    assert sum(int(np.prod(x.shape)) for x in leaves) == PARAMETERS[size] == config.num_parameters()


def _examples(rng: np.random.Generator, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return [
        (
            rng.integers(2, 64, size=rng.integers(2, 9)),
            rng.integers(2, 64, size=rng.integers(1, 6)),
        )
        for _ in range(count)
    ]


def _pack(examples: list[tuple[np.ndarray, np.ndarray]], inputs: int, targets: int) -> dict:
    batch = {
        name: np.zeros((1, inputs if name.startswith("enc") else targets), np.int32)
        for name in (
            "encoder_input_tokens", "encoder_segment_ids", "decoder_input_tokens",
            "decoder_target_tokens", "decoder_segment_ids",
        )
    }  # fmt: skip
    i = t = 0
    for number, (x, y) in enumerate(examples, 1):
        batch["encoder_input_tokens"][0, i : i + len(x)] = x
        batch["encoder_segment_ids"][0, i : i + len(x)] = number
        batch["decoder_target_tokens"][0, t : t + len(y)] = y
        batch["decoder_input_tokens"][0, t + 1 : t + len(y)] = y[:-1]
        batch["decoder_segment_ids"][0, t : t + len(y)] = number
        i, t = i + len(x), t + len(y)
    return batch


@functools.cache
def _small_model() -> tuple[Params, Callable[..., jax.Array]]:
    """Parameters and compiled logits, shared by all examples of a property."""
    model = Model(SMALL)
    return jax.jit(model.init)(jax.random.key(0)), jax.jit(model.logits)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_packed_logits_equal_the_example_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    params, forward = _small_model()
    examples = _examples(rng, 4)
    logits = forward(params, _pack(examples, 40, 24))
    at = 0
    for x, y in examples:
        alone = forward(params, _pack([(x, y)], 40, 24))
        np.testing.assert_allclose(
            logits[0, at : at + len(y)], alone[0, : len(y)], atol=1e-5, rtol=1e-5
        )
        at += len(y)


def test_scan_unroll_and_remat_do_not_change_gradients() -> None:
    batch = _pack(_examples(np.random.default_rng(3), 3), 32, 16)
    keys = dropout_keys(0, jnp.int32(5), jnp.arange(1))

    def gradient(**changes: object) -> object:
        model = Model(dataclasses.replace(SMALL, dropout_rate=0.1, **changes))
        params = jax.jit(model.init)(jax.random.key(1))

        def total(p: Params) -> jax.Array:
            return model.logits(p, batch, dropout_keys=keys).sum()

        return jax.jit(jax.grad(total))(params)

    reference = gradient()
    for changes in ({"unroll_layers": 0}, {"remat_policy": "full"}, {"remat_policy": "minimal"}):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4, rtol=2e-4),
            reference,
            gradient(**changes),
        )


def test_dropout_belongs_to_the_row_not_to_the_batch() -> None:
    model = Model(dataclasses.replace(SMALL, dropout_rate=0.3))
    params, logits = jax.jit(model.init)(jax.random.key(0)), jax.jit(model.logits)
    one = _pack(_examples(np.random.default_rng(0), 3), 32, 16)
    batch = {name: np.repeat(x, 4, axis=0) for name, x in one.items()}
    keys = dropout_keys(7, jnp.int32(3), jnp.arange(4))
    whole = logits(params, batch, dropout_keys=keys)
    part = logits(params, one, dropout_keys=keys[2:3])
    np.testing.assert_allclose(whole[2], part[0], atol=1e-5)
    assert not np.allclose(whole[1], whole[2], atol=1e-3)
    other_step = dropout_keys(7, jnp.int32(4), jnp.arange(4))
    assert not np.allclose(whole, logits(params, batch, dropout_keys=other_step), atol=1e-3)


@given(q=st.integers(1, 9), k=st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_toeplitz_lays_distances_along_diagonals(q: int, k: int) -> None:
    values = np.arange(2 * (q + k - 1), dtype=np.float32).reshape(2, -1)
    expected = [[[values[h, j - i + q - 1] for j in range(k)] for i in range(q)] for h in range(2)]
    np.testing.assert_array_equal(toeplitz(jnp.asarray(values), q, k), expected)


def test_buckets_are_exact_nearby_and_capped_far_away() -> None:
    def bucket(distance: int, *, bidirectional: bool) -> int:
        return int(
            relative_position_bucket(
                jnp.asarray(distance),
                bidirectional=bidirectional,
                num_buckets=32,
                max_distance=128,
            )
        )

    assert [bucket(-d, bidirectional=False) for d in (0, 1, 15, 16, 127, 128, 5000)] == [
        0, 1, 15, 16, 31, 31, 31,
    ]  # fmt: skip
    assert bucket(3, bidirectional=False) == 0
    assert [bucket(-d, bidirectional=True) for d in (0, 7, 8, 5000)] == [0, 7, 8, 15]
    assert [bucket(d, bidirectional=True) for d in (1, 7, 8, 5000)] == [17, 23, 24, 31]


def test_loss_by_hand_and_smoothing_of_a_perfect_prediction() -> None:
    logits = jnp.log(jnp.asarray([[[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]]))
    sums = loss_sums(logits, jnp.asarray([[0, 1]]), jnp.asarray([[1, 0]]), z_loss=0.0)
    np.testing.assert_allclose(sums.loss, -np.log(0.7), rtol=1e-6)
    assert (float(sums.weight), float(sums.correct)) == (1.0, 1.0)
    shifted = loss_sums(logits + 2.0, jnp.asarray([[0, 1]]), jnp.asarray([[1, 0]]), z_loss=0.5)
    np.testing.assert_allclose(shifted.z_loss, 0.5 * 2.0**2, rtol=1e-5)
    smooth = jnp.log(jnp.asarray([[[0.9, 0.05, 0.05]]]))
    best = loss_sums(
        smooth, jnp.asarray([[0]]), jnp.asarray([[1]]), z_loss=0.0, label_smoothing=0.1
    )
    np.testing.assert_allclose(best.loss, 0.0, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dtype": "float16"}, "overflows in float16"),
        ({"emb_dim": 0}, "positive whole number"),
        ({"dropout_rate": 1.0}, "0 <= rate < 1"),
        ({"remat_policy": "some"}, "remat_policy"),
        ({"mlp_activations": ("gelu", "swish")}, "mlp_activations"),
    ],
)
def test_bad_sizes_are_refused_by_name(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        dataclasses.replace(SMALL, **changes)


def test_unknown_attention_names_the_near_one() -> None:
    model = Model(dataclasses.replace(SMALL, attention="reference"))
    config = dataclasses.replace(SMALL, attention="referense")
    with pytest.raises(UserError, match="'reference'"):
        Model(config).logits(
            jax.jit(model.init)(jax.random.key(0)),
            _pack(_examples(np.random.default_rng(0), 1), 16, 8),
        )


@pytest.mark.parametrize(
    ("platform", "count", "expected"),
    [("cpu", 1, "head_by_head"), ("cpu", 8, "saved_sums"), ("tpu", 1, "saved_sums")],
)
def test_attention_suits_the_devices(platform: str, count: int, expected: str) -> None:
    assert SMALL.for_devices(platform=platform, count=count).attention == expected
    chosen = dataclasses.replace(SMALL, attention="reference")
    assert chosen.for_devices(platform=platform, count=count).attention == "reference"


@pytest.mark.parametrize(("attention", "again"), [("saved_sums", 0), ("reference", 2)])
def test_minimal_remat_keeps_what_attention_keeps(attention: str, again: int) -> None:
    """By the products in the trace: of a layer's attention none is made again because of it."""
    batch = _pack(_examples(np.random.default_rng(0), 1), 16, 8)

    def flops(remat_policy: str) -> int:
        config = dataclasses.replace(SMALL, attention=attention, remat_policy=remat_policy)
        model = Model(config)

        def loss(params: Params) -> jax.Array:
            return jnp.sum(model.logits(params, batch))

        return traced_flops(jax.jit(jax.grad(loss)).trace(model.abstract_params))

    rows, inputs = batch["encoder_input_tokens"].shape
    targets = batch["decoder_input_tokens"].shape[1]
    pairs = SMALL.num_encoder_layers * inputs**2
    pairs += SMALL.num_decoder_layers * targets * (targets + inputs)
    assert flops("minimal") - flops("none") == again * 2 * rows * pairs * SMALL.joined_kv
