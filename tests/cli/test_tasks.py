"""`flan-t5x tasks`: the registry, a mixture's table, rendered and tokenized examples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from flan_t5x.cli.main import main
from flan_t5x.data import registry
from flan_t5x.data.vocabulary import resolve_vocabulary

MODULE = """\
from flan_t5x.data.definitions import (
    BadRow, Example, MixtureDefinition, MixturePart, TaskDefinition, Template,
)

class Rows:
    splits = ("train", "test")

    def __init__(self, count):
        self.count = count

    def num_examples(self, split):
        return self.count if split == "train" else 2

    def read(self, split, start, stop):
        for i in range(start, stop):
            if i == 1:
                yield BadRow("1", "missing column", "line 2 has 1 column")
            else:
                yield Example(str(i), {"word": "dog"}, "dog")

    def fingerprint(self):
        return "0"

def tasks():
    for name, count in (("toy_small", 2), ("toy_large", 50)):
        yield TaskDefinition(name, Rows(count), (Template("Repeat: {word}"),), group="toys")

def mixtures():
    yield MixtureDefinition(
        "toy_mix", (MixturePart("toy_small"), MixturePart("toy_large", cap=6)), about="two toys"
    )
"""


@pytest.fixture(autouse=True)
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task module in the current folder, and a registry of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "toy_tasks.py").write_text(MODULE)
    monkeypatch.setattr(registry, "_registry", registry._Registry())


def output(capsys: pytest.CaptureFixture[str], *line: str) -> str:
    assert main(["tasks", *line, "--task_module=toy_tasks"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def cells(text: str) -> list[Sequence[str]]:
    return [line.split() for line in text.splitlines()]


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(output(capsys, "list", "--json"))
    assert {"name": "toy_large", "group": "toys", "format": "zs"} in found["tasks"]
    assert {"name": "toy_mix", "parts": 2, "about": "two toys"} in found["mixtures"]
    assert [task["name"] for task in found["tasks"]] == registry.task_names()
    text = output(capsys, "list")
    assert ["toy_large", "toys", "zs"] in cells(text)
    assert ["toy_mix", "2", "two", "toys"] in cells(text)


def test_show_a_mixture(capsys: pytest.CaptureFixture[str]) -> None:
    assert cells(output(capsys, "show", "toy_mix")) == [
        ["toy_mix:", "2", "tasks,", "52", "training", "examples"],
        ["task", "group", "examples", "cap", "rate", "share"],
        ["toy_small", "toys", "2", "2", "25.00%"],
        ["toy_large", "toys", "50", "6", "6", "75.00%"],
        ["after", "8", "draws", "the", "first", "rows", "repeat:", "those", "of", "toy_small"],
    ]
    rows = json.loads(output(capsys, "show", "toy_mix", "--json"))["tasks"]
    assert [(row["task"], row["share"]) for row in rows] == [
        ("toy_small", 0.25),
        ("toy_large", 0.75),
    ]


def test_show_counts_missing_data_as_published(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAN_T5X_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    found = json.loads(output(capsys, "show", "cot_seven", "--json"))
    assert set(found) == {"name", "parts", "draws_before_repeat", "missing", "tasks"}
    assert [(part["name"], part["share"], part["tasks"]) for part in found["parts"]] == [
        (f"cot_seven_{format}", 0.25, 7) for format in ("zs", "fs", "zs_cot", "fs_cot")
    ]
    assert {row["counted"] for row in found["tasks"]} == {"published"}
    assert set(found["tasks"][0]) == {
        "task", "group", "examples", "cap", "rate", "share", "counted", "part"
    }  # fmt: skip
    assert sum(group["share"] for group in found["missing"]) == pytest.approx(1)
    assert {group["tasks"] for group in found["missing"]} == {4}
    text = output(capsys, "show", "cot_seven")
    assert ["cot_seven_zs", "7", "1", "25.00%"] in cells(text)
    assert "* data is missing (100.0% of the mixture), counted as published" in text
    assert "7,324*" in text
    task = json.loads(output(capsys, "show", "cot_gsm8k_zs", "--json"))
    assert task["examples"] == {"train": None, "validation": None}
    assert "examples: train missing, validation missing" in output(capsys, "show", "cot_gsm8k_zs")


def test_show_a_task(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(output(capsys, "show", "toy_large", "--json"))
    assert found["examples"] == {"train": 50, "test": 2}
    assert found["templates"] == ["Repeat: {word}"]
    text = output(capsys, "show", "toy_large")
    assert "examples: train 50, test 2\n" in text
    assert text.endswith("templates:\n  Repeat: {word}\n")


def test_preview_shows_what_the_vocabulary_makes_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(output(capsys, "preview", "toy_small", "--json"))
    assert {row["task"] for row in rows} == {"toy_small"}
    good = {row["id"]: row for row in rows}["0"]
    bad = {row["id"]: row for row in rows}["1"]
    assert good["rendered"]["inputs"] == "Repeat: dog"
    assert bad["rejected"] == "missing column: line 2 has 1 column"
    vocabulary = resolve_vocabulary("mini")
    assert good["input_ids"] == [*vocabulary.encode("Repeat: dog"), vocabulary.eos_id]
    text = output(capsys, "preview", "toy_small")
    assert f"inputs ({len(good['input_ids'])} tokens): Repeat: dog\n" in text
    assert "not usable: missing column: line 2 has 1 column" in text


def test_preview_of_a_mixture_has_one_row_of_each_task(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(output(capsys, "preview", "toy_mix", "--json"))
    assert [row["task"] for row in rows] == ["toy_small", "toy_large"]
    rows = json.loads(output(capsys, "preview", "toy_mix", "--json", "--num=2", "--split=test"))
    assert [row["task"] for row in rows] == ["toy_small"] * 2 + ["toy_large"] * 2


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["show", "toy_mixx"], "did you mean 'toy_mix'"),
        (["preview", "toy_mix", "--split=dev"], "toy_small has the splits train, test"),
        (["preview", "toy_mix", "--num=0"], "--num 0: at least 1 row is needed"),
        (["preview", "toy_mix", "--vocabulary=no.model"], "'no.model'"),
        (["list", "--task_module=no_such_tasks"], "'no_such_tasks'"),
    ],
)
def test_mistakes(line: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", *line, "--task_module=toy_tasks"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert expected in err
