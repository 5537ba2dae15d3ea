"""The decoder, one token at a time, over a cache of keys and values.

A prompt may be continued by several sequences at once (beams). They read the prompt's encoding
once, together. Beams also share their cache of past tokens: a slot of the cache holds what one
beam wrote at one position, and `ancestry` says which slots are a beam's own past. When beams
are replaced by others, the small ancestry table is reordered and the cache stays where it is.
Samples of a prompt have a past of their own each: read through an ancestry table, every one of n
samples would multiply with the pasts of all n.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from flan_t5x.model.attention import KeyValues, decoding_keys
from flan_t5x.model.encoder_decoder import DecoderLayer, EncoderDecoder, scan_layers
from flan_t5x.parallel.activations import unconstrained

Cache = KeyValues | list[KeyValues]
"""Keys and values of what was decoded so far, in the layout of `decoding_keys`, with max_length *
beams slots: what beam w wrote at position l is in slot l * beams + w. A row per prompt, or, with
samples, one per sample, prompt by prompt. A list of layers, or, where layers are scanned, stacked
arrays."""


class Decoder:
    """Decodes rows of prompts; meant to be used inside jit.

    Args:
        network: with its parameters.
        encoder_input_tokens: [batch, inputs], 0 is padding.
        max_length: most tokens to decode.
        beams: sequences per prompt that share one cache.
        samples: sequences per prompt with a cache of their own each; one of the two is 1.

    Attributes:
        cache: the empty cache to start with.
    """

    def __init__(
        self,
        network: EncoderDecoder,
        encoder_input_tokens: Int[Array, "batch inputs"],
        *,
        max_length: int,
        beams: int = 1,
        samples: int = 1,
    ) -> None:
        config = network.config
        self._network = network
        self._max_length = max_length
        self._beams = beams
        self._mask = (encoder_input_tokens > 0)[:, None, None, :]
        self._bias = network.decoder.relpos_bias(max_length, max_length)
        layers = network.decoder.layers
        self._graphdef, state = nnx.split(layers)
        encoded = network.encode(encoder_input_tokens)

        def cross(layer: DecoderLayer, _: None, __: None, n: jax.Array) -> tuple[None, KeyValues]:
            return None, decoding_keys(layer.encoder_decoder_attention.keys(encoded))

        _, cross_keys = scan_layers(layers, cross, None, config=config)
        batch, slots = encoder_input_tokens.shape[0] * samples, max_length * beams
        heads, head_dim, dtype = config.num_heads, config.head_dim, jnp.dtype(config.dtype)
        empty = KeyValues(
            jnp.zeros((batch, heads, head_dim, slots), dtype),
            jnp.zeros((batch, heads, slots, head_dim), dtype),
        )
        count = config.num_decoder_layers
        self._layers: Any = (state, cross_keys)
        if config.unroll_decode:
            # Taken apart before the loop over tokens: inside, every step would copy them out.
            self._layers = [jax.tree.map(lambda x, i=i: x[i], self._layers) for i in range(count)]
            self.cache: Cache = [empty] * count
        else:
            self.cache = jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), empty)

    @unconstrained()
    def step(
        self,
        tokens: Int[Array, "batch sequences"],
        cache: Cache,
        *,
        position: Int[Array, ""],
        ancestry: Bool[Array, "batch beams length beams"] | None = None,
    ) -> tuple[Float[Array, "batch sequences vocab"], Cache]:
        """Logits for the token after `tokens`, which stand at `position`, and the new cache.

        Args:
            tokens: the last token of every sequence.
            cache: of the positions before; what stands at `position` and after is ignored.
            position: index of `tokens`.
            ancestry: with beams: whether what beam w wrote at position l is in a beam's past;
                at `position`, its own.
        """
        seen = jnp.arange(self._max_length) <= position  # [length]
        mask = seen[None, None, None, :]
        if ancestry is not None:
            batch, beams = tokens.shape
            mask = (ancestry & seen[:, None]).reshape(batch, 1, beams, -1)
        bias = jax.lax.dynamic_slice_in_dim(self._bias, position, 1, axis=2)
        bias = jnp.repeat(bias, self._beams, axis=3)

        def layer(y: jax.Array, of_layer: Any, past: KeyValues) -> tuple[jax.Array, KeyValues]:
            state, cross = of_layer
            return nnx.merge(self._graphdef, state).decode(
                y,
                past,
                cross,
                slot=position * self._beams,
                bias=bias,
                mask=mask,
                cross_mask=self._mask,
            )

        y = self._network.token_embedder(tokens)
        if isinstance(cache, list):
            written = []
            for of_layer, past in zip(self._layers, cache, strict=True):
                y, past = layer(y, of_layer, past)
                written.append(past)
            cache = written
        else:
            y, cache = jax.lax.scan(lambda y, x: layer(y, *x), y, (self._layers, cache))
        return self._network.logits(self._network.decoder.decoder_norm(y)), cache
