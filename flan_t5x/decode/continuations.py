"""One call for all ways of decoding: greedy, sampling, several samples, beam search."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from flan_t5x.decode.beam import Beams, BeamSearch, beam_search
from flan_t5x.decode.beam_rules import BEAM_RULES
from flan_t5x.decode.sampling import EOS, Samples, Sampling, sample
from flan_t5x.errors import UserError, require_count
from flan_t5x.model.model import Model, Params

Decoding = Sampling | BeamSearch


def check_samples(decoding: Decoding, samples: int) -> None:
    """Raises UserError where several samples could only be one and the same."""
    require_count("num_samples", samples)
    if samples > 1 and isinstance(decoding, BeamSearch):
        raise UserError(
            f"num_samples = {samples} with beam search: beams are no independent samples; "
            "use sampling.Sampling with a temperature above 0"
        )
    if samples > 1 and isinstance(decoding, Sampling) and decoding.temperature == 0.0:
        raise UserError(
            f"num_samples = {samples} with temperature 0: all samples would be the same; "
            "set a temperature, e.g. 0.7"
        )


def continuations(
    model: Model,
    params: Params,
    encoder_input_tokens: Int[Array, "batch inputs"],
    *,
    max_length: int,
    decoding: Decoding,
    samples: int = 1,
    keys: Key[Array, " batch"] | None = None,
) -> Samples:
    """Continues every prompt as `decoding` says.

    Args:
        model: the network.
        params: its parameters.
        encoder_input_tokens: prompts, 0 is padding.
        max_length: most tokens to generate, EOS included.
        decoding: how tokens are chosen.
        samples: independent samples of each prompt; 1 for greedy and beam search.
        keys: one PRNG key per row; needed where `decoding` draws.

    Returns:
        Tokens, and the summed log-probability of each sequence under the model, which for beam
        search (the best beam alone is returned) is the score without its length penalty.
    """
    if isinstance(decoding, Sampling):
        return sample(
            model,
            params,
            encoder_input_tokens,
            max_length=max_length,
            samples=samples,
            sampling=decoding,
            keys=keys,
        )
    found = beam_search(
        model,
        params,
        encoder_input_tokens,
        max_length=max_length,
        beams=decoding.beams,
        alpha=decoding.alpha,
        rules=decoding.rules,
    )
    log_probs = _without_penalty(found, decoding)
    return Samples(found.tokens[:, :1], log_probs, jnp.asarray(max_length))


def _without_penalty(found: Beams, decoding: BeamSearch) -> Float[Array, "batch 1"]:
    """Log-probabilities of the best beams."""
    rule = BEAM_RULES[decoding.rules]
    scores, is_end = found.scores[:, :1], found.tokens[:, 0] == EOS
    ended = is_end.any(axis=-1, keepdims=True)
    length = jnp.where(ended, is_end.argmax(axis=-1, keepdims=True) + 1, is_end.shape[-1])
    return jnp.where(rule.has_penalty(ended), scores * rule.penalty(decoding.alpha, length), scores)
