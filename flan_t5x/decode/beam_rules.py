"""What beam searches of the field differ in: a beam's score, which beams may end, when to stop.

The search itself (`flan_t5x.decode.beam`) is the same for all: each step takes the 2 * beams best
extensions of the live beams.
"""

from __future__ import annotations

from typing import Literal, Protocol, get_args

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

RulesName = Literal["t5x", "transformers"]
RULES_NAMES: tuple[RulesName, ...] = get_args(RulesName)

NEVER = -1.0e7
"""A log-probability that no sequence reaches; finite, as in T5X."""


class BeamRules(Protocol):
    """One system's rules."""

    def penalty(self, alpha: float, length: Int[Array, "..."] | int) -> Float[Array, "..."]:
        """By which a summed log-probability is divided.

        Args:
            alpha: exponent; 0 divides by 1.
            length: tokens, EOS included.
        """

    def finished(
        self, ended: Bool[Array, "batch 2*beams"], is_open: Bool[Array, " batch"], *, last: Array
    ) -> Bool[Array, "batch 2*beams"]:
        """Which extensions become answers.

        Args:
            ended: whose last token is EOS; the likeliest extension first.
            is_open: rows for which the search goes on.
            last: whether this is the last position.
        """

    def open_rows(
        self,
        is_open: Bool[Array, " batch"],
        *,
        best_live: Float[Array, " batch"],
        done: Bool[Array, "batch beams"],
        scores: Float[Array, "batch beams"],
        alpha: float,
        length: Array,
        max_length: int,
    ) -> Bool[Array, " batch"]:
        """For which rows a live beam may still beat the answers.

        Args:
            is_open: as it was before this step.
            best_live: log-probability of the likeliest live beam.
            done: which of the answers are there.
            scores: of the answers.
            alpha: exponent of the penalty.
            length: of the live beams.
            max_length: most tokens.
        """

    def has_penalty(self, ended: Bool[Array, "..."]) -> Bool[Array, "..."]:
        """Of which returned beams the score was divided by the penalty."""


class T5xRules:
    """Those of T5X's ``decoding.beam_search``; the penalty is Wu et al. 2016, equation 14.

    A row's search goes on until it has `beams` answers and the worst of them beats the likeliest
    live beam, even if that reached `max_length` at no cost. All rows go on as long as one does. A
    row without an answer returns its live beams.
    """

    def penalty(self, alpha: float, length: Int[Array, "..."] | int) -> Float[Array, "..."]:
        """((5 + length) / 6)^alpha."""
        return ((5.0 + jnp.asarray(length, jnp.float32)) / 6.0) ** alpha

    def finished(
        self, ended: Bool[Array, "batch 2*beams"], is_open: Bool[Array, " batch"], *, last: Array
    ) -> Bool[Array, "batch 2*beams"]:
        """All that end."""
        return ended

    def open_rows(
        self,
        is_open: Bool[Array, " batch"],
        *,
        best_live: Float[Array, " batch"],
        done: Bool[Array, "batch beams"],
        scores: Float[Array, "batch beams"],
        alpha: float,
        length: Array,
        max_length: int,
    ) -> Bool[Array, " batch"]:
        """Rows that lack answers, or whose worst answer could be beaten at full length."""
        worst = jnp.where(done, scores, NEVER).min(axis=1)
        return ~(worst > best_live / self.penalty(alpha, max_length))

    def has_penalty(self, ended: Bool[Array, "..."]) -> Bool[Array, "..."]:
        """Of those that ended."""
        return ended


class TransformersRules:
    """Those of transformers 5's ``generate`` with ``early_stopping=False``, its default.

    Of the extensions those among the `beams` likeliest may end, and at the last position all of
    them do. A row is closed, for good, when it has `beams` answers and the likeliest live beam,
    as long as it is now, does not beat the worst of them.
    """

    def penalty(self, alpha: float, length: Int[Array, "..."] | int) -> Float[Array, "..."]:
        """length^alpha (their ``length_penalty`` is alpha)."""
        return jnp.asarray(length, jnp.float32) ** alpha

    def finished(
        self, ended: Bool[Array, "batch 2*beams"], is_open: Bool[Array, " batch"], *, last: Array
    ) -> Bool[Array, "batch 2*beams"]:
        """The likelier half, where it ends or nothing may follow, of open rows."""
        count = ended.shape[1]
        return (ended | last) & (jnp.arange(count) < count // 2) & is_open[:, None]

    def open_rows(
        self,
        is_open: Bool[Array, " batch"],
        *,
        best_live: Float[Array, " batch"],
        done: Bool[Array, "batch beams"],
        scores: Float[Array, "batch beams"],
        alpha: float,
        length: Array,
        max_length: int,
    ) -> Bool[Array, " batch"]:
        """Open rows that lack answers, or whose worst answer could be beaten at this length."""
        best = best_live / self.penalty(alpha, length)
        return is_open & (~done.all(axis=1) | (best > scores.min(axis=1)))

    def has_penalty(self, ended: Bool[Array, "..."]) -> Bool[Array, "..."]:
        """Of all."""
        return jnp.ones_like(ended)


BEAM_RULES: dict[RulesName, BeamRules] = {"t5x": T5xRules(), "transformers": TransformersRules()}
