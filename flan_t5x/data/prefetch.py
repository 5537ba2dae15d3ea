"""Batches made ahead of the step that needs them, by one thread, in stream order."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol

from flan_t5x.data.pipeline import StreamState
from flan_t5x.data.rows import Batch


class BatchSource(Protocol):
    """What the prefetcher needs of a stream (`pipeline.Stream`)."""

    def batch(
        self, state: StreamState, rows: Sequence[int] | None = None, /
    ) -> tuple[Batch, StreamState]: ...


class Prefetcher:
    """Plans, reads and assembles ahead in a thread of its own.

    Every batch comes with the state after it, so a checkpoint saved after a step resumes at the
    row after that step's, however far ahead the thread is.

    Example:
        with Prefetcher(stream, StreamState()) as batches:
            batch, state_after = batches.next()

    Args:
        stream: where batches come from; called from the thread only.
        state: where to begin.
        rows: which rows of each global batch to make (this host's); None for all.
        depth: how many batches to hold ready at the most. Planning a window takes as long as
            several steps of a small model; the batches held must last that long.

    Attributes:
        wait_seconds: how long all calls of `next` together waited.
        last_wait_seconds: how long the last one waited.
    """

    def __init__(
        self,
        stream: BatchSource,
        state: StreamState,
        *,
        rows: Sequence[int] | None = None,
        depth: int = 8,
    ) -> None:
        if depth < 1:
            raise ValueError(f"depth {depth} holds no batch")
        self.wait_seconds = 0.0
        self.last_wait_seconds = 0.0
        self._stream = stream
        self._rows = rows
        self._depth = depth
        self._ready: deque[tuple[Batch, StreamState]] = deque()
        self._error: BaseException | None = None
        self._closed = False
        self._changed = threading.Condition()
        # A daemon, so that a program that fails elsewhere does not hang on its way out.
        self._thread = threading.Thread(
            target=self._work, args=(state,), name="input-prefetch", daemon=True
        )
        self._thread.start()

    def next(self) -> tuple[Batch, StreamState]:
        """The next batch and the state after it.

        Raises:
            RuntimeError: after `close`.
            Exception: whatever the stream raised for this batch; again on every later call.
        """
        start = time.perf_counter()
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._error or self._closed)
            self.last_wait_seconds = time.perf_counter() - start
            self.wait_seconds += self.last_wait_seconds
            if self._closed:
                raise RuntimeError("the prefetcher is closed")
            if self._ready:
                item = self._ready.popleft()
                self._changed.notify_all()
                return item
            assert self._error is not None
            raise self._error

    def close(self) -> None:
        """Stops the thread and lets go of the batches. A batch in the making is awaited."""
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> Prefetcher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _work(self, state: StreamState) -> None:
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._closed or len(self._ready) < self._depth)
                    if self._closed:
                        return
                batch, state = self._stream.batch(state, self._rows)
                with self._changed:
                    if self._closed:
                        return
                    self._ready.append((batch, state))
                    self._changed.notify_all()
        except BaseException as error:  # handed to the caller of next()
            with self._changed:
                self._error = error
                self._changed.notify_all()
