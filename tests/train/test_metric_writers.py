"""Figures in both places; after a resume neither holds a step twice."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tensorboardX.crc32c import crc32c
from tensorboardX.proto import event_pb2

from flan_t5x.train.metric_writers import MetricWriter
from flan_t5x.train.run_dir import RunDirectory

# TensorBoard's own reader, kept from importing TensorFlow (six seconds) in its process.
READ = """
import json, sys, types
sys.modules["tensorboard.compat.notf"] = types.ModuleType("tensorboard.compat.notf")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
board = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "tensors": 0}).Reload()
tags = board.Tags()
print(json.dumps({
    "scalars": {t: [(e.step, e.value) for e in board.Scalars(t)] for t in tags["scalars"]},
    "texts": {
        t: [(e.step, e.tensor_proto.string_val[0].decode()) for e in board.Tensors(t)]
        for t in tags["tensors"]
    },
}))
"""


def read_board(folder: Path) -> dict[str, dict[str, list[list]]]:
    done = subprocess.run(
        [sys.executable, "-c", READ, str(folder)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def masked(data: bytes) -> int:
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def events(file: Path) -> list[event_pb2.Event]:
    """The records of one event file, checksums checked."""
    data, found = file.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        body = data[12 : 12 + length]
        assert struct.unpack("<I", data[8:12])[0] == masked(data[:8])
        assert struct.unpack("<I", data[12 + length : 16 + length])[0] == masked(body)
        found.append(event_pb2.Event.FromString(body))
        data = data[16 + length :]
    return found


def test_curves_and_lines_do_not_double_back_after_a_resume(tmp_path: Path) -> None:
    with RunDirectory(tmp_path) as run:
        # Never closed, as if killed after step 6; the newest checkpoint is of step 4.
        killed = MetricWriter(run)
        for step in range(1, 7):
            killed.scalars(step, "train", {"loss": step / 2})
        killed.texts(4, {"samples/mini": "four\n  <b>*as it is*</b>"})
        killed.texts(6, {"samples/mini": "six"})
    with RunDirectory(tmp_path) as run, MetricWriter(run, resume_step=4) as writer:
        for step in (5, 6, 7):
            writer.scalars(step, "train", {"loss": -step})
        writer.texts(6, {"samples/mini": "six again"})
        lines = [(r["step"], r["loss"]) for r in run.metrics.read()]
    curve = [(1, 0.5), (2, 1.0), (3, 1.5), (4, 2.0), (5, -5), (6, -6), (7, -7)]
    assert lines == curve
    board = read_board(run.tensorboard)
    assert [tuple(point) for point in board["scalars"]["train/loss"]] == curve
    (tag, texts), *rest = board["texts"].items()
    assert tag.startswith("samples/mini")
    assert rest == []
    # TensorBoard's Python reader purges curves only; an old text may stand beside the new one.
    assert texts[0] == [4, "    four\n      <b>*as it is*</b>"]
    assert texts[-1] == [6, "    six again"]


def test_restarts_within_a_second_keep_their_own_files(tmp_path: Path) -> None:
    for step in range(4):
        with RunDirectory(tmp_path) as run, MetricWriter(run, resume_step=step) as writer:
            writer.scalars(step + 1, "eval", {"accuracy": 0.1 * step})
    files = sorted((tmp_path / "tensorboard").iterdir())
    assert len(files) == 4
    for number, file in enumerate(files):
        kinds = [e.WhichOneof("what") for e in events(file)]
        restart = ["session_log"] if number else []
        assert kinds == ["file_version", *restart, "summary"]
    assert events(files[2])[1].step == 3  # forget step 3 and later


def test_every_figure_is_on_disk_at_once(tmp_path: Path) -> None:
    with RunDirectory(tmp_path) as run, MetricWriter(run) as writer:
        writer.scalars(1, "train", {"loss": np.float32(1.5), "note": "x", "bad": float("inf")})
        (file,) = run.tensorboard.iterdir()
        (_, event) = events(file)
        assert (event.step, event.summary.value[0].tag) == (1, "train/loss")
        assert event.summary.value[0].simple_value == 1.5
        assert run.metrics.read()[0]["non_finite"] == {"bad": "inf"}


def test_writing_is_cheap(tmp_path: Path) -> None:
    """A log line of ten figures takes far less than any training step."""
    with RunDirectory(tmp_path) as run, MetricWriter(run) as writer:
        figures = {f"figure_{i}": float(i) for i in range(10)}
        writer.scalars(0, "train", figures)
        start = time.process_time()
        for step in range(1, 101):
            writer.scalars(step, "train", figures)
        assert (time.process_time() - start) / 100 < 0.01


def test_field_names_are_protected(tmp_path: Path) -> None:
    with (
        RunDirectory(tmp_path) as run,
        MetricWriter(run) as writer,
        pytest.raises(ValueError, match="'step'"),
    ):
        writer.scalars(1, "train", {"step": 2})


def test_a_new_run_forgets_one_that_died_before_its_first_save(tmp_path: Path) -> None:
    for value in (0.25, 0.5):
        with RunDirectory(tmp_path) as run, MetricWriter(run) as writer:
            writer.scalars(0, "held_out", {"accuracy": value})
    assert [r["accuracy"] for r in run.metrics.read()] == [0.5]
    assert read_board(run.tensorboard)["scalars"] == {"held_out/accuracy": [[0, 0.5]]}
