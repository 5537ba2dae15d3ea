"""A folder that appears whole or not at all, with the SHA-256 of every file in it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from flan_t5x.checkpoint.disk import is_disk_full, size_in_words
from flan_t5x.errors import UserError
from flan_t5x.files import sha256

SUMS = "SHA256SUMS"
"""The manifest, as ``sha256sum -c`` reads it."""

_PARTIAL = ".partial"
_REPLACED = ".replaced"


@contextlib.contextmanager
def whole_folder(target: Path, *, overwrite: bool, needed: int) -> Iterator[Path]:
    """A folder to write into; it takes its name when the block ends well, else it is removed.

    Args:
        target: the name it will have.
        overwrite: replace what is there; its files stay until the new ones are complete.
        needed: bytes that will be written, to refuse before a disk runs full.

    Yields:
        The temporary folder, on the same disk as the target.

    Raises:
        UserError: the target exists, cannot be written, or the disk is too small.
    """
    target = target.expanduser().absolute()
    require_free(target, overwrite=overwrite)
    partial = target.with_name(f".{target.name}.{os.getpid()}{_PARTIAL}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_overs(target)
        partial.mkdir()
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror or error}") from error
    try:
        free = shutil.disk_usage(partial).free
        if free < needed:
            raise UserError(
                f"disk full: {target} needs {size_in_words(needed)}, {size_in_words(free)} is free"
            )
        yield partial
        write_sums(partial)
        _replace(partial, target)
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror or error}") from error
    except UserError as error:
        if not is_disk_full(error):
            raise
        raise UserError(f"disk full while writing {target}; nothing was left there") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def require_free(target: Path, *, overwrite: bool) -> None:
    """Raises a UserError where a target exists that must not be replaced.

    With `overwrite`, an empty folder or an earlier conversion (it has `SUMS` in it) may be.
    """
    if not target.exists():
        return
    if not overwrite:
        raise UserError(f"{target} exists already; give another name, or --overwrite")
    if not target.is_dir() or (any(target.iterdir()) and not (target / SUMS).is_file()):
        raise UserError(
            f"{target} was not made by a conversion (it has no {SUMS}) and is not overwritten; "
            "give another name, or remove it yourself"
        )


def write_sums(folder: Path) -> None:
    """Writes the SHA-256 of every file in a folder."""
    files = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    lines = [f"{sha256(folder / name)}  {name}\n" for name in files]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def _replace(partial: Path, target: Path) -> None:
    if not target.exists():
        partial.rename(target)
        return
    old = partial.with_suffix(_REPLACED)
    target.rename(old)
    try:
        partial.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old)


def _remove_left_overs(target: Path) -> None:
    """Removes what conversions to the same name that were killed have left."""
    for folder in target.parent.glob(f".{target.name}.*{_PARTIAL}"):
        owner = folder.name.removesuffix(_PARTIAL).rsplit(".", 1)[-1]
        if owner.isdecimal() and not _alive(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
