"""Base checkpoints: parameters alone, in one file, small enough to ship in a package.

The file is an uncompressed ``.npz``: one array per parameter under its slash-joined name, and
a JSON header with the card (who made it, by which command) and the dtypes that NumPy cannot
name. The same parameters and card always give the same bytes.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import ml_dtypes
import numpy as np

from flan_t5x.checkpoint.leaves import named_leaves
from flan_t5x.errors import UserError

HEADER = "__header__"
FORMAT = "flan_t5x base checkpoint 1"
SHIPPED = {
    "mini_base": ("flan_tasks.mini", "data/tiny_base.npz"),
    "mini_base_micro": ("flan_tasks.mini", "data/micro_base.npz"),
    "mini_base_nano": ("flan_tasks.mini", "data/nano_base.npz"),
}
"""Base checkpoints that come with the package: name -> (package, file)."""

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def save_base(
    path: str | os.PathLike[str],
    params: Mapping[str, Any],
    card: Mapping[str, Any],
    *,
    store_as: Literal["unchanged", "float32", "bfloat16"] = "unchanged",
) -> None:
    """Writes parameters and their card; the file appears whole or not at all.

    Args:
        path: the file to write, usually ``*.npz``; replaced if it exists.
        params: nested dict of arrays (floating point or integer), any shapes.
        card: JSON-able facts: command, seed, cost, model sizes, vocabulary.
        store_as: dtype for the floating-point arrays. ``bfloat16`` halves the file and rounds.

    Raises:
        UserError: the file cannot be written.
    """
    arrays: dict[str, np.ndarray] = {}
    dtypes: dict[str, str] = {}
    for name, leaf in named_leaves(params):
        array = np.asarray(leaf)
        floating = array.dtype == BFLOAT16 or np.issubdtype(array.dtype, np.floating)
        if floating and store_as != "unchanged":
            array = array.astype(BFLOAT16 if store_as == "bfloat16" else np.float32)
        dtypes[name] = str(array.dtype)
        arrays[name] = array.view(np.uint16) if array.dtype == BFLOAT16 else array
    header = {"format": FORMAT, "card": dict(card), "dtypes": dtypes}
    encoded = np.frombuffer(json.dumps(header, sort_keys=True).encode(), dtype=np.uint8)
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **{HEADER: encoded}, **arrays)
        partial.replace(target)
    except OSError as error:
        raise UserError(f"cannot write the base checkpoint {target}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def load_base(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads what `save_base` wrote: (nested dict of NumPy arrays, card).

    Raises:
        UserError: the file is absent, damaged (the archive carries a CRC for every array), or
            not a base checkpoint.
    """
    target = Path(path)
    params: dict[str, Any] = {}
    try:
        with np.load(target, allow_pickle=False) as archive:
            header = json.loads(archive[HEADER].tobytes())
            if header["format"] != FORMAT:
                raise UserError(
                    f"{target} has format {header['format']!r}, this version reads {FORMAT!r}; "
                    "make the base checkpoint again with its recipe"
                )
            for name, dtype in header["dtypes"].items():
                array = archive[name]
                _insert(params, name, array.view(BFLOAT16) if dtype == "bfloat16" else array)
    except FileNotFoundError as error:
        raise UserError(f"no base checkpoint at {target}; check the path") from error
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{target} is damaged or not a base checkpoint ({error}); copy or make it again"
        ) from error
    return params, dict(header["card"])


def shipped_file(name: str) -> Path:
    """The file of a base in `SHIPPED`.

    Raises:
        UserError: it is missing from this installation.
    """
    import importlib.resources

    package, file = SHIPPED[name]
    found = Path(str(importlib.resources.files(package))) / file
    if not found.is_file():
        raise UserError(f"base checkpoint {name!r} is missing from this installation: {found}")
    return found


def _insert(tree: dict[str, Any], name: str, leaf: np.ndarray) -> None:
    *folders, last = name.split("/")
    for folder in folders:
        tree = tree.setdefault(folder, {})
    tree[last] = leaf
