"""Is a saved step whole? Orbax alone does not notice a lost or shortened file on a local disk.

While a step is still in its temporary folder, the handler below writes into it a manifest of
every leaf (name, shape, dtype) and every file (size, checksum). The folder is renamed into
place after that, so a step without a manifest was never finished by us, and a step that
disagrees with its manifest was damaged or copied in part.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import jax
import orbax.checkpoint as ocp

from flan_t5x.checkpoint.leaves import LeafSpec, leaf_specs

FORMAT = 1
MANIFEST = Path("state") / "manifest.json"
METRIC_FILE = Path("metrics") / "metrics"
EXTRA_FILE = Path("extra") / "metadata"
# Above this size only lengths are compared: reading a pod's checkpoint twice is too dear.
CHECKSUM_BYTES = 1 << 30

_TEMPORARY = ".orbax-checkpoint-tmp"
# Written by Orbax after, or changed while, the step is moved into place.
_UNLISTED = frozenset({"commit_success.txt", "_CHECKPOINT_METADATA"})


@dataclass
class StateSave(ocp.args.CheckpointArgs):
    """Save arguments of `StateHandler`.

    Attributes:
        item: the training state, a pytree of arrays and plain numbers.
    """

    item: Any


class StateHandler(ocp.StandardCheckpointHandler):
    """Orbax's standard handler, plus a manifest written before the step is moved into place."""

    def __init__(self) -> None:
        super().__init__()
        self._leaves: dict[str, LeafSpec] = {}

    async def async_save(self, directory: Any, args: Any = None, **_: Any) -> Any:
        """Starts the save and remembers what it should consist of."""
        self._leaves = leaf_specs(args.item)
        return await super().async_save(directory, args=ocp.args.StandardSave(args.item))

    def finalize(self, directory: Any) -> None:
        """Called on the first process when all processes have written their files."""
        super().finalize(directory)
        if jax.process_index() == 0:
            write_manifest(Path(os.fspath(directory)), self._leaves)


ocp.args.register_with_handler(StateHandler, for_save=True)(StateSave)


@ocp.args.register_with_handler(StateHandler, for_restore=True)
@dataclass
class StateRestore(ocp.args.StandardRestore):
    """Restore arguments of `StateHandler`: an abstract tree with shardings."""


def step_folders(directory: Path) -> dict[int, Path]:
    """Step -> folder of every finished-looking step, oldest first."""
    if not directory.is_dir():
        return {}
    found = {int(p.name): p for p in directory.iterdir() if p.name.isdecimal() and p.is_dir()}
    return dict(sorted(found.items()))


def temporary_folders(directory: Path) -> list[Path]:
    """Folders of saves that were never finished."""
    if not directory.is_dir():
        return []
    return sorted(p for p in directory.iterdir() if _TEMPORARY in p.name and p.is_dir())


def find_problem(step_folder: Path) -> str | None:
    """The first thing that is wrong with a saved step, in words; None where it is whole."""
    try:
        manifest = json.loads((step_folder / MANIFEST).read_bytes())
        files = manifest["files"]
        if manifest["format"] != FORMAT:
            return f"its manifest has format {manifest['format']}, this version reads {FORMAT}"
    except FileNotFoundError:
        return f"{MANIFEST} is missing (the copy is not complete, or another program made it)"
    except (ValueError, KeyError, TypeError):
        return f"{MANIFEST} is damaged"
    if not (step_folder / "_CHECKPOINT_METADATA").is_file():
        return "_CHECKPOINT_METADATA is missing"
    for name, expected in files.items():
        path = step_folder / name
        if not path.is_file():
            return f"{name} is missing"
        size = path.stat().st_size
        if size != expected["bytes"]:
            return f"{name} has {size} bytes instead of {expected['bytes']}"
    for name, expected in files.items():
        if expected["crc32"] is not None and _crc32(step_folder / name) != expected["crc32"]:
            return f"{name} has a wrong checksum"
    try:
        read_metric(step_folder)
    except (ValueError, KeyError, TypeError):
        return f"{METRIC_FILE} is damaged"
    return None


def read_leaves(step_folder: Path) -> dict[str, LeafSpec]:
    """Leaf name -> spec, as recorded when the step was saved."""
    manifest = json.loads((step_folder / MANIFEST).read_bytes())
    return {
        name: LeafSpec(tuple(leaf["shape"]), leaf["dtype"])
        for name, leaf in manifest["leaves"].items()
    }


def read_extra(step_folder: Path) -> dict[str, Any]:
    """The JSON record saved beside the state."""
    extra: dict[str, Any] = json.loads((step_folder / EXTRA_FILE).read_bytes())
    return extra


def read_metric(step_folder: Path) -> float | None:
    """The selection metric of a step; None where it was saved without one."""
    try:
        return float(json.loads((step_folder / METRIC_FILE).read_bytes())["value"])
    except FileNotFoundError:
        return None


def write_metric(step_folder: Path, value: float) -> None:
    """Gives a metric to a step that was saved before it was evaluated."""
    (step_folder / METRIC_FILE).parent.mkdir(exist_ok=True)
    _write_json(step_folder / METRIC_FILE, {"value": value})


def rank(metric: float | None) -> float:
    """A metric as a sort key: absent and non-finite ones come last (NaN alone is unordered)."""
    return float(metric) if is_finite(metric) else -math.inf


def is_finite(value: float | None) -> TypeGuard[float]:
    """Whether there is a metric and it is a number that can be compared."""
    return value is not None and math.isfinite(value)


def write_manifest(state_folder: Path, leaves: dict[str, LeafSpec]) -> None:
    """Notes what a step consists of, when all its files but the metric are written.

    Args:
        state_folder: the folder "state" of the step; both may still have temporary names.
        leaves: leaf name -> spec of the state.
    """
    _write_json(state_folder / MANIFEST.name, _manifest(state_folder.parent, leaves))


def _manifest(step_folder: Path, leaves: dict[str, LeafSpec]) -> dict[str, Any]:
    listed = {
        _final_name(path.relative_to(step_folder)): path
        for path in _files(step_folder)
        if path.name not in _UNLISTED
    }
    # The metric may be given later (write_metric), and is checked by reading it.
    listed.pop(str(METRIC_FILE), None)
    sizes = {name: path.stat().st_size for name, path in listed.items()}
    summed = sum(sizes.values()) <= CHECKSUM_BYTES
    return {
        "format": FORMAT,
        "leaves": {n: {"shape": list(s.shape), "dtype": s.dtype} for n, s in leaves.items()},
        "files": {
            name: {"bytes": sizes[name], "crc32": _crc32(path) if summed else None}
            for name, path in sorted(listed.items())
        },
    }


def _files(folder: Path) -> Iterator[Path]:
    for root, _, names in os.walk(folder):
        yield from (Path(root) / name for name in names)


def _final_name(path: Path) -> str:
    """The name after Orbax has dropped the mark of temporary folders (items have it too)."""
    return str(Path(*(part.split(_TEMPORARY)[0] for part in path.parts)))


def _crc32(path: Path, chunk: int = 1 << 22) -> int:
    value = 0
    with path.open("rb") as file:
        while data := file.read(chunk):
            value = zlib.crc32(data, value)
    return value


def _write_json(path: Path, value: Any) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(value))
    partial.replace(path)
