"""Figures of the running steps: gathered without stalling the device, written once a period."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from flan_t5x.data.pipeline import Stream, StreamState
from flan_t5x.errors import NonFiniteLossError
from flan_t5x.parallel.distributed import gather
from flan_t5x.train.goodput import INPUT, START_UP, STEPS, WallTime, straggler_figures
from flan_t5x.train.metric_writers import MetricWriter
from flan_t5x.train.progress import Progress

IN_FLIGHT = 2  # steps dispatched ahead of the device; more would only hide where time goes
PER_TOKEN = ("loss", "cross_entropy", "z_loss", "accuracy")


class StepMeter:
    """Collects the metrics of steps and reports their means.

    Args:
        period: steps between two reports.
        stream: says which examples were in a step that failed.
        writer: where reports go; None on processes that write nothing.
        progress: what the user sees.
        wall: where time is booked, and progress noted.
    """

    def __init__(
        self,
        period: int,
        *,
        stream: Stream,
        writer: MetricWriter | None,
        progress: Progress,
        wall: WallTime,
    ) -> None:
        self._period = period
        self._stream = stream
        self._writer = writer
        self._progress = progress
        self._pending: list[tuple[int, dict[str, jax.Array], StreamState]] = []
        self._done: list[tuple[int, dict[str, float]]] = []
        self._wall = wall
        self._waited = 0.0
        self._blocked = 0.0
        self._since = time.monotonic()

    def add(
        self, step: int, metrics: dict[str, jax.Array], *, waited: float, position: StreamState
    ) -> None:
        """Takes in a dispatched step.

        Args:
            step: its number, counted from 1.
            metrics: device scalars, not yet computed.
            waited: seconds the loop waited for its batch.
            position: where the stream stood before it.
        """
        self._pending.append((step, metrics, position))
        self._waited += waited
        self._wall.move(waited, to=INPUT)
        while len(self._pending) > IN_FLIGHT:
            self._collect()
        if step % self._period == 0:
            self.settle()
            self._report()

    def settle(self) -> None:
        """Waits for all dispatched steps and checks them.

        Raises:
            NonFiniteLossError: names the step, its rows and tasks.
        """
        while self._pending:
            self._collect()

    @contextlib.contextmanager
    def paused(self, activity: str) -> Iterator[None]:
        """Time spent here (`goodput.EVALUATION`, `CHECKPOINT`) is not counted as training."""
        self._progress.phase(activity)
        began = time.monotonic()
        with self._wall.during(activity):
            yield
        self._since += time.monotonic() - began
        self._progress.phase("training")

    def flush(self) -> None:
        """Settles, and reports what the period has so far.

        Done before every save: a run resumed from it has the figures of all steps.
        """
        self.settle()
        if self._done:
            self._report()

    def _collect(self) -> None:
        step, metrics, position = self._pending.pop(0)
        began = time.monotonic()
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        self._blocked += time.monotonic() - began
        if self._wall.activity == START_UP:  # this first step is done, so all hosts compiled it
            self._wall.switch(STEPS)
        self._wall.progressed(step)
        if not values["finite"]:
            raise NonFiniteLossError(self._describe(step, values, position))
        self._done.append((step, values))

    def _describe(self, step: int, values: dict[str, float], position: StreamState) -> str:
        rows = self._stream.provenance(position)
        tasks: dict[str, int] = {}
        for row in rows:
            for task, _ in row:
                tasks[task] = tasks.get(task, 0) + 1
        most = sorted(tasks.items(), key=lambda item: -item[1])[:8]
        return (
            f"step {step}: loss {values['loss']}, gradient norm {values['grad_norm']}: not finite. "
            f"Its {len(rows)} rows begin at row {position.row} of window {position.window} of the "
            f"stream; examples by task: {', '.join(f'{t} x{n}' for t, n in most)}. "
            "The last checkpoint is sound. Lower the learning rate or look at these tasks with "
            "`flan-t5x tasks preview`, then run again"
        )

    def _report(self) -> None:
        steps, values = self._done[-1][0], [v for _, v in self._done]
        seconds = max(time.monotonic() - self._since, 1e-9)
        weights = np.array([v["target_tokens"] for v in values])
        tokens = float(weights.sum() + sum(v["input_tokens"] for v in values))
        slots = sum(v["slots"] for v in values)
        figures: dict[str, Any] = {
            name: float(np.average([v[name] for v in values], weights=np.maximum(weights, 1e-9)))
            for name in PER_TOKEN
        }
        figures |= {
            "grad_norm": float(np.mean([v["grad_norm"] for v in values])),
            "param_norm": values[-1]["param_norm"],
            "steps_per_second": len(values) / seconds,
            "tokens_per_second": tokens / seconds,
            "target_tokens_per_second": float(weights.sum()) / seconds,
            "real_token_share": tokens / slots,
            "input_wait_share": self._waited / seconds,
        }
        if jax.process_count() > 1:
            times = gather(np.array([self._waited, max(seconds - self._blocked, 0.0)]))
            figures |= straggler_figures(times[:, 0], times[:, 1], seconds)
        if self._writer is not None:
            self._writer.scalars(steps, "train", figures)
        self._progress.update(
            steps,
            loss=figures["loss"],
            tokens_per_second=figures["tokens_per_second"],
            real_tokens=figures["real_token_share"],
        )
        self._done, self._waited, self._blocked = [], 0.0, 0.0
        self._since = time.monotonic()
