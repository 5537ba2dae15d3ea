"""Every layout into every other and back, bit for bit."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
import pytest

from flan_t5x.checkpoint.base import save_base
from flan_t5x.checkpoint.completeness import find_problem
from flan_t5x.checkpoint.convert.plan import make_plan
from flan_t5x.checkpoint.convert.sniff import open_source, sniff
from flan_t5x.checkpoint.convert.source import KINDS, VOCABULARY
from flan_t5x.checkpoint.manager import Checkpoints
from flan_t5x.checkpoint.reading import find_step, read_extra, read_params
from flan_t5x.cli import convert as command
from flan_t5x.data.vocabulary import resolve_vocabulary
from flan_t5x.model.config import T5Config
from flan_t5x.model.model import Model
from flan_t5x.train.optimizer import adafactor
from flan_t5x.train.state import create_state

from .made import (
    FACTORED,
    T5_1_0,
    TINY,
    make_run,
    make_scalable,
    read,
    read_moments,
    require_equal,
    stacked,
    to,
    values,
)

LAYOUTS = ("hf", "t5x", "flan_t5x")


@pytest.mark.parametrize("config", [TINY, FACTORED, T5_1_0], ids=["tiny", "factored", "t5_1_0"])
@pytest.mark.parametrize("via", LAYOUTS)
def test_a_base_through_every_layout(tmp_path: Path, config: T5Config, via: str) -> None:
    flat = values(config)
    save_base(tmp_path / "base.npz", stacked(flat, config), {})
    path = to(tmp_path / "base.npz", tmp_path / "first", via)
    require_equal(read(path), flat)
    for number, layout in enumerate(LAYOUTS):
        path = to(path, tmp_path / str(number), layout)
        require_equal(read(path), flat)
        found = make_plan(open_source(str(path))).config
        assert found == config


def test_the_step_that_is_written_is_whole_and_orbaxs(tmp_path: Path) -> None:
    """Our reader, the manager's sharded restore, and plain Orbax without code of ours."""
    flat = make_run(tmp_path / "run", FACTORED)
    moments = read_moments(tmp_path / "run")
    target = to(tmp_path / "run", tmp_path / "ours", "flan_t5x")
    step = find_step(target)
    assert (step.name, find_problem(step)) == ("70", None)
    expected = stacked(flat, FACTORED)
    assert same(read_params(target), expected)
    plain = ocp.PyTreeCheckpointer().restore(step / "state")
    assert same(plain["params"], expected)
    require_equal(read_moments(target), moments)
    optimizer = adafactor(1e-3)
    model = Model(FACTORED)
    wanted = jax.eval_shape(lambda p: create_state(p, optimizer), model.abstract_params)
    part = {"params": wanted.params, "opt_state": wanted.opt_state}
    with Checkpoints(target) as saved:
        restored, extra = saved.restore(part)
    assert same(restored["params"], expected)
    assert int(restored["opt_state"].step) == 70
    assert extra["converted_from"]["kind"] == "flan_t5x"


def same(ours: object, theirs: object) -> bool:
    return bool(jax.tree.all(jax.tree.map(lambda x, y: np.array_equal(x, y), ours, theirs)))


def test_optimizer_state_travels_to_t5x_and_back(tmp_path: Path) -> None:
    make_run(tmp_path / "run", FACTORED)
    moments = read_moments(tmp_path / "run")
    assert {n.rsplit("/", 1)[1] for n in moments} == {"v_row", "v_col", "v"}
    t5x = to(tmp_path / "run", tmp_path / "t5x", "t5x")
    require_equal(read_moments(t5x), moments)
    assert open_source(str(t5x)).moments_step == 70
    back = to(t5x, tmp_path / "back", "flan_t5x")
    require_equal(read_moments(back), moments)
    assert open_source(str(back)).moments_step == 70


def test_without_optimizer_state_t5x_gets_a_fresh_one(tmp_path: Path) -> None:
    save_base(tmp_path / "base.npz", stacked(values(FACTORED), FACTORED), {"step": 5})
    t5x = to(tmp_path / "base.npz", tmp_path / "t5x", "t5x")
    source = open_source(str(t5x))
    assert source.moments_step == 0
    moments = read_moments(t5x)
    assert not any(array.any() for array in moments.values())
    assert moments["token_embedder/embedding/v_row"].shape == (128,)
    assert moments["token_embedder/embedding/v_col"].shape == (384,)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bfloat16_rounds_once_and_stays(tmp_path: Path, layout: str) -> None:
    flat = values(TINY)
    rounded = {name: array.astype(ml_dtypes.bfloat16) for name, array in flat.items()}
    save_base(tmp_path / "base.npz", stacked(flat, TINY), {})
    half = to(tmp_path / "base.npz", tmp_path / "half", layout, dtype="bfloat16")
    require_equal(read(half), rounded)
    again = to(half, tmp_path / "again", layout)
    require_equal(read(again), rounded)
    wide = to(half, tmp_path / "wide", layout, dtype="float32")
    require_equal(read(wide), {n: a.astype(np.float32) for n, a in rounded.items()})


def test_shards_and_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flan_t5x.checkpoint.convert import write_hf

    flat = values(TINY)
    save_base(tmp_path / "base.npz", stacked(flat, TINY), {})
    monkeypatch.setattr(write_hf.write_hf, "__kwdefaults__", {"shard_bytes": 4096})
    hf = to(tmp_path / "base.npz", tmp_path / "hf", "hf")
    index = json.loads((hf / "model.safetensors.index.json").read_text())
    shards = sorted(p.name for p in hf.glob("*.safetensors"))
    assert len(shards) > 2
    assert shards[0] == f"model-00001-of-{len(shards):05d}.safetensors"
    assert set(index["weight_map"].values()) == set(shards)
    assert index["metadata"]["total_size"] == sum(a.nbytes for a in flat.values())
    require_equal(read(hf), flat)


def test_scalable_t5_is_accepted_where_its_bias_tables_agree(tmp_path: Path) -> None:
    flat = values(TINY)
    make_scalable(tmp_path / "scalable", flat, TINY)
    require_equal(read(tmp_path / "scalable"), flat)
    plan = make_plan(open_source(str(tmp_path / "scalable")))
    assert plan.source.layout == "scalable_t5"
    assert any("the tables of all 3 layers are equal, one is kept" in n for n in plan.notes)
    require_equal(read(to(tmp_path / "scalable", tmp_path / "ours", "flan_t5x")), flat)


def test_heads_apart_are_joined(tmp_path: Path) -> None:
    """As flaxformer stores them: query (emb, heads, dim), out (heads, dim, emb)."""
    flat = values(TINY)
    tree: dict[str, object] = {}
    for name, array in flat.items():
        if name.endswith(("query/kernel", "key/kernel", "value/kernel")):
            array = array.reshape(12, 3, 5)
        elif name.endswith("out/kernel"):
            array = array.reshape(3, 5, 12)
        node: dict[str, object] = tree
        *folders, leaf = name.split("/")
        for folder in folders:
            node = node.setdefault(folder, {})  # type: ignore[assignment]
        node[leaf] = array
    with ocp.PyTreeCheckpointer() as saver:
        saver.save(tmp_path / "apart", {"target": tree})
    require_equal(read(tmp_path / "apart"), flat)


def test_every_kind_is_told_apart(tmp_path: Path) -> None:
    flat = values(TINY)
    save_base(tmp_path / "base.npz", stacked(flat, TINY), {})
    make_run(tmp_path / "run", TINY)
    make_scalable(tmp_path / "orbax", flat, TINY)
    t5x = to(tmp_path / "base.npz", tmp_path / "model" / "checkpoint_7", "t5x")
    hf = to(tmp_path / "base.npz", tmp_path / "hf", "hf")
    found = {
        sniff(str(path))
        for path in (
            tmp_path / "base.npz", tmp_path / "run", tmp_path / "run/checkpoints/70",
            tmp_path / "orbax", t5x, t5x.parent, hf, hf / "model.safetensors",
        )
    }  # fmt: skip
    assert found == set(KINDS) - {"pytorch", "peft"}
    assert command._KINDS == KINDS
    require_equal(read(t5x.parent), flat)
    require_equal(read(hf / "model.safetensors"), flat)
    assert sniff(f"file://{t5x}") == "t5x"
    require_equal(read_url(f"file://{t5x}"), flat)


def read_url(url: str) -> dict[str, np.ndarray]:
    from flan_t5x.checkpoint.convert.plan import stream

    return {p.name: np.array(v) for p, v in stream(make_plan(open_source(url)).parts)}


def test_what_a_run_says_of_its_model_and_vocabulary_travels(tmp_path: Path) -> None:
    config = dataclasses.replace(
        TINY,
        mlp_activations=("silu", "linear"),
        relpos_max_distance=64,
        vocab_size=1152,
        dropout_rate=0.05,
    )
    make_run(tmp_path / "run", config)
    (tmp_path / "run" / "config.gin").write_text(
        "DROPOUT_RATE = 0.05\n"
        "VOCABULARY = 'mini'\n"
        "MODEL/config.T5Config.mlp_activations = ('silu', 'linear')\n"
        "MODEL/config.T5Config.relpos_max_distance = 64\n"
        "MODEL/config.T5Config.dropout_rate = %DROPOUT_RATE\n"
    )
    mini = Path(resolve_vocabulary("mini").model_path)
    path = tmp_path / "run"
    for number, layout in enumerate(("hf", "flan_t5x", "hf")):
        path = to(path, tmp_path / str(number), layout, spiece=mini if number == 0 else None)
        plan = make_plan(open_source(str(path)))
        assert plan.config == config
        assert (path / "spiece.model").read_bytes() == mini.read_bytes()
        assert plan.source.vocabulary == resolve_vocabulary("mini").fingerprint()
    assert json.loads((path / "config.json").read_text())["feed_forward_proj"] == "gated-silu"
    record = read_extra(tmp_path / "1")
    assert record[VOCABULARY] == resolve_vocabulary("mini").fingerprint()
    assert record["model"]["relpos_max_distance"] == 64


def test_the_same_conversion_gives_the_same_files(tmp_path: Path) -> None:
    save_base(tmp_path / "base.npz", stacked(values(TINY), TINY), {})
    for layout in ("hf", "t5x"):
        sums = []
        for folder in ("a", "b"):
            made = to(tmp_path / "base.npz", tmp_path / folder / layout, layout)
            sums.append((made / "SHA256SUMS").read_text())
        assert sums[0] == sums[1]
