"""A run's files: what is read of them, and what is said of those that cannot be."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from flan_t5x.pages.elements import markup
from flan_t5x.report.curves import curves_section
from flan_t5x.report.run_files import MixtureRow, Run, read_run
from tests.report.toys import EVIL, write, write_run


def read(folder: Path) -> Run:
    run = read_run(folder, "toy")
    assert run is not None
    return run


def test_all_files(tmp_path: Path) -> None:
    run = read(write_run(tmp_path / "run"))
    assert run.problems == []
    assert run.best is not None
    assert (run.best.step, run.best.metric, run.best.on_test) == (20, "average", False)
    assert run.best.scores == {"toy_a": 0.35, "toy_b": 0.2}
    assert run.curve("train", "loss")[0] == (5, 3.75)
    assert [step for step, _ in run.curve("held_out", "average")] == [0, 20, 40]
    assert run.curve("train", "no such figure") == []
    assert run.mixture == (
        MixtureRow("toy_one_zs", "toys", "1000", "-", 0.75),
        MixtureRow(
            "a_task_with_a_name_that_is_longer_than_the_column_zs", "more", "?", "500", 0.25
        ),
    )
    assert run.versions == {"python": "3.11.7", "command": f"flan-t5x {EVIL}", "jax": "0.8"}
    (final,) = run.sets
    assert (final.label, final.tasks["toy_a"].score.low) == ("toy_test", 0.4)


def test_wall_time_of_several_processes_is_summed(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(
            '{"step": 50, "kind": "time", "time": 2.0, "steps": 30.0, "total": 30, "goodput": 1}\n'
        )
    assert read(folder).seconds == {"steps": 90.0, "input": 20.0}


def test_a_step_written_twice_counts_once(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "kind": "train", "time": 2.0, "loss": 9.0}\n')
    assert read(folder).curve("train", "loss")[:2] == [(5, 9.0), (10, 3.5)]


def test_figures_that_were_not_finite(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", best=45)
    line = {"step": 45, "kind": "train", "loss": None, "non_finite": {"loss": "nan"}}
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    run = read(folder)
    step, loss = run.curve("train", "loss")[-1]
    assert (step, math.isnan(loss)) == (45, True)
    section = curves_section([run])
    assert section is not None
    text = markup(section)
    assert ">not finite<" in text
    assert "nan" not in text.lower()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("best.json", "{", "damaged: it does not hold one JSON object"),
        ("best.json", '{"value": 1}', "damaged: it names no step"),
        ("best.json", "[" * 100_000, "damaged: it does not hold one JSON object"),
        ("final.json", "3", "damaged: it does not hold one JSON object"),
        ("metrics.jsonl", '{"step": 1, "kind": "train"}\n{"ste', "1 of its 2 lines are no JSON"),
        ("metrics.jsonl", '{"step": 1}\n', "1 of its lines have no step or no kind"),
        ("mixture.txt", "# mixture m\ntask group\nnot a row\n", "1 of its rows cannot be read"),
        ("mixture.txt", "", "damaged"),
    ],
)
def test_damaged_files(name: str, content: str, said: str, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / name).write_text(content)
    (problem,) = read(folder).problems
    assert problem.startswith(str(folder / name))
    assert said in problem


def test_fields_of_a_wrong_kind_are_passed_over(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    values = {"a": "high", "b": True, "c": 0.5, "d": None, "e": 10**400}
    write(folder / "best.json", {"step": 3, "metric": 7, "value": [], "values": values})
    write(folder / "final.json", {"sets": {"x": {"tasks": {"t": {"score": {}}}}, "y": 3}})
    run = read(folder)
    assert run.best is not None
    assert (run.best.value, run.best.scores) == (None, {"c": 0.5})
    assert [found.label for found in run.sets] == ["x"]
    assert run.sets[0].tasks["t"].score.value is None


def test_missing_files_are_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "final.json").unlink()
    (folder / "versions.json").unlink()
    assert read(folder).problems == [
        f"{folder / 'final.json'}: missing",
        f"{folder / 'versions.json'}: missing",
    ]


def test_no_run(tmp_path: Path) -> None:
    assert read_run(tmp_path, "nothing") is None
