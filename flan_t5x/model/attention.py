"""Multi-head attention, with packed examples kept apart and a key-value cache for decoding."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int

from flan_t5x.errors import UserError, nearest
from flan_t5x.model import head_by_head, saved_sums
from flan_t5x.model.config import T5Config
from flan_t5x.model.head_by_head import masked_logits
from flan_t5x.model.layers import NO_DROPOUT, Dense, Dropout, attention_init
from flan_t5x.parallel.activations import constrain

QUERY_DROPOUT_SITE = 0
QKV_PROJ = ("query_proj", "key_proj", "value_proj")
OUT_PROJ = "out_proj"
"""Names of products, for remat policies."""
HEADS = ("batch", "length", "heads", "kv")
"""Names of the dimensions of queries, keys and values."""


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
    products = jnp.einsum("bqhc,bkhc->bhqk", query, keys.key)
    logits = masked_logits(products, bias, None if mask is None else mask[:, None])
    weights = jax.nn.softmax(logits, axis=-1).astype(keys.value.dtype)
    return jnp.einsum("bhqk,bkhc->bqhc", weights, keys.value)


def _attention(attend: Callable[..., jax.Array]) -> AttentionFn:
    """An `AttentionFn` with the numbers of `reference_attention` from `attend`, which takes query,
    key, value, bias [heads, queries, keys] and mask."""

    def attention(
        query: Float[Array, "batch queries heads head_dim"],
        keys: KeyValues,
        *,
        bias: Float[Array, "1 heads queries keys"] | None,
        mask: Bool[Array, "batch queries keys"] | None,
    ) -> Float[Array, "batch queries heads head_dim"]:
        return attend(query, keys.key, keys.value, None if bias is None else bias[0], mask)

    return attention


head_by_head_attention = _attention(head_by_head.attend)
saved_sums_attention = _attention(saved_sums.attend)

ATTENTION: dict[str, AttentionFn] = {
    "auto": reference_attention,
    "reference": reference_attention,
    "head_by_head": head_by_head_attention,
    "saved_sums": saved_sums_attention,
}
"""Attention functions by the name that `T5Config.attention` chooses. "auto" is replaced where the
devices are known (`T5Config.for_devices`); what is good everywhere serves where they are not."""


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

    def keys(self, x: Float[Array, "batch length dim"], dropout: Dropout = NO_DROPOUT) -> KeyValues:
        """Keys and values of x."""
        _, key_name, value_name = QKV_PROJ
        key = checkpoint_name(self.key(x, dropout, 1), key_name)
        value = checkpoint_name(self.value(x, dropout, 2), value_name)
        return KeyValues(self.heads(key), self.heads(value))

    def __call__(
        self,
        x: Float[Array, "batch queries dim"],
        keys: KeyValues,
        *,
        bias: Float[Array, "1 heads queries keys"] | None = None,
        mask: Bool[Array, "batch queries keys"] | None = None,
        dropout: Dropout = NO_DROPOUT,
    ) -> Float[Array, "batch queries dim"]:
        """Attends from x to `keys`.

        T5X drops attention weights with one mask for all queries, [batch, heads, 1, keys].
        Scaling the value of a key by that mask is the same product, and touches
        length * emb_dim numbers instead of heads * queries * keys.
        """
        length = keys.value.shape[1]
        scale = dropout.scale(QUERY_DROPOUT_SITE, (length, self.num_heads, 1), keys.value.dtype)
        if scale is not None:
            keys = KeyValues(keys.key, keys.value * scale)
        query = checkpoint_name(self.query(x, dropout, 3), QKV_PROJ[0])
        query = constrain(self.heads(query), HEADS)
        keys = KeyValues(constrain(keys.key, HEADS), constrain(keys.value, HEADS))
        mixed = attention_fn(self.kind)(query, keys, bias=bias, mask=mask)
        return checkpoint_name(self.out(mixed.reshape(*mixed.shape[:2], -1), dropout, 4), OUT_PROJ)

    def decode(
        self,
        x: Float[Array, "batch beams dim"],
        past: KeyValues,
        *,
        slot: Int[Array, ""],
        bias: Float[Array, "1 heads 1 slots"],
        mask: Bool[Array, "#batch 1 #beams slots"],
    ) -> tuple[Float[Array, "batch beams dim"], KeyValues]:
        """One decoding step of self-attention: writes the new tokens' keys, then reads all.

        Args:
            x: the new tokens' features.
            past: keys and values in `decoding_keys`' layout.
            slot: where the new tokens go: slot, slot + 1, ... for beams 0, 1, ...
            bias: the new position's row of the relative position bias, by slot.
            mask: which slots each sequence sees, its own new one among them.

        Returns:
            The mixed features, and the past with the new tokens.
        """
        new = decoding_keys(self.keys(x))
        past = KeyValues(
            jax.lax.dynamic_update_slice_in_dim(past.key, new.key, slot, axis=3),
            jax.lax.dynamic_update_slice_in_dim(past.value, new.value, slot, axis=2),
        )
        return self._mix(x, past, bias=bias, mask=mask), past

    def decode_cross(
        self,
        x: Float[Array, "batch beams dim"],
        keys: KeyValues,
        *,
        mask: Bool[Array, "batch 1 1 inputs"],
    ) -> Float[Array, "batch beams dim"]:
        """One decoding step of cross-attention; all beams of a row read its keys together."""
        return self._mix(x, keys, bias=None, mask=mask)

    def _mix(
        self,
        x: Float[Array, "batch beams dim"],
        keys: KeyValues,
        *,
        bias: Float[Array, "1 heads 1 slots"] | None,
        mask: Bool[Array, "#batch 1 #beams slots"],
    ) -> Float[Array, "batch beams dim"]:
        query = self.heads(self.query(x))
        products = jnp.einsum("bqhc,bhck->bhqk", query, keys.key)
        weights = jax.nn.softmax(masked_logits(products, bias, mask), axis=-1)
        mixed = jnp.einsum("bhqk,bhkc->bhqc", weights.astype(keys.value.dtype), keys.value)
        return self.out(mixed.transpose(0, 2, 1, 3).reshape(*x.shape[:2], -1))


def decoding_keys(keys: KeyValues) -> KeyValues:
    """Keys as [batch, heads, head_dim, length], values as [batch, heads, length, head_dim].

    So both products of a decoding step read them in the order in which they lie.
    """
    return KeyValues(keys.key.transpose(0, 2, 3, 1), keys.value.transpose(0, 2, 1, 3))
