"""Generating answers for many prompts: length buckets, fixed shapes, few compilations."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import jax
import numpy as np
from jax.sharding import Mesh

from flan_t5x.decode.continuations import Decoding, check_samples, continuations
from flan_t5x.decode.sampling import Samples, Sampling
from flan_t5x.evaluation.buckets import MAX_BATCH_TOKENS, Buckets
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
        tokens: one int32 array per prompt, cut before EOS. With several samples a prompt, its
            first, or the one that was chosen.
        log_probs: [prompts], summed log-probabilities of the answer under the model.
        compilations: programs compiled so far by this generator.
        seconds: wall time of this call.
        samples: all samples of every prompt, each like one of `tokens`.
        sample_log_probs: [prompts, samples].
        texts: the answers as texts, where they are not `tokens` decoded (chosen options).
    """

    tokens: list[np.ndarray]
    log_probs: np.ndarray
    compilations: int = 0
    seconds: float = field(default=0.0)
    samples: list[list[np.ndarray]] = field(default_factory=list)
    sample_log_probs: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    texts: list[str] | None = None


class Generator:
    """Compiled decoding, one program per length bucket, kept for the life of the run.

    Prompts are sorted by length and padded to their bucket, so that a short prompt never pays
    for a long one; see `Buckets` for the number of rows, which is the same for all batches of a
    bucket (short ones are filled with padding).

    Args:
        model: the network.
        mesh: the devices.
        batch_size: most sequences decoded together; of several samples a prompt, each counts.
        max_input_length: longer prompts are cut.
        max_decode_length: most tokens generated, EOS included.
        decoding: how tokens are chosen; default greedy.
        num_samples: samples of each prompt, which is encoded once.
        max_batch_tokens: most padded prompt tokens of a batch.

    Attributes:
        buckets: of the prompts.
        compilations: programs compiled so far, at most one per bucket.
    """

    def __init__(
        self,
        model: Model,
        *,
        mesh: Mesh,
        batch_size: int,
        max_input_length: int,
        max_decode_length: int,
        decoding: Decoding | None = None,
        num_samples: int = 1,
        max_batch_tokens: int = MAX_BATCH_TOKENS,
        rules: Rules = (),
    ) -> None:
        decoding = decoding or Sampling()
        check_samples(decoding, num_samples)
        self.num_samples = num_samples
        self.max_decode_length = max_decode_length
        # With rules, they say how activations lie: rows, and positions of long prompts too.
        axes = batch_axes(rules) if rules else BATCH_AXES
        self.buckets = Buckets(
            max_input_length,
            batch_size=max(1, batch_size // num_samples),
            max_batch_tokens=max_batch_tokens,
            parts=batch_divisor(mesh, axes),
        )
        self._sharding = batch_sharding(mesh, axes)
        self.compilations = 0

        def run(params: Params, tokens: jax.Array, numbers: jax.Array, seed: jax.Array) -> Samples:
            self.compilations += 1  # runs once per traced shape
            keys = None
            if isinstance(decoding, Sampling) and decoding.temperature > 0.0:
                key = jax.random.wrap_key_data(seed)
                keys = jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)
            with activation_sharding(mesh, rules):
                return continuations(
                    model,
                    params,
                    tokens,
                    max_length=max_decode_length,
                    decoding=decoding,
                    samples=num_samples,
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
        samples: list[list[np.ndarray]] = [[] for _ in prompts]
        log_probs = np.zeros((len(prompts), self.num_samples), np.float32)
        done = 0
        for chosen in self.batches([len(p) for p in prompts]):
            made = self.answer(params, [prompts[i] for i in chosen], numbers=chosen, seed=seed)
            for row, i in enumerate(chosen):
                samples[i] = made.samples[row]
            log_probs[chosen] = made.sample_log_probs
            done += len(chosen)
            if progress is not None:
                progress(done, len(prompts))
        return self._generated(samples, log_probs, start)

    def batches(self, lengths: Sequence[int]) -> list[np.ndarray]:
        """Which prompts are answered together: positions, longest prompts first."""
        return self.buckets.batches(lengths)

    def answer(
        self,
        params: Params,
        prompts: Sequence[np.ndarray],
        *,
        numbers: Sequence[int] | np.ndarray,
        seed: int = 0,
    ) -> Generated:
        """Generates for one batch: at most the rows of its bucket.

        Args:
            params: as for a call, as is `seed`.
            prompts: as for a call.
            numbers: the prompts' numbers; sampling keys are a function of (seed, number).
        """
        start = time.monotonic()
        result = self._batch(params, prompts, np.asarray(numbers), seed)
        tokens, log_probs = jax.device_get((result.tokens, result.log_probs))
        samples = [[until_eos(t) for t in tokens[row]] for row in range(len(prompts))]
        return self._generated(samples, log_probs[: len(prompts)], start)

    def _generated(
        self, samples: list[list[np.ndarray]], log_probs: np.ndarray, start: float
    ) -> Generated:
        return Generated(
            [of_prompt[0] for of_prompt in samples],
            log_probs[:, 0],
            self.compilations,
            time.monotonic() - start,
            samples,
            log_probs,
        )

    def _batch(
        self, params: Params, prompts: Sequence[np.ndarray], ids: np.ndarray, seed: int
    ) -> Samples:
        batch = self.buckets.pad(prompts)
        placed = jax.make_array_from_callback(
            batch.shape, self._sharding, lambda index: batch[index]
        )
        # NumPy arrays: the same on every process.
        numbers = np.zeros(len(batch), np.uint32)
        numbers[: len(ids)] = ids
        key = np.asarray(jax.random.key_data(jax.random.key(seed)))
        return self._run(params, placed, numbers, key)


def until_eos(tokens: np.ndarray) -> np.ndarray:
    """Tokens before the first EOS (1), without padding (0)."""
    end = np.flatnonzero(tokens == 1)
    tokens = tokens[: end[0]] if len(end) else tokens
    return tokens[tokens != 0]
