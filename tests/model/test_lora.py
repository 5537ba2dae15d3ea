"""Low-rank adapters in the model: what they compute, what is trained, how they leave again."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax
import numpy as np
import optax
import pytest

from flan_t5x.errors import UserError
from flan_t5x.model import lora
from flan_t5x.model.config import LoraConfig, T5Config
from flan_t5x.model.model import Model
from flan_t5x.parallel.mesh import make_mesh
from flan_t5x.parallel.rules import RULES
from flan_t5x.train.optimizer import adafactor, adamw
from flan_t5x.train.state import TrainState, create_state, state_shardings
from flan_t5x.train.step import MODEL_FEATURES, StepConfig, compile_step, train_step

PLAIN = T5Config(
    vocab_size=96, emb_dim=32, num_heads=4, head_dim=8, mlp_dim=64,
    num_encoder_layers=2, num_decoder_layers=3,
    unroll_layers=1,  # compiles in a fraction of the time
)  # fmt: skip
LORA = LoraConfig(rank=4, alpha=8.0, targets=("query", "value", "wi_0", "wo"), dropout=0.2)
CONFIG = dataclasses.replace(PLAIN, lora=LORA)
KEY = jax.random.key(0)


def batch(rows: int = 8) -> dict[str, np.ndarray]:
    tokens = np.random.default_rng(1).integers(3, PLAIN.vocab_size, (rows, 6)).astype(np.int32)
    ones = np.ones_like(tokens)
    parts = {name: ones if "segment" in name else tokens for name in MODEL_FEATURES}
    return parts | {"decoder_loss_weights": ones}


def moved(params: Any) -> Any:
    """The same base with adapters that are not zero."""
    base, adapters = lora.split(params)
    draw = np.random.default_rng(2)
    drawn = jax.tree.map(
        lambda x: np.asarray(x) + 0.1 * draw.standard_normal(x.shape, np.float32), adapters
    )
    return lora.join(base, drawn)


def equal(ours: Any, theirs: Any) -> list[bool]:
    """Of every leaf, whether it is the same to the bit."""
    return jax.tree.leaves(jax.tree.map(np.array_equal, ours, theirs))


@pytest.fixture(scope="module")
def params() -> Any:
    return jax.jit(Model(CONFIG).init)(KEY)


@functools.cache
def compiled_logits(config: T5Config) -> Any:
    return jax.jit(Model(config).logits)


def logits(config: T5Config, params: Any) -> np.ndarray:
    return np.asarray(compiled_logits(config)(params, batch()))


def test_new_adapters_change_nothing(params: Any) -> None:
    base, adapters = lora.split(params)
    plain = jax.jit(Model(PLAIN).init)(KEY)
    assert all(equal(base, plain))
    np.testing.assert_array_equal(logits(CONFIG, params), logits(PLAIN, base))
    query = adapters["decoder"]["layers"]["encoder_decoder_attention"]["query"]
    assert (query["lora_a"].shape, query["lora_b"].shape) == ((3, 32, 4), (3, 4, 32))
    assert not query["lora_b"].any()
    spread = float(np.abs(query["lora_a"]).max()) * 32**0.5
    assert 0.9 < spread <= 1.0
    assert "key" not in adapters["decoder"]["layers"]["self_attention"]


@pytest.mark.parametrize("unroll", [0, 1])
def test_merged_computes_the_same(params: Any, unroll: int) -> None:
    config = dataclasses.replace(CONFIG, unroll_layers=unroll)
    there = moved(params)
    base, _ = lora.split(there)
    merged = lora.merge(there, LORA)
    assert jax.tree.structure(merged) == jax.tree.structure(base)
    apart = logits(config, there)
    np.testing.assert_allclose(apart, logits(PLAIN, merged), atol=1e-5)
    assert np.abs(apart - logits(PLAIN, base)).max() > 0.1


def test_dropout_drops_the_input_of_a_alone(params: Any) -> None:
    """The model's own rate is 0 here; every layer and matrix draws its own mask."""
    model, keys = Model(CONFIG), jax.random.split(KEY, 8)
    drop = jax.jit(lambda p: model.logits(p, batch(), dropout_keys=keys))
    np.testing.assert_array_equal(np.asarray(drop(params)), logits(CONFIG, params))
    there = moved(params)
    assert np.abs(np.asarray(drop(there)) - logits(CONFIG, there)).max() > 1e-2


@pytest.mark.parametrize("optimizer", [adafactor(1e-2), adamw(1e-2)], ids=["adafactor", "adamw"])
def test_only_adapters_are_trained(params: Any, optimizer: optax.GradientTransformation) -> None:
    state = create_state(params, optimizer)
    trained = sum(x.size for x in jax.tree.leaves(state.params))
    assert trained == sum(x.size for x in jax.tree.leaves(lora.split(params)[1]))
    moments = sum(x.size for x in jax.tree.leaves(state.opt_state))
    assert moments <= 2 * trained + 2 * len(jax.tree.leaves(state.params)) + 2
    step = jax.jit(
        lambda s: train_step(
            s, batch(), model=Model(CONFIG), optimizer=optimizer, config=StepConfig()
        )
    )
    after, first = step(state)
    after, second = step(after)
    assert float(second["loss"]) < float(first["loss"])
    assert all(equal(state.frozen, after.frozen))
    assert not any(equal(state.params, after.params))


def test_sharded_steps_are_the_same(params: Any) -> None:
    optimizer = adamw(1e-2)
    losses, ends = [], []
    for sizes, name in (({"fsdp": 4, "tensor": 2}, "fsdp_tensor"), ({"data": 1}, "data_parallel")):
        mesh = make_mesh(sizes, devices=jax.devices()[: math.prod(sizes.values())])
        model = Model(CONFIG.for_mesh(mesh))
        shardings = state_shardings(model, optimizer, mesh=mesh, rules=RULES[name])
        start = jax.tree.map(np.asarray, create_state(moved(params), optimizer))
        state = jax.device_put(start, shardings)  # from NumPy: the step donates its buffers
        step = compile_step(
            model,
            optimizer,
            config=StepConfig(),
            mesh=mesh,
            shardings=shardings,
            rules=RULES[name],
        )
        for _ in range(2):
            state, metrics = step(state, batch())
            losses.append(float(metrics["loss"]))
        ends.append(jax.tree.map(np.asarray, state.params))
        a = state.params["encoder"]["layers"]["mlp"]["wo"]["lora_a"]
        assert ("tensor" in a.sharding.spec) == (name == "fsdp_tensor")
        assert isinstance(state, TrainState)
    np.testing.assert_allclose(losses[:2], losses[2:], rtol=1e-6)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5), *ends)


def test_a_tree_without_adapters_is_trained_whole() -> None:
    tree = {"encoder": {"scale": np.ones(3)}, "head": {"kernel": np.ones((2, 2))}}
    assert lora.split(tree) == ({}, tree)
    assert lora.join({}, tree) == tree
    state = create_state(tree, adafactor(1e-3))
    assert not state.frozen
    assert state.model_params == state.params
    assert state.saved.keys() == {"step", "params", "opt_state"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rank": 0}, "LoraConfig.rank = 0"),
        ({"alpha": 0}, "LoraConfig.alpha = 0: a number > 0"),
        ({"dropout": 1.0}, "LoraConfig.dropout = 1.0"),
        ({"targets": ()}, "targets is empty; it names some of query, key"),
        ({"targets": ("querry",)}, "'querry', no matrix of a layer; did you mean 'query'"),
        ({"targets": ("attention/k",)}, "known: query, key, value"),
    ],
)
def test_bad_values(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        LoraConfig(**values)


def test_a_target_that_this_model_lacks() -> None:
    config = dataclasses.replace(PLAIN, lora=LoraConfig(targets=("wi", "query")))
    with pytest.raises(UserError, match="this model has no wi in its layers"):
        Model(config)
