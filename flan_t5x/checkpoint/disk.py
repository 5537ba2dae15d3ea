"""Room for checkpoints: where they may lie, what they take, and what a full disk looks like."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import jax

from flan_t5x.checkpoint.leaves import state_bytes
from flan_t5x.errors import UserError

# Orbax's index, sharding and metadata files take 100 bytes to 1 kB a leaf (measured).
_BYTES_PER_LEAF = 2048
_BYTES_FIXED = 1 << 16


def bytes_on_disk(state: Any) -> int:
    """What one checkpoint of a state takes at the most, in bytes (arrays may compress).

    While a save is under way a run holds the newest, the best and the one being written.
    """
    leaves = len(jax.tree.leaves(state))
    return state_bytes(state) + _BYTES_PER_LEAF * leaves + _BYTES_FIXED


def local_path(directory: str | os.PathLike[str]) -> Path:
    """An absolute path.

    Raises:
        UserError: for ``gs://...`` and the like, which would need to be mounted first.
    """
    text = os.fspath(directory)
    if "://" in text:
        raise UserError(f"{text} is not a local folder; mount it (gcsfuse) and give that path")
    return Path(text).expanduser().absolute()


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is a full disk or a used-up quota.

    TensorStore reports one as a ValueError with the system's words in its text.
    """
    while error is not None:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            return True
        text = str(error)
        if any(os.strerror(code) in text for code in (errno.ENOSPC, errno.EDQUOT)):
            return True
        error = error.__cause__ or error.__context__
    return False


def size_in_words(number: int) -> str:
    """Bytes as ``3.4 MB``."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= scale:
            return f"{number / scale:.1f} {unit}"
    return f"{number} bytes"
