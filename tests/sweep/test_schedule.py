"""Order of runs, finished ones, pilots and their signal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flan_t5x.errors import UserError
from flan_t5x.sweep.axes import parse_axis
from flan_t5x.sweep.schedule import FAILED, Planned, no_signal, require_pilot
from flan_t5x.sweep.table import Row

from .toys import finish, planned


def row(**figures: float) -> Row:
    return Row("r", "done", {}, 0, figures, 1)


def names(schedule: Planned) -> list[str]:
    """The runs that can be started now."""
    found = []
    while run := schedule.next():
        found.append(run.name)
    return found


def statuses(schedule: Planned) -> list[str]:
    return [row.status for row in schedule.rows()]


def test_finished_runs_are_not_repeated(tmp_path: Path) -> None:
    runs = [planned("a"), planned("b")]
    finish(tmp_path, runs[0], score=0.5)
    schedule = Planned(tmp_path, runs, metric="score", pilot=None)
    assert names(schedule) == [runs[1].name]
    assert statuses(schedule) == ["done", "running"]
    assert schedule.rows()[0].figures["score"] == 0.5


def test_a_finished_run_with_a_damaged_file_goes_on(tmp_path: Path) -> None:
    run = planned("a")
    finish(tmp_path, run, score=0.5)
    (tmp_path / run.name / "best.json").write_text("{")
    assert names(Planned(tmp_path, [run], metric="score", pilot=None)) == [run.name]


def test_failed_runs_are_named_and_tried_by_the_next_sweep(tmp_path: Path) -> None:
    runs = [planned("a")]
    schedule = Planned(tmp_path, runs, metric="score", pilot=None)
    assert schedule.next() is runs[0]
    schedule.failed(runs[0], "exit code 2: no such file")
    assert schedule.next() is None
    assert schedule.rows()[0].problem == "exit code 2: no such file"
    note = tmp_path / runs[0].name / FAILED
    assert json.loads(note.read_text()) == {"problem": "exit code 2: no such file"}
    assert names(Planned(tmp_path, runs, metric="score", pilot=None)) == [runs[0].name]
    assert not note.exists()


def test_a_run_that_ended_without_figures_has_failed(tmp_path: Path) -> None:
    run = planned("a")
    schedule = Planned(tmp_path, [run], metric="score", pilot=None)
    schedule.finished(run)
    assert statuses(schedule) == ["failed"]
    assert "best.json" in schedule.rows()[0].problem


def pilots(tmp_path: Path, scores: dict[str, list[float]]) -> tuple[Planned, list[str]]:
    """Two sizes, two rates, two seeds; the pilots (rate "all") have these scores."""
    runs = [
        planned(f"{size}{rate}", seed, size=size, rate=rate)
        for size in ("s", "l")
        for rate in ("one", "all")
        for seed in (0, 1)
    ]
    schedule = Planned(tmp_path, runs, metric="score", pilot={"rate": "all"})
    first = names(schedule)
    for run in runs:
        if run.choices["rate"].label == "all":
            score = scores[run.choices["size"].label][run.seed]
            finish(tmp_path, run, score=score, baseline=0.2)
            schedule.finished(run)
    return schedule, first


def test_pilots_come_first_and_others_follow_a_signal(tmp_path: Path) -> None:
    schedule, first = pilots(tmp_path, {"s": [0.5, 0.51], "l": [0.7, 0.72]})
    assert first == ["sall-sall0", "sall-sall1", "lall-lall0", "lall-lall1"]
    assert names(schedule) == ["sone-sone0", "sone-sone1", "lone-lone0", "lone-lone1"]
    assert schedule.notes() == []


def test_no_signal_at_one_size(tmp_path: Path) -> None:
    schedule, _ = pilots(tmp_path, {"s": [0.22, 0.19], "l": [0.7, 0.72]})
    assert names(schedule) == ["lone-lone0", "lone-lone1"]
    assert statuses(schedule)[:4] == ["no signal", "no signal", "done", "done"]
    (note,) = schedule.notes()
    assert "No signal at this size (s)" in note
    assert "+0.005" in note


def test_others_wait_for_pilots_under_way(tmp_path: Path) -> None:
    runs = [planned("p", rate="all"), planned("q", rate="one")]
    schedule = Planned(tmp_path, runs, metric="score", pilot={"rate": "all"})
    assert names(schedule) == [runs[0].name]
    schedule.failed(runs[0], "broken")
    assert names(schedule) == []
    assert statuses(schedule) == ["failed", "no signal"]


def test_signal_is_over_guessing_and_over_the_start() -> None:
    base = {"baseline": 0.2, "score_at_start": 0.5}
    assert no_signal([row(score=0.53, **base)], "score") == ""
    assert "+0.010" in no_signal([row(score=0.51, **base)], "score")
    # Mean lift 0.1, standard error 0.05, t(1) = 12.7: far from sure.
    assert no_signal([row(score=0.55, **base), row(score=0.65, **base)], "score")
    assert no_signal([row(score=0.60, **base), row(score=0.6001, **base)], "score") == ""


def test_signal_of_a_final_set() -> None:
    figures = {"final/test/average": 0.5, "final/test/baseline": 0.3, "baseline": 0.9}
    assert no_signal([row(**figures)], "final/test/average") == ""
    assert "no pilot has" in no_signal([row(score=1.0)], "final/test/average")


def test_pilot_of_nothing() -> None:
    axes = [parse_axis("rate", ["one", "all"])]
    require_pilot({"rate": "all"}, axes)
    with pytest.raises(UserError, match="did you mean 'rate'"):
        require_pilot({"rates": "all"}, axes)
    with pytest.raises(UserError, match="it has one, all"):
        require_pilot({"rate": "xyz"}, axes)
