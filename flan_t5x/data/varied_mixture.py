"""A mixture as one run wants it: other rates, another cap, parts or data sets left out.

A sweep varies the mixture by gin, without a new definition for each of its runs. The order is
fixed, whatever the order of the settings:

1. `rates` and `cap` change how the mixture's parts are weighed;
2. `without` leaves tasks out;
3. `num_datasets` keeps the tasks of some data sets;
4. `few_shot_share` divides what is left between zero-shot and few-shot.

Steps 2 to 4 keep the relative shares of the tasks that stay (in step 4, on each side). What is
chosen in steps 2 and 3 depends on names alone, not on which data is there.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence

from flan_t5x.data.definitions import MixtureDefinition, MixturePart, TaskDefinition
from flan_t5x.data.draws import Draws
from flan_t5x.data.mixture_rates import Absent, Catalog, Leaf, abridged, leaves
from flan_t5x.errors import UserError, nearest, require_count

# The kinds of mini-Flan (zs, fs_cot), of the Flan collection (zsopt, fsnoopt) and of benchmarks
# (cot_3shot); "inv" is a task turned round.
_KIND = re.compile(r"(_inv)?_(zs|fs)(opt|noopt)?(_cot)?$|_(cot|direct)_\d+shot$")

_MOST_NAMES = 12


def dataset_name(task: TaskDefinition) -> str:
    """What all formats and directions of one thing are called together.

    It is the task's name without its format: ``mini_add`` for ``mini_add_zs_cot``, ``flan_boolq``
    for ``flan_boolq_fsopt`` and ``flan_boolq_inv_zs``. A name without a format is its own.
    """
    return _KIND.sub("", task.name) or task.name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variation:
    """How a run's mixture differs from its definition; see the module for the order.

    Attributes:
        rates: rate of every part that the mixture itself names, instead of its own; 0 leaves the
            part out. Inside a part nothing changes. None for the mixture's own rates.
        cap: the most that any task weighs that weighs by its number of examples, instead of its
            own cap, at every depth. None for the mixture's own caps.
        without: parts, mixtures inside it, groups, data sets and tasks to leave out.
        num_datasets: how many data sets to keep; None for all. See `first_datasets`.
        datasets_seed: of their order.
        few_shot_share: share of draws that are few-shot; None for the mixture's own.
    """

    rates: Mapping[str, float] | None = None
    cap: int | None = None
    without: Sequence[str] = ()
    num_datasets: int | None = None
    datasets_seed: int = 0
    few_shot_share: float | None = None

    def __post_init__(self) -> None:
        if self.rates is not None:
            _check_rates(self.rates)
        if self.cap is not None:
            require_count("DataConfig.mixture_cap", self.cap)
        if isinstance(self.without, str) or not all(isinstance(n, str) for n in self.without):
            raise UserError(
                f"DataConfig.without = {self.without!r}: a list of names is needed, e.g. "
                "['mini_cot']"
            )
        if self.num_datasets is not None:
            require_count("DataConfig.num_datasets", self.num_datasets)
        require_count("DataConfig.datasets_seed", self.datasets_seed, at_least=0)
        share = self.few_shot_share
        if share is not None and not (_is_number(share) and 0.0 <= share <= 1.0):
            raise UserError(
                f"DataConfig.few_shot_share = {share!r}: a number from 0 to 1, or None for the "
                "mixture's own, is needed"
            )

    @property
    def selects(self) -> bool:
        """Whether tasks are left out by name."""
        return bool(self.without) or self.num_datasets is not None

    def text(self) -> str:
        """The settings that differ from the defaults, for tables; empty where none does."""
        said = []
        if self.rates is not None:
            said.append("rates " + " ".join(f"{n}={r:g}" for n, r in self.rates.items()))
        if self.cap is not None:
            said.append(f"cap {self.cap}")
        if self.without:
            said.append(f"without {' '.join(self.without)}")
        if self.num_datasets is not None:
            said.append(f"{self.num_datasets} data sets (seed {self.datasets_seed})")
        if self.few_shot_share is not None:
            said.append(f"few-shot share {self.few_shot_share:g}")
        return "; ".join(said)


AS_DEFINED = Variation()
"""No difference."""


def varied_leaves(
    mixture: MixtureDefinition, catalog: Catalog, variation: Variation, *, absent: Absent
) -> list[Leaf]:
    """`mixture_rates.leaves` as a run wants them; data that it leaves out may be missing.

    Args:
        mixture: as it is defined.
        catalog: where its parts are defined.
        variation: what the run changes.
        absent: what becomes of tasks whose data is missing.

    Raises:
        UserError: as `leaves`; or the variation names what the mixture has not, leaves nothing,
            or changes nothing where it says it would.
    """
    if variation.rates is not None:
        mixture = with_rates(mixture, variation.rates)
    if variation.cap is not None:
        catalog = _Capped(catalog, variation.cap)
        mixture = catalog.capped(mixture)
    stays: Callable[[Leaf], bool] = _everything
    if variation.selects and absent == "drop":
        # Names are looked up in, and data sets counted over, all that the mixture has.
        every = leaves(mixture, catalog, absent="published")
        stays = _selection(mixture.name, every, variation)

    def select(found: list[Leaf]) -> list[Leaf]:
        if variation.cap is not None and found and all(leaf.cap is None for leaf in found):
            raise UserError(
                f"DataConfig.mixture_cap = {variation.cap} has no effect: nothing in "
                f"{mixture.name!r} weighs by its number of examples; leave it out, or change "
                "shares with DataConfig.mixture_rates"
            )
        keep = stays
        if variation.selects and absent != "drop":
            keep = _selection(mixture.name, found, variation)
        kept = [leaf for leaf in found if keep(leaf)]
        if variation.selects:
            _scale(kept, 1.0)
        if variation.few_shot_share is not None and kept:
            _divide(mixture.name, kept, variation.few_shot_share)
        return kept

    return leaves(mixture, catalog, absent=absent, select=select)


def _everything(_: Leaf) -> bool:
    return True


def with_rates(mixture: MixtureDefinition, rates: Mapping[str, float]) -> MixtureDefinition:
    """The mixture with these rates of its parts; parts with rate 0 are gone.

    Raises:
        UserError: a name is none of its parts, or a part is not named.
    """
    parts = list(dict.fromkeys(part.name for part in mixture.parts))
    for name in rates:
        if name not in parts:
            hint = nearest(name, parts) or f"its parts are {_listed(parts)}"
            raise UserError(
                f"DataConfig.mixture_rates names {name!r}, which is no part of "
                f"{mixture.name!r}; {hint}"
            )
    if missing := [name for name in parts if name not in rates]:
        raise UserError(
            f"DataConfig.mixture_rates gives no rate to {_listed(missing)} of {mixture.name!r}; "
            "every part needs one, 0 to leave it out"
        )
    kept = tuple(MixturePart(name, rate=float(rates[name])) for name in parts if rates[name] > 0)
    return dataclasses.replace(mixture, parts=kept)


def first_datasets(names: Sequence[str], count: int, *, seed: int) -> list[str]:
    """The first data sets in a random order: more of them hold all that fewer hold.

    How two names stand to each other depends on them and the seed alone, so the order of the
    rest stays where some are left out.

    Args:
        names: of data sets, in any order.
        count: how many are wanted, at most as many as there are.
        seed: of the order.
    """
    order = sorted(set(names), key=lambda name: (Draws("data sets", seed, name).uniform(), name))
    return order[:count]


@dataclasses.dataclass(frozen=True)
class _Capped:
    """A catalog whose mixtures have another cap."""

    inner: Catalog
    cap: int

    def find_mixture(self, name: str) -> MixtureDefinition | None:
        found = self.inner.find_mixture(name)
        return None if found is None else self.capped(found)

    def find_task(self, name: str) -> TaskDefinition | None:
        return self.inner.find_task(name)

    def near(self, name: str) -> str:
        return self.inner.near(name)

    def capped(self, mixture: MixtureDefinition) -> MixtureDefinition:
        """The mixture with the cap on every task of it that has no rate, and on nothing else."""
        return dataclasses.replace(mixture, parts=tuple(map(self._part, mixture.parts)))

    def _part(self, part: MixturePart) -> MixturePart:
        if part.rate is not None:
            return dataclasses.replace(part, cap=None)
        if self.inner.find_mixture(part.name) is not None:
            return part
        return dataclasses.replace(part, cap=self.cap)


def _selection(mixture: str, every: Sequence[Leaf], variation: Variation) -> Callable[[Leaf], bool]:
    """Whether a task stays after `without` and `num_datasets`.

    Args:
        mixture: its name.
        every: all that the mixture has, missing data included.
        variation: what the run changes.
    """
    out = frozenset(variation.without)
    known = dict.fromkeys(name for leaf in every for name in _names(leaf))
    for name in variation.without:
        if name not in known:
            hint = nearest(name, known) or f"its parts are {_listed(_parts(every))}"
            raise UserError(
                f"DataConfig.without names {name!r}, which is no part, mixture, group, data set "
                f"or task in {mixture!r}; {hint}"
            )
    left = [leaf for leaf in every if out.isdisjoint(_names(leaf))]
    if not left:
        raise UserError(
            f"DataConfig.without = {list(variation.without)} leaves nothing of {mixture!r}; its "
            f"parts are {_listed(_parts(every))}"
        )
    drawn = [leaf for leaf in left if leaf.share > 0 or leaf.missing is not None]
    names = list(dict.fromkeys(dataset_name(leaf.task) for leaf in drawn))
    count = len(names) if variation.num_datasets is None else variation.num_datasets
    if count > len(names):
        after = f" without {_listed(variation.without)}" if out else ""
        raise UserError(
            f"DataConfig.num_datasets = {count}: {mixture!r}{after} has {len(names)} data sets"
        )
    chosen = frozenset(first_datasets(names, count, seed=variation.datasets_seed))
    return lambda leaf: out.isdisjoint(_names(leaf)) and dataset_name(leaf.task) in chosen


def _names(leaf: Leaf) -> tuple[str, ...]:
    """Everything that `without` may call the task by."""
    return (*leaf.path, leaf.task.group, dataset_name(leaf.task))


def _parts(every: Sequence[Leaf]) -> list[str]:
    return list(dict.fromkeys(leaf.part for leaf in every))


def _divide(mixture: str, found: Sequence[Leaf], few_shot_share: float) -> None:
    """Gives the few-shot tasks their share of the draws, and the zero-shot tasks the rest."""
    for few, share in ((True, few_shot_share), (False, 1.0 - few_shot_share)):
        side = [leaf for leaf in found if leaf.task.format.startswith("fs") == few]
        if share > 0 and not any(leaf.share > 0 or leaf.missing is not None for leaf in side):
            raise UserError(
                f"DataConfig.few_shot_share = {few_shot_share:g} needs "
                f"{'few' if few else 'zero'}-shot tasks, and {mixture!r} has none left"
            )
        _scale(side, share)


def _scale(found: Sequence[Leaf], share: float) -> None:
    """Makes shares sum to `share`, with their proportions kept; all 0 stay 0."""
    total = math.fsum(leaf.share for leaf in found)
    for leaf in found:
        leaf.share = leaf.share / total * share if total > 0 else 0.0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_rates(rates: Mapping[str, float]) -> None:
    if not isinstance(rates, Mapping):
        raise UserError(
            f"DataConfig.mixture_rates = {rates!r}: rates by part are needed, e.g. "
            "{'mini_muffin': 1.0, 'mini_cot': 2.0}"
        )
    for name, rate in rates.items():
        if not _is_number(rate) or not 0.0 <= rate < math.inf:
            raise UserError(
                f"DataConfig.mixture_rates[{name!r}] = {rate!r}: a number >= 0 is needed"
            )
    if not any(rates.values()):
        raise UserError(
            f"DataConfig.mixture_rates = {dict(rates)}: every rate is 0, so nothing would be drawn"
        )


def _listed(names: Sequence[str]) -> str:
    return abridged(names, most=_MOST_NAMES)
