"""Text files that appear whole or not at all: a reader, or a kill, never meets half of one.

And the SHA-256 of a file of any size, and the folder of what can be made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from flan_t5x.errors import UserError

PARTIAL = ".partial"
"""Suffix of what is still being written."""
CACHE_VARIABLE = "FLAN_T5X_CACHE_DIR"


def default_cache_dir() -> str:
    """$FLAN_T5X_CACHE_DIR, else ``~/.cache/flan_t5x``: tokens and compiled programs, shared by all
    runs of a user."""
    return os.environ.get(CACHE_VARIABLE) or str(Path("~/.cache/flan_t5x").expanduser())


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """A text file to write to; it takes its place, over an older one, when the block ends well.

    Raises:
        UserError: it cannot be written (disk full, no permission, no such folder).
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        with partial.open("w", encoding="utf-8") as file:
            yield file
        partial.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Writes a text file; see `whole_file`."""
    with whole_file(path) as file:
        file.write(text)


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes, read in parts. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
