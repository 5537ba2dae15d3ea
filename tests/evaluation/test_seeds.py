"""Intervals by a closed form, and the table over made-up runs."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from flan_t5x.errors import UserError
from flan_t5x.evaluation.seeds import interval, read_run, table


def write_run(folder: Path, *, before: float, after: float, test: float) -> Path:
    folder.mkdir()
    first = {"step": 0, "kind": "held_out", "average": before, "baseline": 0.1, "task/a": before}
    (folder / "metrics.jsonl").write_text(json.dumps(first) + "\n")
    best = {"step": 20, "metric": "m", "value": after, "values": {"a": after}}
    (folder / "best.json").write_text(json.dumps(best))
    task = {"score": test, "baseline": 0.2, "examples": 8, "group": "g"}
    sets = {"held_out_test": {"average": test, "baseline": 0.2, "tasks": {"a": task}}}
    (folder / "final.json").write_text(json.dumps({"step": 20, "sets": sets}))
    return folder


def test_interval_of_three_runs_is_students() -> None:
    found = interval([0.4, 0.5, 0.6])
    assert found.mean == pytest.approx(0.5)
    assert found.half == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-6)
    assert math.isnan(interval([0.5]).half)


def test_table_shows_before_after_test_and_difference(tmp_path: Path) -> None:
    runs = [
        read_run(write_run(tmp_path / str(i), before=0.0, after=0.5 + i / 10, test=0.4))
        for i in range(3)
    ]
    lines = table(runs).splitlines()
    assert lines[0] == "selection, 3 runs, chosen steps 20, 20, 20"
    assert " ".join(lines[3].split()) == "average 0.000 +- 0.000 0.600 +- 0.248"
    assert " ".join(lines[-1].split()) == "average 0.400 +- 0.000 0.200 0.200 +- 0.000"


def test_a_run_that_has_not_ended_is_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "x", before=0.0, after=0.1, test=0.1)
    (folder / "final.json").unlink()
    with pytest.raises(UserError, match=r"final\.json.*finished run"):
        read_run(folder)
