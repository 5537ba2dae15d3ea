"""Task splits in memory, with tokens that tell which example they came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flan_t5x.data.pipeline import Stream
from flan_t5x.data.rows import Batch

EOS = 1


@dataclass(frozen=True)
class ToyExample:
    inputs: np.ndarray
    targets: np.ndarray


class ToySplit:
    """`count` examples of random lengths up to `longest`.

    All input tokens of example i of task t are 1000 t + 2 i + 10, its targets one more, but for
    the EOS at the end of each. `reads` lists the examples read so far.
    """

    def __init__(self, task: int, count: int, *, longest: tuple[int, int] = (30, 8)) -> None:
        raw = np.random.Philox(key=task).random_raw(2 * count).reshape(-1, 2)
        self.lengths = (raw % np.array(longest, np.uint64)).astype(np.int32) + 1
        self.num_examples = count
        self.task = task
        self.reads: list[int] = []

    def read(self, indices: Sequence[int] | np.ndarray, /) -> list[ToyExample]:
        self.reads += [int(i) for i in indices]
        return [self.example(int(i)) for i in indices]

    def example(self, index: int) -> ToyExample:
        mark = 1000 * self.task + 2 * index + 10
        sides = []
        for side, length in enumerate(self.lengths[index].tolist()):
            tokens = np.full(length, mark + side, np.int32)
            tokens[-1] = EOS
            sides.append(tokens)
        return ToyExample(*sides)


NAMES = ("small", "middle", "large")


def toy_splits() -> list[ToySplit]:
    return [ToySplit(task, count) for task, count in enumerate((7, 60, 400))]


def toy_stream(
    splits: list[ToySplit] | None = None,
    *,
    batch_size: int = 8,
    seed: int = 4,
    window: int = 64,
    pack: bool = True,
) -> Stream:
    return Stream(
        splits or toy_splits(),
        NAMES,
        [1.0, 2.0, 3.0],
        feature_lengths={"inputs": 64, "targets": 16},
        batch_size=batch_size,
        seed=seed,
        window=window,
        pack=pack,
    )


def same(one: Batch, other: Batch) -> bool:
    """Whether two batches are equal in names, shapes, types and values."""
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and np.array_equal(one[name], other[name])
        for name in one
    )
