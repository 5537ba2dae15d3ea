"""The command itself on a real recipe: parity of workers, kills, a failed run, bad input."""

from __future__ import annotations

import csv
import fcntl
import json
import random
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from flan_t5x.cli.main import main

SWEEP = """
from __gin__ import dynamic_registration
from flan_t5x.sweep import run

WORKERS = 2
SWEEP_DIR = 'sweep'
run.sweep:
  sweep_dir = %SWEEP_DIR
  recipe = ['smoke.gin', 'models/nano.gin']
  bindings = {
      'INITIAL_CHECKPOINT_PATH': 'mini_base_nano',
      'MIXTURE_OR_TASK_NAME': 'mini_t0',
      'EVAL_MIXTURE': 'mini_find_vehicle_zs',
      'BATCH_SIZE': 8,
      'EVAL_PERIOD': 6,
      'train_config.EvalConfig.final': [('test', 'mini_find_vehicle_zs', 'test')],
      'train_config.EvalConfig.examples_per_task': 16,
      'train.log_period': 1,
  }
  axes = {'TRAIN_STEPS': [6, 12]}
  seeds = 2
  workers = %WORKERS
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "sweep.gin"
    path.write_text(SWEEP, "utf-8")
    return path


def command(*flags: str) -> list[str]:
    return [sys.executable, "-m", "flan_t5x.cli.main", "sweep", "--gin_file=sweep.gin", *flags]


def outcome(folder: Path) -> tuple[list[dict[str, str]], dict[str, list[float]]]:
    """The table without its costs, and every run's losses."""
    with (folder / "results.csv").open(newline="") as file:
        lines = [
            {name: value for name, value in line.items() if not name.startswith("cost/")}
            for line in csv.DictReader(file)
        ]
    losses = {}
    for line in lines:
        text = (folder / "runs" / line["run"] / "metrics.jsonl").read_text()
        records = [json.loads(record) for record in text.splitlines()]
        losses[line["run"]] = [r["loss"] for r in records if r["kind"] == "train"]
    return lines, losses


def kill_at_random(flags: list[str], *, kills: int, seconds: float) -> None:
    """Starts the sweep, kills it after a random time, so many times; then lets it end."""
    generator = random.Random(0)
    for _ in range(kills):
        process = subprocess.Popen(
            command(*flags), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(generator.uniform(0.2, 1.0) * seconds)
        process.kill()
        process.wait()
    subprocess.run(command(*flags), check=True, capture_output=True)


def same_whatever_happens(kills: int) -> None:
    began = time.monotonic()
    done = subprocess.run(command("--gin.SWEEP_DIR=a"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    whole = time.monotonic() - began
    undisturbed = outcome(Path("a"))
    assert [line["status"] for line in undisturbed[0]] == ["done"] * 4
    assert sorted(map(len, undisturbed[1].values())) == [6, 6, 12, 12]
    assert Path("a/index.html").stat().st_size > 1000

    kill_at_random(["--gin.SWEEP_DIR=b", "--gin.WORKERS=1"], kills=kills, seconds=whole)
    assert outcome(Path("b")) == undisturbed

    before = {path: path.stat().st_mtime_ns for path in Path("a/runs").rglob("*") if path.is_file()}
    subprocess.run(command("--gin.SWEEP_DIR=a"), check=True, capture_output=True)
    after = {path: path.stat().st_mtime_ns for path in Path("a/runs").rglob("*") if path.is_file()}
    assert before == after  # finished runs are not repeated


@pytest.mark.usefixtures("recipe")
def test_workers_and_kills_change_nothing() -> None:
    same_whatever_happens(kills=1)


@pytest.mark.slow
@pytest.mark.usefixtures("recipe")
def test_ten_kills_change_nothing() -> None:
    same_whatever_happens(kills=10)


def bad(recipe: Path, changes: Mapping[str, Any], capsys: pytest.CaptureFixture[str]) -> str:
    lines = [f"run.sweep.{name} = {value}" for name, value in changes.items()]
    recipe.write_text(SWEEP + "\n".join(lines), "utf-8")
    assert main(["sweep", "--gin_file=sweep.gin"]) == 2
    assert not Path("sweep/runs").exists()
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    return line


RATES = "train_config.DataConfig.mixture_rates"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"axes": "{'TRAIN_STPES': [1, 2]}"}, "TRAIN_STEPS"),
        ({"axes": "{}"}, "a sweep varies something"),
        ({"axes": f"{{'{RATES}': [{{'mini_t0': 0.0}}]}}"}, "rates"),
        ({"axes": f"{{'{RATES}': [{{'mini_t0': -1.0}}]}}"}, "rates"),
        ({"axes": f"{{'{RATES}': [{{'mini_t0': 1e999}}]}}"}, "rates"),
        ({"executor": "'kubernetes'"}, "executor 'kubernetes' does not exist"),
        ({"executor": "'lunch'"}, "did you mean 'launch'?"),
        ({"executor": "'launch'"}, "executor 'launch' needs launcher"),
        ({"axes": "{'a': {'cases': {'x': {}, 'y': {}}}}"}, "two runs have the same bindings"),
        ({"method": "'randon'"}, "did you mean 'random'?"),
        ({"recipe": "['smoky.gin']"}, "smoke.gin"),
        ({"recipe": "'smoke.gin'"}, "recipe"),
        ({"pilot": "{'TRAIN_STEPS': '7'}"}, "it has 6, 12"),
        ({"workers": "0"}, "workers = 0"),
        ({"workers": "1000"}, "there are"),
        ({"seeds": "[0, 0]"}, "different whole numbers"),
        ({"sweep_dir": "'/proc/none'"}, "/proc/none"),
    ],
)
def test_bad_input(
    changes: dict[str, str], said: str, recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in bad(recipe, changes, capsys)


def test_a_run_that_fails_at_start(recipe: Path) -> None:
    """Another trainer holds its folder; the others are done all the same, and later it is too."""
    text = SWEEP.replace("'TRAIN_STEPS': [6, 12]", "'TRAIN_STEPS': [1, 2]")
    recipe.write_text(text.replace("seeds = 2", "seeds = 1"), "utf-8")
    planned = subprocess.run(command("--dry_run"), capture_output=True, text=True, check=True)
    assert "2 runs" in planned.stdout
    done = subprocess.run(command(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first = next(Path("sweep/runs").glob("TRAIN_STEPS=1,*"))
    (first / "final.json").unlink()
    with (first / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        again = subprocess.run(command(), capture_output=True, text=True, check=False)
    assert again.returncode == 2
    (line,) = again.stderr.splitlines()
    assert line.startswith("flan-t5x: error: 1 of 2 runs failed (TRAIN_STEPS=1,seed=0-")
    assert "is in use by" in line
    assert statuses() == ["failed", "done"]
    subprocess.run(command(), capture_output=True, check=True)
    assert statuses() == ["done", "done"]


def statuses() -> list[str]:
    with Path("sweep/results.csv").open(newline="") as file:
        return [row["status"] for row in csv.DictReader(file)]


def test_dry_run_prints_the_runs_and_their_cost(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe.write_text(SWEEP + "run.sweep.tpu = 'v5e-8'", "utf-8")
    assert main(["sweep", "--gin_file=sweep.gin", "--dry_run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("TRAIN_STEPS=6, seed=0")
    assert "to do" in lines[0]
    assert "chip-hours on v5e-8" in lines[-1]
    assert not Path("sweep").exists()
