"""Multi-head attention, with packed examples kept apart and a key-value cache for decoding."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from flan_t5x.errors import UserError, nearest
from flan_t5x.model.config import T5Config
from flan_t5x.model.layers import Dense, Dropout, attention_init

MASKED = -1e10  # T5X's value: finite, so that a wholly masked row gives numbers, not NaN

QUERY_DROPOUT_SITE = 0


class KeyValues(NamedTuple):
    """Projected keys and values, each [batch, length, heads, head_dim]."""

    key: Float[Array, "batch length heads head_dim"]
    value: Float[Array, "batch length heads head_dim"]


class AttentionFn(Protocol):
    """softmax(q k^T + bias, masked) v; T5 has no 1/sqrt(head_dim) at run time."""

    def __call__(
        self,
        query: Float[Array, "batch queries heads head_dim"],
        keys: KeyValues,
        *,
        bias: Float[Array, "1 heads queries keys"] | None,
        mask: Bool[Array, "batch queries keys"] | None,
    ) -> Float[Array, "batch queries heads head_dim"]: ...


def reference_attention(
    query: Float[Array, "batch queries heads head_dim"],
    keys: KeyValues,
    *,
    bias: Float[Array, "1 heads queries keys"] | None,
    mask: Bool[Array, "batch queries keys"] | None,
) -> Float[Array, "batch queries heads head_dim"]:
    """Plain attention; weights in float32, then in the dtype of the values."""
    logits = jnp.einsum("bqhc,bkhc->bhqk", query, keys.key)
    logits = logits.astype(jnp.float32)
    if bias is not None:
        logits = logits + bias.astype(jnp.float32)
    if mask is not None:
        logits = jnp.where(mask[:, None], logits, MASKED)
    weights = jax.nn.softmax(logits, axis=-1).astype(keys.value.dtype)
    return jnp.einsum("bhqk,bkhc->bqhc", weights, keys.value)


ATTENTION: dict[str, AttentionFn] = {"reference": reference_attention}
"""Attention functions by the name that `T5Config.attention` chooses."""


def attention_fn(kind: str) -> AttentionFn:
    """The attention function called `kind`; UserError with near names where there is none."""
    if kind not in ATTENTION:
        hint = nearest(kind, ATTENTION) or f"known: {', '.join(ATTENTION)}"
        raise UserError(f"T5Config.attention = {kind!r} is not known; {hint}")
    return ATTENTION[kind]


class Attention(nnx.Module):
    """Queries from one sequence, keys and values from another (or the same)."""

    def __init__(self, config: T5Config, *, rngs: nnx.Rngs) -> None:
        d, kv = config.emb_dim, config.joined_kv
        self.num_heads, self.head_dim = config.num_heads, config.head_dim
        self.kind = config.attention

        def query_init(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype) -> jax.Array:
            # The 1/sqrt(head_dim) that T5 leaves out at run time stands in the initial weights.
            return attention_init(key, shape, dtype) / jnp.sqrt(config.head_dim).astype(dtype)

        inward, outward = ("embed", "joined_kv"), ("joined_kv", "embed")
        self.query = Dense((d, kv), inward, init=query_init, dtype=config.dtype, rngs=rngs)
        self.key = Dense((d, kv), inward, init=attention_init, dtype=config.dtype, rngs=rngs)
        self.value = Dense((d, kv), inward, init=attention_init, dtype=config.dtype, rngs=rngs)
        self.out = Dense((kv, d), outward, init=attention_init, dtype=config.dtype, rngs=rngs)

    def heads(
        self, x: Float[Array, "batch length joined_kv"]
    ) -> Float[Array, "batch length heads head_dim"]:
        """Splits the joined width into heads."""
        return x.reshape(*x.shape[:-1], self.num_heads, self.head_dim)

    def keys(self, x: Float[Array, "batch length dim"]) -> KeyValues:
        """Keys and values of x."""
        return KeyValues(self.heads(self.key(x)), self.heads(self.value(x)))

    def __call__(
        self,
        x: Float[Array, "batch queries dim"],
        keys: KeyValues,
        *,
        bias: Float[Array, "1 heads queries keys"] | None = None,
        mask: Bool[Array, "batch queries keys"] | None = None,
        dropout: Dropout | None = None,
    ) -> Float[Array, "batch queries dim"]:
        """Attends from x to `keys`.

        T5X drops attention weights with one mask for all queries, [batch, heads, 1, keys].
        Scaling the value of a key by that mask is the same product, and touches
        length * emb_dim numbers instead of heads * queries * keys.
        """
        if dropout is not None:
            length = keys.value.shape[1]
            scale = dropout.scale(QUERY_DROPOUT_SITE, (length, self.num_heads, 1), keys.value.dtype)
            if scale is not None:
                keys = KeyValues(keys.key, keys.value * scale)
        query = self.heads(self.query(x))
        mixed = attention_fn(self.kind)(query, keys, bias=bias, mask=mask)
        return self.out(mixed.reshape(*mixed.shape[:2], -1))

    def decode(
        self,
        x: Float[Array, "batch 1 dim"],
        cache: KeyValues,
        *,
        position: Int[Array, ""],
        bias: Float[Array, "1 heads 1 keys"] | None,
    ) -> tuple[Float[Array, "batch 1 dim"], KeyValues]:
        """One decoding step of self-attention: writes position, attends to 0..position.

        Args:
            x: the new token's features.
            cache: keys and values of all positions, [batch, max_length, heads, head_dim].
            position: index of the new token.
            bias: its row of the relative position bias.
        """
        new = self.keys(x)
        cache = KeyValues(
            jax.lax.dynamic_update_slice_in_dim(cache.key, new.key, position, axis=1),
            jax.lax.dynamic_update_slice_in_dim(cache.value, new.value, position, axis=1),
        )
        seen = jnp.arange(cache.key.shape[1]) <= position
        mask = jnp.broadcast_to(seen, (x.shape[0], 1, cache.key.shape[1]))
        return self(x, cache, bias=bias, mask=mask), cache
