"""Natural Instructions task files: a definition, worked examples, instances; one task a file.

The files (``task*.json`` of github.com/allenai/natural-instructions) lie in ``niv2/tasks`` below
the folder of downloaded data, or in another folder inside ``niv2``. A file is found by its name
with signs folded (copies differ in ``-``, ``.`` and ``_``), else by a task number that is its own.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from flan_t5x.data.definitions import BadRow, Example, RowError
from flan_t5x.data.sources.counts import FileFacts, usable_facts
from flan_t5x.data.sources.exemplars import EXEMPLARS
from flan_t5x.data.sources.location import VARIABLE, MissingDataError, data_dir
from flan_t5x.data.sources.splits import TRAIN
from flan_t5x.errors import UserError

FOLDER = "niv2"
RAW_NAME = "Natural Instructions"
_VERSION = "natural instructions 1"
_SIGNS = re.compile(r"[^a-z0-9]+")
_NUMBER = re.compile(r"task0*(\d+)_")
_INSTANCES_AS_EXEMPLARS = 24
_COPIES_OF_POSITIVES = 24  # so that about every second exemplar is a worked example

Rows = dict[str, tuple[Example | BadRow, ...]]


class NaturalInstructionsSource:
    """The instances of one task, and a split "exemplars".

    Fields of a row: "definition", "input", and "why": empty for an instance; for a worked example
    its explanation, in parentheses after a space (so that a template's ``{answer}{why}`` shows it
    with the exemplars and never in the target). Exemplars are the task's positive examples and
    its first instances, in about equal parts.

    Args:
        task: the file's name without ".json".
        published: instances that the task has as published.
        alone: whether its task number belongs to no other task.
    """

    def __init__(self, task: str, *, published: int | None = None, alone: bool = True) -> None:
        self.task = task
        self.published = published
        self.alone = alone
        self._pinned: Path | None = None

    def __repr__(self) -> str:
        return f"NaturalInstructionsSource({self.task!r})"

    @property
    def splits(self) -> tuple[str, ...]:
        """ "train" (all instances) and "exemplars"."""
        return (TRAIN, EXEMPLARS)

    def expected_examples(self, split: str) -> int | None:
        """The published number of instances."""
        return self.published if split == TRAIN else None

    def num_examples(self, split: str) -> int:
        """Rows, unusable ones included. Raises UserError where the file is missing or damaged."""
        self._check(split)
        if split == TRAIN:
            return self._facts().rows
        return len(self._rows()[split])

    def read(self, split: str, start: int, stop: int) -> Iterator[Example | BadRow]:
        """Rows start..stop-1 in file order."""
        self._check(split)
        return iter(self._rows()[split][start:stop])

    def fingerprint(self) -> str:
        """Digest of the file and of how it is read."""
        return hashlib.sha256(f"{_VERSION} {self._facts().sha256}".encode()).hexdigest()

    def _check(self, split: str) -> None:
        if split not in self.splits:
            known = ", ".join(self.splits)
            raise UserError(f"task {self.task!r} has no split {split!r}; it has {known}.")

    def _file(self) -> Path:
        return self._pinned or find(self.task, alone=self.alone)

    def _facts(self) -> FileFacts:
        return usable_facts(self._file(), _count, how=_VERSION)

    def _rows(self) -> Rows:
        path = self._file()
        try:
            return _parse(path, path.stat().st_mtime_ns)
        except OSError as error:
            raise UserError(f"cannot read {str(path)!r}: {error.strerror or error}.") from error

    def __getstate__(self) -> dict[str, Any]:
        # Another process must find the file though `set_data_dir` was only called here.
        state = dict(self.__dict__)
        try:
            state["_pinned"] = self._file()
        except UserError:
            state["_pinned"] = None
        return state


def fold(name: str) -> str:
    """A task's name without regard to the signs that copies write in different ways."""
    return _SIGNS.sub("_", name.lower()).strip("_")


def task_number(name: str) -> int:
    """17 for "task017_...". Raises ValueError for another name."""
    found = _NUMBER.match(name)
    if not found:
        raise ValueError(f"{name!r} does not begin with task and a number")
    return int(found.group(1))


def find(task: str, *, alone: bool = True) -> Path:
    """The file of a task; the first one, where several folders have it.

    Args:
        task: the file's name without ".json".
        alone: whether a file with the same number and another name is the same task.

    Raises:
        MissingDataError: where there is none.
    """
    base = data_dir() / FOLDER
    by_name, by_number = _files(base, _changed(base))
    path = by_name.get(fold(task))
    if path is None and alone:
        path = by_number.get(task_number(task))
    if path is None:
        raise MissingDataError(
            f"the task file {task + '.json'!r} is not in {str(base / 'tasks')!r}. Put it there (it "
            "comes from tasks/ of github.com/allenai/natural-instructions), or say where the "
            f"folder of downloaded data is: environment variable {VARIABLE} or "
            "--data_dir=/path/to/data.",
            raw=RAW_NAME,
        )
    return path


def _folders(base: Path) -> list[Path]:
    """``tasks`` first, then the base itself, then its other folders."""
    others = sorted(p for p in base.glob("*") if p.is_dir() and p.name != "tasks")
    return [base / "tasks", base, *others]


def _changed(base: Path) -> tuple[int, ...]:
    """Moves when a file comes or goes in the base or in ``tasks``."""
    return tuple(f.stat().st_mtime_ns for f in (base, base / "tasks") if f.is_dir())


@lru_cache(maxsize=4)
def _files(base: Path, changed: tuple[int, ...]) -> tuple[dict[str, Path], dict[int, Path]]:
    """Task files by folded name, and by number."""
    by_name: dict[str, Path] = {}
    by_number: dict[int, Path] = {}
    for folder in _folders(base):
        for path in sorted(folder.glob("task*.json")):
            if _NUMBER.match(path.name):
                by_name.setdefault(fold(path.stem), path)
                by_number.setdefault(task_number(path.name), path)
    return by_name, by_number


def _count(path: Path) -> int:
    return len(_parse(path, path.stat().st_mtime_ns)[TRAIN])


@lru_cache(maxsize=4)
def _parse(path: Path, changed: int) -> Rows:
    """All rows of a file. Raises UserError for one that is no task; few are kept in memory."""
    content = _content(path)
    definition = _definition(path, content)
    instances = content.get("Instances")
    if not isinstance(instances, list) or not instances:
        raise UserError(f"{str(path)!r}: 'Instances' is not a list with rows. Get the file again.")
    rows: list[Example | BadRow] = []
    seen: dict[str, int] = {}
    for place, instance in enumerate(instances):
        try:
            row = _instance(place, instance, definition)
            if seen.setdefault(row.id, place) != place:
                raise RowError("duplicate id", f"id {row.id!r} is in instance {seen[row.id]} too")
            rows.append(row)
        except RowError as error:
            detail = f"{path.name} instance {place}: {error.detail}"
            rows.append(BadRow(f"instance {place}", error.reason, detail))
    usable = [row for row in rows if isinstance(row, Example)]
    worked = _positives(content, definition)
    some = usable[:_INSTANCES_AS_EXEMPLARS]
    copies = -(-_COPIES_OF_POSITIVES // len(worked)) if worked and some else 1
    return {TRAIN: tuple(rows), EXEMPLARS: (*worked * copies, *some)}


def _content(path: Path) -> dict[str, Any]:
    remedy = "Get the file again."
    try:
        # Bytes that are not UTF-8 become lone surrogates, which only spoil the row they are in.
        content = json.loads(path.read_bytes().decode("utf-8-sig", "surrogateescape"))
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"{str(path)!r} is not JSON ({error}). {remedy}") from error
    if not isinstance(content, dict):
        raise UserError(f"{str(path)!r} holds a {type(content).__name__}, not a task. {remedy}")
    return content


def _definition(path: Path, content: dict[str, Any]) -> str:
    """A text, or a list of texts, of which the first counts."""
    found = content.get("Definition")
    if isinstance(found, list) and found:
        found = found[0]
    if not isinstance(found, str) or not found.strip() or not _is_text(found):
        raise UserError(f"{str(path)!r} has no usable 'Definition'. Get the file again.")
    return found.strip()


def _instance(place: int, instance: object, definition: str) -> Example:
    """One instance; of several right outputs the first is the answer. Raises RowError."""
    if not isinstance(instance, dict):
        raise RowError("not a JSON object", f"a {type(instance).__name__}")
    given = instance.get("input")
    if not isinstance(given, str):
        raise RowError("missing input", f"'input' is {given!r}; text is needed")
    outputs = instance.get("output")
    if isinstance(outputs, str):
        outputs = [outputs]
    if not isinstance(outputs, list) or not all(isinstance(text, str) for text in outputs):
        raise RowError("missing output", f"'output' is {outputs!r}; a list of texts is needed")
    answer = next((text.strip() for text in outputs if text.strip()), "")
    if not answer:
        raise RowError("empty output", "'output' has no text")
    if not _is_text(given) or not _is_text(answer):
        raise RowError("not UTF-8", "a text holds bytes or escapes that are no characters")
    id = str(instance.get("id") or f"instance {place}")
    return Example(id, {"definition": definition, "input": given.strip(), "why": ""}, answer)


def _is_text(text: str) -> bool:
    """Whether a text can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _positives(content: dict[str, Any], definition: str) -> list[Example]:
    """The worked examples that can be used."""
    found = []
    given = content.get("Positive Examples")
    for place, example in enumerate(given if isinstance(given, list) else []):
        try:
            row = _instance(place, {**example, "id": f"positive {place}"}, definition)
        except (RowError, TypeError):
            continue
        why = example.get("explanation")
        if isinstance(why, str) and why.strip() and _is_text(why):
            row = Example(row.id, {**row.fields, "why": f" ({why.strip()})"}, row.answer)
        found.append(row)
    return found
