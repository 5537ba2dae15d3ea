"""P3's rendered prompts (`bigscience/P3` and copies of it), one subset a source.

Below the folder of downloaded data, in ``p3/`` or ``t0_p3/``: a file ``{subset}.jsonl`` (also
``.json``, ``.parquet``, ``.tfrecord``, each with ``.gz`` or not), or a folder ``{subset}/`` with
files that begin with "train", as the hub has it: ``train-00000-of-00001.parquet``, before 2024
``train.tfrecord-00000-of-00001``. A row is ``inputs_pretokenized`` and
``targets_pretokenized`` (with ``answer_choices``, where the prompt has some), or ``inputs`` and
``targets``, or ``prompt`` and ``completion``.

Newlines, real ones and those written as a backslash and an n, become spaces: the T5 vocabulary
has no newline, and an answer must still be found among its options.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flan_t5x.data.definitions import BadRow, Example, RowError
from flan_t5x.data.sources.counts import FileFacts, usable_facts
from flan_t5x.data.sources.location import VARIABLE, MissingDataError, data_dir
from flan_t5x.data.sources.records import RecordCursor, count_records, suffix_of
from flan_t5x.data.sources.splits import TRAIN
from flan_t5x.errors import UserError

FOLDERS = ("p3", "t0_p3")
RAW_NAME = "P3"
_VERSION = "p3 1"
_FIELDS = (
    ("inputs_pretokenized", "targets_pretokenized"),
    ("inputs", "targets"),
    ("prompt", "completion"),
)
_END = "<|endoftext|>"
_SPACE = re.compile(r"(?:\s|\\n)+")


class P3Source:
    """The training rows of one subset.

    Args:
        subset: its name in P3, e.g. ``"sciq_Direct_Question"``.
        published: training rows that P3 has of it.
        with_options: whether rows carry their answer choices apart from the prompt. Where they
            do and a file lacks them, its questions stay without options.
    """

    def __init__(self, subset: str, *, published: int, with_options: bool = False) -> None:
        self.subset = subset
        self.published = published
        self.with_options = with_options
        self._pinned: list[Path] | None = None
        self._cursors: list[RecordCursor] | None = None

    def __repr__(self) -> str:
        return f"P3Source({self.subset!r})"

    @property
    def splits(self) -> tuple[str, ...]:
        """Only "train": what Flan 2022 uses."""
        return (TRAIN,)

    def expected_examples(self, split: str) -> int | None:
        """What P3 publishes."""
        return self.published if split == TRAIN else None

    def num_examples(self, split: str) -> int:
        """Rows, unusable ones included."""
        self._check(split)
        return sum(facts.rows for facts in self._facts())

    def read(self, split: str, start: int, stop: int) -> Iterator[Example | BadRow]:
        """Rows start..stop-1, file after file."""
        self._check(split)
        passed = 0
        for cursor, facts in zip(self._open(), self._facts(), strict=True):
            low, high = max(start - passed, 0), min(stop - passed, facts.rows)
            if high > low:
                for place, record in enumerate(cursor.read(low, high), passed + low):
                    yield self._row(str(place), record, cursor.path.name)
            passed += facts.rows

    def fingerprint(self) -> str:
        """Digest of the files and of how they are read."""
        digests = [facts.sha256 for facts in self._facts()]
        return hashlib.sha256(f"{_VERSION} {self.with_options} {digests}".encode()).hexdigest()

    def _row(self, id: str, record: dict[str, Any] | RowError, name: str) -> Example | BadRow:
        try:
            if isinstance(record, RowError):
                raise record
            return _example(id, record, with_options=self.with_options)
        except RowError as error:
            return BadRow(id, error.reason, f"{name} row {int(id) + 1}: {error.detail}")

    def _check(self, split: str) -> None:
        if split != TRAIN:
            raise UserError(f"P3 subset {self.subset!r} has no split {split!r}; it has train.")

    def _facts(self) -> list[FileFacts]:
        return [usable_facts(c.path, count_records, how=_VERSION) for c in self._open()]

    def _open(self) -> list[RecordCursor]:
        paths = self._pinned or find(self.subset)
        if self._cursors is None or [c.path for c in self._cursors] != paths:
            self._cursors = [RecordCursor(path) for path in paths]
        return self._cursors

    def __getstate__(self) -> dict[str, Any]:
        # Another process must find the files though `set_data_dir` was only called here.
        state = self.__dict__ | {"_cursors": None}
        if self._pinned is None:
            try:
                state["_pinned"] = find(self.subset)
            except UserError:
                state["_pinned"] = None
        return state


def find(subset: str) -> list[Path]:
    """The files of a subset's training rows, in order.

    Raises:
        MissingDataError: where there are none.
    """
    for folder in FOLDERS:
        base = data_dir() / folder
        inside = sorted(p for p in (base / subset).glob("train*") if suffix_of(p))
        if inside:
            return inside
        for suffix in (".jsonl", ".json", ".parquet", ".tfrecord"):
            for path in (base / f"{subset}{suffix}", base / f"{subset}{suffix}.gz"):
                if path.is_file():
                    return [path]
    raise MissingDataError(
        f"the P3 subset {subset!r} is not in {str(data_dir() / FOLDERS[0])!r}. Put its training "
        f"files there, as {subset}/train-00000-of-00001.parquet or {subset}.jsonl (they come from "
        f"huggingface.co/datasets/bigscience/P3), or say where the folder of downloaded data is: "
        f"environment variable {VARIABLE} or --data_dir=/path/to/data.",
        raw=RAW_NAME,
    )


def one_line(text: str) -> str:
    """A text without newlines, real or written, and without double spaces."""
    return _SPACE.sub(" ", text).strip()


def _example(id: str, record: dict[str, Any], *, with_options: bool) -> Example:
    """A row. Raises RowError."""
    names = next((pair for pair in _FIELDS if pair[0] in record), None)
    if names is None or names[1] not in record:
        wanted = " or ".join("/".join(pair) for pair in _FIELDS)
        raise RowError("missing field", f"{wanted} is needed, there are {', '.join(record)}")
    texts = []
    for name in names:
        value = record[name]
        if not isinstance(value, str):
            raise RowError("wrong type", f"{name!r} is {value!r}; text is needed")
        text = one_line(value.removesuffix(_END))
        if not text:
            raise RowError(f"empty {name}", f"{name!r} has no text")
        texts.append(text)
    question, answer = texts
    choices = record.get("answer_choices") or []
    if isinstance(choices, str):  # a list of one, as TFRecord gives it
        choices = [choices]
    options = tuple(dict.fromkeys(one_line(str(choice)) for choice in choices))
    if not with_options:
        valid = options if answer in options else ()
        return Example(id, {"question": question}, answer, valid_answers=valid)
    if options and answer not in options:
        raise RowError("answer not among options", f"{answer!r} is not in {list(options)}")
    return Example(id, {"question": question}, answer, options, valid_answers=options)
