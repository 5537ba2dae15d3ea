"""mini-Flan: the embedded default data set, generated, seeded, with exact answers.

Four submixtures mirror Flan 2022's: `mini_muffin` (classification and reading with answer
options), `mini_t0` (questions and answers), `mini_niv2` (a definition, examples, an input)
and `mini_cot` (written chains of thought). `mini_heldout` is evaluated only; `mini_pretrain`
makes the shipped base. `studies` has what studies train and evaluate on besides: families turned
round, of unequal sizes, shifted. Definitions are cheap; rows are generated when they are read.
"""

from __future__ import annotations

from collections.abc import Iterable

from flan_t5x.data.definitions import Format, MixtureDefinition, MixturePart, TaskDefinition

from . import studies
from .catalog import HELDOUT, SUBMIXTURES, families
from .family_task import family_task
from .pretrain import PRETRAIN, RATES, pretraining

# Flan-T5 takes 46.0 % Muffin, 27.9 % T0-SF, 24.2 % NIv2 and 1.8 % CoT. At this size 1.8 %
# would be a few hundred rationales, so CoT has 15 % here; the others keep their order of
# size less the families each has: NIv2 has most of ours, and its answers are the longest.
SHARES: dict[str, float] = {
    "mini_muffin": 32.0,
    "mini_t0": 25.0,
    "mini_niv2": 28.0,
    "mini_cot": 15.0,
}

# Few-shot prompts are about three times as long: at 1 to 4 they take under half of the tokens.
FORMAT_RATES: dict[Format, float] = {"zs": 4.0, "fs": 1.0, "zs_cot": 4.0, "fs_cot": 1.0}

COPYING = ("copy", "repeat", "back", "pick")
"""Families of the base's warm-up. With these alone copying appears in a few hundred steps; in
the whole pretraining mixture it takes about four times as long."""

_ABOUT = {
    "mini_muffin": "classification and reading with answer options",
    "mini_t0": "questions and answers",
    "mini_niv2": "a definition, examples, an input",
    "mini_cot": "questions with a written chain of thought",
    HELDOUT: "families whose combination of known parts is not trained",
}


def tasks() -> Iterable[TaskDefinition]:
    """Every task of mini-Flan: trained, held out, pretraining, of studies."""
    for family in (*families().values(), *pretraining().values()):
        for format in family.formats:
            yield family_task(family, format)
    yield from studies.tasks()


def mixtures() -> Iterable[MixtureDefinition]:
    """The four submixtures, `mini_flan` over them, `mini_heldout`, `mini_pretrain`, studies'."""
    for name in (*SUBMIXTURES, HELDOUT):
        parts = tuple(
            MixturePart(f"mini_{family.name}_{format}", rate=FORMAT_RATES[format])
            for family in families().values()
            if family.submixture == name
            for format in family.formats
        )
        yield MixtureDefinition(name, parts, _ABOUT[name], evaluation_only=name == HELDOUT)
    shares = tuple(MixturePart(name, rate=share) for name, share in SHARES.items())
    yield MixtureDefinition("mini_flan", shares, "the four mini-Flan submixtures")
    rates = tuple(MixturePart(f"mini_{name}_zs", rate=rate) for name, rate in RATES.items())
    yield MixtureDefinition(PRETRAIN, rates, "span corruption and dense text tasks for the base")
    copying = tuple(MixturePart(f"mini_pretrain_{name}_zs", rate=1.0) for name in COPYING)
    yield MixtureDefinition(
        f"{PRETRAIN}_copying",
        copying,
        "the base's warm-up: copying is the bottleneck, learn it first",
    )
    yield from studies.mixtures(SHARES)
