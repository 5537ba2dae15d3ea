"""What should be cached: the request, its fingerprints and its directories."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from flan_t5x.data.cache_manifest import CACHE_VERSION, fingerprint_of
from flan_t5x.data.definitions import TaskDefinition
from flan_t5x.data.formats import RENDERER_VERSION
from flan_t5x.data.vocabulary import Vocabulary
from flan_t5x.errors import UserError, nearest

EXEMPLARS = "exemplars"  # a split that only few-shot prompts draw from (see `fewshot`)
FEATURES = ("inputs", "targets")
ROWS_PER_SHARD = 16_384  # of source rows, so that the number of shards is known beforehand


@dataclass(frozen=True)
class CacheSpec:
    """Which tasks, which splits, and everything that their tokens depend on.

    Attributes:
        tasks: definitions, each name once.
        vocabulary: tokenizes inputs and targets.
        feature_lengths: the most tokens of ``"inputs"`` and ``"targets"``, end-of-sequence
            included. Longer inputs are cut, rows with longer targets are rejected.
        splits: names of splits, the same for all tasks; None takes all that a source has, but
            "exemplars".
        max_examples: the most rows of a task split, chosen evenly over its length; None for all.
        seed: of the choice that `max_examples` makes. How a row is rendered depends on the
            task's own seed.
        max_reject_share: a split with a greater share of unusable rows is an error. Targets that
            are longer than their length are counted and left out, but are no error.
    """

    tasks: Sequence[TaskDefinition]
    vocabulary: Vocabulary
    feature_lengths: Mapping[str, int]
    splits: Sequence[str] | None = None
    max_examples: int | None = None
    seed: int = 0
    max_reject_share: float = 0.2


@dataclass(frozen=True)
class Entry:
    """One task split as it should be in the cache.

    Attributes:
        task: its definition.
        split: split name.
        num_source_rows: rows that the source has.
        row_limit: rows that are used, where those are fewer.
        seed: of the choice of rows.
        components: what the tokens depend on, by name.
        task_directory: holds all fingerprints of the task, and its lock.
    """

    task: TaskDefinition
    split: str
    num_source_rows: int
    row_limit: int | None
    seed: int
    components: Mapping[str, str]
    task_directory: Path

    @property
    def key(self) -> tuple[str, str]:
        return self.task.name, self.split

    @property
    def num_rows(self) -> int:
        """Rows that will be rendered."""
        return self.num_source_rows if self.row_limit is None else self.row_limit

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the components."""
        return fingerprint_of(self.components)

    @property
    def directory(self) -> Path:
        """Where the finished split lies."""
        return self.task_directory / self.fingerprint[:16] / self.split

    @property
    def with_info(self) -> bool:
        """Whether records carry texts and answers: scoring needs them, training does not."""
        return not self.split.startswith("train")

    @property
    def num_shards(self) -> int:
        """A function of the number of rows alone: workers have no influence on any byte."""
        return max(1, -(-self.num_rows // ROWS_PER_SHARD))

    def chosen_rows(self) -> Int64[np.ndarray, " rows"] | None:
        """Source rows in order, where `row_limit` leaves some out; None for all.

        One row is drawn from each of `row_limit` equal stretches of the source: files sorted
        by label or by topic stay balanced, and no period in the data can be hit.
        """
        if self.row_limit is None:
            return None
        key = hashlib.blake2b(
            f"{self.task.name}/{self.split}/{self.seed}".encode(), digest_size=16
        ).digest()
        bits = np.random.Philox(key=np.frombuffer(key, "<u8")).random_raw(self.row_limit)
        edges = np.arange(self.row_limit + 1, dtype=np.int64) * self.num_source_rows
        edges //= self.row_limit
        widths = np.diff(edges).astype(np.uint64)
        return edges[:-1] + (bits % widths).astype(np.int64)


def plan(spec: CacheSpec, cache_dir: str | Path) -> list[Entry]:
    """The entries of a request, in the order of its tasks and splits.

    Raises:
        UserError: a name twice, lengths missing or too small, an unknown or an empty split.
    """
    _check(spec)
    vocabulary = spec.vocabulary.fingerprint()
    entries = []
    for task in spec.tasks:
        components = _components(task, spec, vocabulary)
        for split in _splits_of(task, spec.splits):
            rows = task.source.num_examples(split)
            if rows < 1:
                raise UserError(
                    f"task {task.name!r} has no rows in split {split!r}. Check its source, or "
                    "take the task out of the mixture."
                )
            limited = spec.max_examples is not None and spec.max_examples < rows
            choice = {
                "row limit": str(spec.max_examples) if limited else "none",
                "row choice": f"seed {spec.seed}" if limited else "all",
            }
            entries.append(
                Entry(
                    task=task,
                    split=split,
                    num_source_rows=rows,
                    row_limit=spec.max_examples if limited else None,
                    seed=spec.seed,
                    components={**components, **choice},
                    task_directory=Path(cache_dir) / task.name,
                )
            )
    return entries


def _components(task: TaskDefinition, spec: CacheSpec, vocabulary: str) -> dict[str, str]:
    wordings = [(t.inputs, t.targets, t.shot) for t in task.templates]
    fixed = {} if task.prompt is None else {"prompt": repr(task.prompt)}
    return {
        **fixed,
        "task name": task.name,
        "source": task.source.fingerprint(),
        "templates": hashlib.sha256(json.dumps(wordings).encode()).hexdigest(),
        "format": task.format,
        "exemplar limit": str(task.max_exemplars),
        "option styles": ",".join(task.option_styles),
        "task seed": str(task.seed),
        "vocabulary": vocabulary,
        "feature lengths": "/".join(str(spec.feature_lengths[f]) for f in FEATURES),
        "renderer version": str(RENDERER_VERSION),
        "cache version": str(CACHE_VERSION),
    }


def _splits_of(task: TaskDefinition, splits: Sequence[str] | None) -> Sequence[str]:
    there = list(task.source.splits)
    if splits is None:
        wanted = [split for split in there if split != EXEMPLARS]
    else:
        wanted = list(dict.fromkeys(splits))
    if not wanted:
        raise UserError(f"task {task.name!r} has no splits to cache; its source has {there}")
    for split in wanted:
        if split not in there:
            raise UserError(
                f"task {task.name!r} has no split {split!r}; it has "
                f"{', '.join(there) or 'none'}. {nearest(split, there)}".rstrip()
            )
    return wanted


def _check(spec: CacheSpec) -> None:
    if not spec.tasks:
        raise UserError("there are no tasks to cache. Name a mixture or a task.")
    seen: set[str] = set()
    for task in spec.tasks:
        if task.name in seen:
            raise UserError(f"task {task.name!r} is asked for twice")
        seen.add(task.name)
        if not task.name or not task.name.replace("_", "").isalnum() or not task.name.isascii():
            raise UserError(
                f"task name {task.name!r} cannot name a cache folder: use letters, digits and "
                "underscores"
            )
    for feature in FEATURES:
        length = spec.feature_lengths.get(feature)
        if not isinstance(length, int) or length < 2:
            raise UserError(
                f"feature length {feature!r} is {length!r}; it must be a whole number of at "
                "least 2 (one token and the end of sequence)"
            )
    unknown = [f for f in spec.feature_lengths if f not in FEATURES]
    if unknown:
        raise UserError(f"feature length {unknown[0]!r} names no feature of {', '.join(FEATURES)}")
    if spec.max_examples is not None and spec.max_examples < 1:
        raise UserError(f"max_examples is {spec.max_examples}; give at least 1, or None for all")
