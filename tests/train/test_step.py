"""A step that is compiled beside other work."""

from __future__ import annotations

import threading

import jax
import jax.numpy as jnp
import pytest

from flan_t5x.parallel.mesh import make_mesh
from flan_t5x.train.step import MODEL_FEATURES, abstract_batch, compiling_ahead

X = jax.ShapeDtypeStruct((4,), jnp.float32)


def test_it_is_compiled_in_another_thread_while_the_block_goes_on() -> None:
    here, threads = threading.current_thread(), []
    goes_on = threading.Event()

    def step(state: jax.Array, batch: jax.Array) -> jax.Array:
        threads.append(threading.current_thread())
        assert goes_on.wait(30)  # would never end if the block waited for it
        return state + batch

    with compiling_ahead(jax.jit(step), X, X) as compiled:
        goes_on.set()
        assert compiled()(jnp.ones(4), jnp.ones(4)).tolist() == [2.0] * 4
        assert compiled() is compiled()
    assert len(threads) == 1
    assert threads[0] is not here


def test_what_goes_wrong_is_raised_where_the_program_is_asked_for() -> None:
    def step(state: jax.Array, batch: jax.Array) -> jax.Array:
        raise TypeError("shapes do not meet")

    with (
        compiling_ahead(jax.jit(step), X, X) as compiled,
        pytest.raises(TypeError, match="do not meet"),
    ):
        compiled()


def test_the_batch_has_the_lengths_of_both_sides() -> None:
    mesh = make_mesh({"data": -1})
    batch = abstract_batch(8, {"inputs": 32, "targets": 16}, mesh)
    assert set(batch) == set(MODEL_FEATURES)
    for name, shape in batch.items():
        assert shape.shape == (8, 32 if name.startswith("encoder") else 16)
        assert shape.sharding.shard_shape(shape.shape)[0] == 8 // mesh.size
