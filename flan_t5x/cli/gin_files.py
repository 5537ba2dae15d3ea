"""Where a gin file is found."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import flan_t5x
from flan_t5x.errors import UserError, nearest


def packaged_gin_dir() -> Path:
    """The recipes that come with the package: inside it in a wheel, beside it in a checkout.

    The inside is looked at first: beside an installed package, ``gin`` is the gin library.
    """
    package = Path(flan_t5x.__file__).resolve().parent
    inside = package / "gin"
    return inside if inside.is_dir() else package.parent / "gin"


def search_folders(search_paths: Sequence[str]) -> list[Path]:
    """The folders a relative gin file name is looked up in, first hit wins.

    1. the current folder; 2. ``--gin_search_paths`` in order; 3. the packaged recipes.

    Args:
        search_paths: values of ``--gin_search_paths``, each a comma-separated list.
    """
    given = [part for value in search_paths for part in value.split(",") if part]
    return [Path("."), *map(Path, given), packaged_gin_dir()]


def find(name: str, folders: Sequence[Path]) -> Path:
    """The file meant by `name`.

    Raises:
        UserError: there is none; the message has the folders and near names.
    """
    name = os.path.expanduser(name)
    for folder in [Path()] if os.path.isabs(name) else folders:
        if (folder / name).is_file():
            return folder / name
    if os.path.isabs(name):
        raise UserError(f"no gin file {name}")
    hint = nearest(name, _names(folders)) or "`flan-t5x train --help` explains the search"
    raise UserError(f"no gin file {name!r} in {', '.join(map(str, folders))}: {hint}")


def shown(path: Path) -> str:
    """The path as a user would write it: relative where it lies under the current folder."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def _names(folders: Sequence[Path]) -> Iterator[str]:
    # Only the packaged recipes are walked: the others may be a home folder or a disk of data.
    for folder in folders:
        pattern = "**/*.gin" if folder == packaged_gin_dir() else "*.gin"
        for file in sorted(folder.glob(pattern)):
            yield str(file.relative_to(folder))
