"""Conversion of checkpoints that real T5X wrote: every leaf, every name, and what they compute."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import flax.serialization
import jax
import numpy as np
import pytest

from flan_t5x.checkpoint.convert.plan import make_plan, stream
from flan_t5x.checkpoint.convert.run import Conversion, convert, prepare
from flan_t5x.checkpoint.convert.sniff import open_source
from flan_t5x.checkpoint.initial import load_initial, load_initial_moments
from flan_t5x.checkpoint.manager import Checkpoints
from flan_t5x.decode.beam import beam_search
from flan_t5x.decode.sampling import decode
from flan_t5x.model.model import Model
from flan_t5x.train.optimizer import adafactor
from flan_t5x.train.state import TrainState, create_state
from flan_t5x.train.step import StepConfig, train_step

from .t5x_files import FACTORED, T5X, load_batch, load_params

LEGACY = "oracle/t5x/t5x_legacy/checkpoint_3"
ORBAX = "oracle/t5x_orbax/checkpoint_3"


def to(source: Path | str, target: Path, layout: str) -> Path:
    conversion = Conversion(source=str(source), target=target, to=layout)  # type: ignore[arg-type]
    convert(conversion, *prepare(conversion))
    return target


@pytest.mark.parametrize("name", [LEGACY, ORBAX])
def test_every_leaf_of_a_t5x_checkpoint(shared: Path, name: str) -> None:
    expected = np.load(shared / "oracle/t5x/params_step3.npz")
    plan = make_plan(open_source(str(shared / name)))
    read = {part.name: values for part, values in stream(plan.parts)}
    assert read.keys() == set(expected.files)
    for leaf, values in read.items():
        np.testing.assert_array_equal(values, expected[leaf], err_msg=leaf)
    assert plan.source.step == 3


def test_both_formats_hold_the_same_optimizer_state(shared: Path) -> None:
    legacy, orbax = (make_plan(open_source(str(shared / name))) for name in (LEGACY, ORBAX))
    ours = {part.name: values for part, values in stream(legacy.moments)}
    theirs = {part.name: values for part, values in stream(orbax.moments)}
    assert ours.keys() == theirs.keys()
    assert len(ours) == 3 * len(legacy.parts)
    for name, values in ours.items():
        np.testing.assert_array_equal(values, theirs[name], err_msg=name)


def test_direct_start_computes_what_t5x_computes(shared: Path) -> None:
    data = np.load(shared / "oracle/t5x/data.npz")
    model = Model(T5X)
    legacy, orbax = (
        load_initial(str(shared / name), model.abstract_params, config=T5X)
        for name in (LEGACY, ORBAX)
    )
    assert jax.tree.all(jax.tree.map(np.array_equal, legacy, orbax))
    logits = jax.jit(model.logits)(legacy, load_batch(data, "batch0"))
    np.testing.assert_allclose(logits, data["logits_step3/batch0"], atol=1e-5, rtol=1e-5)


def test_greedy_and_beams_of_a_converted_checkpoint(shared: Path, tmp_path: Path) -> None:
    """T5X -> our files -> our model, token by token."""
    data = np.load(shared / "oracle/t5x/data.npz")
    prompts = data["unpacked/encoder_input_tokens"]
    model = Model(T5X)
    imported = to(shared / LEGACY, tmp_path / "imported", "flan_t5x")
    params = load_initial(str(imported), model.abstract_params)
    greedy = decode(model, params, prompts, max_length=16)
    expected = data["greedy_step3/tokens"].reshape(len(prompts), -1)
    np.testing.assert_array_equal(greedy.tokens, expected)
    search = jax.jit(lambda p, x: beam_search(model, p, x, max_length=16, beams=4, alpha=0.6))
    beams = search(params, prompts)
    np.testing.assert_array_equal(beams.tokens, data["beam4_step3/tokens"][:, ::-1])


@pytest.mark.parametrize("name", [LEGACY, ORBAX])
def test_written_t5x_files_are_t5xs_own(shared: Path, tmp_path: Path, name: str) -> None:
    """Same msgpack tree (specs included), same zarr metadata, same values, through our layout."""
    original = shared / LEGACY
    ours = to(to(shared / name, tmp_path / "ours", "flan_t5x"), tmp_path / "t5x", "t5x")
    assert same_tree(_unpack(ours), _unpack(original))
    written = {p.relative_to(ours) for p in ours.rglob("*") if p.is_file()}
    written.remove(Path("SHA256SUMS"))
    assert written == {p.relative_to(original) for p in original.rglob("*") if p.is_file()}
    for file in original.rglob(".zarray"):
        same = json.loads((ours / file.relative_to(original)).read_text())
        assert same == json.loads(file.read_text()), file
    read, expected = (make_plan(open_source(str(path))) for path in (ours, original))
    pairs = zip(
        stream([*read.parts, *read.moments]),
        stream([*expected.parts, *expected.moments]),
        strict=True,
    )
    for (part, values), (wanted, want) in pairs:
        assert part.name == wanted.name
        np.testing.assert_array_equal(values, want, err_msg=part.name)


def _unpack(folder: Path) -> dict[str, Any]:
    return flax.serialization.msgpack_restore((folder / "checkpoint").read_bytes())


def same_tree(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same_tree(ours[k], theirs[k]) for k in theirs)
    if isinstance(theirs, np.ndarray):
        return (
            ours.dtype == theirs.dtype
            and ours.shape == theirs.shape
            and np.array_equal(ours, theirs)
        )
    return bool(ours == theirs)


def test_imported_moments_are_t5xs(shared: Path) -> None:
    """The sum of every moment as T5X printed it, in the state that our Adafactor goes on with."""
    info = json.loads((shared / "oracle/t5x/info.json").read_text())
    abstract = jax.eval_shape(adafactor(1e-3).init, Model(T5X).abstract_params)
    state = load_initial_moments(str(shared / LEGACY), abstract)
    assert int(state.step) == info["step"] == 3
    parts = make_plan(open_source(str(shared / LEGACY))).moments
    assert len(parts) == 3 * 52
    for part in parts:
        tree = getattr(state, str(part.moment))
        for key in part.row.name.split("/"):
            tree = tree[key]
        used = part.layer is not None and tree.shape != (1,)
        found = (tree[part.layer] if used else tree).sum(dtype=np.float64)
        expected = info["opt_state_sums"][f"state/param_states/{part.name}"]
        np.testing.assert_allclose(found, expected, rtol=1e-6, err_msg=part.name)


def three_steps(shared: Path, name: str, config: Any) -> TrainState:
    """Our Adafactor on T5X's batches (tests/oracle/test_t5x_parity.py compares parameters)."""
    folder = shared / "oracle" / name
    data = np.load(folder / "data.npz")
    model, optimizer = Model(config), adafactor(1e-3)
    state = create_state(load_params(folder / "params_init.npz"), optimizer)
    step_config = StepConfig(z_loss=1e-4, loss_normalizing_factor=None)
    step = jax.jit(
        lambda s, b: train_step(s, b, model=model, optimizer=optimizer, config=step_config)
    )
    for i in range(3):
        state, _ = step(state, load_batch(data, f"batch{i}"))
    return state


def test_factored_state_exported_has_t5xs_leaves(shared: Path, tmp_path: Path) -> None:
    """Names, shapes, dtypes of every leaf, and the sums of the moments, as T5X printed them."""
    info = json.loads((shared / "oracle/t5x_factored/info.json").read_text())
    with Checkpoints(tmp_path / "checkpoints") as saved:
        saved.save(3, three_steps(shared, "t5x_factored", FACTORED))
    exported = to(tmp_path / "checkpoints", tmp_path / "t5x", "t5x")
    leaves = dict(_leaves(_unpack(exported)["optimizer"], exported))
    assert leaves.keys() == info["state_leaves"].keys()
    for name, (shape, dtype) in info["state_leaves"].items():
        assert (list(leaves[name].shape), str(leaves[name].dtype)) == (shape, dtype), name
    for name, total in info["opt_state_sums"].items():
        np.testing.assert_allclose(leaves[name].sum(dtype=np.float64), total, rtol=1e-5)


def _leaves(tree: Any, folder: Path, prefix: str = "") -> Any:
    """Every leaf of a legacy checkpoint, arrays on disk read by TensorStore alone."""
    import tensorstore as ts

    for key, value in tree.items():
        if isinstance(value, dict) and "kvstore" not in value:
            yield from _leaves(value, folder, f"{prefix}{key}/")
        elif isinstance(value, dict):
            path = str(folder / value["kvstore"]["path"]) + "/"
            spec = {**value, "kvstore": {"driver": "file", "path": path}}
            yield f"{prefix}{key}", ts.open(spec).result().read().result()
        else:
            yield f"{prefix}{key}", np.asarray(value)
