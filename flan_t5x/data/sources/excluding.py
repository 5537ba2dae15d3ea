"""Rows that a list leaves out, as `flan-t5x tasks overlap --write_exclusions` writes one.

A line of a list is a JSON object with "tasks" (names of all tasks that read the row's source),
"split" and "id". An excluded row stays in its place as an unusable one, so it is counted in the
report of the cache, and it is no exemplar of other rows either.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from flan_t5x.data.definitions import BadRow, Example, Source, TaskDefinition
from flan_t5x.data.sources.exemplars import WithExemplars
from flan_t5x.errors import UserError

EXCLUDED = "excluded by a list"
"""The reason under which reports count these rows."""

Ids = Mapping[str, frozenset[str]]
"""Row ids by split."""


class Excluding:
    """A source without certain rows.

    Args:
        source: what is read.
        ids: the rows that are left out.
    """

    def __init__(self, source: Source, ids: Ids) -> None:
        self.source = source
        self.ids = dict(ids)

    def __repr__(self) -> str:
        count = sum(map(len, self.ids.values()))
        return f"Excluding({self.source!r}, {count} rows)"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Excluding) and other.source == self.source and other.ids == self.ids
        )

    def __hash__(self) -> int:
        return hash((self.source, tuple(sorted(self.ids))))

    @property
    def splits(self) -> tuple[str, ...]:
        """Those of the source."""
        return tuple(self.source.splits)

    def num_examples(self, split: str) -> int:
        """Rows of the source: those that are left out are counted as unusable."""
        return self.source.num_examples(split)

    def read(self, split: str, start: int, stop: int) -> Iterator[Example | BadRow]:
        """Rows start..stop-1; an excluded one as a `BadRow`."""
        ids = self.ids.get(split, frozenset())
        for row in self.source.read(split, start, stop):
            if row.id in ids and isinstance(row, Example):
                yield BadRow(row.id, EXCLUDED, f"split {split}")
            else:
                yield row

    def fingerprint(self) -> str:
        """Covers the source and the ids."""
        listed = {split: sorted(ids) for split, ids in sorted(self.ids.items())}
        text = f"{self.source.fingerprint()} {json.dumps(listed)}"
        return hashlib.sha256(text.encode()).hexdigest()


def read_exclusions(path: str | Path) -> dict[str, dict[str, set[str]]]:
    """Row ids by task and split.

    Raises:
        UserError: for a list that cannot be read, and for the first line that is not as above.
    """
    found: dict[str, dict[str, set[str]]] = {}
    try:
        content = Path(path).expanduser().read_text("utf-8")
    except OSError as error:
        raise UserError(
            f"cannot read the exclusion list {str(path)!r}: {error.strerror}; "
            "`flan-t5x tasks overlap --write_exclusions` writes one"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"the exclusion list {str(path)!r} is not UTF-8 ({error.reason})"
        ) from error
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            tasks, split, id = row["tasks"], row["split"], row["id"]
            if not isinstance(tasks, list) or not all(
                isinstance(text, str) for text in (*tasks, split, id)
            ):
                raise TypeError("texts are needed")
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{str(path)!r} line {number} is no exclusion ({error!r}): a JSON object with "
                "'tasks' (a list of names), 'split' and 'id' is needed"
            ) from error
        for task in tasks:
            found.setdefault(task, {}).setdefault(split, set()).add(id)
    return found


def exclude_rows(tasks: Sequence[TaskDefinition], path: str) -> list[TaskDefinition]:
    """The tasks without the rows that a list leaves out, as queries and as exemplars.

    Raises:
        UserError: see `read_exclusions`.
    """
    listed = read_exclusions(path)
    return [_without(task, listed[task.name]) if task.name in listed else task for task in tasks]


def exclusion_text(tasks: Sequence[TaskDefinition], path: str) -> str:
    """How many rows of these tasks a list leaves out, as a sentence."""
    listed = read_exclusions(path)
    rows = [sum(map(len, listed[task.name].values())) for task in tasks if task.name in listed]
    return f"exclusions: {sum(rows):,} rows of {len(rows):,} tasks are left out ({path})"


def _without(task: TaskDefinition, splits: Mapping[str, set[str]]) -> TaskDefinition:
    ids = {split: frozenset(some) for split, some in splits.items()}
    source = task.source
    if isinstance(source, WithExemplars):  # a list names rows of what is asked, not of the pool
        queries = Excluding(source.queries, ids)
        changed: Source = WithExemplars(queries, source.pool, source.pool_split)
    else:
        changed = Excluding(source, ids)
    return dataclasses.replace(task, source=changed)
