"""A study whose record survives: trials, restarts, pruning, failures. Scores are made up here."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from flan_t5x.errors import UserError
from flan_t5x.sweep.axes import parse_axis
from flan_t5x.sweep.design import Point
from flan_t5x.sweep.optuna_study import OptunaSchedule
from flan_t5x.sweep.runs import PlannedRun

from .toys import ARGUMENTS, finish

AXES = (
    parse_axis("LEARNING_RATE", {"log": [0.001, 1.0]}),
    parse_axis("kind", ["a", "b"]),
)


def plan(point: Point) -> PlannedRun:
    labels = ",".join(setting.choice.label for setting in point)
    choices = {axis.name: setting.choice for axis, setting in zip(AXES, point, strict=True)}
    return PlannedRun(f"run-{labels}", choices, 0, (), ARGUMENTS)


def schedule(tmp_path: Path, trials: int = 30) -> OptunaSchedule:
    pytest.importorskip("optuna", reason="pip install 'flan-t5x[optuna]'")
    (tmp_path / "runs").mkdir(exist_ok=True)
    return OptunaSchedule(
        tmp_path, AXES, plan, trials=trials, metric="score", selection="average", seed=0
    )


def score(run: PlannedRun) -> float:
    """Best at a learning rate of 0.1 and kind b: 1."""
    import math

    distance = abs(math.log10(run.choices["LEARNING_RATE"].number) + 1)
    return 1.0 - 0.4 * distance - 0.2 * (run.choices["kind"].label == "a")


def end(study: OptunaSchedule, tmp_path: Path, run: PlannedRun) -> None:
    finish(tmp_path / "runs", run, score=score(run))
    study.finished(run)


def test_later_trials_are_better_and_the_number_is_kept(tmp_path: Path) -> None:
    study = schedule(tmp_path)
    scores = []
    while run := study.next():
        end(study, tmp_path, run)
        scores.append(score(run))
    assert len(scores) == 30
    assert len(study.rows()) == 30
    assert sum(scores[-10:]) > sum(scores[:10])
    assert max(scores) > 0.9


def test_another_process_goes_on(tmp_path: Path) -> None:
    """Two trials are under way when the sweep is killed: one had ended, one had not."""
    study = schedule(tmp_path, trials=6)
    for _ in range(2):
        run = study.next()
        assert run is not None
        end(study, tmp_path, run)
    ended, under_way = study.next(), study.next()
    assert ended is not None
    assert under_way is not None
    finish(tmp_path / "runs", ended, score=score(ended))

    again = schedule(tmp_path, trials=6)
    statuses = {row.run: row.status for row in again.rows()}
    assert statuses[ended.name] == "done"
    assert statuses[under_way.name] == "waiting"
    first = again.next()
    assert first is not None
    assert first.name == under_way.name
    end(again, tmp_path, first)
    more = 0
    while run := again.next():
        end(again, tmp_path, run)
        more += 1
    assert more == 2
    assert [row.status for row in again.rows()] == ["done"] * 6
    assert again.next() is None


def test_hopeless_runs_are_stopped(tmp_path: Path) -> None:
    study = schedule(tmp_path)
    good = []
    for _ in range(6):  # the median pruner first wants five
        run = study.next()
        assert run is not None
        report(tmp_path, run, [0.1, 0.5, 0.6])
        assert study.hopeless([run]) == []
        finish(tmp_path / "runs", run, score=0.6)
        study.finished(run)
        good.append(run)
    bad = study.next()
    assert bad is not None
    report(tmp_path, bad, [0.01, 0.02])
    assert study.hopeless([bad]) == [bad]
    assert study.hopeless([bad]) == []  # once
    study.again(bad)  # its process has saved and left
    assert study.rows()[-1].status == "pruned"
    following = study.next()
    assert following is not None
    assert following.name != bad.name
    assert {row.status for row in schedule(tmp_path).rows()} == {"done", "pruned", "waiting"}


def report(tmp_path: Path, run: PlannedRun, values: list[float]) -> None:
    place = tmp_path / "runs" / run.name
    place.mkdir(parents=True, exist_ok=True)
    lines = [{"step": 10 * i, "kind": "held_out", "average": v} for i, v in enumerate(values)]
    (place / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_failures_are_told_apart(tmp_path: Path) -> None:
    study = schedule(tmp_path, trials=3)
    first, second = study.next(), study.next()
    assert first is not None
    assert second is not None
    study.failed(first, "exit code 3: no number")
    study.finished(second)  # without files
    assert [row.status for row in study.rows()] == ["failed", "failed"]
    assert study.rows()[0].problem == "exit code 3: no number"
    third = study.next()
    assert third is not None
    end(study, tmp_path, third)
    assert study.next() is None


def test_without_optuna(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"pip install 'flan-t5x\[optuna\]'"):
        OptunaSchedule(tmp_path, AXES, plan, trials=3, metric="score", selection="average", seed=0)
