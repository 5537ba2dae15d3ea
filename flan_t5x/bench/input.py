"""The input pipeline alone: planning, reading, laying out rows, on one core."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from flan_t5x.bench.machine import one_core, peak_rss_bytes
from flan_t5x.bench.rounds import Times
from flan_t5x.data.cache import ensure_cached
from flan_t5x.data.packing import plan_window
from flan_t5x.data.pipeline import Stream, StreamState
from flan_t5x.data.vocabulary import resolve_vocabulary
from flan_t5x.train import job
from flan_t5x.train.config import DataConfig

_WARM_UP_BATCHES = 4


def default_data() -> DataConfig:
    """mini-Flan at 512/128, 1,000 examples of every task."""
    return DataConfig(
        mixture_or_task_name="mini_flan",
        task_feature_lengths={"inputs": 512, "targets": 128},
        vocabulary="mini",
        examples_per_task=1000,
    )


def open_stream(
    data: DataConfig, *, batch_size: int, say: Callable[[str], None], seed: int = 0
) -> Stream:
    """The stream that training would read; a missing token cache is built first."""
    tasks = job.training_tasks(data)
    vocabulary = resolve_vocabulary(data.vocabulary)
    spec = job.cache_spec(tasks, data, vocabulary, examples=data.examples_per_task)
    splits = ensure_cached(spec, data.cache_path, num_workers=data.num_workers, say=say)
    found = [splits[task.name, tasks.split] for task in tasks.tasks]
    return job.open_stream(tasks, found, data, batch_size=batch_size, seed=seed)


def bench_input(stream: Stream, *, rounds: int, seconds: float = 2.0) -> dict[str, Any]:
    """Reads batches on one core, plans included, for `seconds` a round.

    Args:
        stream: of a recipe, or of `default_data`.
        rounds: timed rounds, each where the one before ended.
        seconds: length of a round.

    Returns:
        The figures by name: examples and real tokens per second (padding does not count), the
        share of token slots that hold tokens (`fill`), `packing_efficiency` (rows that the tokens
        need at least, over rows used), microseconds of planning per example.
    """
    example_rates, token_rates, fills = [], [], []
    with one_core():
        state = StreamState()
        for _ in range(_WARM_UP_BATCHES):
            _, state = stream.batch(state)
        for _ in range(rounds):
            counted, state = _read(stream, state, seconds)
            example_rates.append(counted["examples"] / counted["seconds"])
            token_rates.append(counted["tokens"] / counted["seconds"])
            fills.append(counted["tokens"] / counted["slots"])
        plan = _plan_times(stream, rounds)
    tokens = Times(tuple(token_rates))
    return {
        "rounds": rounds,
        "tasks": len(stream.names),
        "feature_lengths": {"inputs": stream.capacity[0], "targets": stream.capacity[1]},
        "batch_size": stream.batch_size,
        "examples_per_second": Times(tuple(example_rates)).median,
        "tokens_per_second": tokens.median,
        "tokens_per_second_min": tokens.fastest,
        "tokens_per_second_max": tokens.slowest,
        "fill": float(np.mean(fills)),
        "packing_efficiency": float(np.mean([stream.efficiency(w) for w in range(rounds)])),
        "plan_us_per_example": 1e6 * plan.median,
        "peak_rss_bytes": peak_rss_bytes(),
    }


def _read(
    stream: Stream, state: StreamState, seconds: float
) -> tuple[dict[str, float], StreamState]:
    counted = dict.fromkeys(("examples", "tokens", "slots", "seconds"), 0.0)
    while counted["seconds"] < seconds:
        start = time.perf_counter()
        batch, state = stream.batch(state)
        counted["seconds"] += time.perf_counter() - start
        counted["examples"] += int(batch["encoder_segment_ids"].max(axis=1).sum())
        for name in ("encoder_input_tokens", "decoder_target_tokens"):
            counted["tokens"] += int(np.count_nonzero(batch[name]))
            counted["slots"] += batch[name].size
    return counted, state


def _plan_times(stream: Stream, rounds: int) -> Times:
    """Seconds per example of planning a window, from the lengths of windows that were drawn."""
    taken = []
    for window in range(rounds):
        lengths = stream.window_lengths(window)
        start = time.perf_counter()
        plan_window(lengths, stream.capacity)
        taken.append((time.perf_counter() - start) / len(lengths))
    return Times(tuple(taken))
