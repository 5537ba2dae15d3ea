"""Rank classification: the log-likelihoods of a prompt's options, in few compiled shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jax.sharding import Mesh

from flan_t5x.decode.scoring import TokenScores, token_scores
from flan_t5x.evaluation.buckets import MAX_BATCH_TOKENS, Buckets, pad_rows
from flan_t5x.evaluation.generation import BatchProgress
from flan_t5x.model.model import Model, Params
from flan_t5x.parallel.mesh import batch_divisor
from flan_t5x.parallel.rules import batch_sharding, replicated

_SHORTEST = 32  # of the packed options; then 4 times longer each
_TARGET_WEIGHT = 4  # a position of the decoder has logits, so it counts for so many of the encoder


@dataclass(frozen=True)
class OptionScores:
    """The options of one prompt.

    Attributes:
        log_probs: float64 [options], summed over the tokens of each.
        lengths: [options], tokens of each.
        greedy: [options], whether greedy decoding would write the option's tokens.
    """

    log_probs: np.ndarray
    lengths: np.ndarray
    greedy: np.ndarray

    def best(self, *, normalized: bool) -> int | None:
        """The likeliest option, the first of equal ones; None where a score is no number.

        Args:
            normalized: divide by the number of tokens first.
        """
        scores = self.log_probs / np.maximum(self.lengths, 1) if normalized else self.log_probs
        return int(np.argmax(scores)) if np.isfinite(scores).all() else None


class Ranker:
    """Compiled scoring of options, kept for the life of the run.

    A prompt is encoded once. Its options stand one after another in one row of the decoder. A
    batch's shape is (bucket of the prompts, bucket of the packed options): prompts' buckets are
    `Buckets`', those of options 32, 128, 512, ..., as far as the options go.

    Args:
        model: the network.
        mesh: the devices.
        batch_size: most prompts of a batch.
        max_input_length: longer prompts are cut, before their last token.
        max_batch_tokens: most padded prompt tokens of a batch; decoder positions count fourfold.

    Attributes:
        compilations: programs compiled so far.
    """

    def __init__(
        self,
        model: Model,
        *,
        mesh: Mesh,
        batch_size: int,
        max_input_length: int,
        max_batch_tokens: int = MAX_BATCH_TOKENS,
    ) -> None:
        self.compilations = 0
        self._mesh = mesh
        self._longest = max_input_length
        self._batch_size = batch_size
        self._max_batch_tokens = max_batch_tokens

        def run(params: Params, *arrays: jax.Array) -> TokenScores:
            self.compilations += 1  # runs once per traced shape
            return token_scores(model, params, *arrays)

        self._run = jax.jit(run, out_shardings=replicated(mesh))

    def __call__(
        self,
        params: Params,
        prompts: Sequence[np.ndarray],
        options: Sequence[Sequence[np.ndarray]],
        *,
        progress: BatchProgress | None = None,
    ) -> list[OptionScores]:
        """Scores every option of every prompt.

        Args:
            params: the model's parameters, placed on the mesh.
            prompts: int32 token arrays, EOS included.
            options: likewise for each prompt; an option's EOS counts where it is written.
            progress: told (prompts done, prompts in all) after each batch.
        """
        found: dict[int, OptionScores] = {}
        for chosen in self.batches(prompts, options):
            batch = self.answer(params, [prompts[i] for i in chosen], [options[i] for i in chosen])
            found |= dict(zip(chosen.tolist(), batch, strict=True))
            if progress is not None:
                progress(len(found), len(prompts))
        return [found[i] for i in range(len(prompts))]

    def batches(
        self, prompts: Sequence[np.ndarray], options: Sequence[Sequence[np.ndarray]]
    ) -> list[np.ndarray]:
        """Which prompts are scored together: positions, long options first, long prompts first."""
        packed = np.array([target_bucket(_total(o)) for o in options], np.int64)
        batches = []
        for target in sorted(set(packed.tolist()), reverse=True):
            here = np.flatnonzero(packed == target)
            parts = self._buckets(target).batches([len(prompts[i]) for i in here.tolist()])
            batches += [here[part] for part in parts]
        return batches

    def answer(
        self,
        params: Params,
        prompts: Sequence[np.ndarray],
        options: Sequence[Sequence[np.ndarray]],
    ) -> list[OptionScores]:
        """Scores one of the `batches`; arguments as for a call."""
        target = target_bucket(max(_total(o) for o in options))
        inputs = self._buckets(target).pad(prompts)
        empty = [np.zeros(0, np.int32)]
        shape = {"rows": len(inputs), "length": target}
        tokens = pad_rows([np.concatenate([*o, *empty]) for o in options], **shape)
        lengths = [np.array([len(option) for option in o], np.int64) for o in options]
        segments = pad_rows([np.repeat(np.arange(1, len(n) + 1), n) for n in lengths], **shape)
        sharding = batch_sharding(self._mesh)
        placed = [
            jax.make_array_from_callback(array.shape, sharding, array.__getitem__)
            for array in (inputs, tokens, segments)
        ]
        log_probs, greedy = jax.device_get(self._run(params, *placed))
        return [_by_option(log_probs[i], greedy[i], n) for i, n in enumerate(lengths)]

    def _buckets(self, target: int) -> Buckets:
        most = max(1, self._max_batch_tokens // (_TARGET_WEIGHT * target))
        return Buckets(
            self._longest,
            batch_size=min(self._batch_size, most),
            max_batch_tokens=self._max_batch_tokens,
            parts=batch_divisor(self._mesh),
        )


def target_bucket(tokens: int) -> int:
    """The length that packed options of so many tokens are padded to."""
    size = _SHORTEST
    while size < tokens:
        size *= 4
    return size


def _total(options: Sequence[np.ndarray]) -> int:
    return sum(len(option) for option in options)


def _by_option(log_probs: np.ndarray, greedy: np.ndarray, lengths: np.ndarray) -> OptionScores:
    ends = np.cumsum(lengths)
    spans = [slice(end - n, end) for end, n in zip(ends, lengths, strict=True)]
    return OptionScores(
        np.array([log_probs[span].sum(dtype=np.float64) for span in spans]),
        lengths,
        np.array([greedy[span].all() for span in spans], np.bool_),
    )
