"""Natural Instructions task files: rows, exemplars, names, bad input, and the real ones."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from flan_t5x.data.cache import CACHE_VARIABLE
from flan_t5x.data.definitions import BadRow, Example, Source
from flan_t5x.data.sources import counts, location
from flan_t5x.data.sources.location import MissingDataError
from flan_t5x.data.sources.niv2 import NaturalInstructionsSource, fold, task_number
from flan_t5x.errors import UserError

DEFINITION = "Say which animal is larger."
TASK: dict[str, Any] = {
    "Definition": [DEFINITION],
    "Positive Examples": [
        {"input": "ant, cat", "output": "cat", "explanation": "A cat is larger."},
        {"input": "cow, hen", "output": "cow", "explanation": ""},
        {"input": "no output"},
    ],
    "Instances": [
        {"id": "t-1", "input": "dog, fly ", "output": ["dog"]},
        {"id": "t-2", "input": "pig, ox", "output": ["", " ox ", "the ox"]},
    ],
}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """``niv2/tasks`` of a new data folder."""
    monkeypatch.setattr(location, "_chosen", tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    counts.forget()
    found = tmp_path / "niv2" / "tasks"
    found.mkdir(parents=True)
    return found


def put(folder: Path, name: str = "task007_larger_animal", **changes: Any) -> Path:
    path = folder / f"{name}.json"
    path.write_text(json.dumps(TASK | changes))
    return path


def source(name: str = "task007_larger_animal", **more: Any) -> NaturalInstructionsSource:
    return NaturalInstructionsSource(name, **more)


def read(source: NaturalInstructionsSource, split: str = "train") -> list[Example | BadRow]:
    return list(source.read(split, 0, source.num_examples(split)))


def test_rows(folder):
    put(folder)
    found = source(published=7)
    assert isinstance(found, Source)
    assert read(found) == [
        Example("t-1", {"definition": DEFINITION, "input": "dog, fly", "why": ""}, "dog"),
        Example("t-2", {"definition": DEFINITION, "input": "pig, ox", "why": ""}, "ox"),
    ]
    assert list(found.read("train", 1, 2)) == read(found)[1:]
    assert found.expected_examples("train") == 7
    assert found.expected_examples("exemplars") is None


def test_exemplars_are_worked_examples_and_instances_in_equal_parts(folder):
    many = [{"id": str(i), "input": f"in {i}", "output": [f"out {i}"]} for i in range(100)]
    put(folder, Instances=many)
    found = read(source(), "exemplars")
    worked = [row for row in found if row.id.startswith("positive")]
    assert {(row.id, row.fields["why"]) for row in worked} == {
        ("positive 0", " (A cat is larger.)"),
        ("positive 1", ""),
    }
    others = [row for row in found if row not in worked]
    assert [row.id for row in others] == [str(i) for i in range(24)]
    assert len(worked) == len(others)
    put(folder, **{"Positive Examples": []})
    assert [row.id for row in read(source(), "exemplars")] == ["t-1", "t-2"]


@pytest.mark.parametrize(
    "form", [{"Definition": DEFINITION}, {"Definition": [DEFINITION, "Another wording."]}]
)
def test_definitions_in_both_forms(folder, form):
    put(folder, **form)
    assert {row.fields["definition"] for row in read(source())} == {DEFINITION}


def test_bad_instances_are_kept_as_such(folder):
    good = {"id": "a", "input": "x", "output": ["y"]}
    bad = [
        {"id": "a", "input": "again", "output": ["y"]},
        {"input": 5, "output": ["y"]},
        {"input": "x"},
        {"input": "x", "output": [7]},
        {"input": "x", "output": ["  "]},
        "text",
        {"input": "x \ud800", "output": ["y"]},
    ]
    path = put(folder, Instances=[good, *bad])
    found = read(source())
    assert source().num_examples("train") == len(found) == 8
    assert [row.reason for row in found if isinstance(row, BadRow)] == [
        "duplicate id",
        "missing input",
        "missing output",
        "missing output",
        "empty output",
        "not a JSON object",
        "not UTF-8",
    ]
    assert found[2].detail == f"{path.name} instance 2: 'input' is 5; text is needed"
    path.write_bytes(json.dumps(TASK).encode().replace(b"dog, fly", b"dog, \xff"))
    first, second = read(source())
    assert (first.reason, second.id) == ("not UTF-8", "t-2")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"\.json' is not JSON \("),
        (b'{"Definition": ["x"],', r"\.json' is not JSON \(.*line 1"),
        (b"[]", "holds a list, not a task"),
        (b'{"Definition": [""], "Instances": [1]}', "has no usable 'Definition'"),
        (b'{"Definition": "\xff", "Instances": [1]}', "has no usable 'Definition'"),
        (b'{"Definition": "x", "Instances": []}', "'Instances' is not a list with rows"),
        (b'{"Definition": "x"}', "'Instances' is not a list with rows"),
    ],
)
def test_files_that_are_no_tasks(folder, content, message):
    put(folder).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        source().num_examples("train")
    assert not isinstance(caught.value, MissingDataError)
    assert "\n" not in str(caught.value)


def test_names_with_other_signs_and_numbers(folder):
    put(folder, "task0007_larger-animal_v1.1")
    assert source("task0007_larger_animal_v1_1").num_examples("train") == 2
    # Renamed upstream: the number tells, unless two tasks share it.
    assert source("task007_big_animal").num_examples("train") == 2
    with pytest.raises(MissingDataError):
        source("task007_big_animal", alone=False).num_examples("train")
    assert fold("task1529_scitail1.1_x-y") == "task1529_scitail1_1_x_y"
    assert task_number("task0042_x") == 42
    with pytest.raises(ValueError, match="does not begin with task"):
        task_number("x")


def test_other_folders_come_after_tasks(folder):
    other = folder.parent / "elsewhere"
    other.mkdir()
    put(other, Definition="From elsewhere.")
    assert read(source())[0].fields["definition"] == "From elsewhere."
    put(folder)
    assert read(source())[0].fields["definition"] == DEFINITION


def test_a_missing_file(folder):
    with pytest.raises(MissingDataError, match=r"'task001_x.json' is not in '.*niv2/tasks'") as e:
        source("task001_x").num_examples("train")
    assert e.value.raw == "Natural Instructions"
    with pytest.raises(UserError, match="no split 'test'; it has train, exemplars"):
        source().num_examples("test")


def test_a_copy_in_another_process_finds_the_file(folder, monkeypatch):
    put(folder)
    data = pickle.dumps(source())
    absent = pickle.dumps(source("task001_x"))
    monkeypatch.setattr(location, "_chosen", None)
    monkeypatch.delenv(location.VARIABLE, raising=False)
    assert pickle.loads(data).num_examples("train") == 2
    with pytest.raises(MissingDataError):
        pickle.loads(absent).num_examples("train")


def test_fingerprints_follow_the_file(folder):
    put(folder)
    before = source().fingerprint()
    assert source().fingerprint() == before
    put(folder, Definition="Another.")
    assert source().fingerprint() != before


def test_all_real_files_can_be_used(shared, tmp_path, monkeypatch):
    monkeypatch.setattr(location, "_chosen", shared / "data")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    counts.forget()
    files = sorted((shared / "data" / "niv2" / "tasks").glob("*.json"))[::8]
    assert len(files) > 10
    for path in files:
        rows = read(source(path.stem))
        assert len(rows) == len(json.loads(path.read_text("utf-8"))["Instances"])
        assert all(isinstance(row, Example) for row in rows)
        exemplars = read(source(path.stem), "exemplars")
        assert any(row.fields["why"] for row in exemplars)
