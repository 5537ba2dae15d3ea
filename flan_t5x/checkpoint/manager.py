"""The checkpoints of a run: the newest and the best, saved in the background, always whole.

`Checkpoints` wraps Orbax's CheckpointManager and adds what it lacks on a plain disk: a check
that a step is complete, a fall-back to an older one, and clear words about a full disk.
Steps are folders named by their number; beside the state each has a JSON record (`extra`).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from flan_t5x.checkpoint import completeness
from flan_t5x.checkpoint.base import load_base, save_base
from flan_t5x.checkpoint.disk import bytes_on_disk, is_disk_full, local_path, size_in_words
from flan_t5x.checkpoint.leaves import leaf_specs, require_same_leaves
from flan_t5x.checkpoint.quiet import print_to_stderr, silence_orbax
from flan_t5x.checkpoint.reading import find_step, no_step, read_extra, read_params
from flan_t5x.errors import DisconnectedError, UserError

__all__ = [
    "Checkpoints",
    "bytes_on_disk",
    "find_step",
    "load_base",
    "read_extra",
    "read_params",
    "save_base",
]

_TRASH = ".removed"
_DAMAGE_WORDS = ("DATA_LOSS", "NOT_FOUND", "OUT_OF_RANGE", "CORRUPT", "CHECKSUM", "CRC")


class Checkpoints:
    """Saves and restores training states; keeps the newest and the best.

    On opening (all processes of a run together), left-overs of unfinished saves are removed
    and every step is checked. A step that is not whole is named through `say` and renamed to
    ``<step>.damaged``, where it does no harm; it is never deleted.

    Args:
        directory: local or mounted folder, e.g. ``model_dir/checkpoints``; created if absent.
        keep_newest: how many of the newest steps to keep, at least 1.
        keep_best: how many of the steps with the highest finite metric to keep.
        say: where notices go; standard error by default.

    Raises:
        UserError: the folder is remote or cannot be written.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        keep_newest: int = 1,
        keep_best: int = 1,
        say: Callable[[str], None] | None = None,
    ) -> None:
        if keep_newest < 1 or keep_best < 0:
            raise UserError(
                f"keep_newest={keep_newest}, keep_best={keep_best}: "
                "keep_newest must be at least 1 and keep_best at least 0"
            )
        silence_orbax()
        self.directory = local_path(directory)
        self._say = say or print_to_stderr
        self._saving: int | None = None
        self._needed = 0
        if jax.process_index() == 0:
            self._tidy()
        _sync("flan_t5x_checkpoints_tidied")
        self._manager = self._open_manager(keep_newest, keep_best)
        self._metrics = self._read_metrics()

    def save(
        self,
        step: int,
        state: Any,
        *,
        extra: Mapping[str, Any] | None = None,
        metric: float | None = None,
    ) -> bool:
        """Starts saving a state; returns when it has been copied, before it is on disk.

        Waits for an earlier save first. A step that exists already is not written again (the
        run is exact, so it would be the same); a metric given for it now is recorded.

        Args:
            step: training step, more than every saved one, or one of them.
            state: pytree of `jax.Array`s and plain numbers. May be donated right afterwards.
            extra: JSON-able record, e.g. the state of the input stream.
            metric: selection metric, higher is better; None or non-finite is never "best".

        Returns:
            Whether a new step is being written.

        Raises:
            UserError: too little free space (nothing was touched), or this or the previous
                save failed; the message names the folder, what is free and what is needed.
            TypeError: `extra` is not JSON-able.
        """
        self.wait()
        if step in self.steps():
            self._record_metric(step, metric)
            return False
        newest = self.newest()
        if newest is not None and step < newest:
            raise UserError(
                f"step {step} comes before the newest checkpoint, step {newest}, in "
                f"{self.directory}; move the later ones away, or use another model_dir"
            )
        record = json.loads(json.dumps(dict(extra or {})))
        self._require_space(state)
        items = ocp.args.Composite(
            state=completeness.StateSave(state), extra=ocp.args.JsonSave(record)
        )
        metrics = {"value": float(metric)} if completeness.is_finite(metric) else None
        if metrics is not None:
            self._metrics[step] = metrics["value"]
        self._saving = step
        try:
            self._manager.save(step, args=items, metrics=metrics, force=True)
        except Exception as error:
            raise self._failed(error) from error
        return True

    def wait(self) -> None:
        """Returns when the save under way is complete on disk.

        Raises:
            UserError: that save failed. Earlier steps are untouched.
        """
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._failed(error) from error
        self._saving = None
        if jax.process_index() == 0:
            shutil.rmtree(self.directory / _TRASH, ignore_errors=True)

    def steps(self) -> list[int]:
        """All whole steps, oldest first, including one that is being saved."""
        return sorted(self._manager.all_steps())

    def newest(self) -> int | None:
        """The newest step; None where nothing was saved."""
        return max(self.steps(), default=None)

    def best(self) -> int | None:
        """The kept step with the highest finite metric, the later one of equals; else None."""
        known = [step for step in self.steps() if step in self._metrics]
        return max(known, key=lambda step: (self._metrics[step], step), default=None)

    def best_metric(self) -> float | None:
        """The metric of `best()`."""
        step = self.best()
        return None if step is None else self._metrics[step]

    def restore(self, abstract_state: Any, step: int | None = None) -> tuple[Any, dict[str, Any]]:
        """Reads a state into the given shapes, dtypes and shardings, bit for bit.

        Args:
            abstract_state: tree of `jax.ShapeDtypeStruct` (with the shardings wanted now; the
                saving run may have had other devices) and plain numbers. A leaf without a
                sharding is put on the first device.
            step: which step; the newest by default, and an older one with a notice where the
                newest turns out to be unreadable.

        Returns:
            (state, extra).

        Raises:
            UserError: no such step, or its leaves differ from the ones asked for.
        """
        self.wait()
        target = jax.tree.map(_with_sharding, abstract_state)
        while True:
            chosen = self.newest() if step is None else step
            if chosen is None or chosen not in self.steps():
                raise UserError(no_step(self.directory, step, self.steps()))
            folder = self.directory / str(chosen)
            require_same_leaves(
                completeness.read_leaves(folder), leaf_specs(abstract_state), source=str(folder)
            )
            try:
                args = ocp.args.Composite(state=completeness.StateRestore(target))
                restored = self._manager.restore(chosen, args=args)
                return restored["state"], completeness.read_extra(folder)
            except Exception as error:
                problem = str(error).splitlines()[0][:300] if str(error) else repr(error)
                damaged = any(word in str(error).upper() for word in _DAMAGE_WORDS)
                if step is not None or not damaged or jax.process_count() > 1:
                    raise UserError(
                        f"checkpoint {folder} cannot be restored: {problem}. Move that folder "
                        "away to go on from an older step"
                    ) from error
                self._set_aside(folder, problem)
                self._manager.reload()

    def close(self) -> None:
        """Waits for the save under way and lets go of Orbax's threads."""
        self.wait()
        self._manager.close()

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not isinstance(error, DisconnectedError):  # a save would wait for who is gone
            self.close()

    def _open_manager(self, keep_newest: int, keep_best: int) -> ocp.CheckpointManager:
        policies = ocp.checkpoint_managers
        # Both the policy and best_fn: the policy decides what stays (best_fn alone deletes the
        # newest step when the metric falls); best_fn makes Orbax write metrics to disk, without
        # which the best is forgotten at the next start.
        keep = policies.AnyPreservationPolicy(
            [
                policies.LatestN(keep_newest),
                policies.BestN(
                    get_metric_fn=_rank, n=keep_best, keep_checkpoints_without_metrics=False
                ),
            ]
        )
        options = ocp.CheckpointManagerOptions(
            best_fn=_rank,
            best_mode="max",
            keep_checkpoints_without_metrics=False,
            preservation_policy=keep,
            cleanup_tmp_directories=True,
            # A rename: a kill in the middle of a removal leaves no half of a step behind.
            todelete_subdir=_TRASH,
        )
        try:
            return ocp.CheckpointManager(
                self.directory,
                options=options,
                item_handlers={
                    "state": completeness.StateHandler(),
                    "extra": ocp.JsonCheckpointHandler(),
                },
            )
        except OSError as error:
            raise UserError(
                f"cannot use {self.directory} for checkpoints: {error.strerror or error}"
            ) from error

    def _tidy(self) -> None:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(self.directory / _TRASH, ignore_errors=True)
            for folder in completeness.temporary_folders(self.directory):
                shutil.rmtree(folder, ignore_errors=True)
            for folder in completeness.step_folders(self.directory).values():
                problem = completeness.find_problem(folder)
                if problem is not None:
                    self._set_aside(folder, problem)
        except OSError as error:
            raise UserError(
                f"cannot use {self.directory} for checkpoints: {error.strerror or error}"
            ) from error

    def _set_aside(self, folder: Path, problem: str) -> None:
        aside = folder.with_name(f"{folder.name}.damaged")
        count = 1
        while aside.exists():
            count += 1
            aside = folder.with_name(f"{folder.name}.damaged-{count}")
        folder.rename(aside)
        older = [s for s in completeness.step_folders(self.directory) if s < int(folder.name)]
        then = f"using step {older[-1]} instead" if older else "there is no older step"
        self._say(
            f"checkpoint {folder} is not whole: {problem}; moved it to {aside.name}, {then} "
            "(put it back under its old name once its copy is complete, or delete it)"
        )

    def _record_metric(self, step: int, metric: float | None) -> None:
        if not completeness.is_finite(metric) or metric == self._metrics.get(step):
            return
        if jax.process_index() == 0:
            completeness.write_metric(self.directory / str(step), float(metric))
        self._metrics[step] = float(metric)
        _sync("flan_t5x_checkpoints_metric")
        self._manager.reload()

    def _read_metrics(self) -> dict[int, float]:
        folders = completeness.step_folders(self.directory)
        read = {step: completeness.read_metric(folder) for step, folder in folders.items()}
        return {step: value for step, value in read.items() if completeness.is_finite(value)}

    def _require_space(self, state: Any) -> None:
        self._needed = bytes_on_disk(state)
        free = shutil.disk_usage(self.directory).free
        refused = free < self._needed
        if jax.process_count() > 1:  # all processes must take the same way
            refused = bool(multihost_utils.broadcast_one_to_all(np.int32(refused)))
        if refused:
            raise UserError(self._no_space(free, self._needed))

    def _no_space(self, free: int, needed: int) -> str:
        kept = completeness.step_folders(self.directory)
        newest = f"; step {max(kept)} is untouched" if kept else ""
        return (
            f"disk full: a checkpoint in {self.directory} needs {size_in_words(needed)}, "
            f"{size_in_words(free)} is free{newest}. Free some space and run the same command again"
        )

    def _failed(self, error: Exception) -> UserError:
        """Removes what the failed save left behind and words the error."""
        step, self._saving = self._saving, None
        if jax.process_index() == 0:
            for folder in completeness.temporary_folders(self.directory):
                shutil.rmtree(folder, ignore_errors=True)
        # Orbax has already struck off the steps that this save would have replaced.
        self._manager.reload()
        self._metrics = self._read_metrics()
        if is_disk_full(error):
            free = shutil.disk_usage(self.directory).free
            return UserError(self._no_space(free, self._needed))
        words = str(error).splitlines()[0][:300] if str(error) else repr(error)
        return UserError(
            f"saving step {step} to {self.directory} failed: {words}. "
            "Earlier checkpoints are untouched; run the same command again"
        )


def _rank(metrics: Any) -> float:
    """What Orbax keeps the best by. It calls this for steps that have metrics only."""
    return completeness.rank(metrics["value"])


def _with_sharding(leaf: Any) -> Any:
    if isinstance(leaf, bool | int | float):
        return leaf
    sharding = getattr(leaf, "sharding", None)
    if sharding is None:
        sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _sync(name: str) -> None:
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)
