"""What studies train and evaluate on besides `mini_flan` and `mini_heldout`.

Trained on:

- `mini_flan_inverted`: `mini_flan` with a tenth of draws from families turned round.
- `mini_flan_uneven`: the trained tasks with very unequal sizes, weighed by their rows, no cap.

Evaluated only:

- `mini_heldout_cot`: held-out families that have a chain of thought, asked for it in
  `mini_heldout_step_by_step` and not in `mini_heldout_cot_asked_directly`;
  `mini_heldout_direct`: the others.
- `mini_flan_zs`, `mini_flan_fs`: some trained families in zero-shot and in few-shot formats.
- `mini_shifted`: trained families with longer lists, larger numbers and other words;
  `mini_unshifted`: the same ones as in training. Each has a mixture for each kind of shift, whose
  tasks stand side by side: `mini_shifted_longer` less `mini_unshifted_longer` is what length does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from flan_t5x.data.definitions import Format, MixtureDefinition, MixturePart, TaskDefinition
from flan_t5x.data.draws import Draws

from .catalog import families, held_out, trained
from .family import Family
from .family_task import TRAIN_ROWS, family_task
from .inverted import INVERTED, inverted
from .shifted import KINDS, SHIFTED, of_kind, shifted

INVERTED_SHARE = 0.1
"""Share of draws of `mini_flan_inverted` that are turned round."""

FEWEST_ROWS = 20
UNEVEN = "mini_uneven"

SHOT_FAMILIES: tuple[str, ...] = (
    "any_animals", "find_tool", "odd_one_out", "who_has", "is_true",
    "first_animal", "last_tool", "what_has", "color_of", "opposite",
    "all_colors", "remove_tools", "second_word", "opposite_of_first", "reverse",
    "count_animals", "add", "take", "together", "who_has_more",
)  # fmt: skip
"""Families of `mini_flan_zs` and `mini_flan_fs`, five of each submixture."""


def tasks() -> Iterable[TaskDefinition]:
    """Tasks that other mixtures do not have: shifted, turned round, of unequal sizes."""
    for family in (*shifted().values(), *inverted().values()):
        for format in family.formats:
            yield family_task(family, format)
    for name, rows in uneven_sizes().items():
        for format in families()[name].formats:
            yield family_task(families()[name], format, prefix=UNEVEN, train_rows=rows)


def mixtures(shares: Mapping[str, float]) -> Iterable[MixtureDefinition]:
    """The mixtures of the module's head.

    Args:
        shares: of the parts of `mini_flan`.
    """
    yield from _trained_on(shares)
    yield from _held_out()
    for shot, about in (("zs", "zero-shot"), ("fs", "few-shot")):
        chosen = [families()[name] for name in SHOT_FAMILIES]
        names = [name for family in chosen for name in _tasks_of(family, shot)]
        yield _evaluated(f"mini_flan_{shot}", names, f"some trained families, {about}")
    for name, about, side in (
        ("mini_unshifted", "the families of mini_shifted as they are trained", 0),
        (SHIFTED, "trained families with longer lists, larger numbers, other words", 1),
    ):
        parts = [f"{name}_{kind}" for kind in KINDS]
        for kind, part in zip(KINDS, parts, strict=True):
            names = [task for pair in of_kind(kind) for task in _tasks_of(pair[side], "zs")]
            yield _evaluated(part, names, f"{about}: {kind}")
        yield _evaluated(name, parts, about)


@cache
def uneven_sizes() -> dict[str, int]:
    """Training rows of each trained family: Zipf's law over a fixed random order."""
    order = Draws(UNEVEN).shuffled([family.name for family in trained()])
    return {name: max(FEWEST_ROWS, TRAIN_ROWS // rank) for rank, name in enumerate(order, 1)}


def _trained_on(shares: Mapping[str, float]) -> Iterator[MixtureDefinition]:
    turned = tuple(MixturePart(f"mini_{name}_zs", rate=1.0) for name in inverted())
    yield MixtureDefinition(INVERTED, turned, "trained families turned round")
    rate = sum(shares.values()) * INVERTED_SHARE / (1.0 - INVERTED_SHARE)
    yield MixtureDefinition(
        "mini_flan_inverted",
        tuple(MixturePart(name, rate=r) for name, r in (shares | {INVERTED: rate}).items()),
        f"mini_flan, and {INVERTED_SHARE:.0%} of draws turned round",
    )
    yield MixtureDefinition(
        "mini_flan_uneven",
        tuple(
            MixturePart(f"{UNEVEN}_{name}_{format}")
            for name in uneven_sizes()
            for format in families()[name].formats
        ),
        "the trained families with very unequal sizes, weighed by their rows",
    )


def _held_out() -> Iterator[MixtureDefinition]:
    reasoning = [family for family in held_out() if "zs_cot" in family.formats]
    others = [family for family in held_out() if "zs_cot" not in family.formats]
    asked: tuple[tuple[str, Format, str], ...] = (
        ("mini_heldout_step_by_step", "zs_cot", "asked for a chain of thought"),
        ("mini_heldout_cot_asked_directly", "zs", "asked for the answer alone"),
    )
    about = "held-out families that have a chain of thought"
    for name, format, how in asked:
        yield _evaluated(name, [f"mini_{f.name}_{format}" for f in reasoning], f"{about}, {how}")
    yield _evaluated("mini_heldout_cot", [name for name, _, _ in asked], about)
    names = [name for family in others for name in _tasks_of(family, "zs")]
    yield _evaluated("mini_heldout_direct", names, "held-out families without a chain of thought")


def _evaluated(name: str, parts: Iterable[str], about: str) -> MixtureDefinition:
    rated = tuple(MixturePart(part, rate=1.0) for part in parts)
    return MixtureDefinition(name, rated, about, evaluation_only=True)


def _tasks_of(family: Family, shot: str) -> list[str]:
    """Names of a family's tasks that are zero-shot ("zs") or few-shot ("fs")."""
    return [f"mini_{family.name}_{format}" for format in family.formats if format.startswith(shot)]
