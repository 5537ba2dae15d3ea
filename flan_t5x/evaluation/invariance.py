"""Do answers depend on the batch, the bucket or the devices? Counts them, ties apart.

    python -m flan_t5x.evaluation.invariance --prompts 200

With float32 numbers, other shapes sum in another order, so logits differ in their last digits. A
token can then differ only where the two best candidates were as good as equal. This compares
settings with a plain reference (one prompt at a time, unbucketed, one device) and says of
every row that differs how far apart its two best candidates were where it first differs.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax
import numpy as np

from flan_t5x.checkpoint.initial import place_params
from flan_t5x.decode.beam import BeamSearch
from flan_t5x.decode.beam_rules import BEAM_RULES
from flan_t5x.decode.continuations import Decoding
from flan_t5x.decode.sampling import Sampling, filter_logits, perturbed
from flan_t5x.evaluation.generation import Generator
from flan_t5x.model.model import Model, Params
from flan_t5x.parallel.mesh import make_mesh
from flan_t5x.parallel.rules import RULES, param_shardings

TIE = 1e-4
"""Two best candidates that are nearer than this may change places."""

DECODINGS: Mapping[str, Decoding] = {
    "greedy": Sampling(),
    "sampling": Sampling(temperature=0.7),
    "top-k, nucleus": Sampling(temperature=1.0, top_k=40, top_p=0.9),
    "beam 4": BeamSearch(),
}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How batches are made.

    Attributes:
        label: for the table.
        batch_size: most rows.
        bucketed: else every prompt is padded to the longest.
        devices: the batch is divided over so many.
    """

    label: str
    batch_size: int
    bucketed: bool = True
    devices: int = 1


REFERENCE = Setting(label="batch 1, not bucketed", batch_size=1, bucketed=False)
SETTINGS = (
    Setting(label="batch 1, bucketed", batch_size=1),
    Setting(label="batch 16, not bucketed", batch_size=16, bucketed=False),
    Setting(label="batch 16, bucketed", batch_size=16),
    Setting(label="batch 16, bucketed, 8 devices", batch_size=16, devices=8),
)


@dataclass(frozen=True)
class Difference:
    """A setting beside the reference.

    Attributes:
        rows: prompts.
        different: rows with another token.
        gaps: of each of those, the gap of the two best candidates where it first differs: for
            greedy and sampling of logits (as drawn from, noise included); for beam search of
            the two answers' scores, log-probability over length penalty.
    """

    rows: int
    different: int
    gaps: tuple[float, ...]

    @property
    def ties(self) -> int:
        """Rows whose difference a gap below `TIE` explains."""
        return sum(gap < TIE for gap in self.gaps)


class Comparison:
    """Answers of one model to some prompts, in one setting after another.

    Args:
        model: float32.
        params: its parameters.
        prompts: int32 token arrays, EOS included.
        max_decode_length: most tokens generated.
        seed: of sampling.
    """

    def __init__(
        self,
        model: Model,
        params: Params,
        prompts: Sequence[np.ndarray],
        *,
        max_decode_length: int,
        seed: int = 0,
    ) -> None:
        self._model, self._params, self._prompts = model, params, prompts
        self._length, self._seed = max_decode_length, seed
        self._longest = max(len(p) for p in prompts)
        self._logits = jax.jit(model.logits)

    def answers(self, decoding: Decoding, setting: Setting) -> list[np.ndarray]:
        """The tokens of every prompt's answer."""
        mesh = make_mesh({"data": setting.devices}, jax.devices()[: setting.devices])
        shardings = param_shardings(
            self._model.abstract_params,
            self._model.logical_axes,
            rules=RULES["data_parallel"],
            mesh=mesh,
        )
        generator = Generator(
            Model(self._model.config.for_mesh(mesh)),  # as everywhere: what suits the devices
            mesh=mesh,
            batch_size=setting.batch_size,
            max_input_length=self._longest,
            max_decode_length=self._length,
            decoding=decoding,
        )
        if not setting.bucketed:
            generator.buckets.lengths = (self._longest,)
        placed = place_params(self._params, shardings)
        return generator(placed, self._prompts, seed=self._seed).tokens

    def difference(
        self,
        decoding: Decoding,
        reference: Sequence[np.ndarray],
        found: Sequence[np.ndarray],
    ) -> Difference:
        """How `found` differs from the reference's answers."""
        gaps = [
            self._gap(decoding, number, one, other)
            for number, (one, other) in enumerate(zip(reference, found, strict=True))
            if not np.array_equal(one, other)
        ]
        return Difference(len(reference), len(gaps), tuple(gaps))

    def _gap(self, decoding: Decoding, number: int, one: np.ndarray, other: np.ndarray) -> float:
        if isinstance(decoding, BeamSearch):
            scores = [self._score(number, tokens, decoding) for tokens in (one, other)]
            return abs(scores[0] - scores[1])
        both = min(len(one), len(other))
        same = np.flatnonzero(one[:both] != other[:both])
        position = int(same[0]) if len(same) else both
        second, best = np.sort(self.candidates(decoding, number, one, position))[-2:]
        return float(best - second)

    def candidates(
        self, decoding: Sampling, number: int, tokens: np.ndarray, position: int
    ) -> np.ndarray:
        """[vocab]: what the token at `position` was the largest of, after the tokens before it.

        Args:
            decoding: greedy, or a sampling; then noise is added as in `sample`.
            number: of the prompt.
            tokens: its answer.
            position: in it.
        """
        logits = self._forward(number, np.append(tokens, 1))[position]
        if decoding.temperature > 0.0:
            key = jax.random.fold_in(jax.random.key(self._seed), number)
            for count in (0, position):  # the first sample, then the position
                key = jax.random.fold_in(key, count)
            logits = filter_logits(logits[None] / decoding.temperature, decoding)[0]
            logits = perturbed(key, logits)
        return np.asarray(logits)

    def _score(self, number: int, tokens: np.ndarray, decoding: BeamSearch) -> float:
        labels = np.append(tokens, 1)[: self._length]
        log_probs = np.asarray(jax.nn.log_softmax(self._forward(number, labels)))
        total = log_probs[np.arange(len(labels)), labels].sum(dtype=np.float64)
        return float(total / BEAM_RULES[decoding.rules].penalty(decoding.alpha, len(labels)))

    def _forward(self, number: int, labels: np.ndarray) -> jax.Array:
        """Teacher-forced logits [length, vocab] of an answer."""
        prompt = np.zeros((1, self._longest), np.int32)
        prompt[0, : len(self._prompts[number])] = self._prompts[number]
        targets = np.zeros((1, self._length + 1), np.int32)
        targets[0, : len(labels)] = labels
        batch = {
            "encoder_input_tokens": prompt,
            "decoder_input_tokens": np.pad(targets, ((0, 0), (1, 0)))[:, :-1],
            "decoder_target_tokens": np.ones_like(targets),
        }
        return self._logits(self._params, batch)[0][: len(labels)]


def compare(
    comparison: Comparison,
    *,
    decodings: Mapping[str, Decoding] = DECODINGS,
    settings: Sequence[Setting] = SETTINGS,
) -> dict[str, dict[str, Difference]]:
    """Differences from `REFERENCE` by decoding and setting."""
    table: dict[str, dict[str, Difference]] = {}
    for name, decoding in decodings.items():
        reference = comparison.answers(decoding, REFERENCE)
        table[name] = {
            setting.label: comparison.difference(
                decoding, reference, comparison.answers(decoding, setting)
            )
            for setting in settings
        }
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table for the shipped base checkpoint on prompts of random tokens."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--longest", type=int, default=200, help="tokens of a prompt")
    parser.add_argument("--max_decode_length", type=int, default=32)
    options = parser.parse_args(arguments)
    from flan_t5x.checkpoint.convert.merge import open_plan
    from flan_t5x.checkpoint.initial import load_initial, shipped_file

    config = open_plan(str(shipped_file("mini_base"))).config
    model = Model(config)
    rng = np.random.default_rng(0)
    prompts = [
        np.append(rng.integers(3, 1000, rng.integers(2, options.longest)), 1).astype(np.int32)
        for _ in range(options.prompts)
    ]
    comparison = Comparison(
        model,
        load_initial("mini_base", model.abstract_params),
        prompts,
        max_decode_length=options.max_decode_length,
    )
    print(
        f"{'decoding':<16} {'setting':<30} {'rows':>5} {'differ':>6} {'ties':>5} {'widest gap':>11}"
    )
    for decoding, by_setting in compare(comparison).items():
        for label, found in by_setting.items():
            widest = f"{max(found.gaps):.1e}" if found.gaps else "-"
            print(
                f"{decoding:<16} {label:<30} {found.rows:>5} {found.different:>6} "
                f"{found.ties:>5} {widest:>11}"
            )
    return 0


if __name__ == "__main__":
    # Before jax starts: the machine's CPU as eight devices.
    flag = "--xla_force_host_platform_device_count=8"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()
    raise SystemExit(main())
