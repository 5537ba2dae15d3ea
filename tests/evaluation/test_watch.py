"""Which checkpoints are evaluated: lists, all steps, and those that appear while one looks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from flan_t5x.checkpoint import completeness
from flan_t5x.errors import UserError
from flan_t5x.evaluation import watch
from flan_t5x.evaluation.watch import Run, Target, targets
from flan_t5x.train import loop, run_dir


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, int], None]:
    """Makes a step; a step folder counts as whole when it holds a file "whole"."""
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(
        completeness, "find_problem", lambda f: None if (f / "whole").exists() else "half"
    )

    def make(model_dir: Path, step: int) -> None:
        folder = model_dir / "checkpoints" / str(step)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "whole").touch()

    return make


def test_names_are_those_of_the_run_folder() -> None:
    assert (watch.FINAL, watch.LOCK) == (loop.FINAL, run_dir.LOCK)


def test_one_and_several() -> None:
    assert list(targets("runs/a")) == [Target("runs/a", "")]
    paths = ["runs/a", "runs/b/checkpoints/40", "x/base.npz", "other/a", "mini_base"]
    assert [t.label for t in targets(paths)] == ["a", "b_40", "base", "a.2", "mini_base"]
    assert [t.path for t in targets(paths)] == paths


def test_all_whole_steps(tmp_path: Path, whole: Callable[[Path, int], None]) -> None:
    for step in (100, 20):
        whole(tmp_path, step)
    (tmp_path / "checkpoints" / "300").mkdir()
    found = list(targets(str(tmp_path), "all"))
    folder = tmp_path / "checkpoints"
    assert found == [Target(str(folder / "20"), "step_20"), Target(str(folder / "100"), "step_100")]
    several = targets([str(tmp_path), str(tmp_path)], "all")
    name = tmp_path.name
    assert [t.label for t in several] == [
        f"{name}_20", f"{name}_100", f"{name}.2_20", f"{name}.2_100",
    ]  # fmt: skip


def test_a_watch_sees_each_step_once_until_the_run_has_ended(
    tmp_path: Path, whole: Callable[[Path, int], None]
) -> None:
    lock = tmp_path / watch.LOCK
    lock.write_text("process 1")
    (tmp_path / watch.FINAL).touch()  # of an earlier, shorter run
    whole(tmp_path, 1)
    (tmp_path / "checkpoints" / "2").mkdir()
    said: list[str] = []
    found = Run(str(tmp_path)).watch(None, say=said.append)
    assert next(found) == 1
    timer = threading.Timer(0.1, whole, (tmp_path, 2))
    timer.start()
    assert next(found) == 2
    assert said == [f"waiting for the next checkpoint in {tmp_path}"]
    whole(tmp_path, 4)
    lock.write_text("")
    assert list(found) == [4], "what was saved before the end is not left out"


def test_a_watch_gives_up_after_a_while(tmp_path: Path, whole: Callable[[Path, int], None]) -> None:
    whole(tmp_path, 7)
    said: list[str] = []
    found = targets(str(tmp_path), "watch", timeout_seconds=0.05, say=said.append)
    assert [t.label for t in found] == ["step_7"]
    assert said[-1] == f"no new checkpoint in {tmp_path} for 0.05 s: the watch ends"
    nothing = targets(str(tmp_path / "none"), "watch", timeout_seconds=0.05, say=said.append)
    assert list(nothing) == [], "a run that has not begun is waited for"


def test_bad_input(tmp_path: Path) -> None:
    for arguments, message in (
        ((str(tmp_path), "al"), "steps = 'al' is not known; did you mean 'all'"),
        (([], "best"), "checkpoint_path is an empty list"),
        (("gs://bucket/run", "watch"), "no local model_dir"),
        (("base.npz", "all"), r"base\.npz is no local model_dir"),
        ((["a", "b"], "watch"), "one model_dir can be watched"),
    ):
        with pytest.raises(UserError, match=message):
            list(targets(*arguments))  # type: ignore[arg-type]
