"""Trains the shipped vocabulary: ``python -m flan_tasks.mini.build_vocabulary``.

A SentencePiece unigram model with T5's special ids (pad 0, end 1, unknown 2, no beginning),
T5's normalisation and every digit a piece of its own. Every printable ASCII character but the
two braces is a piece, as in T5's vocabulary: no English text is unknown to it, if long.

It is trained on the inventory of words of mini-Flan's text (rows, instructions, what the
renderer adds), not on running text: with a few hundred words in all, each becomes a piece, and
a changed wording changes the vocabulary (which would cost a new base) only where it brings a
new word. Everyday words that mini-Flan lacks follow at a lower weight. The inventory is fixed
by seeds and training runs on one thread, so a rebuild gives the same bytes (a test holds this).
"""

from __future__ import annotations

import argparse
import io
import re
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path

from flan_t5x.data.definitions import Example
from flan_t5x.data.formats import fixed_texts
from flan_t5x.data.vocabulary import Vocabulary

from .catalog import families
from .lexicon import ADJECTIVES, BLAME, CATEGORIES, NOUNS, OBJECTS, PEOPLE, PRAISE, REVIEWED
from .pretrain import pretraining
from .source import MiniSource
from .transfer import instruction_texts

PIECES = 1024
ROWS_PER_FAMILY = 100
PRINTABLE = "".join(chr(c) for c in range(33, 127) if chr(c) not in "{}")
_WORD = re.compile(r"[A-Za-z]+")
_SENTINEL = re.compile(r"<extra_id_\d+>")


def content_words() -> set[str]:
    """Every word that stands for content: each should be one piece."""
    kinds = [w for c in CATEGORIES.values() for w in (c.kind, c.kinds)]
    return {*NOUNS, *ADJECTIVES, *PEOPLE, *OBJECTS, *REVIEWED, *PRAISE, *BLAME, *kinds}


def instruction_words() -> set[str]:
    """Every word of the instructions, as written (capitals kept)."""
    return _words(text for family in families().values() for text in instruction_texts(family))


def row_words() -> set[str]:
    """Every word of some rows of every family, pretraining included."""
    found: set[str] = set()
    for name in (*families(), *pretraining()):
        for row in MiniSource(name, sizes={"train": ROWS_PER_FAMILY}).read("train", 0, 10**6):
            if isinstance(row, Example):
                texts = (*row.fields.values(), *row.options, row.rationale, row.answer)
                found |= _words(_SENTINEL.sub(" ", text) for text in texts)
    return found


def common_words() -> set[str]:
    """Everyday words that mini-Flan itself does not need."""
    return _words(line for line in _everyday_lines() if line[:1] != "-")


def word_parts() -> set[str]:
    """Endings and syllables that other words can be cut into."""
    return _words(line for line in _everyday_lines() if line[:1] == "-")


def _everyday_lines() -> list[str]:
    file = resources.files(__package__).joinpath("data", "common_words.txt")
    return [line for line in file.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]


def corpus() -> Iterator[str]:
    """The training text, line by line: every word of the inventory, in alphabetical order."""
    own = content_words() | instruction_words() | row_words()
    added = _words(fixed_texts()) - own
    for words, times in ((own, 8), (added, 4), (common_words() - own - added, 2)):
        for word in sorted(words):
            yield from [f"{word} {word} {word}"] * times
    # After a full stop a part is no beginning of a word: "ing" becomes a piece, not "▁ing".
    for part in sorted(word_parts()):
        yield from [f".{part} .{part} .{part}"] * 2
    yield from [" ".join(PRINTABLE), PRINTABLE] * 2


def train() -> bytes:
    """The serialized model. Takes a few seconds; the same bytes each time."""
    import sentencepiece

    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=corpus(),
        model_writer=out,
        model_type="unigram",
        vocab_size=PIECES,
        hard_vocab_limit=False,
        character_coverage=1.0,
        required_chars=PRINTABLE,
        normalization_rule_name="nmt_nfkc",
        split_digits=True,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    return out.getvalue()


def report(model: Path) -> str:
    """How many pieces there are, and which words are cut into several."""
    vocabulary = Vocabulary(str(model))
    lines = [f"{model}: {vocabulary.size - vocabulary.extra_ids} pieces"]
    for name, words in (
        ("content", content_words()),
        ("instruction", instruction_words()),
        ("row", row_words()),
        ("renderer", _words(fixed_texts())),
        ("everyday", common_words()),
    ):
        cut = [w for w in sorted(words) if len(vocabulary.encode(w)) > 1]
        lines.append(f"{len(words)} {name} words, {len(cut)} in several pieces: {' '.join(cut)}")
    return "\n".join(lines)


def _words(texts: Iterable[str]) -> set[str]:
    return {word for text in texts for word in _WORD.findall(text)}


def main() -> None:
    """Writes the model and prints how well it covers the words."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = Path(str(resources.files(__package__))) / "data" / "mini.model"
    parser.add_argument("--output", type=Path, default=default, help="where the model goes")
    output = parser.parse_args().output
    output.write_bytes(train())
    print(report(output))


if __name__ == "__main__":
    main()
