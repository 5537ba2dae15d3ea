"""The training stream: rows 0, 1, 2, ... as a pure function of the mixture and the seed.

A window of draws (`mixing`) is packed into rows (`packing`), which are then shuffled. Every host
makes the same plan from the cached lengths and reads only the examples of its own rows; where
the stream stands is a pair of numbers, whatever the hosts, processes or restarts.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float64, Int, Int32, Int64

from flan_t5x.data.mixing import Draws, MixtureOrder, shuffled
from flan_t5x.data.packing import packing_bound, plan_window, unpacked_plan
from flan_t5x.data.rows import Batch, assemble_rows
from flan_t5x.errors import UserError

PLAN_VERSION = 1  # raised when the same draws would be packed or shuffled otherwise
_KEPT = 4  # window plans that are remembered; a batch seldom spans more than two


class TokenExampleLike(Protocol):
    """One example's tokens, EOS included."""

    @property
    def inputs(self) -> Int32[np.ndarray, " inputs"]: ...

    @property
    def targets(self) -> Int32[np.ndarray, " targets"]: ...


class SplitLike(Protocol):
    """What the stream needs of a cached task split (`cache.CachedSplit`)."""

    @property
    def num_examples(self) -> int: ...

    @property
    def lengths(self) -> Int32[np.ndarray, "examples 2"]: ...

    def read(self, indices: Int[np.ndarray, " some"], /) -> Sequence[TokenExampleLike]: ...


@dataclass(frozen=True, order=True)
class StreamState:
    """The next row of the stream: all that a checkpoint has to hold of the input pipeline.

    Attributes:
        window: index of the window of draws.
        row: row within the window, after shuffling.
    """

    window: int = 0
    row: int = 0

    def to_json(self) -> dict[str, int]:
        """A dictionary that `json` can write."""
        return asdict(self)

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> StreamState:
        """The state from what `to_json` gave. Raises UserError where it is something else."""
        values = [record.get("window"), record.get("row")]
        if not all(isinstance(v, int) and v >= 0 for v in values):
            raise UserError(
                f"the stream state {dict(record)!r} has no window and row of 0 or more; "
                "the checkpoint was not written by this pipeline"
            )
        return StreamState(window=int(record["window"]), row=int(record["row"]))


@dataclass(frozen=True)
class _Window:
    """One planned window; its examples are sorted by (row, slot).

    `task`, `example` and `slot` are [examples], `lengths` is [examples, 2]; row r holds the
    examples bounds[r]..bounds[r + 1] - 1.
    """

    task: Int32[np.ndarray, " examples"]
    example: Int64[np.ndarray, " examples"]
    lengths: Int32[np.ndarray, "examples 2"]
    slot: Int32[np.ndarray, " examples"]
    bounds: Int64[np.ndarray, " bounds"]

    @property
    def num_rows(self) -> int:
        return len(self.bounds) - 1


class Stream:
    """Batches of a mixture of cached task splits.

    Args:
        splits: one per task, each with at least one example.
        names: the tasks' names.
        rates: the tasks' weights, of any positive sum.
        feature_lengths: tokens that a row holds, ``{"inputs": ..., "targets": ...}``.
        batch_size: rows of a global batch.
        seed: any integer.
        window: draws that are packed together.
        pack: several examples per row; False puts each in a row of its own.

    Raises:
        UserError: bad rates, lengths or sizes; an example longer than its row.
    """

    def __init__(
        self,
        splits: Sequence[SplitLike],
        names: Sequence[str],
        rates: Sequence[float] | Float64[np.ndarray, " tasks"],
        *,
        feature_lengths: Mapping[str, int],
        batch_size: int,
        seed: int,
        window: int = 4096,
        pack: bool = True,
    ) -> None:
        if batch_size < 1:
            raise UserError(
                f"a batch of {batch_size} rows is empty; give a batch size of 1 or more"
            )
        self.capacity = (int(feature_lengths["inputs"]), int(feature_lengths["targets"]))
        self.names = tuple(names)
        self.batch_size = batch_size
        self.seed = seed
        self.pack = pack
        self._splits = tuple(splits)
        self._order = MixtureOrder(
            names,
            rates=rates,
            sizes=[split.num_examples for split in splits],
            seed=seed,
            window=window,
        )
        for name, split in zip(names, splits, strict=True):
            _check_lengths(name, split, self.capacity)
        self._planned: dict[int, _Window] = {}
        self._first_rows = [0]  # first_rows[w]: rows in windows 0..w-1, as far as known
        self._lock = threading.Lock()  # the prefetching thread and the loop both plan

    def batch(
        self, state: StreamState, rows: Sequence[int] | None = None
    ) -> tuple[Batch, StreamState]:
        """The global batch that begins at `state`, or a part of it.

        Args:
            state: the next row of the stream.
            rows: which rows of the batch to assemble (a host's), in this order; None for all.

        Returns:
            The features named in `rows.FEATURES`, int32 [len(rows), length], and the state
            after the whole batch, which does not depend on `rows`.

        Raises:
            UserError: the state does not fit this mixture, or the token cache is damaged.
        """
        places, after = self._places(state)
        wanted = range(self.batch_size) if rows is None else rows
        return self._assemble([places[i] for i in wanted]), after

    def row(self, index: int) -> dict[str, Int32[np.ndarray, " length"]]:
        """Row `index` of the stream, each feature [length]."""
        state = self.locate(index)
        batch = self._assemble([(self._window(state.window), state.row)])
        return {name: values[0] for name, values in batch.items()}

    def locate(self, index: int) -> StreamState:
        """The state before row `index`. Windows up to there that are new to it are planned."""
        if index < 0:
            raise ValueError(f"row {index} is before the stream's first")
        while self._first_rows[-1] <= index:
            known = len(self._first_rows) - 1
            rows = self._window(known).num_rows
            with self._lock:
                if len(self._first_rows) == known + 1:
                    self._first_rows.append(self._first_rows[-1] + rows)
        window = int(np.searchsorted(self._first_rows, index, side="right")) - 1
        return StreamState(window=window, row=index - self._first_rows[window])

    def provenance(self, state: StreamState) -> list[list[tuple[str, int]]]:
        """Which examples the batch at `state` holds: (task, example index), by row and slot."""
        places, _ = self._places(state)
        result = []
        for window, row in places:
            of_row = slice(window.bounds[row], window.bounds[row + 1])
            tasks = [self.names[t] for t in window.task[of_row]]
            result.append(list(zip(tasks, window.example[of_row].tolist(), strict=True)))
        return result

    def draws_seen(self, state: StreamState) -> dict[str, int]:
        """How many examples of each task stand before `state`, repetitions counted."""
        window = self._window_at(state)
        with self._lock:
            before = self._order.draws_before(state.window)
        part = window.task[: window.bounds[state.row]]
        counts = before + np.bincount(part, minlength=len(self.names))
        return dict(zip(self.names, counts.tolist(), strict=True))

    def epochs_seen(self, state: StreamState) -> dict[str, float]:
        """How often each task has been gone through before `state`; above 1 it repeats."""
        seen = self.draws_seen(state)
        sizes = self._order.sizes.tolist()
        return {name: seen[name] / size for name, size in zip(self.names, sizes, strict=True)}

    def efficiency(self, window: int = 0) -> float:
        """Fill of a window's plan: the rows its tokens would fill at best over those it takes."""
        planned = self._window(window)
        return packing_bound(planned.lengths, self.capacity) / planned.num_rows

    def examples_per_row(self, window: int = 0) -> float:
        """Examples in a row of a window's plan, on average."""
        return self._order.size_of_window / self._window(window).num_rows

    def window_lengths(self, window: int) -> Int32[np.ndarray, "examples 2"]:
        """Tokens of (inputs, targets) of a window's draws, in the order in which they are drawn."""
        return self._lengths(self._order.window(window))

    def fingerprint(self) -> str:
        """Hex digest of what rows depend on besides the tokens: a saved state fits the same."""
        order = self._order
        parts: list[object] = [
            PLAN_VERSION,
            self.capacity,
            self.seed,
            self.pack,
            order.size_of_window,
        ]
        parts += zip(self.names, order.sizes.tolist(), order.shares.tolist(), strict=True)
        return blake2b(repr(parts).encode(), digest_size=16).hexdigest()

    def _places(self, state: StreamState) -> tuple[list[tuple[_Window, int]], StreamState]:
        """Window and row of each row of the batch at `state`, and the state after it."""
        window, number, row = self._window_at(state), state.window, state.row
        places: list[tuple[_Window, int]] = []
        while True:
            take = min(window.num_rows - row, self.batch_size - len(places))
            places += [(window, row + i) for i in range(take)]
            row += take
            if len(places) == self.batch_size and row < window.num_rows:
                return places, StreamState(number, row)
            if len(places) == self.batch_size:
                return places, StreamState(number + 1, 0)
            number, row = number + 1, 0
            window = self._window(number)

    def _window_at(self, state: StreamState) -> _Window:
        window = self._window(state.window)
        if not 0 <= state.row < window.num_rows:
            raise UserError(
                f"the stream has no row {state.row} in window {state.window} of "
                f"{window.num_rows} rows; the mixture, its data, the lengths or the seed changed "
                "since the state was saved: restore them, or start in a new model_dir"
            )
        return window

    def _window(self, index: int) -> _Window:
        with self._lock:
            window = self._planned.pop(index, None) or self._plan(index)
            self._planned[index] = window  # last, so that the oldest stands first
            if len(self._planned) > _KEPT:
                del self._planned[next(iter(self._planned))]
            return window

    def _plan(self, index: int) -> _Window:
        draws = self._order.window(index)
        lengths = self._lengths(draws)
        if self.pack:
            plan = plan_window(lengths, self.capacity)
        else:
            plan = unpacked_plan(len(lengths))
        place = np.empty(plan.num_rows, np.int64)
        place[shuffled(plan.num_rows, "rows", self.seed, index)] = np.arange(plan.num_rows)
        row = place[plan.row]
        order = np.lexsort((plan.slot, row))
        return _Window(
            task=draws.task[order],
            example=draws.example[order],
            lengths=lengths[order],
            slot=plan.slot[order],
            bounds=np.searchsorted(row[order], np.arange(plan.num_rows + 1)),
        )

    def _lengths(self, draws: Draws) -> Int32[np.ndarray, "examples 2"]:
        lengths = np.empty((len(draws.task), 2), np.int32)
        for task, where in _by_task(draws.task):
            lengths[where] = self._splits[task].lengths[draws.example[where]]
        return lengths

    def _assemble(self, places: Sequence[tuple[_Window, int]]) -> Batch:
        """Reads and lays out the examples of some rows."""
        parts = [(w, np.arange(w.bounds[r], w.bounds[r + 1])) for w, r in places]
        counts = [len(where) for _, where in parts]
        task = _joined([w.task[where] for w, where in parts])
        example = _joined([w.example[where] for w, where in parts])
        tokens: list[TokenExampleLike] = [None] * len(task)  # type: ignore[list-item]
        for number, where in _by_task(task):
            found = self._splits[number].read(example[where])
            for place, one in zip(where.tolist(), found, strict=True):
                tokens[place] = one
        inputs, targets = [t.inputs for t in tokens], [t.targets for t in tokens]
        read = np.array([(len(i), len(t)) for i, t in zip(inputs, targets, strict=True)])
        expected = _joined([w.lengths[where] for w, where in parts])
        self._check_read(read.reshape(-1, 2), expected.reshape(-1, 2), task, example)
        return assemble_rows(
            inputs,
            targets,
            row=np.repeat(np.arange(len(places)), counts),
            slot=_joined([w.slot[where] for w, where in parts]),
            num_rows=len(places),
            capacity=self.capacity,
        )

    def _check_read(
        self,
        read: Int[np.ndarray, "examples 2"],
        expected: Int[np.ndarray, "examples 2"],
        task: Int[np.ndarray, " examples"],
        example: Int[np.ndarray, " examples"],
    ) -> None:
        wrong = np.flatnonzero((read != expected).any(axis=1))
        if len(wrong):
            one = wrong[0]
            raise UserError(
                f"task {self.names[task[one]]}: example {example[one]} has {tuple(read[one])} "
                f"tokens of (inputs, targets) in its record and {tuple(expected[one])} in the "
                "cache's lengths.npy; the token cache is damaged: delete the task's folder in it, "
                "and it will be built again"
            )


def _by_task(
    task: Int[np.ndarray, " examples"],
) -> Iterator[tuple[int, Int64[np.ndarray, " some"]]]:
    """Each task that occurs, with the positions where it does."""
    order = np.argsort(task, kind="stable")
    tasks, begins = np.unique(task[order], return_index=True)
    yield from zip(tasks.tolist(), np.split(order, begins[1:]), strict=False)


def _joined(parts: Sequence[Int[np.ndarray, "..."]]) -> Int[np.ndarray, "..."]:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _check_lengths(name: str, split: SplitLike, capacity: tuple[int, int]) -> None:
    lengths = np.asarray(split.lengths)
    if len(lengths) != split.num_examples:
        raise UserError(
            f"task {name}: {split.num_examples} examples, but lengths of {len(lengths)}; the "
            "token cache is damaged: delete the task's folder in it, and it will be built again"
        )
    for side, feature in enumerate(("inputs", "targets")):
        longest = int(lengths[:, side].argmax())
        if lengths[longest, side] > capacity[side]:
            raise UserError(
                f"task {name}: example {longest} has {lengths[longest, side]} tokens of {feature}, "
                f"a row holds {capacity[side]}; raise the length of {feature} in the task feature "
                "lengths, or build the token cache with the shorter one"
            )
