"""Small sources, tasks and a vocabulary for the tests of the token cache.

Sources are classes of a module, not of a test: worker processes import them by name.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sentencepiece

from flan_t5x.data.cache import CacheSpec
from flan_t5x.data.definitions import BadRow, Example, TaskDefinition, Template
from flan_t5x.data.vocabulary import Vocabulary

WORDS = [
    "red",
    "blue",
    "green",
    "cold",
    "warm",
    "small",
    "large",
    "river",
    "stone",
    "cloud",
    "apple",
    "house",
    "seven",
    "eight",
]


@dataclass(frozen=True)
class ToySource:
    """Counting words: every row has another text, lengths vary, some rows are bad on request.

    Attributes:
        rows: rows of each split.
        salt: another salt gives other rows.
        bad_every: each such row is a `BadRow`, 0 for none.
        empty_every: each such row has an empty answer, 0 for none.
        long_every: each such row has a question of 200 words, 0 for none.
        trace: a folder in which each read leaves a file naming the process and its modules.
        pause: seconds that each row takes.
        die_at: the process that reads this row ends at once, -1 for none.
    """

    rows: tuple[tuple[str, int], ...] = (("train", 40), ("validation", 10))
    salt: str = ""
    bad_every: int = 0
    empty_every: int = 0
    long_every: int = 0
    trace: str = ""
    pause: float = 0.0
    die_at: int = -1

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.rows)

    def num_examples(self, split: str) -> int:
        return dict(self.rows)[split]

    def read(self, split: str, start: int, stop: int) -> Iterator[Example | BadRow]:
        if self.trace:
            leave_trace(Path(self.trace), split, start)
        for i in range(start, stop):
            if i == self.die_at:
                os._exit(9)
            if self.pause:
                time.sleep(self.pause)
            yield self.row(split, i)

    def row(self, split: str, i: int) -> Example | BadRow:
        if self.bad_every and i % self.bad_every == 1:
            return BadRow(f"{split}-{i}", "missing column", f"line {i} has 1 column")
        digest = hashlib.sha256(f"{self.salt}{split}{i}".encode()).digest()
        count = 200 if self.long_every and i % self.long_every == 2 else 1 + digest[0] % 9
        words = [WORDS[b % len(WORDS)] for b in (digest * 7)[1 : count + 1]]
        answer = "" if self.empty_every and i % self.empty_every == 3 else words[-1]
        return Example(f"{split}-{i}", {"text": " ".join(words)}, answer)

    def fingerprint(self) -> str:
        return hashlib.sha256(repr((self.rows, self.salt, self.bad_every)).encode()).hexdigest()


def leave_trace(folder: Path, split: str, start: int) -> None:
    """Writes down which process read, and what it had imported by then."""
    modules = sorted({name.split(".")[0] for name in sys.modules})
    (folder / f"{os.getpid()}-{split}-{start}").write_text("\n".join(modules))


TEMPLATES = (
    Template("Which word comes last in {text} ?"),
    Template("{text} : name the last word."),
)


def toy_task(name: str = "toy_last", **source: object) -> TaskDefinition:
    """A zero-shot task over a `ToySource`."""
    return TaskDefinition(name, ToySource(**source), TEMPLATES)  # type: ignore[arg-type]


def make_vocabulary(folder: Path) -> Vocabulary:
    """A SentencePiece model trained on the toy words, in a few milliseconds."""
    lines = [" ".join(WORDS[i:] + WORDS[:i]) for i in range(len(WORDS))]
    lines += [template.inputs for template in TEMPLATES]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        vocab_size=90,
        model_type="unigram",
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    path = folder / "toy.model"
    path.write_bytes(model.getvalue())
    return Vocabulary(str(path))


def toy_spec(vocabulary: Vocabulary, *tasks: TaskDefinition, **more: object) -> CacheSpec:
    """A request with short feature lengths."""
    lengths = {"inputs": 64, "targets": 8}
    return CacheSpec(tasks or (toy_task(),), vocabulary, lengths, **more)  # type: ignore[arg-type]
