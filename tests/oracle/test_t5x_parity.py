"""Logits, losses, updates and greedy tokens against outputs of real T5X."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from flan_t5x.decode.beam import beam_search
from flan_t5x.decode.sampling import decode
from flan_t5x.model.losses import loss_sums
from flan_t5x.model.model import Model, Params
from flan_t5x.train.optimizer import adafactor
from flan_t5x.train.state import create_state
from flan_t5x.train.step import StepConfig, train_step

from .t5x_files import FACTORED, T5X, load_batch, load_params


@pytest.mark.parametrize("unroll", [1, 0])
@pytest.mark.parametrize(
    ("params", "batch"),
    [("init", "batch0"), ("init", "unpacked"), ("step3", "batch0")],
)
def test_logits_equal_t5x(shared: Path, params: str, batch: str, unroll: int) -> None:
    folder = shared / "oracle" / "t5x"
    data = np.load(folder / "data.npz")
    model = Model(dataclasses.replace(T5X, unroll_layers=unroll))
    logits = jax.jit(model.logits)(
        load_params(folder / f"params_{params}.npz"), load_batch(data, batch)
    )
    np.testing.assert_allclose(logits, data[f"logits_{params}/{batch}"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("name", "config"), [("t5x", T5X), ("t5x_factored", FACTORED)])
def test_three_adafactor_steps_equal_t5x(shared: Path, name: str, config: object) -> None:
    """T5X's plain sum loss; the parameters after three steps agree to reduction-order noise."""
    folder = shared / "oracle" / name
    data = np.load(folder / "data.npz")
    model = Model(config)  # type: ignore[arg-type]
    optimizer = adafactor(1e-3)
    state = create_state(load_params(folder / "params_init.npz"), optimizer)
    step_config = StepConfig(z_loss=1e-4, loss_normalizing_factor=None)
    step = jax.jit(
        lambda s, b: train_step(s, b, model=model, optimizer=optimizer, config=step_config)
    )
    for i in range(3):
        batch = load_batch(data, f"batch{i}")
        tokens = float(np.sum(batch["decoder_loss_weights"]))
        state, metrics = step(state, batch)
        loss = float(metrics["loss"]) * tokens
        np.testing.assert_allclose(loss, data["loss_per_step"][i], rtol=1e-6)
    expected = load_params(folder / "params_step3.npz")

    def compare(path: object, ours: jax.Array, theirs: jax.Array) -> None:
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours / scale, theirs / scale, atol=1e-5, err_msg=str(path))

    jax.tree_util.tree_map_with_path(compare, state.params, expected)


def test_optax_adafactor_treats_stacked_layers_as_one_parameter(shared: Path) -> None:
    """Guards the reason for having our own: on stacked layers optax leaves T5X's path at once."""
    folder = shared / "oracle" / "t5x"
    data = np.load(folder / "data.npz")
    model = Model(T5X)
    params = load_params(folder / "params_init.npz")
    batch = load_batch(data, "batch0")

    def loss(p: Params) -> jax.Array:
        logits = model.logits(p, batch)
        sums = loss_sums(logits, batch["decoder_target_tokens"], batch["decoder_loss_weights"])
        return sums.loss

    grads = jax.jit(jax.grad(loss))(params)
    ours, theirs = adafactor(1e-3), optax.adafactor(1e-3)
    a, _ = jax.jit(ours.update)(grads, ours.init(params), params)
    b, _ = jax.jit(theirs.update)(grads, theirs.init(params), params)
    gaps = jax.tree.map(lambda x, y: float(np.abs(x - y).max() / np.abs(x).max()), a, b)
    assert max(jax.tree.leaves(gaps["decoder"]["layers"])) > 1e-2
    assert gaps["token_embedder"]["embedding"] < 1e-6


@pytest.mark.parametrize("params", ["init", "step3"])
def test_greedy_tokens_equal_t5x(shared: Path, params: str) -> None:
    folder = shared / "oracle" / "t5x"
    data = np.load(folder / "data.npz")
    expected = data[f"greedy_{params}/tokens"]
    prompts = data["unpacked/encoder_input_tokens"]
    result = decode(
        Model(T5X), load_params(folder / f"params_{params}.npz"), prompts, max_length=16
    )
    np.testing.assert_array_equal(result.tokens, expected.reshape(len(prompts), -1))


@pytest.mark.parametrize("params", ["init", "step3"])
def test_beam_search_equals_t5x(shared: Path, params: str) -> None:
    """All four beams to the letter; T5X lists them worst first."""
    folder = shared / "oracle" / "t5x"
    data = np.load(folder / "data.npz")
    weights = load_params(folder / f"params_{params}.npz")
    model = Model(T5X)
    search = jax.jit(lambda p, x: beam_search(model, p, x, max_length=16, beams=4, alpha=0.6))
    result = search(weights, data["unpacked/encoder_input_tokens"])
    np.testing.assert_array_equal(result.tokens, data[f"beam4_{params}/tokens"][:, ::-1])
    np.testing.assert_allclose(result.scores, data[f"beam4_{params}/scores"][:, ::-1], rtol=1e-5)
