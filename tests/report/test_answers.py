"""Predictions: what became of them, and which of them are kept to be shown."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flan_t5x.report import answers as module
from flan_t5x.report.answers import OUTSIDE, RIGHT, WRONG, Answers, collect_answers
from flan_t5x.report.eval_files import evaluation_folders, read_evaluation
from tests.report.toys import write_evaluation


def rows(folder: Path, **keywords: Any) -> list[dict[str, Any]]:
    path = write_evaluation(folder, **keywords) / "predictions.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def collect(found: Iterable[dict[str, Any]], **keywords: Any) -> Answers:
    return collect_answers(found, **{"samples": 4, "wanted": {}, **keywords})


def test_outcomes_and_what_came_for_what(tmp_path: Path) -> None:
    task = collect(rows(tmp_path / "eval")).tasks["toy_yes_no"]
    assert task.outcomes == {RIGHT: 8, WRONG: 6, OUTSIDE: 1, "empty prediction": 1}
    assert not task.open
    assert task.targets == {"yes", "no"}
    assert task.counts["no", "maybe", OUTSIDE] == 1
    assert task.counts["yes", "", "empty prediction"] == 1
    assert task.counts["yes", "no", WRONG] == 3


def test_open_answers_have_no_outside(tmp_path: Path) -> None:
    found = rows(tmp_path / "eval")
    for row in found:
        row["target"] = row["id"]  # as many targets as rows
    task = collect(found).tasks["toy_yes_no"]
    assert task.open
    assert not task.counts
    assert OUTSIDE not in task.outcomes
    assert task.outcomes.total() == 16
    few = collect(found[:3]).tasks["toy_yes_no"]  # three targets, each once
    assert few.open


def test_a_known_task_extracts_its_targets() -> None:
    found = [
        {
            "task": "mini_count_tools_zs_cot",
            "id": str(number),
            "target": f"Some reasons. The answer is {number % 2}.",
            "prediction": f"Hm. The answer is {number % 2}.",
            "extracted": str(number % 2),
            "correct": True,
        }
        for number in range(8)
    ]
    assert collect(found).tasks["mini_count_tools_zs_cot"].targets == {"0", "1"}


def test_rows_of_others_are_extracted_here() -> None:
    row = {"task": "mini_count_tools_zs_cot", "id": 1, "target": "The answer is 3."}
    texts = (" ", "So the answer is", "the answer is 4.", "the answer is 3.")
    found = [{**row, "id": n, "prediction": text} for n, text in enumerate(texts)]
    found[3]["correct"] = True
    task = collect(found).tasks["mini_count_tools_zs_cot"]
    assert task.outcomes == {"empty prediction": 1, "no answer found": 1, WRONG: 1, RIGHT: 1}
    assert task.samples["2"].extracted == "4"


def test_the_same_prompts_of_every_evaluation(tmp_path: Path) -> None:
    first = rows(tmp_path / "one")
    ours = collect(first).tasks["toy_yes_no"].samples
    assert len(ours) == 4
    assert list(collect(reversed(first)).tasks["toy_yes_no"].samples) == list(ours)
    wanted = {"toy_yes_no": ["3", "5", "700"]}
    theirs = collect(rows(tmp_path / "two", right=2), wanted=wanted).tasks
    assert set(theirs["toy_yes_no"].samples) == {"3", "5"}
    assert len(theirs["toy_evil"].samples) == 2
    assert not collect(first, samples=0).tasks["toy_yes_no"].samples


def test_unusable_rows_are_counted() -> None:
    good = {"task": "t", "id": "1", "prediction": "p", "samples": [3, {"prediction": "q"}]}
    found = collect([good, {"id": "1", "prediction": "p"}, {**good, "prediction": 3}, {"x": 1}])
    assert found.unusable == 3
    assert found.tasks["t"].samples["1"].votes == (("q", ""),)


def test_long_texts_keep_their_ends() -> None:
    text = "a" * 10_000 + "the question"
    found = collect([{"task": "t", "id": "1", "inputs": text, "prediction": "p"}])
    shown = found.tasks["t"].samples["1"].inputs
    assert len(shown) < module.MOST_CHARACTERS + 20
    assert shown.startswith("aaa")
    assert shown.endswith("the question")


def test_an_evaluation(tmp_path: Path) -> None:
    found = read_evaluation(write_evaluation(tmp_path / "eval"), "toy", collect)
    assert found is not None
    assert found.problems == []
    assert found.settings["split"] == "test"
    assert found.scores is not None
    assert found.scores.tasks["toy_yes_no"].score.value == 0.5
    assert found.scores.aggregates["toy_whole"].missing == ("toy_c", "toy_d", "toy_e", "toy_f")
    assert list(found.consistency["toy_yes_no"]) == [1, 2, 10]


def test_damaged_evaluations(tmp_path: Path) -> None:
    folder = write_evaluation(tmp_path / "eval")
    (folder / "results.json").write_text('{"tasks": [], "self_consistency": {"t": {"1": "x"}}}')
    (folder / "predictions.jsonl").write_text('{"task": "t"}\nnothing\n')
    found = read_evaluation(folder, "toy", collect)
    assert found is not None
    assert found.consistency == {}
    assert [problem.split(": ", 1)[1] for problem in found.problems] == [
        "damaged: it holds no task's score",
        "damaged: 1 of its 2 lines are no JSON object (the first: line 2)",
        "damaged: 1 rows lack their task, id or prediction",
    ]
    assert read_evaluation(tmp_path, "toy", collect) is None


def test_a_folder_of_evaluations(tmp_path: Path) -> None:
    for step in (100, 20, 3):
        write_evaluation(tmp_path / f"step_{step}")
    (tmp_path / "other").mkdir()
    names = [folder.name for folder in evaluation_folders(tmp_path)]
    assert names == ["step_3", "step_20", "step_100"]
    assert evaluation_folders(tmp_path / "step_3") == [tmp_path / "step_3"]
    assert evaluation_folders(tmp_path / "other") == [tmp_path / "other"]
