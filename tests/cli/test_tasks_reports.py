"""`flan-t5x tasks stats`, `overlap` and `explore`, as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flan_t5x.cli.main import main
from flan_t5x.data import registry

MODULE = """\
from flan_t5x.data.definitions import (
    Example, MixtureDefinition, MixturePart, TaskDefinition, Template,
)
from flan_t5x.data.sources.location import MissingDataError

SAME = "the old captain counted his seven barrels twice before the ship left the harbour"

class Rows:
    def __init__(self, **texts):
        self.texts = texts
        self.splits = tuple(texts)

    def num_examples(self, split):
        return len(self.texts[split])

    def read(self, split, start, stop):
        for i in range(start, stop):
            yield Example(f"{split}{i}", {"text": self.texts[split][i]}, "yes")

    def fingerprint(self):
        return "0"

class Lost(Rows):
    def num_examples(self, split):
        raise MissingDataError("the file 'lost.tsv' does not exist.", raw="lost files")

def tasks():
    clean = Rows(train=["dog cat", "cat", "dog"])
    dirty = Rows(train=["dog", f"First: {SAME.upper()}!", "cat"])
    held = Rows(train=["horse"], test=["the horse", SAME, "a third row"])
    for name, source in (
        ("toy_clean", clean), ("toy_dirty", dirty), ("toy_held", held), ("toy_lost", Lost(train=[]))
    ):
        yield TaskDefinition(name, source, (Template("Read: {text}"),), group="toys")

def mixtures():
    yield MixtureDefinition("toy_mix", (MixturePart("toy_clean"), MixturePart("toy_dirty")))
    parts = (MixturePart("toy_clean", rate=1.0), MixturePart("toy_lost", rate=1.0))
    yield MixtureDefinition("toy_some", parts)
"""


@pytest.fixture(autouse=True)
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task module in the current folder, and a registry of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "report_toys.py").write_text(MODULE)
    monkeypatch.setattr(registry, "_registry", registry._Registry())


def run(capsys: pytest.CaptureFixture[str], *line: str, code: int = 0) -> str:
    assert main(["tasks", *line, "--task_module=report_toys"]) == code
    out, err = capsys.readouterr()
    assert err.count("\n") == (code != 0)
    return err if code else out


def as_json(capsys: pytest.CaptureFixture[str], *line: str) -> Any:
    return json.loads(run(capsys, *line, "--json"))


def test_stats(capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys, "stats", "toy_mix", "--lengths=256/8", "--lengths=8/8")
    assert set(found) == {"name", "vocabulary", "tasks", "packing"}
    assert [(t["task"], t["rows"], t["share"]) for t in found["tasks"]] == [
        ("toy_clean", 3, 0.5),
        ("toy_dirty", 3, 0.5),
    ]
    assert set(found["tasks"][0]) == {
        "task",
        "group",
        "format",
        "split",
        "rows",
        "sampled",
        "unusable",
        "inputs",
        "targets",
        "fits",
        "unique_targets",
        "unknown_pieces",
        "share",
    }
    dirty = found["tasks"][1]
    assert [round(fit["truncated_inputs"], 3) for fit in dirty["fits"]] == [0.0, 0.333]
    assert dirty["unique_targets"] == pytest.approx(1 / 3)
    lengths = [(p["inputs_length"], p["targets_length"]) for p in found["packing"]]
    assert lengths == [
        (256, 8),
        (8, 8),
    ]
    assert found["packing"][0]["examples_per_row"] > 1
    text = run(capsys, "stats", "toy_mix")
    assert "cut 512  cut 1024  cut 2048  drop 128  drop 256  drop 512" in text
    assert "packing forecast" in text


def test_overlap(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = ("overlap", "--train=toy_mix", "--held_out=toy_held")
    found = as_json(capsys, *line)
    (held,) = found["held_out_tasks"]
    assert (held["tasks"], held["split"], held["rows"]) == (["toy_held"], "test", 3)
    assert (held["overlapping"], held["mostly"]) == (1, 1)
    assert held["found_in"] == {"toy_dirty": 1}
    assert [(t["tasks"], t["overlapping"]) for t in found["train_tasks"]] == [
        (["toy_clean"], 0),
        (["toy_dirty"], 1),
    ]
    text = run(capsys, *line, "--write_exclusions=out.jsonl")
    assert "toy_held test test1 stands in toy_dirty train train1: the old captain" in text
    assert "1 of 6 training rows overlap\nwritten to out.jsonl\n" in text
    (excluded,) = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert excluded == {
        "tasks": ["toy_dirty"],
        "split": "train",
        "id": "train1",
        "held_out_task": "toy_held",
        "held_out_split": "test",
        "held_out_id": "test1",
        "words": "the old captain counted his seven barrels twice before the ship left the",
    }
    clean = run(capsys, "overlap", "--train=toy_clean", "--held_out=toy_held")
    assert clean.endswith("\n0 of 3 training rows overlap\n")


def test_explore(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = as_json(capsys, "explore", "toy_mix", "toy_some", "--out=page.html")
    size = (tmp_path / "page.html").stat().st_size
    assert found == {
        "out": "page.html",
        "bytes": size,
        "mixtures": 2,
        "tasks": 3,
        "tasks_without_data": 1,
    }
    text = run(capsys, "explore", "toy_some", "--out=page.html")
    assert text.startswith("page.html: 1 mixtures, 2 tasks, 0.0 MB; 1 lack their data")


@pytest.mark.parametrize(
    "part", [["stats", "{}"], ["overlap", "--train={}", "--held_out=toy_held"]]
)
def test_missing_data_is_an_error_unless_allowed(
    part: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    line = [word.format("toy_some") for word in part]
    assert "lost.tsv" in run(capsys, *line, code=2)
    assert "toy_clean" in run(capsys, *line, "--allow_missing", "--json")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["stats", "toy_mixx"], "did you mean 'toy_mix'"),
        (["stats", "toy_mix", "--lengths=512"], "--lengths 512: write INPUTS/TARGETS in tokens"),
        (["stats", "toy_mix", "--num=0"], "num = 0"),
        (["stats", "toy_mix", "--split=dev"], "toy_clean has the splits train, not 'dev'"),
        (["overlap", "--train=toy_mix", "--held_out=toy_hold"], "did you mean 'toy_held'"),
        (["overlap", "--train=toy_mix", "--held_out=toy_held", "--words=0"], "words = 0"),
        (["overlap", "--train=toy_mix"], "arguments are required: --held_out"),
        (["explore", "toy_mix"], "arguments are required: --out"),
        (["explore", "toy_mix", "--out=no/page.html"], "cannot write no/page.html"),
        (["explore", "toy_mix", "--out=p.html", "--num=-1"], "--num = -1"),
    ],
)
def test_mistakes(line: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert expected in run(capsys, *line, code=2)
