"""Which checkpoints an evaluation is of: one, several, or those of a run that still trains."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from flan_t5x.checkpoint import completeness
from flan_t5x.errors import UserError, nearest
from flan_t5x.parallel import distributed

Steps = Literal["best", "all", "watch"]
STEPS: tuple[Steps, ...] = ("best", "all", "watch")

FINAL = "final.json"
"""In a model_dir: its training has ended."""
LOCK = ".lock"
"""In a model_dir: has text in it while a trainer works there (or was killed)."""
POLL_SECONDS = 2.0

_END = -1


@dataclass(frozen=True)
class Target:
    """One checkpoint to evaluate.

    Attributes:
        path: where it is.
        label: names it among the others, and its folder in the output; "" where it is alone.
    """

    path: str
    label: str


def targets(
    checkpoint_path: str | Sequence[str],
    steps: Steps = "best",
    *,
    timeout_seconds: float | None = None,
    say: Callable[[str], None] = print,
) -> Iterator[Target]:
    """The checkpoints to evaluate, in order; with "watch", each when it appears.

    Args:
        checkpoint_path: one or several: a model_dir, a checkpoint folder, a base checkpoint.
        steps: of a model_dir, "best" takes the best step, "all" every whole one, and "watch"
            also those to come, until the run has ended.
        timeout_seconds: "watch" ends when no new checkpoint has come for so long; None waits.
        say: told what is waited for.

    Raises:
        UserError: unknown `steps`, or "all" and "watch" of what has no steps.
    """
    paths = [checkpoint_path] if isinstance(checkpoint_path, str) else list(checkpoint_path)
    if steps not in STEPS:
        raise UserError(f"steps = {steps!r} is not known; {nearest(steps, STEPS) or STEPS}")
    if not paths:
        raise UserError("checkpoint_path is an empty list; name at least one checkpoint")
    if steps == "best":
        for path, label in zip(paths, _labels(paths), strict=True):
            yield Target(path, label)
        return
    if len(paths) > 1 and steps == "watch":
        raise UserError(
            f"steps = 'watch' with {len(paths)} checkpoint_paths; one model_dir can be watched"
        )
    for path, label in zip(paths, _labels(paths), strict=True):
        run = Run(path)
        found = run.watch(timeout_seconds, say=say) if steps == "watch" else iter(run.steps())
        for step in _agreed(found):
            yield Target(
                str(run.checkpoints / str(step)), f"{label}_{step}" if label else f"step_{step}"
            )


class Run:
    """A model_dir, read only.

    Raises:
        UserError: with `path` that is no local folder.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path).expanduser().absolute()
        if "://" in path or self.path.suffix == ".npz":
            raise UserError(
                f"{path} is no local model_dir, so it has no steps to go through; "
                "use steps = 'best'"
            )
        self.checkpoints = self.path / "checkpoints"

    def steps(self) -> list[int]:
        """Steps that are whole, oldest first."""
        folders = completeness.step_folders(self.checkpoints).items()
        return [step for step, folder in folders if completeness.find_problem(folder) is None]

    def ended(self) -> bool:
        """Whether the run has said that it is done, and nobody goes on with it."""
        lock = self.path / LOCK
        working = lock.is_file() and lock.stat().st_size > 0
        return (self.path / FINAL).is_file() and not working

    def watch(self, timeout: float | None, *, say: Callable[[str], None] = print) -> Iterator[int]:
        """Every step once, as soon as it is whole.

        A step that is removed before its turn (the run keeps the newest and the best ones) is
        never seen. Ends when the run has ended, or as `targets` says.
        """
        seen: set[int] = set()
        last = time.monotonic()
        told = False
        while True:
            ended = self.ended()  # before looking: what is saved last is saved before that
            there = completeness.step_folders(self.checkpoints)
            new = [step for step in there if step not in seen]
            whole = [s for s in new if completeness.find_problem(there[s]) is None]
            for step in whole:
                seen.add(step)
                yield step
                last, told = time.monotonic(), False
            if whole:
                continue
            if ended:
                return
            if timeout is not None and time.monotonic() - last >= timeout:
                say(f"no new checkpoint in {self.path} for {timeout:g} s: the watch ends")
                return
            if not told:
                say(f"waiting for the next checkpoint in {self.path}")
                told = True
            time.sleep(POLL_SECONDS)


def _agreed(steps: Iterator[int]) -> Iterator[int]:
    """The steps that the first process finds, on every process."""
    while True:
        mine = next(steps, _END) if distributed.is_lead() else _END
        step = int(distributed.from_lead(np.array(mine, np.int64)))
        if step == _END:
            return
        yield step


def _labels(paths: Sequence[str]) -> list[str]:
    """ "" for one path; for several the last names of each, and a number where they repeat."""
    if len(paths) == 1:
        return [""]
    labels: list[str] = []
    for path in paths:
        parts = [part for part in Path(path).parts if part not in ("/", "checkpoints")]
        label = "_".join(parts[-2:] if parts[-1:] and parts[-1].isdecimal() else parts[-1:])
        label = label.removesuffix(".npz") or "checkpoint"
        repeats = sum(other == label or other.startswith(f"{label}.") for other in labels)
        labels.append(label if not repeats else f"{label}.{repeats + 1}")
    return labels
