"""Beam search over the key-value cache, by T5X's rules or by those of transformers."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from flan_t5x.decode.beam_rules import BEAM_RULES, NEVER, RULES_NAMES, RulesName
from flan_t5x.decode.sampling import EOS, PAD
from flan_t5x.errors import UserError, nearest, require_count
from flan_t5x.model.decoding import Cache, Decoder
from flan_t5x.model.model import Model, Params


@dataclasses.dataclass(frozen=True, kw_only=True)
class BeamSearch:
    """Beam search in place of sampling, wherever a `Sampling` may stand.

    Attributes:
        beams: width.
        alpha: exponent of the length penalty; 0 compares plain log-probabilities.
        rules: "t5x", or "transformers" for the tokens that its ``generate`` gives with
            ``length_penalty=alpha`` (1.0 there by default); see `flan_t5x.decode.beam_rules`.
    """

    beams: int = 4
    alpha: float = 0.6
    rules: RulesName = "t5x"

    def __post_init__(self) -> None:
        require_count("BeamSearch.beams", self.beams)
        if not self.alpha >= 0:
            raise UserError(f"BeamSearch.alpha = {self.alpha!r}: needs a number >= 0")
        if self.rules not in RULES_NAMES:
            hint = nearest(self.rules, RULES_NAMES) or f"known: {', '.join(RULES_NAMES)}"
            raise UserError(f"BeamSearch.rules = {self.rules!r} is not known; {hint}")


class Beams(NamedTuple):
    """What beam search returns, the best beam first.

    Attributes:
        tokens: [batch, beams, max_length], EOS included, zeros after it.
        scores: [batch, beams], summed log-probability over the length penalty; by T5X's rules a
            row in which nothing ended returns its unfinished beams with plain log-probabilities.
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
    is_open: Bool[Array, " batch"]
    ancestry: Bool[Array, "batch beams length beams"]
    cache: Cache


def beam_search(
    model: Model,
    params: Params,
    encoder_input_tokens: Int[Array, "batch inputs"],
    *,
    max_length: int,
    beams: int = 4,
    alpha: float = 0.6,
    rules: RulesName = "t5x",
) -> Beams:
    """The `beams` best continuations of every prompt.

    At each step the 2 * beams best extensions of the live beams are found, so that enough stay
    live when some of them end. The search stops when, for every row, no live beam can still
    beat the worst ended one.

    Args:
        model: the network.
        params: its parameters.
        encoder_input_tokens: prompts, 0 is padding.
        max_length: most tokens to generate, EOS included.
        beams: width.
        alpha: exponent of the length penalty; 0 compares plain log-probabilities.
        rules: whose penalty, ending and stopping.
    """
    rule = BEAM_RULES[rules]
    network = model.bind(params)
    batch = encoder_input_tokens.shape[0]
    decoder = Decoder(network, encoder_input_tokens, max_length=max_length, beams=beams)
    # What a beam writes at a position becomes its own past, in the slot with its number.
    own = jnp.broadcast_to(jnp.eye(beams, dtype=bool)[None, :, None], (batch, beams, 1, beams))

    def running(s: _Search) -> Array:
        return (s.position < max_length) & s.is_open.any()

    def step(s: _Search) -> _Search:
        last = jnp.where(
            s.position > 0,
            jax.lax.dynamic_index_in_dim(
                s.live_tokens, jnp.maximum(s.position - 1, 0), axis=2, keepdims=False
            ),
            PAD,
        )
        ancestry = jax.lax.dynamic_update_slice_in_dim(s.ancestry, own, s.position, axis=2)
        logits, cache = decoder.step(last, s.cache, position=s.position, ancestry=ancestry)
        log_probs = jax.nn.log_softmax(logits)
        vocab = log_probs.shape[-1]
        total = (log_probs + s.live_log_probs[:, :, None]).reshape(batch, -1)
        top, flat = jax.lax.top_k(total, 2 * beams)  # best first
        parent, token = flat // vocab, (flat % vocab).astype(jnp.int32)
        tokens = jnp.take_along_axis(s.live_tokens, parent[:, :, None], axis=1)
        tokens = jax.lax.dynamic_update_index_in_dim(tokens, token, s.position, axis=2)
        ended = token == EOS
        live_log_probs, kept = jax.lax.top_k(top + ended * NEVER, beams)
        live_tokens = jnp.take_along_axis(tokens, kept[:, :, None], axis=1)
        parent = jnp.take_along_axis(parent, kept, axis=1)
        length = s.position + 1
        finished = rule.finished(ended, s.is_open, last=length == max_length)
        scores = jnp.where(finished, top / rule.penalty(alpha, length), NEVER)
        all_scores = jnp.concatenate([s.done_scores, scores], axis=1)
        done_scores, chosen = jax.lax.top_k(all_scores, beams)
        all_tokens = jnp.concatenate([s.done_tokens, tokens], axis=1)
        all_done = jnp.concatenate([s.done, finished], axis=1)
        done = jnp.take_along_axis(all_done, chosen, axis=1)
        is_open = rule.open_rows(
            s.is_open,
            best_live=live_log_probs[:, 0],
            done=done,
            scores=done_scores,
            alpha=alpha,
            length=length,
            max_length=max_length,
        )
        return _Search(
            position=length,
            live_tokens=live_tokens,
            live_log_probs=live_log_probs,
            done_tokens=jnp.take_along_axis(all_tokens, chosen[:, :, None], axis=1),
            done_scores=done_scores,
            done=done,
            is_open=is_open,
            ancestry=jnp.take_along_axis(ancestry, parent[:, :, None, None], axis=1),
            cache=cache,
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
            is_open=jnp.ones((batch,), bool),
            ancestry=jnp.zeros((batch, beams, max_length, beams), bool),
            cache=decoder.cache,
        ),
    )
    any_done = end.done.any(axis=1)
    return Beams(
        jnp.where(any_done[:, None, None], end.done_tokens, end.live_tokens),
        jnp.where(any_done[:, None], end.done_scores, end.live_log_probs),
    )
