"""From a mixture's definition to the share of every task: rates, caps, nesting, missing data.

`flan_t5x.data.registry` is the way in; here it is only given as a `Catalog`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from flan_t5x.data.definitions import MixtureDefinition, MixturePart, Source, TaskDefinition
from flan_t5x.data.sources.location import MissingDataError
from flan_t5x.errors import UserError

Absent = Literal["refuse", "published", "drop"]
"""What becomes of tasks whose data is missing: an error, weighed by published counts, left out."""

Counted = Literal["data", "published", "unknown"]

_MOST_NAMES = 6
_MOST_MESSAGES = 12


@dataclass(frozen=True)
class MixtureRow:
    """One line of a mixture's table.

    Attributes:
        task: task name.
        group: the task's group.
        examples: number of training rows, unusable ones included; 0 without a train split.
        cap: the cap on its weight that applies, if any.
        rate: its rate inside the (innermost) mixture that names it, before normalising.
        share: its share of the whole mixture; all shares sum to 1.
        counted: where `examples` comes from: "data", "published" (the data is missing), or
            "unknown" (missing, and no count is published: it weighs nothing here).
        part: the part of the mixture itself by which the task came in.
    """

    task: str
    group: str
    examples: int
    cap: int | None
    rate: float
    share: float
    counted: Counted = "data"
    part: str = ""


@dataclass(frozen=True)
class MissingGroup:
    """Raw data that is not there.

    Attributes:
        raw: what it is called.
        how: what is missing and how to get it, for its first task.
        tasks: names of the tasks that need it.
        share: their share of the mixture, by published counts where these are known.
    """

    raw: str
    how: str
    tasks: tuple[str, ...]
    share: float

    def line(self) -> str:
        """What is missing, without how to get it."""
        some = abridged(self.tasks, most=2)
        count = f"{len(self.tasks):,} task{'' if len(self.tasks) == 1 else 's'}"
        return f"{self.raw}: {self.share:.2%} of the mixture, {count} ({some})"


class Catalog(Protocol):
    """Definitions by name."""

    def find_mixture(self, name: str) -> MixtureDefinition | None:
        """The mixture, or None."""
        ...

    def find_task(self, name: str) -> TaskDefinition | None:
        """The task, or None."""
        ...

    def near(self, name: str) -> str:
        """A phrase with names like it; empty where there are none."""
        ...


@dataclass(frozen=True)
class Repeat:
    """The rows that come a second time first.

    Attributes:
        task: a task that reads them.
        draws: examples drawn from the mixture until then, on average.
    """

    task: str
    draws: int


@dataclass
class Leaf:
    """A task at the end of a chain of mixtures; `share` shrinks on the way up.

    `path` names the chain below the mixture itself, from its part down to the task.
    """

    task: TaskDefinition
    cap: int | None
    rate: float
    examples: int = 0
    share: float = 1.0
    missing: MissingDataError | None = None
    counted: Counted = "data"
    path: tuple[str, ...] = ()

    @property
    def part(self) -> str:
        """The part of the mixture itself by which the task came in."""
        return self.path[0]

    def row(self) -> MixtureRow:
        """As a line of the table."""
        return MixtureRow(
            self.task.name,
            self.task.group,
            self.examples,
            self.cap,
            self.rate,
            self.share,
            self.counted,
            self.part,
        )


def leaves(
    mixture: MixtureDefinition,
    catalog: Catalog,
    *,
    absent: Absent,
    select: Callable[[list[Leaf]], list[Leaf]] | None = None,
) -> list[Leaf]:
    """The tasks of a mixture with shares that sum to 1.

    Args:
        mixture: the mixture.
        catalog: where its parts are defined.
        absent: what becomes of tasks whose data is missing.
        select: what a run keeps of them, with its shares; what it leaves out may be missing.

    Raises:
        UserError: all that stands in the way, see `registry.resolve`.
    """
    flattening = _Flattening(catalog, absent)
    _, found = flattening.flatten(mixture, (), evaluation_only=mixture.evaluation_only)
    problems = flattening.problem_lines()
    if select is not None and not problems:
        found = select(found)
    if absent == "refuse":
        problems += _missing_lines(missing_groups(found))
    if problems:
        listed = "".join(f"\n  - {line}" for line in problems)
        raise UserError(f"mixture {mixture.name!r} cannot be used:{listed}")
    return found


def first_repeat(found: Iterable[Leaf]) -> Repeat | None:
    """How much of the mixture can be drawn before some row comes a second time.

    Tasks that read the same source share its rows, as Flan's rule has it that no underlying task
    is repeated (Chung et al. 2022, appendix E). None where no task has a share and rows.
    """
    by_source: dict[int, list[Leaf]] = {}
    for leaf in found:
        if leaf.share > 0 and leaf.examples > 0:
            by_source.setdefault(id(leaf.task.source), []).append(leaf)
    repeats = [
        Repeat(some[0].task.name, int(some[0].examples / sum(leaf.share for leaf in some)))
        for some in by_source.values()
    ]
    return min(repeats, key=lambda repeat: repeat.draws, default=None)


def missing_groups(found: Iterable[Leaf]) -> list[MissingGroup]:
    """The leaves without data, by raw source."""
    by_raw: dict[str, list[Leaf]] = {}
    for leaf in found:
        if leaf.missing is not None:
            by_raw.setdefault(leaf.missing.raw, []).append(leaf)
    return [
        MissingGroup(
            raw,
            str(some[0].missing),
            tuple(dict.fromkeys(leaf.task.name for leaf in some)),
            sum(leaf.share for leaf in some),
        )
        for raw, some in by_raw.items()
    ]


def _missing_lines(groups: list[MissingGroup]) -> list[str]:
    """What is missing, and at the end how to go on without it."""
    if not groups:
        return []
    lines = [f"{abridged(group.tasks)}: {group.how}" for group in groups]
    if len(groups) > _MOST_MESSAGES:
        lines = [group.line() for group in groups]
    return [
        *lines,
        "`flan-t5x data list` shows what is there and how to get the rest; "
        "--gin.ALLOW_MISSING_TASKS=True trains on the rest and prints the share lost.",
    ]


def abridged(names: Iterable[str], *, most: int = _MOST_NAMES) -> str:
    """The first names, and how many more there are."""
    all_names = list(dict.fromkeys(names))
    text = ", ".join(all_names[:most])
    more = len(all_names) - most
    return f"{text} and {more:,} more" if more > 0 else text


@dataclass
class _Flattening:
    """One walk through a mixture. Problems are kept by message, with the names they concern."""

    catalog: Catalog
    absent: Absent
    problems: dict[str, list[str]] = field(default_factory=dict)
    counts: dict[int, int | MissingDataError | UserError] = field(default_factory=dict)

    def problem(self, what: str, who: str) -> None:
        self.problems.setdefault(what, []).append(who)

    def problem_lines(self) -> list[str]:
        return [f"{abridged(who)}: {what}" for what, who in self.problems.items()]

    def flatten(
        self, mixture: MixtureDefinition, above: tuple[str, ...], *, evaluation_only: bool
    ) -> tuple[float, list[Leaf]]:
        """The mixture's own weight, and its leaves with shares that sum to 1.

        The weight is what the mixture counts for inside another one that gives it no rate: the
        sum of its parts' rates.
        """
        if mixture.name in above:
            chain = " -> ".join([*above, mixture.name])
            raise UserError(f"a mixture cannot hold itself: {chain}")
        groups: list[tuple[float, list[Leaf]]] = []
        for part in mixture.parts:
            inner = self.catalog.find_mixture(part.name)
            if inner is not None:
                if inner.evaluation_only and not evaluation_only:
                    self.problem("is for evaluation only", part.name)
                weight, inside = self.flatten(
                    inner,
                    (*above, mixture.name),
                    evaluation_only=evaluation_only or inner.evaluation_only,
                )
                rate = _weigh(part, weight)
            else:
                task = self.catalog.find_task(part.name)
                if task is None:
                    hint = self.catalog.near(part.name)
                    what = f"is neither a task nor a mixture; {hint}".removesuffix("; ")
                    self.problem(what, part.name)
                    continue
                leaf = self.leaf(task, part, evaluation_only=evaluation_only)
                inside, rate = [leaf], leaf.rate
            if not 0 <= rate < float("inf"):
                self.problem(f"has the rate {rate}", part.name)
            if self.absent == "drop":
                inside = [leaf for leaf in inside if leaf.missing is None]
                if not inside:
                    continue
            for leaf in inside:
                leaf.path = (part.name, *leaf.path)
            groups.append((rate, inside))
        total = self.share_out(mixture.name, groups)
        return total, [leaf for _, inside in groups for leaf in inside]

    def share_out(self, name: str, groups: list[tuple[float, list[Leaf]]]) -> float:
        """Divides 1 among the parts by their rates, and inside them further; the rates' sum."""
        total = sum(rate for rate, _ in groups)
        unweighed = any(leaf.missing for _, inside in groups for leaf in inside)
        left_out = self.absent == "drop" and not groups
        if total <= 0 and not self.problems and not unweighed and not left_out:
            self.problem(f"its rates sum to {total}, so nothing would be drawn", name)
        for rate, inside in groups:
            for leaf in inside:
                leaf.share *= rate / total if total > 0 else 0.0
        return total

    def leaf(self, task: TaskDefinition, part: MixturePart, *, evaluation_only: bool) -> Leaf:
        """A task with its rate; what stands in the way is noted."""
        leaf = Leaf(task, part.cap, part.rate or 0.0)
        counted = self.count(task.source)
        if isinstance(counted, MissingDataError):
            leaf.missing = counted
            expected = expected_examples(task.source)
            leaf.counted = "unknown" if expected is None else "published"
            leaf.examples = expected or 0
        elif isinstance(counted, UserError):
            self.problem(str(counted), task.name)
            return leaf
        else:
            leaf.examples = counted
        if evaluation_only:
            leaf.rate = _weigh(part, 1.0)
            return leaf
        if not leaf.examples and leaf.missing is None:
            has_train = "train" in task.source.splits
            what = "has no rows in its train split" if has_train else "has no train split"
            self.problem(f"{what}, so it cannot be trained on", task.name)
        leaf.rate = _weigh(part, float(leaf.examples))
        return leaf

    def count(self, source: Source) -> int | MissingDataError | UserError:
        """Training rows, asked for once of each source; or why they cannot be counted."""
        if id(source) not in self.counts:
            try:
                has_train = "train" in source.splits
                self.counts[id(source)] = source.num_examples("train") if has_train else 0
            except UserError as error:
                self.counts[id(source)] = error
        return self.counts[id(source)]


def expected_examples(source: Source, split: str = "train") -> int | None:
    """A published count that needs no data; None where the source knows none."""
    asked = getattr(source, "expected_examples", None)
    return None if asked is None or split not in source.splits else asked(split)


def _weigh(part: MixturePart, weight: float) -> float:
    if part.rate is not None:
        return float(part.rate)
    return float(min(weight, part.cap) if part.cap is not None else weight)
