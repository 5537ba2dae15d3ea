"""Reading saved steps without opening a run: for evaluation, inference and first parameters."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from flan_t5x.checkpoint import completeness
from flan_t5x.checkpoint.disk import local_path
from flan_t5x.checkpoint.quiet import print_to_stderr, silence_orbax
from flan_t5x.errors import UserError


def read_params(directory: str | os.PathLike[str], step: int | None = None) -> dict[str, Any]:
    """The parameters of a saved step, as a nested dict of NumPy arrays; changes nothing on disk.

    Args:
        directory: a folder of steps, a model_dir with a ``checkpoints`` folder, or one step.
        step: which one. By default the one with the best metric, else the newest.

    Raises:
        UserError: there is no whole step, or not the one asked for.
    """
    silence_orbax()
    folder = find_step(directory, step)
    restore = ocp.args.PyTreeRestore
    leaves = [n for n in completeness.read_leaves(folder) if n.startswith("params/")]
    if not leaves:
        raise UserError(f"{folder} has no parameters: nothing in it is called params/...")
    wanted: dict[str, Any] = {}
    for name in leaves:
        _place(wanted, name, 0)
    as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), wanted)
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
        args = restore(item=wanted, restore_args=as_numpy, partial_restore=True)
        return dict(reader.restore(folder / "state", args=args)["params"])


def read_extra(directory: str | os.PathLike[str], step: int | None = None) -> dict[str, Any]:
    """The JSON record saved beside a step; arguments as for `read_params`."""
    return completeness.read_extra(find_step(directory, step))


def find_step(
    directory: str | os.PathLike[str],
    step: int | None = None,
    *,
    say: Callable[[str], None] = print_to_stderr,
) -> Path:
    """The folder of a whole step; arguments and errors as for `read_params`.

    Without `step`, steps that are not whole are named through `say` and passed over. Of steps
    with the same metric the later one is taken.
    """
    root = local_path(directory)
    if root.name.isdecimal() and (root / "state").is_dir():
        return _whole(root)
    if (root / "checkpoints").is_dir():
        root = root / "checkpoints"
    folders = completeness.step_folders(root)
    if step is not None:
        if step not in folders:
            raise UserError(no_step(root, step, list(folders)))
        return _whole(folders[step])
    ranks: dict[tuple[float, int], Path] = {}
    for number, folder in folders.items():
        problem = completeness.find_problem(folder)
        if problem is None:
            ranks[completeness.rank(completeness.read_metric(folder)), number] = folder
        else:
            say(f"checkpoint {folder} is not whole: {problem}; passed over")
    if not ranks:
        raise UserError(no_step(root, None, []))
    return ranks[max(ranks)]


def _whole(folder: Path) -> Path:
    problem = completeness.find_problem(folder)
    if problem is not None:
        raise UserError(f"checkpoint {folder} is not whole: {problem}; copy or make it again")
    return folder


def no_step(directory: Path, step: int | None, there: list[int]) -> str:
    """The message for a step that is not there."""
    if step is None:
        return f"no complete checkpoint in {directory}; check the path, or train first"
    listed = ", ".join(map(str, there)) or "none"
    return f"no checkpoint of step {step} in {directory}; the steps there are: {listed}"


def _place(tree: dict[str, Any], name: str, leaf: Any) -> None:
    *folders, last = name.split("/")
    for folder in folders:
        tree = tree.setdefault(folder, {})
    tree[last] = leaf
