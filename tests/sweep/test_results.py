"""What is read from a run's folder, and that files hold a table without loss."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
from pyarrow import parquet

from flan_t5x.bench.flops import train_flops
from flan_t5x.errors import UserError
from flan_t5x.sweep.results import done_row, figures, read_results, write_results
from flan_t5x.sweep.table import Axis, Choice, Row, Table

from .toys import ARGUMENTS, finish, planned


def test_figures_of_a_run(tmp_path: Path) -> None:
    run = planned("a", seed=2)
    finish(tmp_path, run, score=0.5, start=0.125, sets={"test": 0.75})
    found, best_step = figures(tmp_path / run.name)
    assert best_step == 10
    assert found == {
        "score": 0.5,
        "score_at_start": 0.125,
        "baseline": 0.2,
        "task/t": 0.5,
        "final/test/average": 0.75,
        "final/test/baseline": 0.1,
        "final/test/task/t": 0.75,
        "cost/seconds": 42.0,  # two processes: 30 s, then 12 s
        "cost/steps": 10.0,
        "cost/tokens": 5 / 2.0 * 100 + 5 / 1.0 * 100,
    }
    flops = train_flops(ARGUMENTS["model"], batch=2, inputs=16, targets=8)  # type: ignore[arg-type]
    assert done_row(tmp_path, run).figures["cost/flops"] == 10 * flops


@pytest.mark.parametrize("name", ["best.json", "final.json"])
def test_a_missing_or_damaged_file_is_named(name: str, tmp_path: Path) -> None:
    run = planned("a")
    finish(tmp_path, run, score=0.5)
    (tmp_path / run.name / name).write_text("{")
    with pytest.raises(UserError, match=name):
        figures(tmp_path / run.name)
    (tmp_path / run.name / name).unlink()
    with pytest.raises(UserError, match=name):
        figures(tmp_path / run.name)


TABLE = Table(
    "A sweep",
    "Which?",
    (
        Axis("LEARNING_RATE", "log", ("0.1", "0.2")),
        Axis("rates", "rates", ("p=1", "q=1"), ("p", "q")),
        Axis("size", "category", ("small, or less", 'l"arge')),
    ),
    ("score",),
    (
        Row(
            "run-1",
            "done",
            {
                "LEARNING_RATE": Choice("0.1", number=0.1),
                "rates": Choice("p=1", rates={"p": 1.0, "q": 0.0}),
                "size": Choice("small, or less"),
            },
            3,
            {"score": 1 / 3, "task/t": 1e-17},
            20,
        ),
        Row(
            "run-2",
            "failed",
            {
                "LEARNING_RATE": Choice("0.2", number=0.2),
                "rates": Choice("q=1", rates={"p": 0.0, "q": 1.0}),
                "size": Choice('l"arge'),
            },
            4,
            problem='exit code 1: "no"\tspace',
        ),
    ),
    ("a note",),
)


def test_files_hold_the_table(tmp_path: Path) -> None:
    write_results(tmp_path, TABLE)
    back = read_results(tmp_path)
    # NaN is not equal to itself: choices are compared as text.
    assert repr(back) == repr(TABLE)


def test_csv_and_parquet_say_the_same(tmp_path: Path) -> None:
    write_results(tmp_path, TABLE)
    with (tmp_path / "results.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    columns = parquet.read_table(tmp_path / "results.parquet").to_pylist()
    assert [line.keys() for line in lines] == [column.keys() for column in columns]
    for line, column in zip(lines, columns, strict=True):
        for name, value in column.items():
            if isinstance(value, float):
                assert float(line[name]) == value
            else:
                assert line[name] == ("" if value is None else str(value))
    assert columns[1]["score"] is None


def test_no_runs(tmp_path: Path) -> None:
    empty = Table("none", "", (), ("score",), ())
    write_results(tmp_path, empty)
    assert read_results(tmp_path) == empty


def test_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is .* a sweep"):
        read_results(tmp_path)
    write_results(tmp_path, TABLE)
    text = (tmp_path / "results.csv").read_text().replace("run-1,done,3", "run-1,done,three")
    (tmp_path / "results.csv").write_text(text)
    with pytest.raises(UserError, match="damaged"):
        read_results(tmp_path)
    assert math.isnan(TABLE.rows[0].choices["size"].number)
