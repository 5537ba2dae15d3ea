"""A shard as an order and as a result, and the note by which a finished shard is found again.

A note lies beside the shard's file, written last and by rename: what has one is whole, whoever
built it, in whatever run. So a build that was interrupted goes on at the shard, and a cluster's
workers need no other way to answer.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32, Int64

from flan_t5x.data.cache_manifest import FileEntry
from flan_t5x.data.sources.excluding import EXCLUDED
from flan_t5x.files import sha256

FIRST_DETAILS = 20
LONG_TARGET = "target longer than its length"
"""The reason for which a training row is left out because of the chosen lengths."""

EXPECTED = (LONG_TARGET, EXCLUDED)
"""Reasons that tell of a user's choices, and nothing of damaged data."""

_NOTE = ".note.npz"
_PART = ".part-"


@dataclass(frozen=True)
class Unit:
    """One shard of one task split.

    Attributes:
        task: the pickled definition: equal bytes share one open source within a process.
        name: task name, for messages.
        split: split name.
        start: first source row.
        stop: one past the last.
        rows: the rows used, where some between are left out.
        path: the file to write.
        with_info: whether records carry texts and answers.
        noted: whether the result is left beside the file, see `find_result`.
    """

    task: bytes
    name: str
    split: str
    start: int
    stop: int
    rows: Int64[np.ndarray, " rows"] | None
    path: str
    with_info: bool
    noted: bool = False

    @property
    def num_rows(self) -> int:
        return self.stop - self.start if self.rows is None else len(self.rows)


@dataclass
class RowReport:
    """How many rows were kept, rejected and altered, by reason, with the first few of each."""

    rows: int = 0
    kept: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    altered: dict[str, int] = field(default_factory=dict)
    details: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    @property
    def num_rejected(self) -> int:
        return sum(self.rejected.values())

    @property
    def num_unusable(self) -> int:
        """Rejected rows, without those that the user's choices leave out."""
        return self.num_rejected - sum(self.rejected.get(reason, 0) for reason in EXPECTED)

    def reject(self, reason: str, row: str, detail: str) -> None:
        """Counts a row that is left out."""
        self._count(self.rejected, reason, row, detail)

    def alter(self, reason: str, row: str, detail: str) -> None:
        """Counts a row that is used, but not as it was meant."""
        self._count(self.altered, reason, row, detail)

    def _count(self, counts: dict[str, int], reason: str, row: str, detail: str) -> None:
        counts[reason] = counts.get(reason, 0) + 1
        first = self.details.setdefault(reason, [])
        if len(first) < FIRST_DETAILS:
            first.append({"id": row, "detail": detail[:500]})

    def merge(self, other: RowReport) -> None:
        """Adds a later shard's report."""
        self.rows += other.rows
        self.kept += other.kept
        for mine, theirs in ((self.rejected, other.rejected), (self.altered, other.altered)):
            for reason, count in theirs.items():
                mine[reason] = mine.get(reason, 0) + count
        for reason, first in other.details.items():
            here = self.details.setdefault(reason, [])
            here += first[: FIRST_DETAILS - len(here)]

    def as_json(self) -> dict[str, Any]:
        """The content of `report.json`."""

        def listed(counts: Mapping[str, int]) -> dict[str, Any]:
            return {r: {"count": counts[r], "first": self.details[r]} for r in sorted(counts)}

        return {
            "rows": self.rows,
            "kept": self.kept,
            "rejected": listed(self.rejected),
            "altered": listed(self.altered),
        }


@dataclass(frozen=True)
class UnitResult:
    """What the parent needs of a finished shard."""

    lengths: Int32[np.ndarray, "kept 2"]
    report: RowReport
    file: FileEntry
    record_bytes: int


def part_of(path: Path) -> Path:
    """A name to write under until a shard is whole; of this process and thread alone."""
    return path.with_name(f"{path.name}{_PART}{os.getpid()}-{os.urandom(4).hex()}")


def note_of(path: Path) -> Path:
    """Where the result of the shard at `path` is noted."""
    return path.with_name(path.name + _NOTE)


def leave_result(path: Path, result: UnitResult) -> None:
    """Notes a shard that is whole. Raises OSError."""
    facts = {
        "report": asdict(result.report),
        "file": asdict(result.file),
        "record_bytes": result.record_bytes,
    }
    content = io.BytesIO()
    np.savez(content, lengths=result.lengths, facts=np.array(json.dumps(facts)))
    part = part_of(note_of(path))
    part.write_bytes(content.getvalue())
    part.replace(note_of(path))


def find_result(path: Path) -> UnitResult | None:
    """The noted result of a shard whose file is still what the note says; None for no such."""
    try:
        with np.load(note_of(path), allow_pickle=False) as note:
            facts, lengths = json.loads(str(note["facts"])), note["lengths"]
        file = FileEntry(**facts["file"])
        if path.stat().st_size != file.bytes or sha256(path) != file.sha256:
            return None
        report = RowReport(**facts["report"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None
    return UnitResult(lengths, report, file, int(facts["record_bytes"]))


def remove_parts(directory: Path) -> None:
    """Removes what was being written when a build ended."""
    for left in directory.glob(f"*{_PART}*"):
        left.unlink(missing_ok=True)
