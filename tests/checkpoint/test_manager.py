"""Checkpoints: what stays, exactness, other meshes, and bad input."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from flan_t5x.checkpoint.disk import bytes_on_disk
from flan_t5x.checkpoint.manager import Checkpoints, find_step, read_extra, read_params
from flan_t5x.errors import UserError
from tests.checkpoint.states import (
    abstract_state,
    assert_bitwise_equal,
    device_state,
    host_state,
)

TINY = {"width": 4, "layers": 1}


def on_disk(directory: Path) -> list[int]:
    return sorted(int(p.name) for p in directory.iterdir() if p.name.isdecimal())


HISTORIES = {
    "falling": ([0.5, 0.4, 0.3, 0.2], [100, 400], 100),
    "rising": ([0.2, 0.3, 0.4, 0.5], [400], 400),
    "nan after the best": ([0.2, 0.9, math.nan, 0.5], [200, 400], 200),
    "nan last": ([0.2, 0.9, 0.5, math.nan], [200, 400], 200),
    "nan first": ([math.nan, 0.1, math.inf, 0.05], [200, 400], 200),
    "none after the best": ([0.2, 0.9, None, None], [200, 400], 200),
    "mostly none": ([None, None, 0.1, None], [300, 400], 300),
    "never a metric": ([None, math.nan, None, None], [400], None),
    "ties go to the later": ([0.5, 0.5, 0.5, 0.4], [300, 400], 300),
    "negative": ([-2.0, -1.0, -3.0, -4.0], [200, 400], 200),
}


@pytest.mark.parametrize(
    ("name", "reopen"),
    [*((name, True) for name in HISTORIES), ("falling", False), ("nan after the best", False)],
)
def test_newest_and_best_survive(tmp_path: Path, name: str, reopen: bool) -> None:
    """Trap 1: Orbax's own settings lose one or the other in several of these cases."""
    metrics, kept, best = HISTORIES[name]
    checkpoints = Checkpoints(tmp_path)
    for step, metric in zip((100, 200, 300, 400), metrics, strict=True):
        if reopen:
            checkpoints.close()
            checkpoints = Checkpoints(tmp_path)
        assert checkpoints.save(step, {"params": {"w": jnp.full(2, step)}}, metric=metric)
    checkpoints.close()
    assert on_disk(tmp_path) == kept
    with Checkpoints(tmp_path) as reopened:
        assert reopened.steps() == kept
        assert reopened.newest() == 400
        assert reopened.best() == best
        for step in kept:
            state, _ = reopened.restore({"params": {"w": jnp.zeros(2, jnp.int32)}}, step)
            assert state["params"]["w"].tolist() == [step, step]


@hypothesis.settings(max_examples=5, deadline=None)
@hypothesis.given(
    metrics=st.lists(
        st.one_of(st.none(), st.sampled_from([math.nan, 0.0, 0.25, 0.5, 1.0])),
        min_size=2,
        max_size=5,
    ),
    reopened=st.sets(st.integers(0, 4)),
)
def test_any_history_keeps_newest_and_best(
    tmp_path_factory: pytest.TempPathFactory, metrics: list[float | None], reopened: set[int]
) -> None:
    directory = tmp_path_factory.mktemp("history")
    checkpoints = Checkpoints(directory)
    for step, metric in enumerate(metrics):
        if step in reopened:
            checkpoints.close()
            checkpoints = Checkpoints(directory)
        checkpoints.save(step, {"params": {"w": jnp.full(2, step)}}, metric=metric)
    checkpoints.close()
    finite = [(m, s) for s, m in enumerate(metrics) if m is not None and math.isfinite(m)]
    with Checkpoints(directory) as found:
        assert found.newest() == len(metrics) - 1
        assert found.best() == (max(finite)[1] if finite else None)
        assert found.best_metric() == (max(finite)[0] if finite else None)


def test_more_may_be_kept(tmp_path: Path) -> None:
    with Checkpoints(tmp_path, keep_newest=2, keep_best=2) as checkpoints:
        for step, metric in enumerate([0.9, 0.1, 0.8, 0.2, 0.3]):
            checkpoints.save(step, device_state(step, **TINY), metric=metric)
    assert on_disk(tmp_path) == [0, 2, 3, 4]


def test_bitwise_round_trip_with_extra(tmp_path: Path) -> None:
    odd = np.array([np.nan, -0.0, np.inf, 1e-45], dtype=np.float32)
    odd.view(np.uint32)[0] |= 0xBEEF  # a NaN with a payload
    state = device_state(7) | {"odd": jnp.asarray(odd), "flags": jnp.array([True, False])}
    extra = {"stream": {"window": 3, "row": 17}, "notes": ["ä", None, 0.1]}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(7, state, extra=extra)
        restored, found = checkpoints.restore(state)
    assert_bitwise_equal(restored, jax.device_get(state))
    assert found == extra
    assert read_extra(tmp_path) == extra


def test_the_saved_state_may_be_donated_at_once(tmp_path: Path) -> None:
    step_fn = jax.jit(lambda tree: jax.tree.map(lambda x: x * 0 - 1, tree), donate_argnums=0)
    with Checkpoints(tmp_path, keep_newest=8) as checkpoints:
        for step in range(4):
            state = device_state(step)
            arrays = {k: v for k, v in state.items() if k != "step"}
            checkpoints.save(step, {"step": step, **arrays})
            for _ in range(3):
                arrays = step_fn(arrays)
            jax.block_until_ready(arrays)
        for step in range(4):
            assert_bitwise_equal(checkpoints.restore(abstract_state(), step)[0], host_state(step))


def sharded(mesh: jax.sharding.Mesh, tree: dict) -> dict:
    """Abstract leaves, the first dimension that divides evenly split over each mesh axis."""

    def place(leaf: object) -> object:
        if isinstance(leaf, int):
            return leaf
        names, axes = [None] * leaf.ndim, list(mesh.axis_names)
        for dimension, size in enumerate(leaf.shape):
            if axes and size % mesh.shape[axes[0]] == 0:
                names[dimension] = axes.pop(0)
        sharding = NamedSharding(mesh, PartitionSpec(*names))
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    return jax.tree.map(place, tree)


MESHES = {"8": (8,), "2x4": (2, 4), "4x2": (4, 2), "1": (1,)}


@pytest.mark.parametrize(
    ("saved", "wanted"), [("8", "2x4"), ("2x4", "4x2"), ("4x2", "1"), ("1", "8")]
)
def test_restores_onto_another_mesh(tmp_path: Path, saved: str, wanted: str) -> None:
    if jax.device_count() < 8:
        pytest.skip("needs eight simulated devices (tests/conftest.py asks for them)")

    def mesh(shape: tuple[int, ...]) -> jax.sharding.Mesh:
        devices = np.array(jax.devices()[: math.prod(shape)]).reshape(shape)
        return jax.sharding.Mesh(devices, ("data", "tensor")[: len(shape)])

    values, abstract = host_state(3), abstract_state()
    old, new = (sharded(mesh(MESHES[name]), abstract) for name in (saved, wanted))
    state = jax.tree.map(
        lambda leaf, spec: leaf if isinstance(leaf, int) else jax.device_put(leaf, spec.sharding),
        values,
        old,
    )
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(3, state)
    with Checkpoints(tmp_path) as checkpoints:
        restored, _ = checkpoints.restore(new)
    assert_bitwise_equal(restored, values)
    for leaf, spec in zip(jax.tree.leaves(restored), jax.tree.leaves(new), strict=True):
        if not isinstance(spec, int):
            assert leaf.sharding == spec.sharding


def test_an_existing_step_is_left_alone_and_takes_a_late_metric(tmp_path: Path) -> None:
    """A run stopped by SIGTERM saves before it evaluates; the resumed one evaluates first."""
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, device_state(1, **TINY), metric=0.1)
        checkpoints.save(2, device_state(2, **TINY))
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.best() == 1
        assert not checkpoints.save(2, device_state(99, **TINY), metric=0.7)
        assert checkpoints.best() == 2
        assert_bitwise_equal(checkpoints.restore(abstract_state(**TINY))[0], host_state(2, **TINY))
        assert not checkpoints.save(2, device_state(2, **TINY), metric=math.nan)
        assert checkpoints.best_metric() == 0.7
    with Checkpoints(tmp_path) as checkpoints:
        assert (checkpoints.best(), checkpoints.best_metric()) == (2, 0.7)
        for step in (3, 4):
            checkpoints.save(step, device_state(step, **TINY), metric=0.2)
    assert on_disk(tmp_path) == [2, 4]


def test_parameters_alone_come_from_the_best_step(tmp_path: Path) -> None:
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(1, device_state(1), metric=0.9)
        checkpoints.save(2, device_state(2), metric=0.5)
    for place in (tmp_path, tmp_path / "checkpoints", tmp_path / "checkpoints" / "1"):
        params = read_params(place)
        assert_bitwise_equal(params, host_state(1)["params"])
        assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(params))
    assert_bitwise_equal(read_params(tmp_path, 2), host_state(2)["params"])
    assert find_step(tmp_path).name == "1"


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class State:
    step: jax.Array
    params: dict
    slots: tuple


def test_a_state_may_be_a_dataclass(tmp_path: Path) -> None:
    host = host_state(6)
    state = State(
        step=jnp.int32(6),
        params=device_state(6)["params"],
        slots=(jnp.ones(3), {"m": jnp.zeros(2)}),
    )
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(6, state)
        restored, _ = checkpoints.restore(jax.eval_shape(lambda: state))
    assert_bitwise_equal(restored, jax.device_get(state))
    assert_bitwise_equal(read_params(tmp_path), host["params"])


def test_plain_orbax_can_read_a_step(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(5, device_state(5))
    restored = ocp.StandardCheckpointer().restore(tmp_path / "5" / "state", device_state(0))
    assert_bitwise_equal(restored, host_state(5))


def test_another_vocabulary_is_refused_by_leaf(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, device_state(1))
        wanted = abstract_state()
        wanted["params"]["embedding"] = jax.ShapeDtypeStruct((128, 64), jnp.float32)
        wanted["params"]["head"] = jax.ShapeDtypeStruct((64, 96), jnp.float32)
        del wanted["optimizer"]["count"]
        wanted["ema"] = jax.ShapeDtypeStruct((), jnp.float32)
        with pytest.raises(UserError) as caught:
            checkpoints.restore(wanted)
    message = str(caught.value)
    assert "\n" not in message
    assert str(tmp_path / "1") in message
    for part in (
        "params/embedding is float32[96, 64] in the checkpoint and float32[128, 64] in the model",
        "params/head is bfloat16[64, 96] in the checkpoint and float32[64, 96] in the model",
        "ema is not in the checkpoint",
        "optimizer/count is not in the model",
    ):
        assert part in message
    assert on_disk(tmp_path) == [1]


def test_absent_steps_are_named(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        assert (checkpoints.newest(), checkpoints.best(), checkpoints.steps()) == (None, None, [])
        with pytest.raises(UserError, match="no complete checkpoint in"):
            checkpoints.restore(abstract_state())
        checkpoints.save(3, device_state(3, **TINY))
        with pytest.raises(UserError, match=r"no checkpoint of step 4 in .* there are: 3"):
            checkpoints.restore(abstract_state(**TINY), 4)
        with pytest.raises(UserError, match="step 2 comes before the newest checkpoint, step 3"):
            checkpoints.save(2, device_state(2, **TINY))
    with pytest.raises(UserError, match=r"no checkpoint of step 4 in .* there are: 3"):
        read_params(tmp_path, 4)
    with pytest.raises(UserError, match="no complete checkpoint in"):
        read_params(tmp_path / "nowhere")


def test_unusable_folders_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot use .*file/checkpoints for checkpoints"):
        Checkpoints(tmp_path / "file" / "checkpoints")
    with pytest.raises(UserError, match=r"gs://bucket/run is not a local folder"):
        Checkpoints("gs://bucket/run")
    with pytest.raises(UserError, match="keep_newest must be at least 1"):
        Checkpoints(tmp_path, keep_newest=0)


def test_extra_must_be_json(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(TypeError, match="JSON"):
            checkpoints.save(1, device_state(1, **TINY), extra={"rows": {1, 2}})
        checkpoints.save(1, device_state(1, **TINY))
    assert on_disk(tmp_path) == [1]


def test_the_size_is_known_beforehand(tmp_path: Path) -> None:
    state = device_state(1, width=256)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state)
    used = sum(p.stat().st_size for p in (tmp_path / "1").rglob("*") if p.is_file())
    assert used <= bytes_on_disk(state) <= 1.4 * used


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, device_state(1, **TINY))
        checkpoints.save(2, device_state(2, **TINY), metric=math.nan)
        checkpoints.restore(abstract_state(**TINY))
    read_params(tmp_path)
    assert capfd.readouterr() == ("", "")
