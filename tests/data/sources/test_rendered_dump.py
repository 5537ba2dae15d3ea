"""A dump of many tasks is read once, and becomes a mixture with a task for each of them."""

from __future__ import annotations

import json

import pytest

from flan_t5x.data import registry
from flan_t5x.data.cache import CACHE_VARIABLE
from flan_t5x.data.definitions import BadRow
from flan_t5x.data.rendered_tasks import register_dump
from flan_t5x.data.sources import counts, rendered_dump
from flan_t5x.data.sources.rendered import RenderedSource
from flan_t5x.data.sources.rendered_dump import divide
from flan_t5x.errors import UserError

from .test_records import write

ROWS = [
    {
        "inputs": f"Say {i}.",
        "targets": f"{i}",
        "task_source": "Flan2021" if i % 4 else "CoT",
        "task_name": f"glue/mnli:2.0.{i % 4}",
        "template_type": "zs_opt" if i % 2 else "fs_opt",
    }
    for i in range(400)
]


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "_registry", registry._Registry())
    counts.forget()


@pytest.mark.parametrize("name", ["dump.jsonl", "dump.jsonl.gz", "dump.parquet", "dump.json"])
def test_every_row_goes_to_its_task(name, tmp_path, monkeypatch):
    monkeypatch.setattr(rendered_dump, "_HELD", 1000)  # written in many parts
    found = divide(write(tmp_path, name, ROWS), tmp_path / "cache")
    assert [task.key for task in found] == [f"glue_mnli_2_0_{i}" for i in range(4)]
    assert [task.task_source for task in found] == ["CoT", "Flan2021", "Flan2021", "Flan2021"]
    assert [task.rows for task in found] == [100] * 4
    for number, task in enumerate(found):
        rows = list(RenderedSource(task.path).read("train", 0, 1000))
        assert [row.answer for row in rows] == [str(i) for i in range(number, 400, 4)]


def test_it_is_divided_once(tmp_path, monkeypatch):
    path = write(tmp_path, "dump.jsonl", ROWS)
    before = divide(path, tmp_path / "cache")
    monkeypatch.setattr(rendered_dump, "_divide", None)
    assert divide(path, tmp_path / "cache") == before


def test_a_folder_of_files_and_chosen_rows(tmp_path):
    (tmp_path / "dump" / "deep").mkdir(parents=True)
    write(tmp_path / "dump", "a.jsonl", ROWS[:200])
    write(tmp_path / "dump" / "deep", "b.parquet", ROWS[200:])
    (tmp_path / "dump" / "README.md").write_text("no data")
    found = divide(tmp_path / "dump", tmp_path / "cache", where={"template_type": "zs_opt"})
    assert {task.key: task.rows for task in found} == {
        "glue_mnli_2_0_1": 100,
        "glue_mnli_2_0_3": 100,
    }


def test_what_cannot_be_read_is_counted_with_the_row_before(tmp_path):
    path = tmp_path / "dump.jsonl"
    lines = [json.dumps(row).encode() for row in ROWS[:8]]
    lines[2:2] = [b"{broken", b'{"inputs": "\xff"}', b"[1]"]
    path.write_bytes(b"\n".join(lines))
    found = divide(path, tmp_path / "cache")
    assert [task.rows for task in found] == [2, 5, 2, 2]
    rows = list(RenderedSource(found[1].path).read("train", 0, 9))
    bad = [row.reason for row in rows if isinstance(row, BadRow)]
    assert bad == ["not JSON", "not UTF-8", "not a JSON object"]
    assert "byte 13 is 0xff" in rows[2].detail


def test_names_that_fold_alike_stay_apart(tmp_path):
    names = ["a b", "a-b", "A_B", "", "!"]
    rows = [{"inputs": "x", "targets": "y", "task_name": name} for name in names]
    found = divide(write(tmp_path, "dump.jsonl", rows), tmp_path / "cache")
    assert [task.key for task in found] == ["a_b", "a_b_2", "A_B_3", "unnamed", "unnamed_2"]


def test_the_mixture_weighs_by_rows_up_to_the_cap(tmp_path):
    path = write(tmp_path, "dump.jsonl", [*ROWS, *(ROWS[0:1] * 300)])
    register_dump("dump", path, cache_dir=tmp_path / "cache", cap=98)
    rows = registry.describe_mixture("dump")
    assert [row.task for row in rows] == [f"dump_glue_mnli_2_0_{i}" for i in range(4)]
    assert {row.cap for row in rows} == {98}
    assert max(row.rate for row in rows) <= 98
    held_back = [registry.get_task(row.task).source.num_examples("validation") for row in rows]
    assert [r.examples + h for r, h in zip(rows, held_back, strict=True)] == [400, 100, 100, 100]
    assert sum(held_back) > 0
    register_dump("dump", path, cache_dir=tmp_path / "cache", cap=98)  # again: no harm
    with pytest.raises(UserError, match="name 'dump' is taken"):
        register_dump("dump", path, cache_dir=tmp_path / "cache", cap=97)


@pytest.mark.parametrize("name", ["none", "empty", "void.jsonl"])
def test_nothing_to_read_is_named(name, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "void.jsonl").touch()
    with pytest.raises(UserError, match=f"rendered dump .*{name}"):
        divide(tmp_path / name, tmp_path / "cache")
