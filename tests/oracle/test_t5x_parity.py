"""Logits, losses, updates and greedy tokens against outputs of real T5X."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest

from flan_t5x.decode.beam import beam_search
from flan_t5x.decode.sampling import decode
from flan_t5x.model.config import T5Config
from flan_t5x.model.losses import loss_sums
from flan_t5x.model.model import Model, Params
from flan_t5x.train.optimizer import adafactor
from flan_t5x.train.state import create_state
from flan_t5x.train.step import StepConfig, train_step

from .t5x_files import FACTORED, T5X, load_batch, load_params

Batch = dict[str, np.ndarray]
UNPACKED = (
    "encoder_input_tokens",
    "decoder_input_tokens",
    "decoder_target_tokens",
    "decoder_loss_weights",
)


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


ORACLES = [("t5x", T5X), ("t5x_factored", FACTORED)]


@functools.cache
def compiled_step(config: T5Config) -> tuple[optax.GradientTransformation, Any]:
    """T5X's Adafactor, and the step with its plain sum of the loss."""
    model, optimizer = Model(config), adafactor(1e-3)
    step_config = StepConfig(z_loss=1e-4, loss_normalizing_factor=None)
    step = jax.jit(
        lambda s, b: train_step(s, b, model=model, optimizer=optimizer, config=step_config)
    )
    return optimizer, step


def three_steps(
    folder: Path, config: T5Config, layout: Callable[[Batch], Batch]
) -> tuple[list[float], Params]:
    """Summed losses of three Adafactor steps on T5X's batches, and the parameters after them."""
    data = np.load(folder / "data.npz")
    optimizer, step = compiled_step(config)
    state = create_state(load_params(folder / "params_init.npz"), optimizer)
    losses = []
    for i in range(3):
        batch = layout(load_batch(data, f"batch{i}"))
        tokens = float(np.sum(batch["decoder_loss_weights"]))
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]) * tokens)
    return losses, state.params


def as_packed(batch: Batch) -> Batch:
    """As T5X was given it."""
    return batch


def rows_turned(batch: Batch) -> Batch:
    """The same rows in the opposite order: the same sums, added up differently."""
    return {name: array[::-1].copy() for name, array in batch.items()}


def one_example_a_row(batch: Batch) -> Batch:
    """Unpacked: every example alone in a row, padded behind, without segment ids; 16 rows."""
    examples: dict[str, list[np.ndarray]] = {name: [] for name in UNPACKED}
    for row in range(len(batch["encoder_segment_ids"])):
        for segment in range(1, batch["decoder_segment_ids"][row].max() + 1):
            for name, rows in examples.items():
                side = name.split("_")[0]
                own = batch[f"{side}_segment_ids"][row] == segment
                rows.append(np.pad(batch[name][row][own], (0, np.count_nonzero(~own))))
    return {
        name: np.pad(np.stack(rows), ((0, 16 - len(rows)), (0, 0)))
        for name, rows in examples.items()
    }


@pytest.mark.parametrize("layout", [as_packed, rows_turned, one_example_a_row])
@pytest.mark.parametrize(("name", "config"), ORACLES)
def test_three_adafactor_steps_equal_t5x(
    shared: Path, name: str, config: T5Config, layout: Callable[[Batch], Batch]
) -> None:
    """T5X's plain sum loss; the parameters after three steps agree to reduction-order noise.

    How large that noise is, `rows_turned` tells: it changes nothing but the order of sums.
    """
    folder = shared / "oracle" / name
    losses, params = three_steps(folder, config, layout)
    theirs = np.load(folder / "data.npz")["loss_per_step"]
    gaps = jax.tree.map(
        lambda x, y: float(np.abs(x - y).max() / np.abs(y).max()),
        params,
        load_params(folder / "params_step3.npz"),
    )
    worst = max(jax.tree.leaves(gaps))
    loss_gap = np.abs(np.array(losses) / theirs - 1).max()
    print(f"{name}, {layout.__name__}: losses within {loss_gap:.1e}, parameters within {worst:.1e}")
    np.testing.assert_allclose(losses, theirs, rtol=1e-6)
    assert worst < 1e-5, gaps


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
