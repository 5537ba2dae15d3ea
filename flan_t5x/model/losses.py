"""Cross-entropy with z-loss, as sums over target tokens; the step decides how to normalise."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class LossSums(NamedTuple):
    """Sums over weighted target tokens, float32 scalars.

    Attributes:
        loss: cross-entropy plus z-loss, what is differentiated.
        cross_entropy: without z-loss.
        z_loss: its part of the loss.
        correct: tokens whose most likely prediction is the target.
        weight: real target tokens.
    """

    loss: Float[Array, ""]
    cross_entropy: Float[Array, ""]
    z_loss: Float[Array, ""]
    correct: Float[Array, ""]
    weight: Float[Array, ""]


def loss_sums(
    logits: Float[Array, "batch length vocab"],
    targets: Int[Array, "batch length"],
    weights: Int[Array, "batch length"] | Float[Array, "batch length"],
    *,
    z_loss: float = 1e-4,
    label_smoothing: float = 0.0,
) -> LossSums:
    """sum_i w_i (cross-entropy_i + z_loss * log(Z_i)^2), as T5X's `losses.py` computes it.

    With label smoothing s the target distribution is 1-s on the target and s/(V-1) elsewhere,
    and its entropy is subtracted, so that a perfect prediction costs 0 (T5X does the same).

    Args:
        logits: float32.
        targets: token ids.
        weights: 1 for real target tokens, 0 for padding.
        z_loss: coefficient; pulls log Z towards 0 (Shazeer et al. 2018).
        label_smoothing: s.
    """
    weights = weights.astype(jnp.float32)
    log_z, target_logit, top = token_scores(logits, targets)
    cross_entropy = log_z - target_logit
    if label_smoothing > 0.0:
        cross_entropy = _smoothed(logits, log_z, target_logit, label_smoothing)
    penalty = z_loss * jnp.square(log_z)
    correct = (target_logit >= top).astype(jnp.float32)
    total_entropy = jnp.sum(cross_entropy * weights)
    total_penalty = jnp.sum(penalty * weights)
    return LossSums(
        loss=total_entropy + total_penalty,
        cross_entropy=total_entropy,
        z_loss=total_penalty,
        correct=jnp.sum(correct * weights),
        weight=jnp.sum(weights),
    )


class TokenScores(NamedTuple):
    """What the loss needs of the logits of one target token, each [batch, length] float32.

    Attributes:
        log_z: log sum exp of the logits.
        target: the target's logit.
        top: the highest logit; it has no gradient.
    """

    log_z: Float[Array, "batch length"]
    target: Float[Array, "batch length"]
    top: Float[Array, "batch length"]


@jax.custom_vjp
def token_scores(
    logits: Float[Array, "batch length vocab"], targets: Int[Array, "batch length"]
) -> TokenScores:
    """Reads the logits; the gradient writes one array of their size, in one pass.

    The exponentials are made again from the logits in the gradient (storing them would hold a
    second array of [batch, length, vocab]), and the target's share is added where the index
    matches, not scattered into another such array.
    """
    return _token_scores_forward(logits, targets)[0]


def _token_scores_forward(logits: jax.Array, targets: jax.Array) -> tuple[TokenScores, tuple]:
    top = jnp.max(logits, axis=-1)
    log_z = top + jnp.log(jnp.sum(jnp.exp(logits - top[..., None]), axis=-1))
    target = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return TokenScores(log_z, target, top), (logits, targets, log_z)


def _token_scores_backward(
    saved: tuple[jax.Array, ...], grads: TokenScores
) -> tuple[jax.Array, None]:
    logits, targets, log_z = saved
    is_target = jnp.arange(logits.shape[-1]) == targets[..., None]
    d_logits = jnp.exp(logits - log_z[..., None]) * grads.log_z[..., None]
    return d_logits + jnp.where(is_target, grads.target[..., None], 0.0), None


token_scores.defvjp(_token_scores_forward, _token_scores_backward)


def _smoothed(
    logits: Float[Array, "batch length vocab"],
    log_z: Float[Array, "batch length"],
    target_logit: Float[Array, "batch length"],
    smoothing: float,
) -> Float[Array, "batch length"]:
    vocab = logits.shape[-1]
    confidence = 1.0 - smoothing
    low = smoothing / (vocab - 1)
    entropy = -(confidence * jnp.log(confidence) + (vocab - 1) * low * jnp.log(low + 1e-20))
    all_logits = jnp.sum(logits, axis=-1)
    # -sum_v q_v (logit_v - log Z), with q = low everywhere and confidence on the target
    expected = low * (all_logits - target_logit) + confidence * target_logit
    return log_z - expected - entropy
