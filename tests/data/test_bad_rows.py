"""Bad rows on their way from a user's file to the cache: each is named and counted, none is lost.

What each source makes of its own kind of damage is tested with the source: malformed Natural
Instructions (`sources/test_niv2.py`), TSV rows with a missing column (`sources/test_tsv.py`).
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from flan_t5x.data.cache import CacheSpec, ensure_cached
from flan_t5x.data.definitions import TaskDefinition, Template
from flan_t5x.data.sources.jsonl import JsonlSource
from flan_t5x.data.vocabulary import resolve_vocabulary
from flan_t5x.errors import UserError

BAD = {
    "not JSON": b'{"inputs": "red", "targets": ',
    "not UTF-8": b'{"inputs": "caf\xe9", "targets": "red"}',
    "duplicate id": b'{"id": "row 3", "inputs": "Once more.", "targets": "red"}',
    "missing field": b'{"id": "half", "inputs": "Only asked."}',
    "answer not among options": b'{"id": "lost", "inputs": "Which?", "targets": "red", '
    b'"options": ["blue", "green"], "split": "train"}',
}


def write(folder: Path, *, good: int = 60, bad: bool = True) -> Path:
    """A file with a bad row of each kind among good ones, all for training."""
    rows = [
        json.dumps(
            {"id": f"row {i}", "inputs": f"Say {i}.", "targets": str(i), "split": "train"}
        ).encode()
        for i in range(good)
    ]
    if bad:
        rows[10:10] = list(BAD.values())
    path = folder / "own.jsonl"
    path.write_bytes(b"\n".join(rows))
    return path


def spec(path: Path, *templates: str, **more: object) -> CacheSpec:
    task = TaskDefinition(
        "own", JsonlSource(str(path)), tuple(map(Template, templates or ("{inputs} {options}",)))
    )
    lengths = {"inputs": 64, "targets": 16}
    return CacheSpec((task,), resolve_vocabulary("mini"), lengths, splits=("train",), **more)  # type: ignore[arg-type]


def test_each_is_named_and_counted_and_the_run_goes_on(tmp_path: Path) -> None:
    said: list[str] = []
    cached = ensure_cached(
        spec(write(tmp_path)), tmp_path / "cache", num_workers=1, say=said.append
    )
    split = cached["own", "train"]
    report = split.report()
    assert (report["rows"], report["kept"], split.num_examples) == (65, 60, 60)
    assert {reason: row["count"] for reason, row in report["rejected"].items()} == dict.fromkeys(
        BAD, 1
    )
    details = {reason: row["first"][0]["detail"] for reason, row in report["rejected"].items()}
    assert "line 12: byte 16 is 0xe9" in details["not UTF-8"]
    assert "'row 3' is on line 4 too" in details["duplicate id"]
    assert report["rejected"]["answer not among options"]["first"][0]["id"] == "lost"
    for reason in BAD:
        assert f"1 rejected: {reason}" in said[-1]


def test_or_it_stops_as_configured(tmp_path: Path) -> None:
    strict = spec(write(tmp_path), max_reject_share=0.05)
    with pytest.raises(UserError, match=r"5 of 65 rows .* more than max_reject_share=0.05"):
        ensure_cached(strict, tmp_path / "cache", num_workers=1)
    refused = json.loads((tmp_path / "cache/own/refused-train.json").read_text())
    assert sum(row["count"] for row in refused["rejected"].values()) == 5


def test_a_template_that_names_an_unknown_field(tmp_path: Path) -> None:
    """Every row that draws it is counted; a task with no other wording is refused."""
    path = write(tmp_path, bad=False)
    lenient = spec(path, "{inputs}", "{inputs} {hint}", max_reject_share=0.9)
    report = ensure_cached(lenient, tmp_path / "a", num_workers=1)["own", "train"].report()
    assert report["kept"] + report["rejected"]["missing field"]["count"] == 60
    assert "'hint'" in report["rejected"]["missing field"]["first"][0]["detail"]
    with pytest.raises(UserError, match=r"60 of 60 rows .*'missing field'.*names 'hint'"):
        ensure_cached(spec(path, "{hint}"), tmp_path / "b", num_workers=1)


def test_a_pool_of_one_row(tmp_path: Path) -> None:
    """The row itself is written zero-shot, and counted; it is an exemplar to none."""
    asked = spec(write(tmp_path, good=1, bad=False))
    task = dataclasses.replace(asked.tasks[0], format="fs")
    cached = ensure_cached(dataclasses.replace(asked, tasks=(task,)), tmp_path / "c", num_workers=1)
    altered = cached["own", "train"].report()["altered"]
    assert altered["no exemplar fits"]["count"] == 1


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_an_empty_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"own.jsonl' is empty"):
        ensure_cached(spec(path), tmp_path / "cache", num_workers=1)
