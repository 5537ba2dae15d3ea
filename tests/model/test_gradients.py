"""Gradients that the model writes out by hand, against those that JAX derives."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flan_t5x.model.attention import (
    AttentionFn,
    KeyValues,
    head_by_head_attention,
    reference_attention,
    saved_sums_attention,
)
from flan_t5x.model.layers import product, toeplitz
from flan_t5x.model.losses import token_scores

B, Q, K, H, C = 3, 5, 7, 2, 4


def _normal(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def _close(ours: object, theirs: object, tolerance: float) -> None:
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(
            np.asarray(a, np.float32), np.asarray(b, np.float32), rtol=tolerance, atol=tolerance
        )


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("with_mask", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-6), ("bfloat16", 4e-2)])
@pytest.mark.parametrize("attention", [head_by_head_attention, saved_sums_attention])
def test_attention_equals_the_reference(
    attention: AttentionFn, with_bias: bool, with_mask: bool, dtype: str, tolerance: float
) -> None:
    """Outputs and all gradients; the mask has a query that sees nothing at all."""
    arrays = [_normal(0, B, Q, H, C), _normal(1, B, K, H, C), _normal(2, B, K, H, C)]
    query, key, value = (x.astype(dtype) for x in arrays)
    bias = _normal(3, 1, H, Q, K) if with_bias else None
    mask = (_normal(4, B, Q, K) > 0).at[0, 1].set(False) if with_mask else None
    weight = _normal(5, B, Q, H, C)

    def value_and_gradients(attention: object) -> object:
        def loss(query: jax.Array, key: jax.Array, value: jax.Array, bias: object) -> jax.Array:
            out = attention(query, KeyValues(key, value), bias=bias, mask=mask)  # type: ignore[operator]
            return jnp.sum(out * weight), out

        return jax.value_and_grad(loss, argnums=(0, 1, 2, 3), has_aux=True)(query, key, value, bias)

    ours = value_and_gradients(attention)
    _close(ours, value_and_gradients(reference_attention), tolerance)


@pytest.mark.parametrize(("inputs", "outputs"), [(4, 9), (9, 4), (2, 17)])
def test_product_has_the_gradients_of_dot(inputs: int, outputs: int) -> None:
    """Narrower, wider, and far wider (where x is turned)."""
    x, kernel, weight = (
        _normal(0, 2, 3, inputs),
        _normal(1, inputs, outputs),
        _normal(2, 2, 3, outputs),
    )

    def gradients(f: object) -> object:
        return jax.grad(lambda x, k: jnp.sum(f(x, k) * weight), argnums=(0, 1))(x, kernel)  # type: ignore[operator]

    _close(gradients(product), gradients(jnp.dot), 1e-6)


def test_token_scores_and_their_gradient() -> None:
    logits, targets = 5 * _normal(0, 2, 3, 11), jnp.asarray([[0, 10, 4], [3, 3, 7]])
    weights = _normal(1, 2, 2, 3)

    def ours(logits: jax.Array) -> jax.Array:
        scores = token_scores(logits, targets)
        return jnp.sum(weights[0] * scores.log_z + weights[1] * scores.target)

    def theirs(logits: jax.Array) -> jax.Array:
        target = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
        return jnp.sum(weights[0] * jax.nn.logsumexp(logits, axis=-1) + weights[1] * target)

    _close(jax.value_and_grad(ours)(logits), jax.value_and_grad(theirs)(logits), 2e-6)
    np.testing.assert_array_equal(token_scores(logits, targets).top, logits.max(axis=-1))


def test_gradient_of_the_diagonals_sums_them() -> None:
    weight = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    got = jax.grad(lambda v: jnp.sum(toeplitz(v, 3, 4) * weight))(jnp.zeros((2, 6)))
    sums = [[np.trace(head, offset=d) for d in range(-2, 4)] for head in weight]
    np.testing.assert_array_equal(got, sums)
