"""The benchmarks together: what the normalised average of Chung et al. 2022 is made of."""

from __future__ import annotations

from collections.abc import Iterator

from flan_t5x.data.definitions import MixtureDefinition, TaskDefinition

from .benchmark import evaluation_mixture

SIX = ("mmlu_direct", "mmlu_cot", "bbh_direct", "bbh_cot", "tydiqa", "mgsm")
"""Mixtures of the six scores, each by its published protocol."""


def tasks() -> Iterator[TaskDefinition]:
    """None."""
    return iter(())


def mixtures() -> Iterator[MixtureDefinition]:
    """The six, and those of them that ask for answers alone."""
    yield evaluation_mixture("held_out_six", SIX, "MMLU, BBH, TyDiQA, MGSM as published")
    direct = ("mmlu_direct", "bbh_direct", "tydiqa")
    yield evaluation_mixture("held_out_direct", direct, "MMLU, BBH, TyDiQA, answers alone")
    english = ("mmlu_direct", "mmlu_cot", "bbh_direct", "bbh_cot", "mgsm")
    yield evaluation_mixture("held_out_five", english, "MMLU, BBH and MGSM as published")
