"""Model FLOPs by arithmetic: dense products and attention; nothing that a machine adds to them.

Left out: embedding lookup, norms, softmax, dropout, and whatever is computed a second time in the
backward pass. A multiply and an add are two.
"""

from __future__ import annotations

from flan_t5x.model.config import T5Config


def encoder_flops(config: T5Config, *, batch: int, inputs: int) -> int:
    """Forward FLOPs of the encoder on [batch, inputs]."""
    d, kv = config.emb_dim, config.joined_kv
    dense = 2 * (4 * d * kv + _mlp(config)) * inputs
    attention = 2 * 2 * inputs * inputs * kv
    return config.num_encoder_layers * batch * (dense + attention)


def decoder_flops(config: T5Config, *, batch: int, inputs: int, targets: int) -> int:
    """Forward FLOPs of the decoder on [batch, targets], output layer included."""
    d, kv = config.emb_dim, config.joined_kv
    dense = 2 * (4 * d * kv + 2 * d * kv + _mlp(config)) * targets
    cross_keys = 2 * 2 * d * kv * inputs
    attention = 2 * 2 * targets * (targets + inputs) * kv
    layers = config.num_decoder_layers * batch * (dense + cross_keys + attention)
    return layers + 2 * d * config.vocab_size * batch * targets


def train_flops(config: T5Config, *, batch: int, inputs: int, targets: int) -> int:
    """FLOPs of a training step: forward, and twice as much backward."""
    forward = encoder_flops(config, batch=batch, inputs=inputs)
    forward += decoder_flops(config, batch=batch, inputs=inputs, targets=targets)
    return 3 * forward


def _mlp(config: T5Config) -> int:
    return (len(config.mlp_activations) + 1) * config.emb_dim * config.mlp_dim
