"""Names, caps and rates of the mixtures of downloaded data, in one place.

A cap bounds a task's weight, not its data: every row stays reachable (Longpre et al. 2023).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flan_t5x.data.definitions import FORMATS, MixtureDefinition, MixturePart

COT_CAP = 100_000
"""Flan-T5's cap for the chain-of-thought submixture (Chung et al. 2022, table 23)."""

WITHOUT_IN_SEVEN = ("esnli", "qed")
"""What `cot_seven` leaves out: their files are over 4 MB, and many copies lack them."""


def cot(datasets: Sequence[str]) -> Iterator[MixtureDefinition]:
    """Mixtures over the chain-of-thought data sets: formats equal, data sets by their size.

    Args:
        datasets: names of all nine.
    """
    seven = [name for name in datasets if name not in WITHOUT_IN_SEVEN]
    yield from _four_formats("cot", datasets, "all nine chain-of-thought data sets")
    left_out = " and ".join(WITHOUT_IN_SEVEN)
    yield from _four_formats("cot_seven", seven, f"chain-of-thought data sets but {left_out}")
    yield MixtureDefinition(
        "cot_gsm8k_test",
        tuple(MixturePart(f"cot_gsm8k_test_{format}") for format in ("zs_cot", "fs_cot")),
        about="GSM8K test set, never trained on",
        evaluation_only=True,
    )


def _four_formats(name: str, datasets: Sequence[str], about: str) -> Iterator[MixtureDefinition]:
    for format in FORMATS:
        parts = tuple(MixturePart(f"cot_{d}_{format}", cap=COT_CAP) for d in datasets)
        yield MixtureDefinition(f"{name}_{format}", parts, about=f"{about}, format {format}")
    equal = tuple(MixturePart(f"{name}_{format}", rate=1.0) for format in FORMATS)
    yield MixtureDefinition(name, equal, about=f"{about}, four formats in equal parts")
