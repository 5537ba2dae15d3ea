"""How many rows a file has and its digest, remembered by size and time of change.

Counting the rows of thousands of files means reading them. It is done once: what was found is
appended to ``row_counts.jsonl`` in the cache folder. A file that has changed is counted anew; a
note that cannot be written or read only costs time.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from flan_t5x.errors import UserError
from flan_t5x.files import sha256

_NOTES = "row_counts.jsonl"


class FileFacts(NamedTuple):
    """Rows and SHA-256 of a file."""

    rows: int
    sha256: str


_Key = tuple[str, str, int, int]
_known: dict[Path, dict[_Key, FileFacts]] = {}


def file_facts(path: Path, count: Callable[[Path], int], *, how: str) -> FileFacts:
    """Rows and digest of a file.

    Args:
        path: the file.
        count: counts its rows; called where they are not known.
        how: what `count` does, with a version: another way of counting is another note.

    Raises:
        OSError: where the file cannot be read, and whatever `count` raises.
    """
    state = path.stat()
    key = (how, str(path.absolute()), state.st_size, state.st_mtime_ns)
    notes = _notes_file()
    known = _load(notes)
    if key not in known:
        facts = FileFacts(count(path), sha256(path))
        known[key] = facts
        with contextlib.suppress(OSError):
            notes.parent.mkdir(parents=True, exist_ok=True)
            with notes.open("a", encoding="utf-8") as file:
                # The newline comes first: what an interrupted write left ends there.
                file.write("\n" + json.dumps([*key, *facts]))
    return known[key]


def usable_facts(
    path: Path, count: Callable[[Path], int], *, how: str, missing: str = ""
) -> FileFacts:
    """`file_facts` of a file that must have rows.

    Args:
        path: as for `file_facts`, as are `count` and `how`.
        missing: what to say where there is no such file.

    Raises:
        UserError: it cannot be read, or is empty.
    """
    try:
        facts = file_facts(path, count, how=how)
    except OSError as error:
        if missing and isinstance(error, FileNotFoundError):
            raise UserError(missing) from error
        raise UserError(f"cannot read {str(path)!r}: {error.strerror or error}.") from error
    if not facts.rows:
        raise UserError(f"the file {str(path)!r} is empty.")
    return facts


def _notes_file() -> Path:
    from flan_t5x.data.cache import default_cache_dir

    return Path(default_cache_dir()) / _NOTES


def _load(notes: Path) -> dict[_Key, FileFacts]:
    """What is noted; lines that were not written to their end are passed over."""
    if notes not in _known:
        known: dict[_Key, FileFacts] = {}
        with contextlib.suppress(OSError):
            for line in notes.read_text("utf-8", "replace").splitlines():
                with contextlib.suppress(ValueError, TypeError):
                    how, path, size, changed, rows, sha256 = json.loads(line)
                    known[(how, path, size, changed)] = FileFacts(int(rows), str(sha256))
        _known[notes] = known
    return _known[notes]


def forget() -> None:
    """Drops what this process remembers; the file stays."""
    _known.clear()
