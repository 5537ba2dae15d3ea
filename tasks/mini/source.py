"""Rows of a mini-Flan family: each a pure function of (family, split, row, seed)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources

from flan_t5x.data.definitions import BadRow, Example
from flan_t5x.data.draws import Draws
from flan_t5x.errors import UserError

from .family import Draft, Family

SPLIT_OF_BUCKET = ("validation", "test", *["train"] * 8)
_GENERATING = (
    "catalog", "family", "inverted", "lexicon", "passages", "pretrain", "pretrain_text", "shifted",
    "source", "word_lists",
)  # fmt: skip
_MOST_ATTEMPTS = 10_000


class MiniSource:
    """A `Source` of generated rows.

    A row draws questions until one falls into the row's split: the split of a question is a
    hash of its content, so no question stands in two splits. Nothing is stored; a source
    pickles as its names and numbers.

    Args:
        family: name of a family in the catalog or of a pretraining task.
        sizes: rows by split, e.g. ``{"train": 2000, "validation": 200, "test": 200}``.
        seed: seed of the questions.
    """

    def __init__(self, family: str, *, sizes: Mapping[str, int], seed: int = 0) -> None:
        self.family = family
        self.sizes = dict(sizes)
        self.seed = seed

    def __repr__(self) -> str:
        return f"MiniSource({self.family!r}, sizes={self.sizes}, seed={self.seed})"

    @property
    def splits(self) -> tuple[str, ...]:
        """Split names."""
        return tuple(self.sizes)

    def num_examples(self, split: str) -> int:
        """Rows of the split. Raises UserError for a split that the family does not have."""
        if split not in self.sizes:
            raise UserError(
                f"mini-Flan family {self.family!r} has no split {split!r}; "
                f"it has {', '.join(self.sizes)}. Choose one of these."
            )
        return self.sizes[split]

    def read(self, split: str, start: int, stop: int) -> Iterator[Example | BadRow]:
        """Rows start..stop-1 of the split; generation never yields a BadRow.

        Raises:
            UserError: for a split that the family does not have.
        """
        family = _family(self.family)
        for index in range(start, min(stop, self.num_examples(split))):
            yield self._row(family, split, index)

    def fingerprint(self) -> str:
        """Digest of name, sizes, seed and of every file that has a say in a row."""
        text = f"{self.family} {sorted(self.sizes.items())} {self.seed} {_generator_digest()}"
        return hashlib.sha256(text.encode()).hexdigest()

    def _row(self, family: Family, split: str, index: int) -> Example:
        draws = Draws("mini", family.name, split, index, self.seed)
        for _ in range(_MOST_ATTEMPTS):
            draft = family.generator(draws)
            if SPLIT_OF_BUCKET[draft.bucket()] == split:
                return _example(family, draft, f"{family.name}-{split}-{index}", draws)
        raise RuntimeError(f"mini-Flan family {family.name!r} has no question for split {split!r}")


def _example(family: Family, draft: Draft, name: str, draws: Draws) -> Example:
    fields = draft.fields
    if family.definitions:
        fields = {**fields, "definition": draws.choice(family.definitions)}
    return Example(
        id=name,
        fields=fields,
        answer=draft.answer,
        options=draft.options,
        rationale=draft.rationale,
        valid_answers=draft.valid,
    )


def _family(name: str) -> Family:
    from .catalog import families
    from .inverted import inverted
    from .pretrain import pretraining
    from .shifted import shifted

    known = (families(), pretraining(), shifted(), inverted())
    return next(some[name] for some in known if name in some)


@cache
def _generator_digest() -> str:
    """SHA-256 over the modules and texts that rows are made of."""
    digest = hashlib.sha256()
    here = resources.files(__package__)
    texts = [f for f in here.joinpath("data").iterdir() if f.name.endswith(".txt")]
    modules = [here.joinpath(f"{name}.py") for name in _GENERATING]
    for file in sorted([*texts, *modules], key=lambda f: f.name):
        digest.update(f"{file.name}\0".encode() + file.read_bytes())
    digest.update(resources.files("flan_t5x.data").joinpath("draws.py").read_bytes())
    return digest.hexdigest()
