"""Decoding: new tokens per second of greedy search, sampling and beam search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flan_t5x.bench.flops import encoder_flops
from flan_t5x.bench.machine import MatmulRate, peak_rss_bytes
from flan_t5x.bench.peer import Peer, peer_figures
from flan_t5x.bench.rounds import Times, time_rounds
from flan_t5x.bench.workload import Workload, prompts
from flan_t5x.decode.beam import beam_search
from flan_t5x.decode.sampling import EOS, Sampling, decode
from flan_t5x.model.model import Model, Params

METHODS = ("greedy", "sample", "beam4")
BEAMS = 4
TEMPERATURE = 0.7
"""Of "sample"; the value that self-consistency uses (Wang et al. 2022)."""


def random_params(model: Model) -> Params:
    """Random weights with EOS's logit at 0, so that hardly any sequence ends before its length."""
    params = jax.jit(model.init)(jax.random.key(0))
    if not model.config.logits_via_embedding:
        head = params["decoder"]["logits_dense"]["kernel"]
        params["decoder"]["logits_dense"]["kernel"] = head.at[:, EOS].set(0.0)
    return params


def bench_decode(
    workload: Workload, *, rounds: int, max_length: int, peer: Peer | None = None
) -> dict[str, Any]:
    """Measures whole calls: encoding the prompts, then decoding `max_length` tokens each.

    Args:
        workload: model, batch and input length.
        rounds: timed rounds.
        max_length: new tokens per prompt.
        peer: another system on the same shapes, with random weights of its own.

    Returns:
        The figures by name. `floor_seconds` is what a call cannot go below here: the encoder's
        FLOPs at the machine's matrix-product rate, and one reading of the decoder's weights and
        of the cross-attention's keys and values per token at its reading rate.
    """
    model = Model(workload.config)
    params = random_params(model)
    tokens = jnp.asarray(prompts(workload))
    rate = MatmulRate(dtype=workload.config.dtype)
    calls = {name: _call(name, model, params, tokens, max_length) for name in METHODS}
    made = {name: _new_tokens(call()) for name, call in calls.items()}
    peak = peak_rss_bytes()
    contestants: dict[str, Callable[[], object]] = dict(calls)
    if peer is not None:
        theirs = peer.generators(
            workload, max_length=max_length, beams=BEAMS, temperature=TEMPERATURE
        )
        contestants |= {f"peer {name}": run for name, run in theirs.items()}
    times = time_rounds(contestants, rounds=rounds, between=rate.sample)
    figures: dict[str, Any] = {
        "workload": workload.describe(),
        "max_length": max_length,
        "rounds": rounds,
        "peak_rss_bytes": peak,
        "floor_seconds": _floor(workload, model, rate.median, max_length),
    }
    for name in METHODS:
        figures[name] = _figures(times[name], made[name])
        other = times.get(f"peer {name}")
        if other is not None and peer is not None:
            tokens_made = workload.batch * max_length
            figures[name]["peer"] = peer_figures(peer, times[name], other, tokens=tokens_made)
    return figures


def _call(
    name: str, model: Model, params: Params, tokens: jax.Array, max_length: int
) -> Callable[[], jax.Array]:
    def run(params: Params, tokens: jax.Array) -> jax.Array:
        if name == "beam4":
            found = beam_search(model, params, tokens, max_length=max_length, beams=BEAMS)
            return found.tokens[:, 0]
        sampling = Sampling(temperature=TEMPERATURE if name == "sample" else 0.0)
        keys = jax.random.split(jax.random.key(0), len(tokens)) if name == "sample" else None
        return decode(
            model, params, tokens, max_length=max_length, sampling=sampling, keys=keys
        ).tokens

    compiled = jax.jit(run).lower(params, tokens).compile()

    def call() -> jax.Array:
        return jax.block_until_ready(compiled(params, tokens))

    return call


def _new_tokens(tokens: jax.Array) -> int:
    """Tokens of all rows up to EOS, itself included, or to the end of the row."""
    is_eos = np.asarray(tokens) == EOS
    ended_before = np.cumsum(is_eos, axis=-1) - is_eos > 0
    return int((~ended_before).sum())


def _figures(times: Times, tokens: int) -> dict[str, Any]:
    return {
        "tokens_per_second": tokens / times.median,
        "seconds_median": times.median,
        "seconds_min": times.fastest,
        "seconds_max": times.slowest,
        "new_tokens": tokens,
    }


def _floor(workload: Workload, model: Model, rate: float, max_length: int) -> float:
    c = workload.config
    cross = 2 * c.num_decoder_layers * workload.inputs * c.joined_kv * workload.batch
    # Encoding, and projecting its result to the decoder's keys and values.
    flops = encoder_flops(c, batch=workload.batch, inputs=workload.inputs)
    flops += 2 * c.emb_dim * cross
    decoder = jax.tree.leaves(model.abstract_params["decoder"])
    read = sum(leaf.size * leaf.dtype.itemsize for leaf in decoder)
    read += cross * jnp.dtype(c.dtype).itemsize
    return flops / rate + max_length * read / _reading_rate()


def _reading_rate() -> float:
    """Bytes per second of summing an array that no cache holds."""
    array = jnp.ones(2**26, jnp.float32)
    total = jax.jit(jnp.sum)
    times = time_rounds({"read": lambda: total(array).block_until_ready()}, rounds=3)
    return array.nbytes / times["read"].fastest
