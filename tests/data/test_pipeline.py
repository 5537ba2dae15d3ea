"""The stream: the same rows for any number of hosts, any batch size and after any restart."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flan_t5x.data.pipeline import Stream, StreamState
from flan_t5x.data.rows import FEATURES, Batch
from flan_t5x.errors import UserError
from tests.data.stream_toys import NAMES, ToyExample, ToySplit, same, toy_splits, toy_stream

START = StreamState()


def walk(stream: Stream, steps: int, state: StreamState = START) -> list[Batch]:
    batches = []
    for _ in range(steps):
        batch, state = stream.batch(state)
        batches.append(batch)
    return batches


def states(stream: Stream, steps: int) -> list[StreamState]:
    """The state before each of the first steps, and after the last."""
    found = [START]
    for _ in range(steps):
        found.append(stream.batch(found[-1], rows=[])[1])
    return found


@pytest.mark.parametrize("pack", [True, False])
@pytest.mark.parametrize("hosts", [1, 2, 4])
def test_hosts_together_make_the_same_batches(hosts: int, pack: bool) -> None:
    whole = walk(toy_stream(pack=pack), 12)
    share = 8 // hosts
    parts: list[list[Batch]] = []
    for host in range(hosts):
        stream, state, batches = toy_stream(pack=pack), START, []
        for _ in range(12):
            rows = range(host * share, (host + 1) * share)
            batch, state = stream.batch(state, rows)
            batches.append(batch)
        parts.append(batches)
    for step, expected in enumerate(whole):
        joined = {n: np.concatenate([p[step][n] for p in parts]) for n in FEATURES}
        assert same(joined, expected)


def test_a_host_reads_its_own_rows_only() -> None:
    splits = toy_splits()
    stream = toy_stream(splits)
    _, _ = stream.batch(START, rows=[5, 2])
    read = [(NAMES[s.task], i) for s in splits for i in s.reads]
    placed = stream.provenance(START)
    assert Counter(read) == Counter(placed[5] + placed[2])


@settings(max_examples=25, deadline=None)
@given(stop=st.integers(0, 30), size=st.integers(1, 40), seed=st.integers(0, 5))
def test_any_restart_continues_with_the_same_rows(stop: int, size: int, seed: int) -> None:
    unbroken = walk(toy_stream(batch_size=size, seed=seed), stop + 3)
    saved = json.dumps(states(toy_stream(batch_size=size, seed=seed), stop)[-1].to_json())
    resumed = toy_stream(batch_size=size, seed=seed)
    again = walk(resumed, 3, StreamState.from_json(json.loads(saved)))
    assert all(same(a, b) for a, b in zip(again, unbroken[stop:], strict=True))


@pytest.mark.parametrize("pack", [True, False])
def test_row_from_scratch_equals_the_sequential_stream(pack: bool) -> None:
    rows = {
        name: np.concatenate([b[name] for b in walk(toy_stream(pack=pack), 12)])
        for name in FEATURES
    }
    for index in (95, 0, 17, 60):
        row = toy_stream(pack=pack).row(index)
        assert row.keys() == rows.keys()
        assert all(np.array_equal(row[name], rows[name][index]) for name in rows)


def test_rows_do_not_depend_on_the_batch_size() -> None:
    joined = [
        {
            n: np.concatenate([b[n] for b in walk(toy_stream(batch_size=s), 240 // s)])
            for n in FEATURES
        }
        for s in (3, 8, 120)  # the last spans several windows
    ]
    assert same(joined[0], joined[1])
    assert same(joined[0], joined[2])


def test_locate_inverts_the_walk() -> None:
    stream = toy_stream()
    for step, state in enumerate(states(stream, 30)):
        assert toy_stream().locate(8 * step) == state
        assert stream.locate(8 * step) == state


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), window=st.integers(1, 200), pack=st.booleans())
def test_a_window_holds_its_draws_once_within_capacity(seed: int, window: int, pack: bool) -> None:
    stream = toy_stream(seed=seed, window=window, pack=pack, batch_size=1)
    by_window: dict[int, Counter[tuple[str, int]]] = {0: Counter(), 1: Counter()}
    state = START
    while state.window < 2:
        index = state.window
        [row] = stream.provenance(state)
        assert row
        assert pack or len(row) == 1
        by_window[index].update(row)
        batch, state = stream.batch(state)
        splits = dict(zip(NAMES, toy_splits(), strict=True))
        sizes = np.array([splits[name].lengths[i] for name, i in row])
        # Every token of every example is there: the row is not over capacity, nothing is cut.
        assert (batch["encoder_segment_ids"] > 0).sum() == sizes[:, 0].sum() <= 64
        assert batch["decoder_loss_weights"].sum() == sizes[:, 1].sum() <= 16
    for index, found in by_window.items():
        draws = stream._order.window(index)
        expected = Counter(
            (NAMES[t], int(e)) for t, e in zip(draws.task, draws.example, strict=True)
        )
        assert found == expected
        assert found.total() == window


def test_provenance_names_what_the_batch_holds() -> None:
    stream = toy_stream()
    splits = dict(zip(NAMES, toy_splits(), strict=True))
    for state in states(stream, 10)[:-1]:
        batch, _ = stream.batch(state)
        for row, members in enumerate(stream.provenance(state)):
            for segment, (name, index) in enumerate(members, start=1):
                example = splits[name].example(index)
                for side, feature, where in (
                    (example.inputs, "encoder_input_tokens", "encoder_segment_ids"),
                    (example.targets, "decoder_target_tokens", "decoder_segment_ids"),
                ):
                    found = batch[feature][row][batch[where][row] == segment]
                    assert found.tolist() == side.tolist()


def test_epochs_seen_counts_consumed_examples() -> None:
    stream = toy_stream()
    counted: Counter[str] = Counter()
    for state in states(stream, 25):
        assert stream.draws_seen(state) == {name: counted[name] for name in NAMES}
        sizes = dict(zip(NAMES, (7, 60, 400), strict=True))
        assert stream.epochs_seen(state) == {n: counted[n] / sizes[n] for n in NAMES}
        counted.update(name for row in stream.provenance(state) for name, _ in row)
    assert stream.epochs_seen(state)["small"] > 2 > 1 > stream.epochs_seen(state)["large"]


def test_rows_of_a_window_are_shuffled() -> None:
    # The planner makes the rows with the longest examples first; the stream must not.
    splits = [ToySplit(0, 3000)]
    stream = Stream(
        splits, ["a"], [1], feature_lengths={"inputs": 64, "targets": 16}, batch_size=1, seed=0
    )
    rows = [stream.provenance(stream.locate(i)) for i in range(stream._window(0).num_rows)]
    members = np.array([len(row[0]) for row in rows])
    halves = members[: len(members) // 2].mean(), members[len(members) // 2 :].mean()
    assert abs(halves[0] - halves[1]) < 5 * members.std() * 2 / len(members) ** 0.5
    assert abs(np.corrcoef(members[1:], members[:-1])[0, 1]) < 5 / len(members) ** 0.5


def test_the_fill_is_high_and_stated() -> None:
    stream = toy_stream(window=4096)
    rows = stream._window(0).num_rows
    lengths = stream._window(0).lengths.sum(axis=0)
    assert stream.efficiency(0) == max(lengths[0] / 64, lengths[1] / 16) / rows > 0.96
    assert toy_stream(pack=False).efficiency(0) < 0.5


def test_seed_changes_the_rows_and_the_fingerprint() -> None:
    one, two = toy_stream(seed=1), toy_stream(seed=2)
    assert not same(one.batch(START)[0], two.batch(START)[0])
    prints = {
        s.fingerprint() for s in (one, two, toy_stream(seed=1, pack=False), toy_stream(window=32))
    }
    assert len(prints) == 4
    # Batch size and hosts may change between restarts.
    assert toy_stream(seed=1, batch_size=2).fingerprint() == one.fingerprint()


def test_states_are_ordered_and_read_back() -> None:
    stream = toy_stream()
    assert all(a < b for a, b in pairwise(states(stream, 40)))
    state = StreamState(3, 5)
    assert StreamState.from_json(json.loads(json.dumps(state.to_json()))) == state


@pytest.mark.parametrize(
    "record", [{}, {"window": 1}, {"window": -1, "row": 0}, {"window": "1", "row": 0}]
)
def test_a_foreign_state_is_refused(record: dict[str, object]) -> None:
    with pytest.raises(UserError, match="no window and row of 0 or more"):
        StreamState.from_json(record)


def test_a_state_of_another_mixture_is_refused() -> None:
    with pytest.raises(UserError, match=r"no row 9999 in window 1 of \d+ rows; the mixture"):
        toy_stream().batch(StreamState(1, 9999))


def stream_of(split: ToySplit, **lengths: int) -> Stream:
    return Stream(
        [split],
        ["only"],
        [1],
        feature_lengths={"inputs": 64, "targets": 16} | lengths,
        batch_size=2,
        seed=0,
        window=16,
    )


def test_an_example_longer_than_a_row_is_named() -> None:
    split = ToySplit(0, 20)
    split.lengths[13, 0] = 65
    with pytest.raises(UserError, match="task only: example 13 has 65 tokens of inputs, a row hol"):
        stream_of(split)
    split.lengths[13] = (3, 17)
    with pytest.raises(UserError, match="task only: example 13 has 17 tokens of targets"):
        stream_of(split)


def test_a_task_without_examples_is_named() -> None:
    with pytest.raises(UserError, match="task only has no training examples"):
        stream_of(ToySplit(0, 0))


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(UserError, match="a batch of 0 rows is empty"):
        toy_stream(batch_size=0)


def test_records_that_disagree_with_the_lengths_are_named() -> None:
    class Damaged(ToySplit):
        def example(self, index: int) -> ToyExample:
            whole = super().example(index)
            return ToyExample(whole.inputs[:-1], whole.targets)

    with pytest.raises(UserError, match=r"task only: example \d+ has .* the token cache is damag"):
        stream_of(Damaged(0, 20)).batch(START)


def test_lengths_of_another_count_are_refused() -> None:
    split = ToySplit(0, 20)
    split.num_examples = 21
    with pytest.raises(UserError, match="task only: 21 examples, but lengths of 20"):
        stream_of(split)
