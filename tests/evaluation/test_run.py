"""`evaluate`: a checkpoint's table and files."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flan_t5x.data.vocabulary import Vocabulary
from flan_t5x.decode.sampling import Sampling
from flan_t5x.errors import UserError
from flan_t5x.evaluation import output
from flan_t5x.evaluation import run as module
from flan_t5x.evaluation.heldout import EvaluationResult
from flan_t5x.evaluation.results import PREDICTIONS, RESULTS
from flan_t5x.evaluation.run import evaluate
from tests.evaluation.toys import CONFIG, LENGTHS, ONE_PART

Run = Callable[..., EvaluationResult]


@pytest.fixture
def run(toy_registry: None, checkpoint: str, vocabulary: Vocabulary, cache_dir: str) -> Run:
    """Scores three examples of each toy task, ten tokens each."""

    def call(**changes: Any) -> EvaluationResult:
        settings: dict[str, Any] = {
            "checkpoint_path": checkpoint,
            "model": CONFIG,
            "mixture_or_task_name": "toy_all",
            "task_feature_lengths": LENGTHS,
            "vocabulary": vocabulary.model_path,
            "examples_per_task": 3,
            "batch_size": 6,
            "max_decode_length": 4,
            "cache_dir": cache_dir,
            "num_workers": 1,
            "mesh": ONE_PART,
            "console": Console(file=io.StringIO()),
        }
        (result,) = evaluate(**{**settings, **changes}).values()
        return result

    return call


def test_table_and_files(run: Run, tmp_path: Path, checkpoint: str) -> None:
    text = io.StringIO()
    result = run(output_dir=str(tmp_path / "a" / "b"), split="test", console=Console(file=text))
    folder = tmp_path / "a" / "b"
    assert {f.name for f in folder.iterdir()} == {RESULTS, PREDICTIONS}
    printed = text.getvalue().replace("\n", " ")
    assert f"{checkpoint} on toy_all, split test: 2 tasks" in printed
    assert "6 prompts in" in printed

    record = json.loads((folder / RESULTS).read_text())
    assert {name: record[name] for name in ("checkpoint", "mixture_or_task_name", "split")} == {
        "checkpoint": checkpoint,
        "mixture_or_task_name": "toy_all",
        "split": "test",
    }
    assert record["average"] == result.average
    assert record["max_decode_length"] == 4
    assert record["max_input_length"] == LENGTHS["inputs"]
    assert list(record["tasks"]) == ["toy_plain", "toy_cot"]

    rows = [json.loads(line) for line in (folder / PREDICTIONS).read_text().splitlines()]
    assert [(row["task"], row["id"]) for row in rows] == [
        (task, f"test-{i}") for task in ("toy_plain", "toy_cot") for i in range(3)
    ]
    for row in rows:
        assert set(row) == {
            "task", "id", "inputs", "target", "prediction", "extracted", "correct", "score",
            "failure", "log_prob",
        }  # fmt: skip
        assert row["log_prob"] < 0
    for name, task in record["tasks"].items():
        right = [row["correct"] for row in rows if row["task"] == name]
        assert sum(right) / len(right) == task["score"]
        assert task["examples"] == 3


def test_what_is_wrong_is_said_before_the_work(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "open_cache", None)  # nothing gets that far
    (tmp_path / "file").write_text("")
    for changes, message in (
        ({"mixture_or_task_name": "toy_al"}, "no mixture or task named 'toy_al'; did you mean"),
        ({"split": "tets"}, r"no split 'tets' in toy_plain, toy_cot; toy_plain has train, valid"),
        ({"split": "train"}, "split 'train' is for training"),
        ({"examples_per_task": 0}, "evaluate.examples_per_task = 0"),
        ({"batch_size": 1.5}, "evaluate.batch_size = 1.5"),
        ({"vocabulary": "mini"}, "vocabulary 'mini' has .* ids, but the model's embedding"),
        ({"vocabulary": "none.model"}, "vocabulary 'none.model' not found"),
        ({"model": dataclasses.replace(CONFIG, emb_dim=16)}, "does not fit this model: "),
        ({"checkpoint_path": str(tmp_path)}, "no complete checkpoint in"),
        ({"checkpoint_path": str(tmp_path / "x.npz")}, "no base checkpoint at"),
        ({"output_dir": str(tmp_path / "file")}, "output_dir .*/file cannot be written"),
        ({"output_dir": "gs://bucket"}, "output_dir gs://bucket is not a local folder"),
        ({"mesh": {"data": 3}}, "mesh .* needs 3 devices, but there are 8"),
    ):
        with pytest.raises(UserError, match=message):
            run(**changes)  # type: ignore[arg-type]


def test_a_killed_write_leaves_no_results(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run()
    output.write_results(tmp_path, result, settings={"split": "old"})
    monkeypatch.setattr(output, "write_whole", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        output.write_results(tmp_path, result, settings={"split": "new"})
    assert [f.name for f in tmp_path.iterdir()] == [PREDICTIONS], "old results, new predictions"


def test_own_jsonl_sampled_on_eight_devices(run: Run, tmp_path: Path) -> None:
    own = tmp_path / "own.jsonl"
    rows = [{"inputs": "Which one is red?", "targets": "cat", "split": "test"}] * 9
    own.write_text("".join(json.dumps({**row, "id": i}) + "\n" for i, row in enumerate(rows)))
    result = run(
        mixture_or_task_name="own",
        user_jsonl={"own": str(own)},
        split="test",
        examples_per_task=None,
        decoding=Sampling(temperature=1.0),
        mesh=None,
    )
    (task,) = result.tasks
    assert task.num_examples == 9
    assert len({e.prediction for e in task.samples}) > 4, "each row has its own key"
    assert task.baseline.value == 1.0
