"""The folder of a run: whole files, one trainer, figures that rewind."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from io import FileIO
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest

from flan_t5x.errors import UserError
from flan_t5x.train.run_dir import MetricsLog, RunDirectory, read_best

HOLD = """
import sys, time
from flan_t5x.train.run_dir import RunDirectory
run = RunDirectory(sys.argv[1])
print("held", flush=True)
time.sleep(60)
"""


def test_the_files_of_a_run_have_these_names(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "a" / "run") as run:
        run.write_config("x = 1\n")
        run.write_mixture("mini  1.0\n")
        run.write_versions()
        run.write_best(step=3, metric="accuracy", value=0.5, values={"a": 0.4, "b": math.nan})
        run.metrics.write(1, "train", {"loss": 2.0})
        assert sorted(p.name for p in run.path.iterdir()) == [
            ".lock",
            "best.json",
            "config.gin",
            "metrics.jsonl",
            "mixture.txt",
            "versions.json",
        ]
        assert (run.checkpoints.name, run.tensorboard.name) == ("checkpoints", "tensorboard")
        best = {
            "step": 3,
            "metric": "accuracy",
            "value": 0.5,
            "values": {"a": 0.4, "b": None},
        }
        assert json.loads((run.path / "best.json").read_text()) == best
        assert run.read_best() == best
        versions = json.loads((run.path / "versions.json").read_text())
        assert versions["packages"]["numpy"] == np.__version__
        assert versions["command"] == sys.argv


def test_best_is_absent_damaged_or_whole(tmp_path: Path) -> None:
    assert read_best(tmp_path) is None
    for text in ("{", "[]", '{"step": 1}'):
        (tmp_path / "best.json").write_text(text)
        with pytest.raises(UserError, match=r"best.json is damaged .* delete it"):
            read_best(tmp_path)


def test_a_second_trainer_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        for _ in range(2):  # being refused must not loosen the lock
            with pytest.raises(UserError) as caught:
                RunDirectory(tmp_path)
            for part in (str(tmp_path), f"process {holder.pid} on ", "another model_dir"):
                assert part in str(caught.value)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with (
        RunDirectory(tmp_path) as run,  # a killed trainer leaves nothing to clean up
        pytest.raises(UserError, match=f"in use by process {os.getpid()} on"),
    ):
        RunDirectory(run.path)
    RunDirectory(tmp_path).close()


def test_unusable_folders_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"model_dir .*/file/run cannot be written: Not a dir"):
        RunDirectory(tmp_path / "file" / "run")
    with pytest.raises(UserError, match="model_dir gs://bucket/run is not a local folder"):
        RunDirectory("gs://bucket/run")
    if os.geteuid() != 0:  # root may write anywhere
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(UserError, match="cannot be written: Permission denied"):
            RunDirectory(tmp_path / "closed")


def test_lines_are_json_with_all_kinds_of_numbers(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    values = {
        "loss": jnp.float32(0.5),
        "tokens": np.int64(7),
        "share": 0.25,
        "bad": float("nan"),
        "worse": jnp.float32(-np.inf),
        "task": "mini",
        "none": None,
    }
    log.write(10, "train", values)
    text = (tmp_path / "metrics.jsonl").read_text()
    assert text.endswith("}\n")

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    record = json.loads(text, parse_constant=refuse)
    time = record.pop("time")
    assert isinstance(time, float)
    assert record == {
        "step": 10,
        "kind": "train",
        "loss": 0.5,
        "tokens": 7,
        "share": 0.25,
        "bad": None,
        "worse": None,
        "task": "mini",
        "none": None,
        "non_finite": {"bad": "nan", "worse": "-inf"},
    }
    with pytest.raises(ValueError, match="'time'"):
        log.write(11, "train", {"time": 1.0})


@hypothesis.given(
    steps=st.lists(st.integers(0, 6), max_size=8),
    to=st.integers(-1, 7),
    cut=st.integers(0, 40),
)
def test_rewind_drops_later_lines_and_a_torn_one(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], to: int, cut: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "metrics.jsonl"
    log = MetricsLog(path)
    for step in steps:
        log.write(step, "train", {"loss": float(step)})
    log.close()
    whole = [json.loads(line) for line in path.read_text().splitlines()] if steps else []
    if steps and cut:  # a kill while the last line was written
        last = len(path.read_bytes().splitlines(keepends=True)[-1])
        os.truncate(path, path.stat().st_size - min(cut, last))
        whole.pop() if cut > 1 else None  # without its newline only, a line is still readable
    log = MetricsLog(path)
    log.rewind(to)
    kept = [record for record in whole if record["step"] <= to]
    assert log.read() == kept
    log.write(9, "eval", {})
    assert [record["step"] for record in log.read()] == [r["step"] for r in kept] + [9]


def test_opening_without_rewinding_heals_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "kind": "train"}\n{"step": 2, "ki')
    log = MetricsLog(path)
    assert [r["step"] for r in log.read()] == [1]
    log.write(3, "train", {})
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 3]


def test_strange_lines_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'\n[1]\n{"step": "x"}\n\xff\xfe\n{"step": 1}\n')
    log = MetricsLog(path)
    assert log.read() == [{"step": 1}]
    log.rewind(1)
    assert path.read_text() == '{"step": 1}\n'


def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log._file = FileIO("/dev/full", "ab")
    with pytest.raises(UserError, match=r"cannot write .*metrics.jsonl: No space left on device"):
        log.write(1, "train", {"loss": 1.0})
    log.close()


def test_left_overs_of_a_kill_are_cleared(tmp_path: Path) -> None:
    (tmp_path / ".best.json.123.partial").write_text('{"st')
    RunDirectory(tmp_path).close()
    assert [p.name for p in tmp_path.iterdir()] == [".lock"]
