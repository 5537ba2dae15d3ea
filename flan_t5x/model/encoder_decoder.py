"""The T5 1.1 encoder-decoder: stacked layers scanned, one relative bias per stack.

Parameter names are T5X's (``encoder/layers/attention/query/kernel``), with the layer number
as the first dimension instead of a name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key

from flan_t5x.model.attention import OUT_PROJ, QKV_PROJ, Attention, KeyValues
from flan_t5x.model.config import T5Config
from flan_t5x.model.layers import (
    NO_DROPOUT,
    Dense,
    Dropout,
    GatedMLP,
    LayerNorm,
    RelativePositionBias,
    dense_init,
    embedding_init,
    param,
    segment_mask,
)
from flan_t5x.model.saved_sums import KEPT
from flan_t5x.parallel.activations import constrain

Layer = TypeVar("Layer", bound=nnx.Module)
DropoutKeys = Key[Array, " batch"] | None
STREAM = ("batch", "length", "embed")
"""Names of the residual stream's dimensions."""

REMAT_POLICIES: dict[str, Any] = {
    "minimal": jax.checkpoint_policies.save_from_both_policies(
        jax.checkpoint_policies.checkpoint_dots_with_no_batch_dims,
        jax.checkpoint_policies.save_only_these_names(*KEPT),
    ),
    "save_dot_except_mlp": jax.checkpoint_policies.save_only_these_names(*QKV_PROJ, OUT_PROJ),
    "save_qkv_proj": jax.checkpoint_policies.save_only_these_names(*QKV_PROJ),
    "full": None,
}


class EncoderLayer(nnx.Module):
    """x + attention(norm x), then x + mlp(norm x)."""

    def __init__(self, config: T5Config, *, rngs: nnx.Rngs) -> None:
        self.pre_attention_layer_norm = LayerNorm(config, rngs=rngs)
        self.attention = Attention(config, rngs=rngs)
        self.pre_mlp_layer_norm = LayerNorm(config, rngs=rngs)
        self.mlp = GatedMLP(config, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "batch length dim"],
        *,
        bias: Float[Array, "1 heads length length"],
        mask: Bool[Array, "batch length length"],
        dropout: Dropout,
    ) -> Float[Array, "batch length dim"]:
        y = self.pre_attention_layer_norm(x)
        inner = dropout.fold(0)
        y = self.attention(y, self.attention.keys(y, inner), bias=bias, mask=mask, dropout=inner)
        x = constrain(x + dropout(y, 1), STREAM)
        y = self.mlp(self.pre_mlp_layer_norm(x), dropout.fold(2))
        return constrain(x + dropout(y, 3), STREAM)


class DecoderLayer(nnx.Module):
    """Self-attention, cross-attention and MLP, each behind a norm and around a residual."""

    def __init__(self, config: T5Config, *, rngs: nnx.Rngs) -> None:
        self.pre_self_attention_layer_norm = LayerNorm(config, rngs=rngs)
        self.self_attention = Attention(config, rngs=rngs)
        self.pre_cross_attention_layer_norm = LayerNorm(config, rngs=rngs)
        self.encoder_decoder_attention = Attention(config, rngs=rngs)
        self.pre_mlp_layer_norm = LayerNorm(config, rngs=rngs)
        self.mlp = GatedMLP(config, rngs=rngs)

    def __call__(
        self,
        y: Float[Array, "batch length dim"],
        *,
        encoded: Float[Array, "batch inputs dim"],
        bias: Float[Array, "1 heads length length"],
        mask: Bool[Array, "batch length length"],
        cross_mask: Bool[Array, "batch length inputs"],
        dropout: Dropout,
    ) -> Float[Array, "batch length dim"]:
        x = self.pre_self_attention_layer_norm(y)
        inner = dropout.fold(0)
        keys = self.self_attention.keys(x, inner)
        x = self.self_attention(x, keys, bias=bias, mask=mask, dropout=inner)
        y = constrain(y + dropout(x, 1), STREAM)
        x = self.pre_cross_attention_layer_norm(y)
        inner = dropout.fold(2)
        keys = self.encoder_decoder_attention.keys(encoded, inner)
        x = self.encoder_decoder_attention(x, keys, mask=cross_mask, dropout=inner)
        y = constrain(y + dropout(x, 3), STREAM)
        x = self.mlp(self.pre_mlp_layer_norm(y), dropout.fold(4))
        return constrain(y + dropout(x, 5), STREAM)

    def decode(
        self,
        y: Float[Array, "batch beams dim"],
        past: KeyValues,
        cross: KeyValues,
        *,
        slot: Int[Array, ""],
        bias: Float[Array, "1 heads 1 slots"],
        mask: Bool[Array, "#rows 1 #beams slots"],
        cross_mask: Bool[Array, "batch 1 1 inputs"],
    ) -> tuple[Float[Array, "batch beams dim"], KeyValues]:
        """One new token of every sequence, and the past with it; see `Attention.decode`.

        `past` has a row per prompt, which its beams share, or one per sequence: samples have
        nothing in common but the prompt.
        """
        x = self.pre_self_attention_layer_norm(y).reshape(past.key.shape[0], -1, y.shape[-1])
        x, past = self.self_attention.decode(x, past, slot=slot, bias=bias, mask=mask)
        y = y + x.reshape(y.shape)
        x = self.pre_cross_attention_layer_norm(y)
        y = y + self.encoder_decoder_attention.decode_cross(x, cross, mask=cross_mask)
        return y + self.mlp(self.pre_mlp_layer_norm(y), NO_DROPOUT), past


def stacked(make: Callable[[nnx.Rngs], Layer], count: int, *, rngs: nnx.Rngs) -> Layer:
    """`count` layers as one module whose parameters have a leading [layers] dimension."""
    graphdef, _ = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))))
    keys = jax.random.split(rngs.params(), count)
    return nnx.merge(graphdef, jax.vmap(lambda k: nnx.split(make(nnx.Rngs(params=k)))[1])(keys))


def scan_layers(
    layers: Layer,
    step: Callable[[Layer, Any, Any, jax.Array], tuple[Any, Any]],
    carry: Any,
    xs: Any = None,
    *,
    config: T5Config,
    remat: bool = False,
) -> tuple[Any, Any]:
    """Runs ``step(layer, carry, x, layer_number) -> (carry, y)`` over stacked layers.

    Args:
        layers: a module made by `stacked`.
        step: one layer's computation.
        carry: what passes from layer to layer.
        xs: pytree with a leading [layers] dimension, or None.
        config: gives `unroll_layers` and `remat_policy`.
        remat: whether the remat policy applies (it does in training).

    Returns:
        The last carry and the stacked outputs.
    """
    graphdef, state = nnx.split(layers)
    count = jax.tree.leaves(state)[0].shape[0]

    def body(carry: Any, inputs: tuple[nnx.State, Any, jax.Array]) -> tuple[Any, Any]:
        params, x, number = inputs
        return step(nnx.merge(graphdef, params), carry, x, number)

    if remat and config.remat_policy != "none":
        policy = REMAT_POLICIES[config.remat_policy]
        body = jax.checkpoint(body, policy=policy, prevent_cse=config.unroll_layers != 1)
    unroll = config.unroll_layers or count
    return jax.lax.scan(body, carry, (state, xs, jnp.arange(count)), unroll=min(unroll, count))


class Encoder(nnx.Module):
    """Embedded tokens to encodings."""

    def __init__(self, config: T5Config, *, rngs: nnx.Rngs) -> None:
        self.config = config
        self.relpos_bias = RelativePositionBias(config, bidirectional=True, rngs=rngs)
        self.layers = stacked(
            lambda r: EncoderLayer(config, rngs=r), config.num_encoder_layers, rngs=rngs
        )
        self.encoder_norm = LayerNorm(config, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "batch length dim"],
        segment_ids: Int[Array, "batch length"],
        dropout: Dropout,
    ) -> Float[Array, "batch length dim"]:
        bias = self.relpos_bias(x.shape[1], x.shape[1])
        mask = segment_mask(segment_ids, segment_ids)
        inner = dropout.fold(1)

        def step(layer: EncoderLayer, x: jax.Array, _: None, n: jax.Array) -> tuple[Any, None]:
            return layer(x, bias=bias, mask=mask, dropout=inner.fold(n)), None

        x = dropout(x, 2)
        x, _ = scan_layers(self.layers, step, x, config=self.config, remat=True)
        return dropout(self.encoder_norm(x), 3, broadcast=False)


class Decoder(nnx.Module):
    """Embedded tokens and encodings to logits."""

    def __init__(self, config: T5Config, *, rngs: nnx.Rngs) -> None:
        self.config = config
        self.relpos_bias = RelativePositionBias(config, bidirectional=False, rngs=rngs)
        self.layers = stacked(
            lambda r: DecoderLayer(config, rngs=r), config.num_decoder_layers, rngs=rngs
        )
        self.decoder_norm = LayerNorm(config, rngs=rngs)
        if not config.logits_via_embedding:
            self.logits_dense = Dense(
                (config.emb_dim, config.vocab_size),
                ("embed", "vocab"),
                init=dense_init,
                dtype="float32",
                rngs=rngs,
            )

    def __call__(
        self,
        y: Float[Array, "batch length dim"],
        *,
        encoded: Float[Array, "batch inputs dim"],
        segment_ids: Int[Array, "batch length"],
        encoder_segment_ids: Int[Array, "batch inputs"],
        dropout: Dropout,
        cross_segment_ids: Int[Array, "batch length"] | None = None,
    ) -> Float[Array, "batch length dim"]:
        """Teacher-forced features before the output layer.

        `cross_segment_ids` are the segments as cross-attention sees them, where they differ:
        several sequences of one row may all read one prompt.
        """
        if cross_segment_ids is None:
            cross_segment_ids = segment_ids
        length = y.shape[1]
        bias = self.relpos_bias(length, length)
        mask = segment_mask(segment_ids, segment_ids) & jnp.tri(length, dtype=bool)
        cross_mask = segment_mask(cross_segment_ids, encoder_segment_ids)
        inner = dropout.fold(1)

        def step(layer: DecoderLayer, y: jax.Array, _: None, n: jax.Array) -> tuple[Any, None]:
            y = layer(
                y,
                encoded=encoded,
                bias=bias,
                mask=mask,
                cross_mask=cross_mask,
                dropout=inner.fold(n),
            )
            return y, None

        y = dropout(y, 2)
        y, _ = scan_layers(self.layers, step, y, config=self.config, remat=True)
        return dropout(self.decoder_norm(y), 3)


class EncoderDecoder(nnx.Module):
    """T5 1.1 (Raffel et al. 2020; Shazeer 2020): tokens in, logits out."""

    def __init__(self, config: T5Config, *, rngs: nnx.Rngs) -> None:
        self.config = config
        self.token_embedder = Embedding(config, rngs=rngs)
        self.encoder = Encoder(config, rngs=rngs)
        self.decoder = Decoder(config, rngs=rngs)

    def encode(
        self,
        tokens: Int[Array, "batch inputs"],
        segment_ids: Int[Array, "batch inputs"] | None = None,
        *,
        dropout_keys: DropoutKeys = None,
    ) -> Float[Array, "batch inputs dim"]:
        """Encodings; without segment ids every non-zero token is one segment."""
        segment_ids = _segments(tokens, segment_ids)
        dropout = Dropout(self.config.dropout_rate, dropout_keys).fold(0)
        x = constrain(self.token_embedder(tokens), STREAM)
        return self.encoder(x, segment_ids, dropout)

    def __call__(
        self,
        encoder_input_tokens: Int[Array, "batch inputs"],
        decoder_input_tokens: Int[Array, "batch length"],
        decoder_target_tokens: Int[Array, "batch length"],
        *,
        encoder_segment_ids: Int[Array, "batch inputs"] | None = None,
        decoder_segment_ids: Int[Array, "batch length"] | None = None,
        dropout_keys: DropoutKeys = None,
    ) -> Float[Array, "batch length vocab"]:
        """Teacher-forced logits, float32. Target tokens say which positions are padding.

        Args:
            encoder_input_tokens: 0 is padding.
            decoder_input_tokens: targets shifted right within each segment.
            decoder_target_tokens: 0 is padding.
            encoder_segment_ids: 1, 2, ... for packed examples, 0 for padding.
            decoder_segment_ids: likewise.
            dropout_keys: one PRNG key per row, or None for evaluation.
        """
        encoded = self.encode(encoder_input_tokens, encoder_segment_ids, dropout_keys=dropout_keys)
        y = self.decoder(
            constrain(self.token_embedder(decoder_input_tokens), STREAM),
            encoded=encoded,
            segment_ids=_segments(decoder_target_tokens, decoder_segment_ids),
            encoder_segment_ids=_segments(encoder_input_tokens, encoder_segment_ids),
            dropout=Dropout(self.config.dropout_rate, dropout_keys).fold(1),
        )
        return constrain(self.logits(y), ("batch", "length", "vocab"))

    def logits(self, y: Float[Array, "batch length dim"]) -> Float[Array, "batch length vocab"]:
        """Output layer, always in float32."""
        if self.config.logits_via_embedding:
            y = y.astype(jnp.float32) / jnp.sqrt(jnp.float32(self.config.emb_dim))
            return jnp.dot(y, self.token_embedder.embedding[...].T)
        return self.decoder.logits_dense(y)


class Embedding(nnx.Module):
    """Token vectors, by gather (a one-hot product costs 2*vocab*emb_dim FLOPs a token)."""

    def __init__(self, config: T5Config, *, rngs: nnx.Rngs) -> None:
        shape = (config.vocab_size, config.emb_dim)
        self.embedding = param(rngs, embedding_init, shape, ("vocab", "embed"))
        self.dtype = jnp.dtype(config.dtype)

    def __call__(self, tokens: Int[Array, "batch length"]) -> Float[Array, "batch length dim"]:
        return jnp.take(self.embedding[...].astype(self.dtype), tokens, axis=0)


def _segments(
    tokens: Int[Array, "batch length"], segment_ids: Int[Array, "batch length"] | None
) -> Int[Array, "batch length"]:
    return (tokens > 0).astype(jnp.int32) if segment_ids is None else segment_ids
