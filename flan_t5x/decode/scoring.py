"""Log-probabilities of given texts, several for one prompt in one pass: for ranking options."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from flan_t5x.decode.sampling import PAD
from flan_t5x.model.layers import NO_DROPOUT
from flan_t5x.model.model import Model, Params


class TokenScores(NamedTuple):
    """What is known of every token.

    Attributes:
        log_probs: of the token, given prompt and tokens before it in its text; 0 at padding.
        greedy: whether it is the most likely token.
    """

    log_probs: Float[Array, "batch length"]
    greedy: Bool[Array, "batch length"]


def token_scores(
    model: Model,
    params: Params,
    encoder_input_tokens: Int[Array, "batch inputs"],
    tokens: Int[Array, "batch length"],
    segment_ids: Int[Array, "batch length"],
) -> TokenScores:
    """Scores texts that a row's prompt may be followed by, each as if it were alone.

    The texts of a row stand one after another in the decoder, told apart by segment ids as in
    packed training. The prompt is encoded once, and projected to keys and values once.

    Args:
        model: the network.
        params: its parameters.
        encoder_input_tokens: prompts, 0 is padding.
        tokens: the texts of every row.
        segment_ids: 1, 2, ... for them, 0 for padding.
    """
    network = model.bind(params)
    before = jnp.pad(segment_ids, ((0, 0), (1, 0)))[:, :-1]
    shifted = jnp.pad(tokens, ((0, 0), (1, 0)))[:, :-1]
    y = network.decoder(
        network.token_embedder(jnp.where(before == segment_ids, shifted, PAD)),
        encoded=network.encode(encoder_input_tokens),
        segment_ids=segment_ids,
        cross_segment_ids=(segment_ids > 0).astype(jnp.int32),
        encoder_segment_ids=(encoder_input_tokens > 0).astype(jnp.int32),
        dropout=NO_DROPOUT,
    )
    logits = network.logits(y)
    chosen = jnp.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]
    log_probs = chosen - jax.nn.logsumexp(logits, axis=-1)
    return TokenScores(
        jnp.where(segment_ids > 0, log_probs, 0.0), jnp.argmax(logits, axis=-1) == tokens
    )
