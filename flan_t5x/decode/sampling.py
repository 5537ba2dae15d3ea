"""Token-by-token decoding over a key-value cache: greedy, temperature, top-k, nucleus."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from flan_t5x.errors import UserError
from flan_t5x.model.decoding import Cache, Decoder
from flan_t5x.model.model import Model, Params

EOS = 1
PAD = 0
_BLOCK = 128
"""Tokens; near the root of the vocabulary's size, where the fewest random numbers are made."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        temperature: 0 is greedy; else logits are divided by it.
        top_k: keep the k most likely tokens; 0 keeps all.
        top_p: keep the most likely tokens that together reach this probability; 1 keeps all.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise UserError(f"temperature = {self.temperature!r}: needs a number >= 0")
        if self.top_k < 0 or not 0 < self.top_p <= 1:
            raise UserError(
                f"top_k = {self.top_k!r}, top_p = {self.top_p!r}: needs top_k >= 0, 0 < top_p <= 1"
            )


class Decoded(NamedTuple):
    """What `decode` returns.

    Attributes:
        tokens: [batch, max_length], EOS included, zeros after it.
        log_probs: [batch], summed log-probabilities of the chosen tokens under the model.
        steps: decoder steps run (all rows may end early).
    """

    tokens: Int[Array, "batch length"]
    log_probs: Float[Array, " batch"]
    steps: Int[Array, ""]


class Samples(NamedTuple):
    """What `sample` returns: as `Decoded`, for every sample of every prompt."""

    tokens: Int[Array, "batch samples length"]
    log_probs: Float[Array, "batch samples"]
    steps: Int[Array, ""]


def decode(
    model: Model,
    params: Params,
    encoder_input_tokens: Int[Array, "batch inputs"],
    *,
    max_length: int,
    sampling: Sampling | None = None,
    keys: Key[Array, " batch"] | None = None,
) -> Decoded:
    """Continues from the start token until every row has ended or `max_length` is reached.

    A row's tokens depend on its prompt and its key alone, not on the batch around it.

    Args:
        model: the network.
        params: its parameters.
        encoder_input_tokens: prompts, 0 is padding.
        max_length: most tokens to generate, EOS included.
        sampling: default greedy.
        keys: one PRNG key per row; needed unless greedy.
    """
    found = sample(
        model,
        params,
        encoder_input_tokens,
        max_length=max_length,
        samples=1,
        sampling=sampling,
        keys=keys,
    )
    return Decoded(found.tokens[:, 0], found.log_probs[:, 0], found.steps)


def sample(
    model: Model,
    params: Params,
    encoder_input_tokens: Int[Array, "batch inputs"],
    *,
    max_length: int,
    samples: int,
    sampling: Sampling | None = None,
    keys: Key[Array, " batch"] | None = None,
) -> Samples:
    """Several independent continuations of every prompt, which is encoded once.

    Sample i of a row is a function of (prompt, key, i): the first of five is the first of two.

    Args:
        model: the network.
        params: its parameters.
        encoder_input_tokens: prompts, 0 is padding.
        max_length: most tokens to generate, EOS included.
        samples: how many of each prompt.
        sampling: default greedy.
        keys: one PRNG key per row; needed unless greedy.
    """
    sampling = sampling or Sampling()
    if sampling.temperature > 0.0 and keys is None:
        raise ValueError("sampling needs one PRNG key per row")
    decoder = Decoder(
        model.bind(params), encoder_input_tokens, max_length=max_length, samples=samples
    )
    rows = encoder_input_tokens.shape[0]
    batch = rows * samples  # sequences, those of a prompt side by side
    if keys is not None:
        fold = jax.vmap(jax.vmap(jax.random.fold_in, (None, 0)), (0, None))
        keys = fold(keys, jnp.arange(samples)).reshape(batch)

    class Loop(NamedTuple):
        position: Int[Array, ""]
        last: Int[Array, " batch"]
        tokens: Int[Array, "batch length"]
        ended: Array
        log_probs: Float[Array, " batch"]
        cache: Cache

    def running(loop: Loop) -> Array:
        return (loop.position < max_length) & ~jnp.all(loop.ended)

    def step(loop: Loop) -> Loop:
        last = loop.last.reshape(rows, samples)
        logits, cache = decoder.step(last, loop.cache, position=loop.position)
        logits = logits.reshape(batch, -1)
        scores = logits
        if keys is not None and sampling.temperature > 0.0:
            step_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, loop.position)
            filtered = filter_logits(logits / sampling.temperature, sampling)
            scores = jax.vmap(perturbed)(step_keys, filtered)
        chosen = jax.vmap(largest)(scores)
        chosen = jnp.where(loop.ended, PAD, chosen)
        log_prob = jnp.take_along_axis(logits, chosen[:, None], axis=-1)[:, 0]
        log_prob = log_prob - jax.nn.logsumexp(logits, axis=-1)
        return Loop(
            position=loop.position + 1,
            last=chosen,
            tokens=jax.lax.dynamic_update_index_in_dim(loop.tokens, chosen, loop.position, 1),
            ended=loop.ended | (chosen == EOS),
            log_probs=loop.log_probs + jnp.where(loop.ended, 0.0, log_prob),
            cache=cache,
        )

    start = Loop(
        position=jnp.zeros((), jnp.int32),
        last=jnp.full((batch,), PAD, jnp.int32),
        tokens=jnp.full((batch, max_length), PAD, jnp.int32),
        # An all-padding prompt only fills the batch.
        ended=jnp.repeat(~jnp.any(encoder_input_tokens > 0, axis=-1), samples),
        log_probs=jnp.zeros((batch,), jnp.float32),
        cache=decoder.cache,
    )
    end = jax.lax.while_loop(running, step, start)
    return Samples(
        end.tokens.reshape(rows, samples, max_length),
        end.log_probs.reshape(rows, samples),
        end.position,
    )


def perturbed(key: Key[Array, ""], logits: Float[Array, " vocab"]) -> Float[Array, " vocab"]:
    """Logits with noise, of which the largest is a token drawn by softmax(logits).

    The Gumbel-max trick twice: over blocks of tokens by their sum, then over the tokens of that
    block. So a random number is made for every block and one for every token of a block, not one
    for every token: that took a fifth of a decoding step (T5 1.1 small on a CPU).

    Args:
        key: of this token.
        logits: unnormalised; what is -inf stays so.
    """
    of_block, of_token = jax.random.split(key)
    blocks = _blocks(logits)
    sums = jax.nn.logsumexp(blocks, axis=-1)
    sums += jax.random.gumbel(of_block, sums.shape, sums.dtype)
    tokens = blocks + jax.random.gumbel(of_token, (_BLOCK,), logits.dtype)
    # The best of every block gets the block's sum, its others less.
    best = jnp.max(tokens, axis=-1)
    lifted = tokens + jnp.where(jnp.isinf(best), 0.0, sums - best)[:, None]
    return lifted.reshape(-1)[: logits.size]


def largest(scores: Float[Array, " vocab"]) -> Int[Array, ""]:
    """Index of the first largest, as `jnp.argmax` (but NaN is not preferred).

    By blocks, as maxima of numbers are fast and maxima with their index are not: a tenth of the
    time on a CPU.
    """
    blocks = _blocks(scores)
    block = jnp.argmax(jnp.max(blocks, axis=-1))
    return (block * _BLOCK + jnp.argmax(blocks[block])).astype(jnp.int32)


def _blocks(scores: Float[Array, " vocab"]) -> Float[Array, "blocks block"]:
    padding = -scores.size % _BLOCK
    return jnp.pad(scores, (0, padding), constant_values=-jnp.inf).reshape(-1, _BLOCK)


def filter_logits(
    logits: Float[Array, "batch vocab"], sampling: Sampling
) -> Float[Array, "batch vocab"]:
    """Logits with everything outside top-k and the nucleus at -inf.

    The nucleus (Holtzman et al. 2020) is the smallest set of most likely tokens whose
    probability reaches `top_p`; the most likely token always stays.
    """
    if sampling.top_k:
        k = min(sampling.top_k, logits.shape[-1])
        # The minimum, not the last: XLA takes a slice that is not a prefix for a full sort.
        floor = jnp.min(jax.lax.top_k(logits, k)[0], axis=-1, keepdims=True)
        logits = jnp.where(logits < floor, -jnp.inf, logits)
    if sampling.top_p < 1.0:
        order = jnp.argsort(-logits, axis=-1)
        probs = jax.nn.softmax(jnp.take_along_axis(logits, order, axis=-1), axis=-1)
        outside = jnp.cumsum(probs, axis=-1) - probs >= sampling.top_p
        rank = jnp.argsort(order, axis=-1)
        logits = jnp.where(jnp.take_along_axis(outside, rank, axis=-1), -jnp.inf, logits)
    return logits
