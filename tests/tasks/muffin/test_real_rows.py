"""Real rows of the data sets that lie in ../shared/data/classic, through parsers and wordings."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from flan_tasks import muffin
from flan_tasks.muffin.catalog import datasets

from flan_t5x.data.definitions import BadRow, Example
from flan_t5x.data.fewshot import ExemplarPool
from flan_t5x.data.formats import render
from flan_t5x.data.vocabulary import Vocabulary

Row = dict[str, Any]
KINDS = (*muffin.KINDS, "inv_zs", "inv_fs")


def _jsonl(path: Path) -> Iterator[Row]:
    return (json.loads(line) for line in path.read_text("utf-8").splitlines())


def _named(names: tuple[str, ...]) -> Callable[[Path], Iterator[Row]]:
    """SuperGLUE's files name their labels; TFDS numbers them."""

    def rows(path: Path) -> Iterator[Row]:
        return ({**row, "label": names.index(row["label"])} for row in _jsonl(path))

    return rows


def _bool_q(path: Path) -> Iterator[Row]:
    for row in _jsonl(path):
        title, _, passage = row["passage"].partition(" -- ")
        yield {**row, "title": title, "passage": passage, "answer": row["label"]}


def _multirc(path: Path) -> Iterator[Row]:
    for row in _jsonl(path):
        for question in row["passage"]["questions"]:
            for answer in question["answers"]:
                yield {
                    "paragraph": row["passage"]["text"],
                    "question": question["question"],
                    "answer": answer["text"],
                    "label": answer["label"],
                    "idx": {"paragraph": row["idx"], "question": question["idx"]},
                }


def _wic(path: Path) -> Iterator[Row]:
    return ({**row, "label": int(row["label"])} for row in _jsonl(path))


def _wsc(path: Path) -> Iterator[Row]:
    return ({**row, **row["target"], "label": int(row["label"])} for row in _jsonl(path))


def _agnews(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            label = int(row["Class Index"]) - 1
            yield {"title": row["Title"], "description": row["Description"], "label": label}


def _sst2(path: Path) -> Iterator[Row]:
    for line in path.read_text("utf-8").splitlines():
        yield {"sentence": line[2:], "label": int(line[0])}


def _trec(path: Path) -> Iterator[Row]:
    coarse = ("DESC", "ENTY", "ABBR", "HUM", "NUM", "LOC")
    for line in path.read_text("latin-1").splitlines():
        label, _, text = line.partition(" ")
        yield {"text": text, "label-coarse": coarse.index(label.partition(":")[0])}


# Key -> file, how it becomes TFDS rows, number of rows (MANIFEST.md; MultiRC: its answers).
FILES: dict[str, tuple[str, Callable[[Path], Iterator[Row]], int]] = {
    "ag_news_subset": ("agnews/test.csv", _agnews, 7_600),
    "bool_q": ("superglue/BoolQ/val.jsonl", _bool_q, 1_000),
    "cb": ("cb/train.jsonl", _named(("entailment", "contradiction", "neutral")), 250),
    "copa": ("superglue/COPA/val.jsonl", _jsonl, 100),
    "multirc": ("superglue/MultiRC/val.jsonl", _multirc, 4_848),
    "rte": ("rte/train.jsonl", _named(("entailment", "not_entailment")), 2_490),
    "sst2": ("sst2/stsa.binary.train", _sst2, 6_920),
    "trec": ("trec/train.txt", _trec, 5_452),
    "wic": ("superglue/WiC/val.jsonl", _wic, 638),
    "wsc": ("superglue/WSC/val.jsonl", _wsc, 104),
}


@dataclass(frozen=True, eq=False)
class Parsed:
    """Rows of a file as one training split."""

    rows: list[Example]
    splits: tuple[str, ...] = ("train",)

    def num_examples(self, split: str) -> int:
        return len(self.rows)

    def read(self, split: str, start: int, stop: int) -> Iterator[Example | BadRow]:
        return iter(self.rows[start:stop])

    def fingerprint(self) -> str:
        return ""


@pytest.fixture(scope="module")
def t5(shared) -> Vocabulary:
    return Vocabulary(str(shared / "data" / "t5_vocab" / "spiece.model"))


@pytest.mark.parametrize("key", FILES)
def test_every_row_parses_and_every_kind_renders(key, shared, t5):
    name, reader, count = FILES[key]
    path = shared / "data" / "classic" / name
    if not path.is_file():
        pytest.skip(f"no file {path}: downloaded data is not in this repository")
    parser = datasets()[key].row_parser()
    rows = [parser(f"train/{i}", row) for i, row in enumerate(reader(path))]
    assert len(rows) == count
    assert {row.answer for row in rows} <= {option for row in rows for option in row.options}
    asked = rows[:: max(len(rows) // 40, 1)]
    for kind in KINDS:
        if kind.startswith("inv") and key not in muffin.INVERTED:
            continue
        task = replace(muffin.task(f"flan_{key}_{kind}"), source=Parsed(rows))
        pool = ExemplarPool.for_task(task, size=64)
        pieces = unknown = shots = 0
        for row in asked:
            made = render(task, row, exemplars=pool, vocabulary=t5, budget=2048)
            shots += bool(made.exemplar_ids)
            ids = t5.encode(made.inputs)
            assert len(ids) < 2048
            pieces += len(ids)
            unknown += ids.count(t5.unk_id)
            if "inv" not in kind:
                assert t5.decode(t5.encode(made.targets)) == made.targets
                assert made.targets in made.valid_answers
                assert ("noopt" in kind) == (made.targets == row.answer) or made.option_style
        # What is unknown comes from the rows (accents, signs), not from our words.
        assert unknown / pieces < 0.005
        assert shots == (len(asked) if task.format == "fs" else 0)
