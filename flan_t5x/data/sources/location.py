"""Where downloaded data sets are: one folder, named once."""

from __future__ import annotations

import os
from pathlib import Path

from flan_t5x.errors import UserError

VARIABLE = "FLAN_T5X_DATA_DIR"


class MissingDataError(UserError):
    """Downloaded data is not there; a run may be allowed to go on without it.

    Args:
        message: what is missing and how to get it.
        raw: what a list of missing data calls it; tasks that share it are listed together.
    """

    def __init__(self, message: str, *, raw: str = "") -> None:
        super().__init__(message)
        self.raw = raw or message


_chosen: Path | None = None


def set_data_dir(path: str | Path | None) -> None:
    """Chooses the folder for this process; None goes back to the environment variable."""
    global _chosen
    _chosen = None if path is None or str(path) == "" else Path(path).expanduser().absolute()


def data_dir() -> Path:
    """The folder of downloaded data: `set_data_dir` comes before the environment variable.

    Raises:
        MissingDataError: where neither names a folder.
    """
    found = chosen_data_dir()
    if found is None:
        raise MissingDataError(
            "the folder of downloaded data is not known. "
            f"Set the environment variable {VARIABLE}, or give --data_dir=/path/to/data."
        )
    return found


def chosen_data_dir() -> Path | None:
    """Like `data_dir`, but None where no folder is named."""
    if _chosen is not None:
        return _chosen
    named = os.environ.get(VARIABLE, "")
    return Path(named).expanduser().absolute() if named else None


def how_to_get(path: Path, origin: str) -> str:
    """What to tell a user whose file of downloaded data is missing."""
    return (
        f"the file {str(path)!r} does not exist. Put it there (it comes from {origin}), or say "
        f"where the folder of downloaded data is: environment variable {VARIABLE} or "
        "--data_dir=/path/to/data."
    )
