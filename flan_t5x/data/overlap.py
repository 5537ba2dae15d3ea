"""Which held-out rows stand, in whole or in part, in the training data.

A row's texts are compared as the source has them, before any template: wordings are shared by
training and held-out tasks and would match everywhere.

What of a held-out row is looked for: in each of its fields and its answer, every run of `words`
words; of a text with fewer words, but at least `shortest`, the whole text. Where no text of a row
is that long, its fields and options together; where these are too short as well, a training row
or field that is equal to the whole. Runs that occur in more than `common` of a held-out task's rows
(instructions, the start of every question) are its boilerplate and do not count. 13 and 8 words,
and that very common runs are left out, follow Brown et al. 2020, appendix C.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from flan_t5x.data.definitions import Example, Source, TaskDefinition
from flan_t5x.data.overlap_index import HeldOutIndex, IndexBuilder
from flan_t5x.data.sources.exemplars import WithExemplars
from flan_t5x.data.word_grams import WordCodes, grams, inside, whole, words_of
from flan_t5x.errors import UserError, require_count

EXACT = 0
"""The length under which whole short texts are indexed."""

_READ = 512  # rows read at a time
_BATCH = 100_000  # words compared at a time
_MOSTLY = 0.8


@dataclass(frozen=True)
class Settings:
    """What counts as overlap; see the module.

    Attributes:
        words: of a run.
        shortest: text of fewer words counts only together with the rest of its row.
        common: the share of a held-out task's rows beyond which a run is boilerplate.
        common_rows: and the number of rows up to which it never is.
    """

    words: int = 13
    shortest: int = 8
    common: float = 0.1
    common_rows: int = 10

    def __post_init__(self) -> None:
        require_count("words", self.words)
        require_count("shortest", self.shortest)
        if self.shortest > self.words:
            raise UserError(
                f"shortest = {self.shortest} is more than words = {self.words}: lower it"
            )


class RowRef(NamedTuple):
    """A row: the tasks that share its source, its split and its id."""

    tasks: tuple[str, ...]
    split: str
    id: str


class Hit(NamedTuple):
    """A training row that shares words with a held-out row."""

    train: RowRef
    held_out: RowRef
    words: str


@dataclass
class HeldOutFigures:
    """What was found of one held-out source.

    Attributes:
        tasks: names of the tasks that read it.
        split: the split.
        rows: rows that could be compared.
        overlapping: rows of which some words stand in the training data.
        mostly: rows of which at least 80 % of the runs do.
        boilerplate: rows with nothing but boilerplate (or no words): they were not compared.
        unusable: rows that the source could not parse.
        found_in: first name of a training task -> overlapping rows found in it.
        examples: some of the hits.
    """

    tasks: tuple[str, ...]
    split: str
    rows: int = 0
    overlapping: int = 0
    mostly: int = 0
    boilerplate: int = 0
    unusable: int = 0
    found_in: dict[str, int] = field(default_factory=dict)
    examples: list[Hit] = field(default_factory=list)


@dataclass
class TrainFigures:
    """What was found in one training source: rows read, rows that overlap."""

    tasks: tuple[str, ...]
    split: str
    rows: int = 0
    overlapping: int = 0
    unusable: int = 0


@dataclass
class Overlap:
    """The report."""

    held_out: list[HeldOutFigures]
    train: list[TrainFigures]


def evaluation_splits(source: Source) -> tuple[str, ...]:
    """What is scored: "test" and "validation" where there are any, else all but exemplars."""
    splits = tuple(source.splits)
    return tuple(s for s in splits if s in ("test", "validation")) or tuple(
        s for s in splits if s != "exemplars"
    )


def find_overlap(
    train: Iterable[TaskDefinition],
    held_out: Iterable[TaskDefinition],
    *,
    settings: Settings | None = None,
    on_hit: Callable[[Hit], None] = lambda hit: None,
    progress: Callable[[int, int, str], None] = lambda done, total, current: None,
    most_examples: int = 3,
) -> Overlap:
    """Looks for held-out rows in the training splits. The training side is read once, in batches.

    Memory: 12 bytes for every run of the held-out side, and one batch of training rows.

    Args:
        train: tasks that are trained on; a source that several tasks share is read once.
        held_out: tasks that are scored.
        settings: what counts.
        on_hit: called once for every training row that overlaps, with its first held-out row.
        progress: called with (training rows done, of all, task name).
        most_examples: hits kept for each held-out source.

    Raises:
        UserError: a source cannot be read, or no held-out row can be compared.
    """
    settings = settings or Settings()
    codes = WordCodes()
    refs, figures, index = _index(_by_source(held_out), codes, settings)
    scan = _Scan(index, refs, figures, settings, codes, on_hit, most_examples)
    groups = _by_source(train)
    total = sum(source.num_examples("train") for source in groups if "train" in source.splits)
    found, done = [], 0
    for source, tasks in groups.items():
        if "train" not in source.splits:
            continue
        mine = TrainFigures(tasks, "train")
        found.append(mine)
        for rows in _batches(source, "train", mine):
            scan.compare(rows, mine)
            progress(done + mine.rows + mine.unusable, total, tasks[0])
        done += mine.rows + mine.unusable
    scan.finish()
    return Overlap(figures, found)


def _by_source(tasks: Iterable[TaskDefinition]) -> dict[Source, tuple[str, ...]]:
    """Sources with the names of their tasks. Where exemplars come from makes no other source."""
    groups: dict[Source, tuple[str, ...]] = {}
    for task in tasks:
        source = task.source
        rows = source.queries if isinstance(source, WithExemplars) else source
        groups[rows] = (*groups.get(rows, ()), task.name)
    return groups


class _Row(NamedTuple):
    """A row's words, and where its texts begin and end in them."""

    id: str
    words: list[str]
    fields: int
    texts: list[tuple[int, int]]


def _row(example: Example, *, training: bool) -> _Row:
    """Fields, options and answer one after the other; in training the rationale too."""
    words: list[str] = []
    texts = []
    for text in example.fields.values():
        start = len(words)
        words += words_of(text)
        texts.append((start, len(words)))
    fields = len(words)
    for text in example.options:
        words += words_of(text)
    start = len(words)
    words += words_of(example.answer)
    texts.append((start, len(words)))
    if training and example.rationale:
        words += words_of(example.rationale)
    return _Row(example.id, words, fields, texts)


def _batches(
    source: Source, split: str, figures: TrainFigures | HeldOutFigures, *, training: bool = True
) -> Iterator[list[_Row]]:
    """The rows of a split in order; counts them, and those that cannot be used."""
    total = source.num_examples(split)
    batch: list[_Row] = []
    held = 0
    for start in range(0, total, _READ):
        for example in source.read(split, start, min(start + _READ, total)):
            if not isinstance(example, Example):
                figures.unusable += 1
                continue
            figures.rows += 1
            batch.append(_row(example, training=training))
            held += len(batch[-1].words)
            if held >= _BATCH:
                yield batch
                batch, held = [], 0
    if batch:
        yield batch


def _index(
    groups: Mapping[Source, tuple[str, ...]], codes: WordCodes, settings: Settings
) -> tuple[list[RowRef], list[HeldOutFigures], HeldOutIndex]:
    """Everything that is looked for."""
    refs: list[RowRef] = []
    figures: list[HeldOutFigures] = []
    builder = IndexBuilder()
    for source, tasks in groups.items():
        for split in evaluation_splits(source):
            mine = HeldOutFigures(tasks, split)
            figures.append(mine)
            first = len(refs)
            for rows in _batches(source, split, mine, training=False):
                for row in rows:
                    builder.add(len(refs), _wanted(row, codes, settings))
                    refs.append(RowRef(tasks, split, row.id))
            limit = max(settings.common_rows, int(settings.common * mine.rows))
            mine.boilerplate = builder.close(first, len(refs), most_rows=limit)
    if not refs:
        raise UserError("the held-out side has no rows that could be compared")
    return refs, figures, builder.index(len(refs))


def _wanted(row: _Row, codes: WordCodes, settings: Settings) -> list[tuple[int, np.ndarray]]:
    """What is looked for of a held-out row, as (words of a run, uint64 [runs])."""
    found: list[tuple[int, np.ndarray]] = []
    numbers = codes.of(row.words)
    for start, stop in row.texts:
        if stop - start >= settings.shortest:
            found += grams(numbers[start:stop], [min(settings.words, stop - start)])
    if found:
        return found
    asked = row.texts[-1][0]  # fields and options: the answer comes last
    if asked >= settings.shortest:
        return list(grams(numbers[:asked], [min(settings.words, asked)]))
    key = whole(numbers[: row.fields])
    return [(EXACT, np.array([key], np.uint64))] if row.fields else []


@dataclass
class _Scan:
    """The training side, batch by batch."""

    index: HeldOutIndex
    refs: Sequence[RowRef]
    figures: Sequence[HeldOutFigures]
    settings: Settings
    codes: WordCodes
    on_hit: Callable[[Hit], None]
    most_examples: int

    def __post_init__(self) -> None:
        self._figures = {(f.tasks, f.split): f for f in self.figures}
        self._found: set[tuple[int, str]] = set()

    def compare(self, rows: Sequence[_Row], figures: TrainFigures) -> None:
        """Compares a batch of training rows with everything held out."""
        words = [word for row in rows for word in row.words]
        numbers = self.codes.of(words)
        sizes = np.array([len(row.words) for row in rows])
        owner = np.repeat(np.arange(len(rows)), sizes)
        starts = np.cumsum(sizes) - sizes
        hits: dict[int, dict[int, tuple[int, int]]] = {}  # row -> held-out row -> (start, length)
        for length, runs in grams(numbers, self.index.lengths):
            places = np.flatnonzero(inside(owner, length) & self.index.maybe(length, runs))
            for place, held in self.index.look_up(length, runs, places):
                hits.setdefault(int(owner[place]), {}).setdefault(held, (place, length))
        if EXACT in self.index.lengths:
            self._compare_whole(rows, numbers, starts, hits)
        for position in sorted(hits):
            figures.overlapping += 1
            self._note(rows[position], words, hits[position], figures)

    def _compare_whole(
        self,
        rows: Sequence[_Row],
        numbers: np.ndarray,
        starts: np.ndarray,
        hits: dict[int, dict[int, tuple[int, int]]],
    ) -> None:
        """Short texts: a field, or all fields together, must be the same."""
        for position, row in enumerate(rows):
            first = int(starts[position])
            for start, stop in {*row.texts, (0, row.fields)}:
                if 0 < stop - start < self.settings.shortest:
                    key = np.array([whole(numbers[first + start : first + stop])], np.uint64)
                    for _, held in self.index.look_up(EXACT, key, np.array([0])):
                        place = (first + start, stop - start)
                        hits.setdefault(position, {}).setdefault(held, place)

    def _note(
        self,
        row: _Row,
        words: Sequence[str],
        held: Mapping[int, tuple[int, int]],
        figures: TrainFigures,
    ) -> None:
        train = RowRef(figures.tasks, figures.split, row.id)
        for number, (index, (start, length)) in enumerate(sorted(held.items())):
            ref = self.refs[index]
            mine = self._figures[ref.tasks, ref.split]
            hit = Hit(train, ref, " ".join(words[start : start + length]))
            if number == 0:
                self.on_hit(hit)
            if len(mine.examples) < self.most_examples:
                mine.examples.append(hit)
            name = figures.tasks[0]
            if (index, name) not in self._found:
                self._found.add((index, name))
                mine.found_in[name] = mine.found_in.get(name, 0) + 1

    def finish(self) -> None:
        """Counts the held-out rows."""
        share = self.index.found_shares()
        for ref, value in zip(self.refs, share.tolist(), strict=True):
            mine = self._figures[ref.tasks, ref.split]
            mine.overlapping += value > 0
            mine.mostly += value >= _MOSTLY
