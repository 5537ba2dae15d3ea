"""Scoring somebody's predictions: how rows find their examples, and what does not fit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from flan_t5x.cli.main import main
from flan_t5x.data.registry import get_task
from flan_t5x.errors import EXIT_BAD_INPUT, UserError
from flan_t5x.evaluation.predictions import judge
from tests.tasks.conftest import toy_data  # noqa: F401
from tests.tasks.toy_benchmarks import rendered

TASK = "bbh_navigate_direct_1shot"
RIGHT = ["yes", "no", "yes", "no"]  # of ids 0 to 3; row 4 of the toy file is unusable


def file(folder: Path, rows: Sequence[dict[str, Any]]) -> str:
    path = folder / "said.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def folder(toy_data: Path, tmp_path: Path) -> Path:  # noqa: F811
    return tmp_path


def test_by_id_in_any_order(folder: Path) -> None:
    rows = [{"id": n, "prediction": text} for n, text in enumerate(RIGHT)]
    rows[0]["prediction"] = "no"
    found = judge(file(folder, rows[::-1]), TASK)
    assert (found.split, found.result.tasks[0].score) == ("test", 0.75)
    assert [e.correct for e in found.result.tasks[0].samples] == [False, True, True, True]
    (match,) = found.matches
    assert (match.scored, match.missing, match.unknown) == (4, (), ())
    assert match.unusable == ("4 (not a BBH row)",)


def test_by_prompt(folder: Path) -> None:
    task = get_task(TASK)
    rows = [
        {"inputs": rendered(task, "test", n).inputs, "prediction": text}
        for n, text in enumerate(RIGHT)
    ]
    assert judge(file(folder, rows), TASK).result.average == 1.0


def test_by_order(folder: Path) -> None:
    rows = [{"prediction": text} for text in RIGHT]
    assert judge(file(folder, rows), TASK).result.average == 1.0
    with pytest.raises(UserError, match="3 predictions without ids for the 4 examples"):
        judge(file(folder, rows[1:]), TASK)


def test_what_does_not_fit_is_counted_and_not_scored(folder: Path) -> None:
    rows = [
        {"id": "0", "prediction": "yes"},
        {"id": "0", "prediction": "no"},
        {"id": "9", "prediction": "yes"},
        {"inputs": "Something else?", "prediction": "yes"},
        {"id": "2", "prediction": ""},
    ]
    found = judge(file(folder, rows), TASK)
    (match,) = found.matches
    assert match.as_json() == {
        "scored": 2,
        "missing": {"count": 2, "first": ["1", "3"]},
        "unknown": {"count": 2, "first": ["9", "row 4"]},
        "repeated": {"count": 1, "first": ["0"]},
        "unusable": {"count": 1, "first": ["4 (not a BBH row)"]},
    }
    assert found.result.average == 0.5  # of the two that have a prediction
    assert found.as_json()["tasks"][TASK]["failures"] == {"empty prediction": 1}


def test_odd_predictions_are_scored(folder: Path) -> None:
    odd = ["", "x" * 10_000, "\n" * 50, "the answer is " * 900]
    rows = [{"id": n, "prediction": text} for n, text in enumerate(odd)]
    task = judge(file(folder, rows), "bbh_navigate_cot_1shot").result.tasks[0]
    assert task.score == 0.0
    assert task.failures == {"empty prediction": 2, "no answer cue": 1, "no answer found": 1}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "has no predictions"),
        ("{", "line 1: not JSON"),
        ('{"prediction": "a"}\n["a"]', 'line 2: needs an object with the text "prediction"'),
        ('{"prediction": 7}', "line 1: needs an object"),
        ('{"id": "x", "prediction": "a"}', "none of its 1 predictions is for an example of"),
    ],
)
def test_malformed_files(folder: Path, content: str, words: str) -> None:
    path = folder / "said.jsonl"
    path.write_text(content)
    with pytest.raises(UserError, match=words) as caught:
        judge(str(path), TASK)
    assert str(path) in str(caught.value)


def test_several_right_answers(folder: Path) -> None:
    rows = [
        {"id": "finnish-1", "prediction": "iso JÄRVI."},
        {"id": "finnish-2", "prediction": "iso"},
    ]
    task = judge(file(folder, rows), "tydiqa_fi_direct_0shot").result.tasks[0]
    assert task.metrics["normalized_accuracy"] == 0.5
    assert task.metrics["f1"] == pytest.approx((1 + 2 / 3) / 2)


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = file(folder, [{"id": n, "prediction": text} for n, text in enumerate(RIGHT[:3])])
    line = ["eval", f"--predictions={path}", f"--task={TASK}"]
    assert main([*line, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["tasks"][TASK]["score"] == 1.0
    assert record["matches"][TASK]["missing"] == {"count": 1, "first": ["3"]}
    assert main(line) == 0
    printed = capsys.readouterr().out
    assert "1 examples have no prediction and are not scored: 3" in printed
    for wrong, words in (
        (["eval", f"--predictions={path}"], "--task=NAME belong together"),
        (["eval", "--split=test"], "--split belongs to --predictions"),
        ([*line, "--split=tets"], "no split 'tets'"),
        (["eval", f"--predictions={path}", "--task=bbh_navigat_direct_1shot"], "did you mean"),
        (["eval", f"--predictions={folder}/no.jsonl", f"--task={TASK}"], "no.jsonl"),
    ):
        assert main(wrong) == EXIT_BAD_INPUT
        (error,) = capsys.readouterr().err.splitlines()
        assert words in error


def test_a_mixture_and_a_comparison(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What one evaluation wrote is scored again, and two are compared."""
    from flan_t5x.evaluation.results import PREDICTIONS, prediction_lines

    for name, said in (("a", ["no"] * 4), ("b", RIGHT)):
        rows = [{"id": n, "prediction": text} for n, text in enumerate(said)]
        found = judge(file(folder, rows), TASK)
        (folder / name).mkdir()
        (folder / name / PREDICTIONS).write_text("".join(prediction_lines(found.result)))
    again = judge(str(folder / "b" / PREDICTIONS), TASK)
    assert again.result.average == 1.0
    assert main(["eval", "--compare", str(folder / "a"), str(folder / "b"), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["tasks"][TASK]["difference"] == 0.5
    with pytest.raises(UserError, match='row 1: "task" is missing'):
        judge(file(folder, [{"id": 1, "prediction": "no"}]), "bbh_direct_1shot")
