"""Notes which rows a process puts on its devices, step by step, without a hook in the engine.

In another process: ``--task_module=tests.parallel.row_spy`` with $FLAN_T5X_TEST_ROWS naming a
folder. In this one: ``with recording(folder):``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import jax
import numpy as np

from flan_t5x.data.definitions import MixtureDefinition, TaskDefinition
from flan_t5x.train.job import BatchPlacer

VARIABLE = "FLAN_T5X_TEST_ROWS"


def tasks() -> list[TaskDefinition]:
    """None: the module is only here to be imported."""
    return []


def mixtures() -> list[MixtureDefinition]:
    """None."""
    return []


def digests(placed: Mapping[str, jax.Array]) -> dict[int, str]:
    """Row of the global batch -> digest of its tokens, as they lie on this process's devices."""
    parts: dict[int, list[bytes]] = {}
    for _, array in sorted(placed.items()):
        rows: dict[int, bytes] = {}
        for shard in array.addressable_shards:
            first = shard.index[0].start or 0
            for offset, row in enumerate(np.asarray(shard.data)):
                assert rows.setdefault(first + offset, row.tobytes()) == row.tobytes()
        for number, data in rows.items():
            parts.setdefault(number, []).append(data)
    return {row: hashlib.sha256(b"".join(parts[row])).hexdigest() for row in sorted(parts)}


@contextlib.contextmanager
def recording(folder: Path) -> Iterator[None]:
    """Writes a line for every batch placed: the digests of its rows."""
    folder.mkdir(parents=True, exist_ok=True)
    place = BatchPlacer.__call__

    def placed(self: BatchPlacer, batch: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
        result = place(self, batch)
        with (folder / f"process-{jax.process_index()}.jsonl").open("a") as file:
            file.write(json.dumps(digests(result)) + "\n")
        return result

    BatchPlacer.__call__ = placed  # type: ignore[method-assign]
    try:
        yield
    finally:
        BatchPlacer.__call__ = place  # type: ignore[method-assign]


def read(folder: Path) -> list[dict[int, str]]:
    """Rows of each step, of all processes together."""
    steps: list[dict[int, str]] = []
    for file in sorted(folder.glob("process-*.jsonl")):
        for step, line in enumerate(file.read_text().splitlines()):
            if step == len(steps):
                steps.append({})
            steps[step] |= {int(row): digest for row, digest in json.loads(line).items()}
    return steps


if VARIABLE in os.environ:
    _for_good = recording(Path(os.environ[VARIABLE]))  # named: collected, it would end
    _for_good.__enter__()
