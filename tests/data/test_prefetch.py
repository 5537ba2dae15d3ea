"""The prefetcher: the stream's batches in order, exact states, errors, and an end."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest

from flan_t5x.data.pipeline import StreamState
from flan_t5x.data.prefetch import Prefetcher
from flan_t5x.data.rows import Batch
from tests.data.stream_toys import same, toy_stream

START = StreamState()


class Counting:
    """Numbered batches, `seconds` for each; the one numbered `fail_at` fails."""

    def __init__(self, *, fail_at: int = -1, seconds: float = 0.0) -> None:
        self.made = 0
        self.fail_at = fail_at
        self.seconds = seconds

    def batch(
        self, state: StreamState, rows: Sequence[int] | None = None, /
    ) -> tuple[Batch, StreamState]:
        time.sleep(self.seconds)
        if state.row == self.fail_at:
            raise OSError(f"no batch {state.row}")
        self.made += 1
        return {"n": np.full((1, 1), state.row, np.int32)}, StreamState(0, state.row + 1)


def wait_until(condition: object, seconds: float = 5.0) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.002)
    assert condition()


def test_batches_and_states_are_the_streams_own() -> None:
    stream, state = toy_stream(), START
    with Prefetcher(toy_stream(), START, rows=[1, 6]) as batches:
        for _ in range(20):
            expected, state = stream.batch(state, [1, 6])
            found, after = batches.next()
            assert same(found, expected)
            assert after == state


def test_a_saved_state_resumes_after_the_consumed_batch() -> None:
    with Prefetcher(toy_stream(), START, depth=4) as batches:
        whole = [batches.next() for _ in range(10)]
    for stop in (1, 4, 9):
        with Prefetcher(toy_stream(), whole[stop - 1][1]) as batches:
            assert same(batches.next()[0], whole[stop][0])


def test_no_more_than_depth_is_made_ahead() -> None:
    source = Counting()
    with Prefetcher(source, START, depth=3) as batches:
        wait_until(lambda: source.made == 3)
        time.sleep(0.05)
        assert source.made == 3
        batches.next()
        wait_until(lambda: source.made == 4)
        time.sleep(0.05)
        assert source.made == 4


def test_an_error_comes_after_the_batches_before_it() -> None:
    with Prefetcher(Counting(fail_at=2), START) as batches:
        assert batches.next()[1] == StreamState(0, 1)
        assert batches.next()[1] == StreamState(0, 2)
        for _ in range(2):
            with pytest.raises(OSError, match="no batch 2"):
                batches.next()


def test_close_ends_the_thread_whatever_it_is_doing() -> None:
    before = threading.active_count()
    full, busy, failed = (
        Prefetcher(source, START)
        for source in (Counting(), Counting(seconds=0.05), Counting(fail_at=0))
    )
    for batches in (full, busy, failed):
        batches.close()
        batches.close()
        with pytest.raises(RuntimeError, match="closed"):
            batches.next()
    assert threading.active_count() == before


def test_close_wakes_a_waiting_consumer() -> None:
    batches = Prefetcher(Counting(seconds=0.3), START)
    outcome: list[str] = []

    def consume() -> None:
        try:
            batches.next()
        except RuntimeError as error:
            outcome.append(str(error))

    consumer = threading.Thread(target=consume)
    consumer.start()
    time.sleep(0.05)
    batches.close()
    consumer.join(5)
    assert outcome == ["the prefetcher is closed"]


def test_waiting_is_measured() -> None:
    with Prefetcher(Counting(seconds=0.04), START) as batches:
        total = 0.0
        for _ in range(3):
            batches.next()
            assert 0.02 < batches.last_wait_seconds < 2
            total += batches.last_wait_seconds
        assert batches.wait_seconds == pytest.approx(total)
    source = Counting()
    with Prefetcher(source, START) as batches:
        wait_until(lambda: source.made >= 3)
        batches.next()
        assert batches.last_wait_seconds < 0.02


def test_a_queue_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="depth 0"):
        Prefetcher(Counting(), START, depth=0)
