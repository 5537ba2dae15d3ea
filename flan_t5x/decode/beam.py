"""Beam search with T5X's length penalty and stopping rule, over the key-value cache."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from flan_t5x.decode.sampling import EOS, PAD
from flan_t5x.model.attention import KeyValues
from flan_t5x.model.encoder_decoder import LayerCache
from flan_t5x.model.model import Model, Params

NEVER = -1.0e7
"""A log-probability that no sequence reaches; finite, as in T5X."""


class Beams(NamedTuple):
    """What beam search returns, the best beam first.

    Attributes:
        tokens: [batch, beams, max_length], EOS included, zeros after it.
        scores: [batch, beams], summed log-probability over the length penalty; a row in which
            nothing ended returns its unfinished beams with plain log-probabilities.
    """

    tokens: Int[Array, "batch beams length"]
    scores: Float[Array, "batch beams"]


class _Search(NamedTuple):
    position: Int[Array, ""]
    live_tokens: Int[Array, "batch beams length"]
    live_log_probs: Float[Array, "batch beams"]
    done_tokens: Int[Array, "batch beams length"]
    done_scores: Float[Array, "batch beams"]
    done: Bool[Array, "batch beams"]
    cache: LayerCache


def length_penalty(alpha: float, length: Int[Array, ""] | int) -> Float[Array, ""]:
    """((5 + length) / 6)^alpha (Wu et al. 2016, equation 14)."""
    return ((5.0 + jnp.asarray(length, jnp.float32)) / 6.0) ** alpha


def beam_search(
    model: Model,
    params: Params,
    encoder_input_tokens: Int[Array, "batch inputs"],
    *,
    max_length: int,
    beams: int = 4,
    alpha: float = 0.6,
) -> Beams:
    """The `beams` best continuations of every prompt.

    At each step the 2 * beams best extensions of the live beams are found, so that enough stay
    live when some of them end. The search stops when no live beam can still beat the worst
    ended one.

    Args:
        model: the network.
        params: its parameters.
        encoder_input_tokens: prompts, 0 is padding.
        max_length: most tokens to generate, EOS included.
        beams: width.
        alpha: exponent of the length penalty; 0 compares plain log-probabilities.
    """
    network = model.bind(params)
    batch = encoder_input_tokens.shape[0]
    encoded = network.encode(encoder_input_tokens)
    # Every beam of a row reads the same input: it is projected once, then repeated.
    once = network.start_cache(encoded, max_length)
    cache = jax.tree.map(lambda x: jnp.repeat(x, beams, axis=1), once)
    encoder_mask = jnp.repeat(encoder_input_tokens > 0, beams, axis=0)
    bias = network.decode_bias(max_length)

    def running(s: _Search) -> Array:
        best_live = s.live_log_probs[:, 0] / length_penalty(alpha, max_length)
        worst_done = jnp.where(
            s.done.any(axis=1), jnp.where(s.done, s.done_scores, NEVER).min(axis=1), NEVER
        )
        return (s.position < max_length) & ~jnp.all(worst_done > best_live)

    def step(s: _Search) -> _Search:
        last = jnp.where(
            s.position > 0,
            jax.lax.dynamic_index_in_dim(
                s.live_tokens, jnp.maximum(s.position - 1, 0), axis=2, keepdims=False
            ),
            PAD,
        )
        logits, new_cache = network.decode_step(
            last.reshape(-1), s.cache, position=s.position, bias=bias, encoder_mask=encoder_mask
        )
        log_probs = jax.nn.log_softmax(logits).reshape(batch, beams, -1)
        vocab = log_probs.shape[-1]
        total = (log_probs + s.live_log_probs[:, :, None]).reshape(batch, -1)
        top, flat = jax.lax.top_k(total, 2 * beams)  # best first
        parent, token = flat // vocab, (flat % vocab).astype(jnp.int32)
        tokens = jnp.take_along_axis(s.live_tokens, parent[:, :, None], axis=1)
        tokens = jax.lax.dynamic_update_index_in_dim(tokens, token, s.position, axis=2)
        ended = token == EOS
        live_log_probs, kept = jax.lax.top_k(top + ended * NEVER, beams)
        live_tokens = jnp.take_along_axis(tokens, kept[:, :, None], axis=1)
        reordered = _reorder(new_cache, jnp.take_along_axis(parent, kept, axis=1))
        scores = jnp.where(ended, top / length_penalty(alpha, s.position + 1), NEVER)
        all_scores = jnp.concatenate([s.done_scores, scores], axis=1)
        done_scores, chosen = jax.lax.top_k(all_scores, beams)
        all_tokens = jnp.concatenate([s.done_tokens, tokens], axis=1)
        all_done = jnp.concatenate([s.done, ended], axis=1)
        return _Search(
            position=s.position + 1,
            live_tokens=live_tokens,
            live_log_probs=live_log_probs,
            done_tokens=jnp.take_along_axis(all_tokens, chosen[:, :, None], axis=1),
            done_scores=done_scores,
            done=jnp.take_along_axis(all_done, chosen, axis=1),
            cache=reordered,
        )

    empty = jnp.full((batch, beams, max_length), PAD, jnp.int32)
    one_live = jnp.asarray([0.0] + [NEVER] * (beams - 1), jnp.float32)
    end = jax.lax.while_loop(
        running,
        step,
        _Search(
            position=jnp.zeros((), jnp.int32),
            live_tokens=empty,
            live_log_probs=jnp.tile(one_live, (batch, 1)),
            done_tokens=empty,
            done_scores=jnp.full((batch, beams), NEVER, jnp.float32),
            done=jnp.zeros((batch, beams), bool),
            cache=cache,
        ),
    )
    any_done = end.done.any(axis=1)
    return Beams(
        jnp.where(any_done[:, None, None], end.done_tokens, end.live_tokens),
        jnp.where(any_done[:, None], end.done_scores, end.live_log_probs),
    )


def _reorder(cache: LayerCache, parent: Int[Array, "batch beams"]) -> LayerCache:
    """The self-attention cache of each beam's parent; cross keys are equal within a row."""
    batch, beams = parent.shape
    flat = (parent + jnp.arange(batch)[:, None] * beams).reshape(-1)
    keys = KeyValues(*(jnp.take(x, flat, axis=1) for x in cache.self_keys))
    return LayerCache(keys, cache.cross_keys)
