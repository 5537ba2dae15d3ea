"""The instrument: what it reports follows from what it measured, and its keys stay."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import subprocess
import sys
import time

import numpy as np
import pytest

from flan_t5x.bench.decode import bench_decode
from flan_t5x.bench.input import bench_input
from flan_t5x.bench.peer import HuggingFace
from flan_t5x.bench.rounds import Times, ratios, time_rounds
from flan_t5x.bench.train import bench_train
from flan_t5x.bench.workload import SIZES, Workload, packed_batch
from flan_t5x.cli.main import main
from flan_t5x.errors import UserError
from flan_t5x.model.layers import segment_mask
from tests.data.stream_toys import toy_stream

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None or importlib.util.find_spec("transformers") is None,
    reason="torch and transformers are not installed (extra: peer)",
)


def _small_workload() -> Workload:
    config = dataclasses.replace(
        SIZES["tiny"], vocab_size=256, emb_dim=16, num_heads=2, head_dim=8, mlp_dim=32
    )
    config = config.for_devices(platform="cpu", count=1)
    return Workload(name="test", config=config, batch=8, inputs=16, targets=8)


def test_contestants_take_turns_and_ratios_are_per_round() -> None:
    order: list[str] = []

    def run(name: str, seconds: float) -> None:
        order.append(name)
        time.sleep(seconds)

    times = time_rounds({"a": lambda: run("a", 0.3), "b": lambda: run("b", 0.6)}, rounds=2)
    assert order == ["a", "b", "a", "b", "b", "a"]  # a run of each that does not count, then turns
    assert times["a"].fastest >= 0.3
    assert ratios(times["a"], times["b"]).median == pytest.approx(2.0, rel=0.2)
    assert ratios(Times((1.0, 2.0)), Times((3.0, 4.0))).seconds == (3.0, 2.0)


def test_batch_is_full_and_packed() -> None:
    batch = packed_batch(_small_workload())
    assert all(array.dtype == np.int32 for array in batch.values())
    assert (batch["encoder_input_tokens"] > 2).all()
    segments = batch["encoder_segment_ids"]
    assert segments.min() == 1
    assert (np.diff(segments, axis=1) >= 0).all()
    assert not bool(segment_mask(segments, segments).all())  # more than one example a row


def test_train_figures_follow_from_each_other() -> None:
    found = bench_train(_small_workload(), rounds=2)
    assert found["tokens_per_second"] == pytest.approx(8 * 24 / found["step_seconds_median"])
    expected = (
        found["model_flops"] / found["step_seconds_median"] / found["matmul_flops_per_second"]
    )
    assert found["mfu"] == pytest.approx(expected)
    low, high = found["step_seconds_min"], found["step_seconds_max"]
    assert 0 < low <= found["step_seconds_median"] <= high
    assert found["compile_seconds"] > 0
    assert found["peak_rss_bytes"] > 2**27


def test_decode_makes_every_token() -> None:
    found = bench_decode(_small_workload(), rounds=1, max_length=6)
    for method in ("greedy", "sample", "beam4"):
        assert found[method]["new_tokens"] == 8 * 6
        rate = found[method]["new_tokens"] / found[method]["seconds_median"]
        assert found[method]["tokens_per_second"] == pytest.approx(rate)


def test_input_counts_real_tokens() -> None:
    stream = toy_stream()
    found = bench_input(stream, rounds=2, seconds=0.05)
    assert 0.5 < found["fill"] <= 1.0
    assert 0.5 < found["packing_efficiency"] <= 1.0
    assert found["tokens_per_second_min"] <= found["tokens_per_second"]
    assert found["examples_per_second"] < found["tokens_per_second"]
    assert found["plan_us_per_example"] > 0


@needs_torch
def test_peer_runs_the_same_shapes() -> None:
    workload = _small_workload()
    found = bench_train(workload, rounds=1, peer=HuggingFace())
    assert found["peer"]["ratio_median"] > 0
    peer = HuggingFace().generators(workload, max_length=6, beams=4, temperature=0.7)
    assert {name: tuple(run().shape) for name, run in peer.items()} == {
        "greedy": (8, 7),
        "sample": (8, 7),
        "beam4": (8, 7),
    }


def test_a_missing_peer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="'torch', which is not installed; pip install torch"):
        HuggingFace()


def test_json_has_the_documented_keys() -> None:
    """As a command of its own: what it registers with gin must not meet other tests."""
    recipe = [
        "--gin_file=smoke.gin",
        "--gin.BATCH_SIZE=8",
        "--gin.TASK_FEATURE_LENGTHS={'inputs': 32, 'targets': 8}",
        "--gin.T5Config.num_encoder_layers=1",
        "--gin.T5Config.num_decoder_layers=1",
    ]
    command = [sys.executable, "-m", "flan_t5x.cli.main", "bench", "train", "--json", "--rounds=1"]
    done = subprocess.run([*command, *recipe], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert set(found) == {
        "workload", "rounds", "tokens_per_second", "mfu", "step_seconds_median",
        "step_seconds_min", "step_seconds_max", "compile_seconds", "peak_rss_bytes",
        "model_flops", "matmul_flops_per_second",
    }  # fmt: skip
    assert "smoke.gin" in found["workload"]
    assert "batch 8, 32/8 tokens" in found["workload"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bench", "train", "--rounds=0"], "--rounds = 0"),
        (["bench", "train", "--gin.BATCH_SIZE=2"], "name one with --gin_file"),
        (["bench", "trian"], "trian"),
    ],
)
def test_bad_requests(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
