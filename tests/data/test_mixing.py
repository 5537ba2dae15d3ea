"""The mixture's order: shares, epochs, random access, and independence of other tasks."""

from __future__ import annotations

import time
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flan_t5x.data.mixing import MixtureOrder, random_key
from flan_t5x.errors import UserError


def mixture(sizes: list[int], *, rates: list[float] | None = None, **options: int) -> MixtureOrder:
    return MixtureOrder(
        [f"task_{i}" for i in range(len(sizes))],
        rates=rates or [float(s) for s in sizes],
        sizes=sizes,
        seed=options.get("seed", 5),
        window=options.get("window", 64),
    )


@given(
    rates=st.lists(st.floats(0.001, 1000), min_size=1, max_size=30),
    seed=st.integers(-(2**70), 2**70),
    window=st.integers(1, 300),
)
@settings(max_examples=60, deadline=None)
def test_each_window_gives_every_task_its_share_to_within_a_draw(
    rates: list[float], seed: int, window: int
) -> None:
    order = mixture([9] * len(rates), rates=rates, seed=seed, window=window)
    for index in (0, 1, 12_345):
        counts = np.bincount(order.window(index).task, minlength=len(rates))
        assert counts.sum() == window
        assert np.abs(counts - order.shares * window).max() < 1


def test_shares_are_the_rates() -> None:
    order = mixture([3, 3, 3, 3], rates=[1, 0, 4, 5])
    assert np.abs(order.shares - [0.1, 0, 0.4, 0.5]).max() < 2**-39
    assert 1 not in order.window(0).task


def test_counts_over_many_windows_come_to_the_shares() -> None:
    rates = [1e-3, 1.0, 0.05, 0.3, 2.0]
    order = mixture([7] * 5, rates=rates, window=50)
    windows = 20_000
    expected = np.array(rates) / sum(rates) * 50 * windows
    # The count in a window is one of two integers: at most 1/4 variance each.
    assert np.abs(order.draws_before(windows) - expected).max() < 5 * (windows / 4) ** 0.5


def test_draws_before_is_the_sum_of_the_windows() -> None:
    order = mixture([5, 50, 500, 3], window=33)
    total = np.zeros(4, np.int64)
    for index in range(41):
        fresh = mixture([5, 50, 500, 3], window=33)
        assert np.array_equal(fresh.draws_before(index), total)
        assert np.array_equal(order.draws_before(index), total)
        total += np.bincount(order.window(index).task, minlength=4)


def test_any_window_can_be_asked_for_first() -> None:
    in_turn = mixture([5, 50, 500], seed=11)
    walked = [in_turn.window(i) for i in range(30)]
    for index in (29, 3, 17, 0):
        jumped = mixture([5, 50, 500], seed=11).window(index)
        assert np.array_equal(jumped.task, walked[index].task)
        assert np.array_equal(jumped.example, walked[index].example)
        assert np.array_equal(jumped.epoch, walked[index].epoch)


def test_every_epoch_holds_every_example_once() -> None:
    sizes = [1, 4, 37]
    order = mixture(sizes, rates=[1, 1, 1])
    found: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index in range(8):
        draws = order.window(index)
        for task, epoch, example in zip(draws.task, draws.epoch, draws.example, strict=True):
            found[int(task), int(epoch)].append(int(example))
    for task, size in enumerate(sizes):
        epochs = max(e for t, e in found if t == task)
        assert epochs == order.draws_before(8)[task] // size - (
            order.draws_before(8)[task] % size == 0
        )
        for epoch in range(epochs):
            assert sorted(found[task, epoch]) == list(range(size))


def test_every_epoch_has_an_order_of_its_own() -> None:
    order = mixture([37], window=1)  # one draw a window: the stream is the permutation
    draws = [int(order.window(i).example[0]) for i in range(3 * 37)]
    epochs = [draws[e * 37 : (e + 1) * 37] for e in range(3)]
    assert all(sorted(epoch) == list(range(37)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in [*epochs, list(range(37))]}) == 4


def test_other_tasks_do_not_change_a_tasks_permutation() -> None:
    def examples(names: list[str], rates: list[float], windows: int) -> set[int]:
        order = MixtureOrder(names, rates=rates, sizes=[500] * len(names), seed=3, window=64)
        found: set[int] = set()
        for index in range(windows):
            draws = order.window(index)
            found |= set(draws.example[draws.task == names.index("kept")].tolist())
        return found

    few = examples(["kept", "a"], [1, 1], 4)
    more = examples(["b", "a", "kept", "c"], [3, 1, 4, 1], 6)
    assert 100 < len(few) < len(more) < 200
    assert few < more  # the first 128 of one permutation among its first 170
    assert not few <= examples(["other", "kept"], [1, 1], 1)


def test_seeds_and_windows_differ() -> None:
    one, two = mixture([500], seed=1), mixture([500], seed=2)
    assert one.window(0).example.tolist() != two.window(0).example.tolist()
    assert one.window(0).example.tolist() != one.window(1).example.tolist()


def test_a_window_is_in_random_order() -> None:
    draws = mixture([1000, 1000], window=4096).window(0)
    # Runs of the same task in a fair shuffle of two halves: 2049 on average, deviation 32.
    runs = 1 + int((np.diff(draws.task) != 0).sum())
    assert abs(runs - 2049) < 5 * 32


def test_a_million_draws_of_1836_tasks_are_skipped_quickly() -> None:
    generator = np.random.default_rng(0)
    sizes = generator.integers(1, 9000, 1836)
    order = MixtureOrder(
        [f"task_{i}" for i in range(1836)],
        rates=np.minimum(sizes, 5000).astype(float),
        sizes=sizes,
        seed=0,
        window=4096,
    )
    start = time.process_time()
    order.window(1_000_000 // 4096)
    assert time.process_time() - start < 1
    start = time.process_time()
    order.window(250_000)  # a billion draws
    assert time.process_time() - start < 1


def test_values_are_the_same_on_every_platform_and_version() -> None:
    # A change here changes every training run that is resumed.
    draws = mixture([3, 5], rates=[1, 2], seed=7, window=8).window(3)
    found = [draws.task.tolist(), draws.example.tolist(), draws.epoch.tolist()]
    assert found == GOLDEN_WINDOW
    assert random_key("a", 1) == GOLDEN_KEY
    assert random_key("a1") != random_key("a", 1) != random_key("a", "1")


@pytest.mark.parametrize(
    ("names", "rates", "sizes", "window", "said"),
    [
        (["a", "b"], [1, 1], [4, 0], 8, "task b has no training examples"),
        (["a", "b"], [1, -2], [4, 4], 8, "task b has rate -2"),
        (["a", "b"], [1, float("nan")], [4, 4], 8, "task b has rate nan"),
        (["a", "b"], [float("inf"), 1], [4, 4], 8, "task a has rate inf"),
        (["a", "b"], [0, 0], [4, 4], 8, "all 2 tasks of the mixture have rate 0"),
        (["a", "a"], [1, 1], [4, 4], 8, "task a stands twice"),
        ([], [], [], 8, "no tasks"),
        (["a"], [1], [4], 0, "window of 0 draws"),
        (["a"], [1], [4], 1 << 21, "window of 2097152 draws"),
    ],
)
def test_bad_mixtures_are_refused_by_name(
    names: list[str], rates: list[float], sizes: list[int], window: int, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        MixtureOrder(names, rates=rates, sizes=sizes, seed=0, window=window)


def test_one_task_takes_every_draw() -> None:
    assert Counter(mixture([12]).window(0).task.tolist()) == {0: 64}


GOLDEN_WINDOW = [[0, 0, 1, 0, 1, 1, 1, 1], [1, 1, 4, 2, 3, 1, 2, 2], [3, 2, 3, 3, 3, 3, 4, 3]]
GOLDEN_KEY = 0x66BC907DFC447D90C650CABE7D4C60A1
