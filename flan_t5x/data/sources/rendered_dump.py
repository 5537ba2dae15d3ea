"""A dump of a whole collection, divided into a file for each of its tasks.

A dump holds the rows of hundreds of tasks in any order; reading each task by itself would read
the dump as often. So it is read once, and every row copied to its task's file:

    {cache_dir}/rendered/{digest of names, sizes and times}/{task}.jsonl
                                                            index.json   written last

Lines that are no JSON go along with the row before them, so that the report of that task counts
and shows them. Rows without a "task_name" make the task "unnamed".
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from flan_t5x.data.definitions import RowError
from flan_t5x.data.sources.records import Record, read_records, suffix_of
from flan_t5x.data.sources.rendered import UNREADABLE
from flan_t5x.errors import UserError

INDEX = "index.json"
UNNAMED = "unnamed"
_VERSION = "divided 1"
_SIGNS = re.compile(r"[^A-Za-z0-9]+")
_HELD = 64 << 20  # characters held before they are written
_TELL = 20_000  # rows between two calls of progress


@dataclass(frozen=True)
class DumpTask:
    """One task of a dump.

    Attributes:
        key: its name folded to letters, digits and underscores.
        task_name: as the dump has it.
        task_source: of its first row; empty where the dump does not say.
        path: its rows.
        rows: how many, unreadable ones included.
    """

    key: str
    task_name: str
    task_source: str
    path: str
    rows: int


def dump_files(path: str | Path) -> list[Path]:
    """The files of a dump: itself, or all in a folder that have a known format, by name.

    Raises:
        UserError: there is none.
    """
    place = Path(path).expanduser()
    if place.is_file():
        return [place]
    found = sorted(file for file in place.rglob("*") if file.is_file() and suffix_of(file))
    if not found:
        what = (
            "has no .jsonl, .json, .parquet or .tfrecord file" if place.is_dir() else "is missing"
        )
        raise UserError(f"the rendered dump {str(path)!r} {what}. Check its path.")
    return found


def divide(
    path: str | Path,
    cache_dir: str | Path,
    *,
    where: Mapping[str, str] | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> list[DumpTask]:
    """The tasks of a dump, in the order of their first rows; divides it where that is not done.

    Args:
        path: a file, or a folder of files.
        cache_dir: where the tasks' files are put.
        where: column -> value: only these rows, e.g. ``{"template_type": "zs_opt"}``.
        progress: told the rows read.

    Raises:
        UserError: a file that is damaged or cannot be read, a folder that cannot be written, a
            dump without rows.
    """
    files = dump_files(path)
    facts = [(str(f.absolute()), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    chosen = sorted((where or {}).items())
    digest = hashlib.sha256(repr((_VERSION, facts, chosen)).encode()).hexdigest()[:16]
    folder = Path(cache_dir).expanduser() / "rendered" / digest
    try:
        if not (folder / INDEX).exists():
            _divide(files, dict(chosen), folder, progress)
        index = json.loads((folder / INDEX).read_text("utf-8"))
    except OSError as error:
        raise UserError(
            f"cannot divide the dump {str(path)!r} in {folder.parent}: "
            f"{error.filename}: {error.strerror}. Give another cache_dir."
        ) from error
    tasks = [DumpTask(**{**task, "path": str(folder / task["path"])}) for task in index]
    if not tasks:
        raise UserError(f"the rendered dump {str(path)!r} has no rows with {dict(chosen)}")
    return tasks


def _divide(
    files: list[Path], where: Mapping[str, str], folder: Path, progress: Callable[[int], None]
) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=folder.parent) as name:
        work = Path(name) / folder.name
        work.mkdir()
        writer = _Writer(work)
        for number, record in enumerate(_records(files), start=1):
            if isinstance(record, RowError) or all(
                str(record.get(column)) == value for column, value in where.items()
            ):
                writer.add(record)
            if number % _TELL == 0:
                progress(number)
        writer.close()
        try:
            work.rename(folder)
        except OSError:
            if not (folder / INDEX).exists():  # else another process was faster
                raise


def _records(files: list[Path]) -> Iterator[Record]:
    for file in files:
        yield from read_records(file)


class _Writer:
    """Rows by task, held back until there are many: a dump has more tasks than files may be open.

    Args:
        folder: where the files go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tasks: dict[str, DumpTask] = {}
        self._counts: dict[str, int] = {}
        self._lines: dict[str, list[str]] = {}
        self._held = 0
        self._keys: set[str] = set()
        self._last = ""

    def add(self, record: Record) -> None:
        """Takes a row; one that could not be read stays with the task of the row before."""
        if isinstance(record, RowError):
            name, row = self._last, {UNREADABLE: [record.reason, record.detail]}
        else:
            name, row = str(record.get("task_name") or ""), record
        text = json.dumps(row, ensure_ascii=False)
        self._last = name
        if name not in self._tasks:
            source = "" if isinstance(record, RowError) else str(record.get("task_source") or "")
            key = self._key(name)
            self._tasks[name] = DumpTask(key, name, source, f"{key}.jsonl", 0)
        self._counts[name] = self._counts.get(name, 0) + 1
        self._lines.setdefault(name, []).append(text)
        self._held += len(text)
        if self._held > _HELD:
            self._flush()

    def close(self) -> None:
        """Writes what is held, then the index."""
        self._flush()
        index = [{**asdict(t), "rows": self._counts[t.task_name]} for t in self._tasks.values()]
        (self._folder / INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")

    def _flush(self) -> None:
        for name, lines in self._lines.items():
            path = self._folder / self._tasks[name].path
            with path.open("a", encoding="utf-8", errors="surrogatepass") as file:
                file.writelines(line + "\n" for line in lines)
        self._lines, self._held = {}, 0

    def _key(self, name: str) -> str:
        """The name folded; two names that fold alike stay apart by a number."""
        folded = _SIGNS.sub("_", name).strip("_") or UNNAMED
        key, number = folded, 1
        while key.lower() in self._keys:  # some file systems do not tell cases apart
            number += 1
            key = f"{folded}_{number}"
        self._keys.add(key.lower())
        return key
