"""The arithmetic of model FLOPs against the products that the traced model really has."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.extend.core import ClosedJaxpr, Jaxpr

from flan_t5x.bench.flops import decoder_flops, encoder_flops, train_flops
from flan_t5x.model.config import T5Config
from flan_t5x.model.model import Model

B, INPUTS, TARGETS = 2, 12, 7
CONFIG = T5Config(
    vocab_size=50, emb_dim=16, num_heads=3, head_dim=4, mlp_dim=20,
    num_encoder_layers=2, num_decoder_layers=3,
)  # fmt: skip


def _products(jaxpr: Jaxpr) -> int:
    """2 * m * n * k of every matrix product, loops counted as often as they run."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            depth = math.prod(left[i] for i in contracted)
            total += 2 * depth * math.prod(equation.outvars[0].aval.shape)
        times = equation.params["length"] if equation.primitive.name == "scan" else 1
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_jaxpr):
            if _is_jaxpr(inner):
                total += times * _products(getattr(inner, "jaxpr", inner))
    return total


def _is_jaxpr(x: Any) -> bool:
    return isinstance(x, Jaxpr | ClosedJaxpr)


def _position_bias(length: int) -> int:
    """The products that lay out a stack's relative position bias, which are not model FLOPs."""
    distances = 2 * length - 1
    looked_up = 2 * CONFIG.num_heads * CONFIG.relpos_num_buckets * distances
    return looked_up + 2 * CONFIG.num_heads * length * (distances + 1)


def _sums_of_weights(*pairs: int) -> int:
    """A column more in the product with the values, where that gives the softmax's sums."""
    return 2 * B * CONFIG.num_heads * sum(pairs)


@pytest.mark.parametrize("attention", ["reference", "head_by_head", "saved_sums"])
def test_forward_flops_are_those_of_the_traced_products(attention: str) -> None:
    config = dataclasses.replace(CONFIG, attention=attention)
    model = Model(config)
    sums = attention == "saved_sums"
    encoder_sums = sums * config.num_encoder_layers * _sums_of_weights(INPUTS**2)
    decoder_sums = _sums_of_weights(TARGETS**2, TARGETS * INPUTS)
    decoder_sums *= sums * config.num_decoder_layers
    tokens = jnp.zeros((B, INPUTS), jnp.int32)
    encode = jax.make_jaxpr(lambda p: model.bind(p).encode(tokens))(model.abstract_params)
    encoder = encoder_flops(config, batch=B, inputs=INPUTS)
    assert _products(encode.jaxpr) == encoder + encoder_sums + _position_bias(INPUTS)
    batch = {
        "encoder_input_tokens": tokens,
        "decoder_input_tokens": tokens[:, :TARGETS],
        "decoder_target_tokens": tokens[:, :TARGETS],
    }
    forward = jax.make_jaxpr(lambda p: model.logits(p, batch))(model.abstract_params)
    decoder = decoder_flops(config, batch=B, inputs=INPUTS, targets=TARGETS)
    more = _position_bias(INPUTS) + _position_bias(TARGETS) + encoder_sums + decoder_sums
    assert _products(forward.jaxpr) == encoder + decoder + more
    step = train_flops(config, batch=B, inputs=INPUTS, targets=TARGETS)
    assert step == 3 * (encoder + decoder)
