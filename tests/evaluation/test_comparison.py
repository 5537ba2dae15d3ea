"""Two runs side by side: known p-values, pairing, and what is left out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import comb
from pathlib import Path

import numpy as np
import pytest
from flan_tasks.mgsm import PUBLISHED

from flan_t5x.errors import UserError
from flan_t5x.evaluation.comparison import compare
from flan_t5x.evaluation.results import PREDICTIONS


def write(folder: Path, scores: Mapping[str, Mapping[str, float]]) -> str:
    folder.mkdir()
    lines = [
        json.dumps({"task": task, "id": id, "score": score, "correct": score == 1}) + "\n"
        for task, rows in scores.items()
        for id, score in rows.items()
    ]
    (folder / PREDICTIONS).write_text("".join(lines))
    return str(folder)


def ids(values: list[float]) -> dict[str, float]:
    return {str(n): value for n, value in enumerate(values)}


def test_the_p_value_is_the_sign_tests(tmp_path: Path) -> None:
    """9 examples gained, 2 lost, the rest alike: the exact two-sided sign test."""
    first = write(tmp_path / "a", {"t": ids([0] * 9 + [1] * 2 + [1] * 50)})
    second = write(tmp_path / "b", {"t": ids([1] * 9 + [0] * 2 + [1] * 50)})
    (found,) = compare(first, second, resamples=40_000).tasks
    exact = 2 * sum(comb(11, k) for k in range(3)) / 2**11
    assert found.p_value == pytest.approx(exact, abs=0.005)
    assert found.second - found.first == pytest.approx(7 / 61)
    deviation = np.std([1] * 9 + [-1] * 2 + [0] * 50) / np.sqrt(61)
    assert found.interval.low == pytest.approx(7 / 61 - 1.96 * deviation, abs=0.01)
    assert found.interval.high == pytest.approx(7 / 61 + 1.96 * deviation, abs=0.01)


def test_equal_runs(tmp_path: Path) -> None:
    scores = {"t": ids([0, 1, 1]), "u": ids([1, 0])}
    found = compare(write(tmp_path / "a", scores), write(tmp_path / "b", scores))
    for difference in (*found.tasks, *found.aggregates):
        assert difference.p_value == 1.0
        assert (difference.interval.low, difference.interval.high) == (0.0, 0.0)
    (mean,) = found.aggregates
    assert (mean.name, mean.first, mean.examples) == ("average", (2 / 3 + 1 / 2) / 2, 5)


def test_only_what_both_have_counts(tmp_path: Path) -> None:
    first = write(tmp_path / "a", {"t": ids([0, 1, 1, 1]), "only_a": ids([1])})
    second = write(tmp_path / "b", {"t": ids([1, 1])})
    found = compare(first, second)
    assert [(d.name, d.first, d.second, d.examples) for d in found.tasks] == [("t", 0.5, 1.0, 2)]
    assert found.unmatched == {"t": 2, "only_a": 1}
    assert "t: 2 examples are in one of the two only" in found.table()


def test_figures_of_benchmarks(tmp_path: Path) -> None:
    rows = {f"mgsm_{code}_cot_8shot": ids([0, 1]) for code in PUBLISHED}
    first = write(tmp_path / "a", rows)
    second = write(tmp_path / "b", {name: ids([1, 1]) for name in rows})
    found = compare(first, second)
    assert [(d.name, d.first, d.second) for d in found.aggregates] == [
        ("average", 0.5, 1.0),
        ("mgsm", 0.5, 1.0),
    ]
    assert found.aggregates[1].p_value < 0.01
    assert list(found.undefined) == ["normalized_average"]
    assert "mmlu_direct_normalized" in found.undefined["normalized_average"]
    assert json.dumps(found.as_json(), allow_nan=False)


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    first = write(tmp_path / "a", {"t": ids([0])})
    with pytest.raises(UserError, match="no example in common"):
        compare(first, write(tmp_path / "b", {"u": ids([0])}))
    with pytest.raises(UserError, match="cannot read"):
        compare(first, str(tmp_path / "none"))
    (tmp_path / "c.jsonl").write_text('{"task": "t", "id": 1}\n')
    with pytest.raises(UserError, match="line 1: no scored prediction"):
        compare(first, str(tmp_path / "c.jsonl"))
