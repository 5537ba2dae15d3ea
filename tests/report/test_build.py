"""The whole page as text; what it does in a browser is in `test_browser`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from flan_t5x.errors import UserError
from flan_t5x.report.build import page, read_report, write_report
from tests.pages.html import elements_of, loads_nothing
from tests.report.toys import EVIL, write, write_evaluation, write_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report")
    write_run(path / "first")
    write_run(path / "second", best=40, gain=0.2, seed=1)
    write_evaluation(path / "evals" / "step_9")
    write_evaluation(path / "evals" / "step_10", right=12)
    return path


def made(*runs: Path, evals: tuple[Path, ...] = ()) -> str:
    return page(read_report([str(run) for run in runs], [str(one) for one in evals]))


def anchors(text: str) -> list[str]:
    tags = elements_of(text).tags
    there = [str(attributes["id"]) for tag, attributes in tags if tag == "section"]
    links = [str(attributes["href"]) for tag, attributes in tags if tag == "a"]
    assert links == [f"#{anchor}" for anchor in there]
    return there


def test_every_part(folder: Path) -> None:
    text = made(folder / "first", folder / "second", evals=(folder / "evals",))
    assert anchors(text) == [
        "overview",
        "curves",
        "benchmarks",
        "differences",
        "tasks",
        "votes",
        "failures",
        "samples",
        "time",
        "mixture",
        "configuration",
        "versions",
    ]
    assert "step_9" in text
    assert "undefined without toy_c, toy_d, toy_e and 1 more" in text
    assert "input 25.0%" in text  # of the wall time
    assert "toys 75.0%" in text  # of the mixture


def test_runs_alone_and_evaluations_alone(folder: Path) -> None:
    assert "samples" not in anchors(made(folder / "first"))
    assert anchors(made(evals=(folder / "evals" / "step_9",)))[1] == "benchmarks"


def test_what_differs_between_runs(folder: Path) -> None:
    text = made(folder / "first", folder / "second")
    assert "Different settings" in text
    assert "All versions are the same." in text
    assert "Different" not in made(folder / "first")


def test_no_text_becomes_markup(folder: Path) -> None:
    text = made(folder / "first", evals=(folder / "evals",))
    elements = elements_of(text)
    assert len(elements.scripts) == 2  # the data and the program
    assert not set("<>&\u2028\u2029") & set(elements.scripts[0])
    samples = json.loads(elements.scripts[0])["samples"]
    evil = [sample for sample in samples if sample["task"] == "toy_evil"]
    assert evil[0]["target"] == EVIL
    loads_nothing(text)


def test_folders_of_the_same_name_are_told_apart(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "first", tmp_path / "other" / "first")
    report = read_report(
        [str(folder / "first"), str(tmp_path / "other" / "first"), f"{folder}/./first"]
    )
    assert [run.label for run in report.runs] == [f"{folder.name}/first", "other/first"]
    shutil.copytree(folder / "evals" / "step_9", tmp_path / "evals" / "second")
    mixed = read_report([f"{folder}/first", f"{folder}/second"], [f"{tmp_path}/evals/second"])
    assert [run.label for run in mixed.runs] == ["first", f"{folder.name}/second"]
    assert [one.label for one in mixed.evaluations] == ["evals/second"]


def test_a_baseline_that_runs_share_is_drawn_once(folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(folder / "first", tmp_path / "run")
    lines = (run / "metrics.jsonl").read_text().replace('"baseline": 0.25', '"baseline": 0.3')
    (run / "metrics.jsonl").write_text(lines)
    assert "baseline of" not in made(folder / "first", folder / "second")
    text = made(folder / "first", folder / "second", run)
    assert ">baseline of first<" in text
    assert ">baseline of run<" in text
    assert ">baseline of second<" not in text


def test_what_is_missing_is_said_and_the_rest_is_shown(folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(folder / "first", tmp_path / "run")
    (run / "metrics.jsonl").unlink()
    (run / "best.json").write_text("{")
    (tmp_path / "empty").mkdir()
    report = read_report([str(run), str(tmp_path / "empty")])
    assert report.problems == (
        f"{tmp_path / 'empty'}: holds no file of a run",
        f"{run / 'best.json'}: damaged: it does not hold one JSON object",
        f"{run / 'metrics.jsonl'}: missing",
    )
    text = page(report)
    assert all(problem in text for problem in report.problems)
    assert anchors(text) == ["overview", "tasks", "mixture", "configuration", "versions"]


def test_a_test_split_that_chose_is_said(folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(folder / "first", tmp_path / "run")
    best = json.loads((run / "best.json").read_text())
    write(run / "best.json", {**best, "selected_on_test": True})
    assert "a test split chose the step" in made(run)


def test_failures_of_a_final_set(folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(folder / "first", tmp_path / "run")
    assert "failures" not in anchors(made(run))
    final = json.loads((run / "final.json").read_text())
    final["sets"]["toy_test"]["tasks"]["toy_a"]["failures"] = {"no answer cue": 3}
    write(run / "final.json", final)
    text = made(run)
    assert "failures" in anchors(text)
    assert "Failures of run, toy_test" in text


def test_the_difference_of_two_evaluations(folder: Path) -> None:
    text = made(evals=(folder / "evals",))
    assert "step_10 less step_9" in text
    assert "+0.250" in text  # of toy_yes_no: 12 of 16 instead of 8
    assert "differences" not in anchors(made(evals=(folder / "evals" / "step_9",)))


def test_evaluations_of_other_tasks_are_not_compared(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder / "evals" / "step_9", tmp_path / "other")
    rows = (other / "predictions.jsonl").read_text().replace("toy_", "tiny_")
    (other / "predictions.jsonl").write_text(rows)
    assert "differences" not in anchors(made(evals=(folder / "evals" / "step_9", other)))
    again = shutil.copytree(other, tmp_path / "again")
    text = made(evals=(folder / "evals" / "step_9", other, again))
    assert "again less other" in text
    assert "other less step_9" not in text


def test_published_figures_stand_beside_ours(folder: Path, tmp_path: Path) -> None:
    one = shutil.copytree(folder / "evals" / "step_9", tmp_path / "one")
    results = json.loads((one / "results.json").read_text())
    results["aggregates"]["mmlu_direct"] = {"value": 0.3, "low": 0.2, "high": 0.4, "missing": []}
    write(one / "results.json", results)
    text = made(evals=(one,))
    assert "Flan-T5-Small, published" in text
    assert ">0.287<" in text  # table 5: 28.7 %
    assert "ublished" not in made(evals=(folder / "evals" / "step_9",))


def test_many_tasks_are_folded_into_groups(folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(folder / "first", tmp_path / "run")
    final = json.loads((run / "final.json").read_text())
    (found,) = final["sets"].values()
    (task,) = found["tasks"].values()
    found["tasks"] = {f"toy_{n}": {**task, "group": f"group {n % 2}"} for n in range(50)}
    write(run / "final.json", final)
    assert "group 1: 25 tasks, mean 0.500" in made(run)


def test_nothing_to_report(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to report: give the model_dir"):
        read_report([])
    with pytest.raises(UserError, match="nowhere is no folder"):
        read_report([str(tmp_path / "nowhere")])
    write_evaluation(tmp_path / "one")
    with pytest.raises(UserError, match="holds no file of a run; give it after --eval"):
        read_report([str(tmp_path / "one")])
    shutil.rmtree(tmp_path / "one")
    with pytest.raises(UserError, match=r"holds no file of a run.*holds no file of an evaluation"):
        read_report([str(tmp_path)], [str(tmp_path)])


def test_a_page_that_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot write"):
        write_report(tmp_path / "no" / "page.html", read_report([str(folder / "first")]))
