"""The loop as a whole: what a run leaves, how it stops, goes on, and refuses to go on."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flan_t5x.checkpoint.reading import read_extra
from flan_t5x.errors import EXIT_BAD_INPUT, EXIT_NON_FINITE, EXIT_PREEMPTED
from flan_t5x.train.meter import StepMeter
from flan_t5x.train.run_dir import RunDirectory
from tests.train import small_job
from tests.train.conftest import STEPS, Small


class CrashError(Exception):
    """Ends a run on the spot, as a kill would: nothing is saved on the way out."""


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], None]], None]:
    """Arranges that something happens right after a step was dispatched, once."""

    def arrange(step: int, action: Callable[[], None]) -> None:
        add = StepMeter.add

        def added(self: StepMeter, number: int, *rest: object, **more: object) -> None:
            add(self, number, *rest, **more)  # type: ignore[arg-type]
            if number == step:
                monkeypatch.setattr(StepMeter, "add", add)
                action()

        monkeypatch.setattr(StepMeter, "add", added)

    return arrange


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def crash() -> None:
    raise CrashError


def assert_same_end(model_dir: Path, other: Path) -> None:
    """Parameters bit for bit, best.json, and every figure of every step."""
    found, wanted = small_job.final_params(model_dir), small_job.final_params(other)
    assert not small_job.differing(found, wanted)
    assert small_job.best(model_dir) == small_job.best(other)
    assert small_job.figures_of_steps(model_dir) == small_job.figures_of_steps(other)


def test_what_a_run_leaves(small: Small) -> None:
    names = {path.name for path in small.undisturbed.iterdir()}
    wanted = "best.json checkpoints config.gin final.json metrics.jsonl mixture.txt tensorboard"
    assert names == {*wanted.split(), "versions.json", ".lock"}
    best = small_job.best(small.undisturbed)
    assert set(best) == {"step", "metric", "value", "values"}
    assert best["metric"] == "held_out/average"
    assert best["value"] == np.mean(list(best["values"].values()))
    assert small_job.saved_steps(small.undisturbed) == sorted({best["step"], STEPS})
    scored = [record["step"] for record in small_job.metrics(small.undisturbed, "held_out")]
    assert scored == [0, 3, 6]
    trained = [record["step"] for record in small_job.metrics(small.undisturbed, "train")]
    assert trained == [1, 2, 3, 4, 5, 6]
    config = (small.undisturbed / "config.gin").read_text()
    assert "TRAIN_STEPS" in config
    assert "small_last" in (small.undisturbed / "mixture.txt").read_text()


def test_the_best_step_is_kept_with_its_score(small: Small) -> None:
    record = read_extra(small.undisturbed / "checkpoints", step=STEPS)["evaluations"]
    best = max(record, key=lambda entry: (entry["value"], entry["step"]))
    assert small_job.best(small.undisturbed)["step"] == best["step"]
    assert [entry["step"] for entry in record] == [0, 3, 6]


def test_a_second_trainer_is_refused(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with RunDirectory(tmp_path / "run"):
        assert small.train(tmp_path / "run") == EXIT_BAD_INPUT
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{tmp_path / 'run'} is in use by process {os.getpid()}" in line
    assert not small_job.saved_steps(tmp_path / "run")


@pytest.mark.parametrize("step", [2, 3])
def test_sigterm_saves_and_the_same_command_goes_on(
    small: Small,
    tmp_path: Path,
    at_step: Callable[[int, Callable[[], None]], None],
    capsys: pytest.CaptureFixture[str],
    step: int,
) -> None:
    """At step 3 an evaluation is due, which the stop puts off until the restart."""
    at_step(step, terminate)
    assert small.train(tmp_path) == EXIT_PREEMPTED
    assert f"stopped by SIGTERM at step {step}, which is saved" in capsys.readouterr().out
    assert small_job.saved_steps(tmp_path)[-1] == step
    assert small.train(tmp_path) == 0
    assert f"resuming at step {step}" in capsys.readouterr().out
    assert_same_end(tmp_path, small.undisturbed)


def test_a_crash_after_a_late_evaluation_writes_it_once(
    small: Small, tmp_path: Path, at_step: Callable[[int, Callable[[], None]], None]
) -> None:
    at_step(3, terminate)
    assert small.train(tmp_path) == EXIT_PREEMPTED
    at_step(5, crash)
    with pytest.raises(CrashError):
        small.train(tmp_path)
    assert small.train(tmp_path) == 0
    assert_same_end(tmp_path, small.undisturbed)


def test_figures_are_complete_where_saves_and_periods_do_not_meet(
    small: Small, tmp_path: Path, at_step: Callable[[int, Callable[[], None]], None]
) -> None:
    macros = {"LOG_PERIOD": 4, "SAVE_PERIOD": 5, "TRAIN_STEPS": 8, "EVAL_PERIOD": 100}
    assert small.train(tmp_path / "whole", **macros) == 0
    at_step(7, crash)
    with pytest.raises(CrashError):
        small.train(tmp_path / "broken", **macros)
    assert small.train(tmp_path / "broken", **macros) == 0
    assert_same_end(tmp_path / "broken", tmp_path / "whole")
    steps = [record["step"] for record in small_job.metrics(tmp_path / "whole", "train")]
    assert steps == [4, 5, 8]


def test_loss_that_is_not_finite_stops_the_run(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert small.train(tmp_path, LEARNING_RATE=1e30) == EXIT_NON_FINITE
    (line,) = capsys.readouterr().err.splitlines()
    for part in ("not finite", "rows begin at row", "small_last x", "small_final x"):
        assert part in line
    assert line.startswith("flan-t5x: error: step ")
    assert small_job.saved_steps(tmp_path) == [0]
    assert small.train(tmp_path) == 0  # with a sound rate, from the checkpoint that is left
    assert "resuming at step 0" in capsys.readouterr().out
    assert_same_end(tmp_path, small.undisturbed)


@pytest.fixture(scope="module")
def half(small: Small) -> Path:
    """A run that was told to end at step 3."""
    model_dir = small.folder / "half"
    assert small.train(model_dir, TRAIN_STEPS=3) == 0
    return model_dir


def test_more_steps_go_on_from_the_last(small: Small, half: Path, tmp_path: Path) -> None:
    shutil.copytree(half, tmp_path / "run")
    assert small.train(tmp_path / "run") == 0
    assert_same_end(tmp_path / "run", small.undisturbed)


def test_a_finished_run_is_left_as_it_is(
    small: Small, half: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(half, tmp_path / "run")
    before = (half / "metrics.jsonl").read_text()
    assert small.train(tmp_path / "run", TRAIN_STEPS=3) == 0
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == before
    assert "best step" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("macros", "words"),
    [
        ({"MIXTURE_OR_TASK_NAME": "small_other_rates"}, "was trained on other data"),
        ({"SEED": 1}, "the seed differ"),
        ({"train_config.EvalConfig.examples_per_task": 3}, "with other held-out examples"),
        ({"train_config.EvalConfig.metric": "small"}, "or another selection metric"),
        ({"TRAIN_STEPS": 2}, "is at step 3 already, train_steps = 2 lies before it"),
    ],
)
def test_another_run_cannot_go_on(
    small: Small,
    half: Path,
    capsys: pytest.CaptureFixture[str],
    macros: dict[str, object],
    words: str,
) -> None:
    files = ("config.gin", "mixture.txt", "metrics.jsonl", "best.json")
    before = [(half / name).read_bytes() for name in files]
    assert small.train(half, **macros) == EXIT_BAD_INPUT
    (line,) = capsys.readouterr().err.splitlines()
    assert str(half) in line
    assert words in line
    assert [(half / name).read_bytes() for name in files] == before


def test_a_figure_on_a_test_split_selects_where_allowed(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = "--gin.EvalConfig"
    flags = (f"{config}.metric=small", f"{config}.split=test")
    assert small.train(tmp_path, *flags) == EXIT_BAD_INPUT
    assert "must not pick the checkpoint" in capsys.readouterr().err
    assert small.train(tmp_path, *flags, f"{config}.allow_test_selection=True") == 0
    printed = capsys.readouterr().out.replace("\n", " ")
    best = json.loads((tmp_path / "best.json").read_text())
    assert best["selected_on_test"] is True
    assert best["metric"] == "held_out/small"
    assert best["value"] == pytest.approx(np.mean(list(best["values"].values())))
    assert f"best step {best['step']}: held_out/small {best['value']:.4f}" in printed
    assert "chosen on a test split: its score is no held-out result" in printed


def test_without_evaluation(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert small.train(tmp_path, "--gin.loop.train.evaluation=None") == 0
    assert f"done: step {STEPS} is in {tmp_path}" in capsys.readouterr().out
    assert small_job.saved_steps(tmp_path) == [STEPS]
    assert not (tmp_path / "best.json").exists()
    assert not small_job.metrics(tmp_path, "held_out")
    found, wanted = small_job.final_params(tmp_path), small_job.final_params(small.undisturbed)
    assert not small_job.differing(found, wanted)


def test_tuning_starts_from_a_run(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Parameters of its best step; step and optimizer start anew."""
    macros = {"INITIAL_CHECKPOINT_PATH": small.undisturbed, "TRAIN_STEPS": 1, "LEARNING_RATE": 0.0}
    assert small.train(tmp_path, **macros) == 0
    assert f"starting from {small.undisturbed}" in capsys.readouterr().out
    best = small_job.best(small.undisturbed)["step"]
    wanted = small_job.saved_params(small.undisturbed, best)
    assert not small_job.differing(small_job.saved_params(tmp_path, 1), wanted)


def test_final_evaluations_are_of_the_best_step(small: Small, tmp_path: Path) -> None:
    final = "--gin.EvalConfig.final=[('test', 'small', 'test')]"
    assert small.train(tmp_path, final) == 0
    record = json.loads((tmp_path / "final.json").read_text())
    assert record["step"] == small_job.best(tmp_path)["step"]
    assert set(record["sets"]) == {"test"}
    assert set(record["sets"]["test"]["tasks"]) == {"small_last", "small_final"}


def test_the_optimizer_state_of_the_first_checkpoint_goes_on(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Same weights and rows: the first gradient is the same, what is done with it is not."""
    first = {}
    for choice in ("fresh", "restore"):
        model_dir = tmp_path / choice
        flags = [
            "--gin.EvalConfig.final=[]",
            f"--gin.CheckpointConfig.initial_optimizer_state={choice}",
        ]
        start = {"INITIAL_CHECKPOINT_PATH": small.undisturbed, "TRAIN_STEPS": 1}
        assert small.train(model_dir, *flags, **start) == 0
        first[choice] = small_job.metrics(model_dir, "train")[0]
        best = small_job.best(small.undisturbed)["step"]
        said = f"optimizer state of step {best} from {small.undisturbed}"
        assert (said in capsys.readouterr().out.replace("\n", "")) == (choice == "restore")
    assert first["fresh"]["loss"] == first["restore"]["loss"]
    assert first["fresh"]["grad_norm"] == first["restore"]["grad_norm"]
    assert first["fresh"]["param_norm"] != first["restore"]["param_norm"]


def test_an_optimizer_state_needs_a_checkpoint(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flag = "--gin.CheckpointConfig.initial_optimizer_state=restore"
    assert small.train(tmp_path / "run", flag) == EXIT_BAD_INPUT
    assert "needs an initial_checkpoint_path; use 'fresh'" in capsys.readouterr().err
