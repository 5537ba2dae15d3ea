"""Small checkpoints of every kind, and the command as a user runs it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from flan_t5x.checkpoint.convert.plan import make_plan, stream
from flan_t5x.checkpoint.convert.run import Conversion, convert, prepare
from flan_t5x.checkpoint.convert.sniff import open_source
from flan_t5x.checkpoint.convert.table import expected, layers
from flan_t5x.checkpoint.manager import Checkpoints
from flan_t5x.cli.main import main
from flan_t5x.model.config import T5Config
from flan_t5x.model.model import Model
from flan_t5x.train.optimizer import adafactor
from flan_t5x.train.state import create_state

TINY = T5Config(
    vocab_size=40, emb_dim=12, num_heads=3, head_dim=5, mlp_dim=7,
    num_encoder_layers=2, num_decoder_layers=3,
)  # fmt: skip
"""No two sizes are equal, so that a transposed or exchanged leaf shows."""

FACTORED = T5Config(
    vocab_size=384, emb_dim=128, num_heads=2, head_dim=64, mlp_dim=256,
    num_encoder_layers=1, num_decoder_layers=2,
)  # fmt: skip
"""Sides of 128 and more: second moments are factored."""

T5_1_0 = T5Config(
    vocab_size=40, emb_dim=12, num_heads=3, head_dim=5, mlp_dim=7,
    num_encoder_layers=2, num_decoder_layers=3,
    mlp_activations=("relu",), logits_via_embedding=True,
)  # fmt: skip


def values(config: T5Config, seed: int = 0) -> dict[str, np.ndarray]:
    """Random parameters under T5X's names, small enough for logits that float32 holds well."""
    draw = np.random.default_rng(seed)
    return {
        row.t5x(layer): (draw.normal(size=row.shape(config)) * 0.3 + (len(row.dims) == 1)).astype(
            np.float32
        )
        for row in expected(config)
        for layer in layers(row, config)
    }


def stacked(flat: dict[str, np.ndarray], config: T5Config) -> dict[str, Any]:
    """The same as this project's tree."""
    tree: dict[str, Any] = {}
    for row in expected(config):
        parts = [flat[row.t5x(layer)] for layer in layers(row, config)]
        insert(tree, row.name, np.stack(parts) if row.stack else parts[0])
    return tree


def insert(tree: dict[str, Any], name: str, leaf: Any) -> None:
    *folders, last = name.split("/")
    for folder in folders:
        tree = tree.setdefault(folder, {})
    tree[last] = leaf


def make_run(folder: Path, config: T5Config, *, seed: int = 0) -> dict[str, np.ndarray]:
    """A run's folder with one step, its Adafactor state drawn too; returns the parameters."""
    flat = values(config, seed)
    state = create_state(stacked(flat, config), adafactor(1e-3))
    draw = np.random.default_rng(seed + 1)
    moments = jax.tree.map(
        lambda x: x if x.ndim == 0 or x.shape == (1,) else draw.random(x.shape, np.float32),
        state.opt_state,
    )
    moments = moments._replace(step=np.asarray(70, np.int32))
    state = type(state)(np.asarray(70, np.int32), state.params, moments)
    state = jax.tree.map(jax.numpy.asarray, state)
    with Checkpoints(folder / "checkpoints") as saved:
        saved.save(70, state, extra={}, metric=0.5)
    return flat


def make_scalable(folder: Path, flat: dict[str, np.ndarray], config: T5Config) -> None:
    """What T5X's scalable_t5 leaves through Orbax: layers along dimension 1, a bias in each."""
    tree: dict[str, Any] = {}
    for row in expected(config):
        stack = row.name.split("/")[0]
        parts = [flat[row.t5x(layer)] for layer in layers(row, config)]
        if row.stack:
            name = row.name.replace("/layers/", f"/{stack}/")
            insert(tree, name, np.stack(parts, axis=1))
        elif row.dims[0] == "heads":
            count = getattr(config, f"num_{stack}_layers")
            name = f"{stack}/{row.name}"
            insert(tree, name, np.stack(parts * count, axis=1))
        else:
            insert(tree, row.name, parts[0])
    with ocp.PyTreeCheckpointer() as saver:
        saver.save(folder.absolute(), {"target": tree, "state": {"step": np.int32(9)}})


def to(source: Path, target: Path, layout: str, **options: Any) -> Path:
    """Converts; the target's folder."""
    conversion = Conversion(source=str(source), target=target, to=layout, **options)  # type: ignore[arg-type]
    convert(conversion, *prepare(conversion))
    return target


def read(path: Path) -> dict[str, np.ndarray]:
    """Every parameter under T5X's name."""
    return {p.name: np.array(v) for p, v in stream(make_plan(open_source(str(path))).parts)}


def read_moments(path: Path) -> dict[str, np.ndarray]:
    """Every second moment under T5X's name."""
    return {p.name: np.array(v) for p, v in stream(make_plan(open_source(str(path))).moments)}


def require_equal(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    """Bit for bit, dtypes included."""
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype, name
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def refused(arguments: Sequence[str], target: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Runs a conversion that must fail cleanly; returns its one line."""
    capsys.readouterr()
    before = set(target.parent.iterdir()) if target.parent.is_dir() else set()
    assert main(["convert", *arguments, str(target)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert error.startswith("flan-t5x: error: ")
    after = set(target.parent.iterdir()) if target.parent.is_dir() else set()
    assert after == before, "something was left behind"
    return error


def abstract(config: T5Config) -> Any:
    return Model(config).abstract_params


def files(folder: Path) -> Iterator[Path]:
    return (p for p in folder.rglob("*") if p.is_file())
