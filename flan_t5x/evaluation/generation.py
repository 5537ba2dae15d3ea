"""Generating answers for many prompts: length buckets, fixed shapes, few compilations."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import jax
import numpy as np
from jax.sharding import Mesh

from flan_t5x.decode.sampling import Decoded, Sampling, decode
from flan_t5x.model.model import Model, Params
from flan_t5x.parallel.activations import activation_sharding
from flan_t5x.parallel.mesh import BATCH_AXES, batch_divisor
from flan_t5x.parallel.rules import Rules, batch_axes, batch_sharding, replicated

BatchProgress = Callable[[int, int], None]
"""Told (prompts done, prompts in all)."""


@dataclass
class Generated:
    """Answers in the order of the prompts.

    Attributes:
        tokens: one int32 array per prompt, cut before EOS.
        log_probs: [prompts], summed log-probabilities of the answer under the model.
        compilations: programs compiled so far by this generator.
        seconds: wall time of this call.
    """

    tokens: list[np.ndarray]
    log_probs: np.ndarray
    compilations: int = 0
    seconds: float = field(default=0.0)


class Generator:
    """Compiled decoding, one program per length bucket, kept for the life of the run.

    Prompts are sorted by length and padded to the bucket, so that a short prompt never pays
    for a long one; every batch has `batch_size` rows (short ones are filled with padding).
    """

    def __init__(
        self,
        model: Model,
        *,
        mesh: Mesh,
        batch_size: int,
        max_input_length: int,
        max_decode_length: int,
        sampling: Sampling | None = None,
        rules: Rules = (),
    ) -> None:
        # With rules, they say how activations lie: rows, and positions of long prompts too.
        axes = batch_axes(rules) if rules else BATCH_AXES
        parts = batch_divisor(mesh, axes)
        self.batch_size = -(-batch_size // parts) * parts
        self.max_decode_length = max_decode_length
        self.buckets = length_buckets(max_input_length)
        self._sharding = batch_sharding(mesh, axes)
        self._compiled = 0
        self._sampling = sampling or Sampling()

        def run(params: Params, tokens: jax.Array, keys: jax.Array | None) -> Decoded:
            self._compiled += 1  # runs once per traced shape
            with activation_sharding(mesh, rules):
                return decode(
                    model,
                    params,
                    tokens,
                    max_length=max_decode_length,
                    sampling=self._sampling,
                    keys=keys,
                )

        self._run = jax.jit(run, out_shardings=replicated(mesh))

    def __call__(
        self,
        params: Params,
        prompts: Sequence[np.ndarray],
        *,
        seed: int = 0,
        progress: BatchProgress | None = None,
    ) -> Generated:
        """Generates for every prompt.

        Args:
            params: the model's parameters, placed on the mesh.
            prompts: int32 token arrays, EOS included. One longer than the longest bucket is
                cut, keeping its last token (EOS).
            seed: of sampling; a prompt's key is a function of (seed, its position in the list).
            progress: told (prompts done, prompts in all) after each batch.
        """
        start = time.monotonic()
        tokens: list[np.ndarray] = [np.zeros(0, np.int32)] * len(prompts)
        log_probs = np.zeros(len(prompts), np.float32)
        done = 0
        for chosen in self.batches([len(p) for p in prompts]):
            answers = self.answer(params, [prompts[i] for i in chosen], numbers=chosen, seed=seed)
            for row, i in enumerate(chosen):
                tokens[i] = answers.tokens[row]
            log_probs[chosen] = answers.log_probs
            done += len(chosen)
            if progress is not None:
                progress(done, len(prompts))
        return Generated(tokens, log_probs, self._compiled, time.monotonic() - start)

    def batches(self, lengths: Sequence[int]) -> list[np.ndarray]:
        """Which prompts are answered together: positions, shortest prompts first."""
        order = np.argsort(np.asarray(lengths, np.int64), kind="stable")
        return [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]

    def answer(
        self,
        params: Params,
        prompts: Sequence[np.ndarray],
        *,
        numbers: Sequence[int] | np.ndarray,
        seed: int = 0,
    ) -> Generated:
        """Generates for one batch: at most `batch_size` prompts.

        Args:
            params: as for a call, as is `seed`.
            prompts: as for a call.
            numbers: the prompts' numbers; sampling keys are a function of (seed, number).
        """
        start = time.monotonic()
        result = self._batch(params, prompts, np.asarray(numbers), seed)
        tokens, log_probs = jax.device_get((result.tokens, result.log_probs))
        answers = [until_eos(tokens[row]) for row in range(len(prompts))]
        seconds = time.monotonic() - start
        return Generated(answers, log_probs[: len(prompts)], self._compiled, seconds)

    def _batch(
        self, params: Params, prompts: Sequence[np.ndarray], ids: np.ndarray, seed: int
    ) -> Decoded:
        longest = max(len(p) for p in prompts)
        length = next((b for b in self.buckets if b >= longest), self.buckets[-1])
        batch = np.zeros((self.batch_size, length), np.int32)
        for row, prompt in enumerate(prompts):
            kept = prompt
            if len(prompt) > length:
                kept = np.concatenate([prompt[: length - 1], prompt[-1:]])
            batch[row, : len(kept)] = kept
        placed = jax.make_array_from_callback(
            batch.shape, self._sharding, lambda index: batch[index]
        )
        keys = None
        if self._sampling.temperature > 0.0:
            numbers = np.zeros(self.batch_size, np.uint32)
            numbers[: len(ids)] = ids
            keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), numbers)
        return self._run(params, placed, keys)


def length_buckets(longest: int) -> tuple[int, ...]:
    """Powers of two from 32, then `longest` itself: at most log2(longest/32)+1 programs."""
    buckets = []
    size = 32
    while size < longest:
        buckets.append(size)
        size *= 2
    return (*buckets, longest)


def until_eos(tokens: np.ndarray) -> np.ndarray:
    """Tokens before the first EOS (1), without padding (0)."""
    end = np.flatnonzero(tokens == 1)
    tokens = tokens[: end[0]] if len(end) else tokens
    return tokens[tokens != 0]
