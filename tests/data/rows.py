"""A source of given rows, and a small task over animals, for the tests of the renderer."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import sentencepiece

from flan_t5x.data.definitions import BadRow, Example, TaskDefinition, Template
from flan_t5x.data.draws import Draws
from flan_t5x.data.formats import fixed_texts
from flan_t5x.data.vocabulary import Vocabulary

ANIMALS = ("cat", "dog", "horse", "sheep", "goat", "pig", "hen", "duck", "fox", "wolf", "bear")


@dataclass(frozen=True, eq=False)
class ListSource:
    """Rows that are given."""

    rows: Mapping[str, Sequence[Example | BadRow]]

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.rows)

    def num_examples(self, split: str) -> int:
        return len(self.rows[split])

    def read(self, split: str, start: int, stop: int) -> Iterator[Example | BadRow]:
        return iter(self.rows[split][start:stop])

    def fingerprint(self) -> str:
        return hashlib.sha256(repr(self.rows).encode()).hexdigest()


def animal(split: str, i: int) -> Example:
    """A question with three options and a rationale; no two rows have the same text."""
    draws = Draws("animals", split, i)
    options = tuple(draws.sample(ANIMALS, 3))
    answer = draws.choice(options)
    return Example(
        id=f"{split}-{i}",
        fields={"story": f"In {split} story {i} the {answer} is red and the others are blue."},
        answer=answer,
        options=options,
        rationale=f"Only the {answer} is red",
    )


TEMPLATES = (
    Template("{story} Which one is red? {options}"),
    Template("Find the red one. {story} {options} Answer:"),
    Template("{story} Who is red?"),
)


def animal_source(train: int = 60, validation: int = 12, test: int = 12) -> ListSource:
    sizes = {"train": train, "validation": validation, "test": test}
    return ListSource({s: [animal(s, i) for i in range(n)] for s, n in sizes.items() if n})


def animal_task(format: str = "zs", **more: Any) -> TaskDefinition:
    source = more.pop("source", None) or animal_source()
    task = TaskDefinition(f"animals_{format}", source, TEMPLATES, format)  # type: ignore[arg-type]
    return replace(task, **more)


@cache
def _model_bytes() -> bytes:
    lines = [*fixed_texts(), *(t.inputs for t in TEMPLATES), " ".join(ANIMALS)]
    lines += [animal("train", i).fields["story"] for i in range(20)]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        vocab_size=400,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    return model.getvalue()


def make_vocabulary(folder: Path) -> Vocabulary:
    """A SentencePiece model that knows the renderer's own words and the animals."""
    path = folder / "animals.model"
    path.write_bytes(_model_bytes())
    return Vocabulary(str(path))
