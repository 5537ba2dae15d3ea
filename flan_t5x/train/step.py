"""One training step: loss, gradient, update; compiled once, with its state donated."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, Key

from flan_t5x.errors import UserError
from flan_t5x.model import lora
from flan_t5x.model.losses import LossSums, loss_sums
from flan_t5x.model.model import Model, Params
from flan_t5x.parallel.mesh import BATCH_AXES, batch_divisor
from flan_t5x.parallel.rules import Rules, batch_sharding, replicated
from flan_t5x.train.accumulation import Layout, accumulate
from flan_t5x.train.state import TrainState

Batch = Mapping[str, Int[Array, "batch length"]]
Metrics = dict[str, Float[Array, ""]]

MODEL_FEATURES = (
    "encoder_input_tokens",
    "encoder_segment_ids",
    "decoder_input_tokens",
    "decoder_target_tokens",
    "decoder_segment_ids",
    "decoder_loss_weights",
)
"""What of a batch the step reads (T5's relative bias needs no positions)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepConfig:
    """How the loss is formed and the batch divided.

    Attributes:
        z_loss: coefficient of log(Z)^2.
        label_smoothing: share of the target distribution spread over the vocabulary.
        loss_normalizing_factor: "NUM_REAL_TARGET_TOKENS" (default here), None for T5X's plain
            sum, or a number.
        num_microbatches: parts into which the batch is divided, one after the other; gradients
            are summed, so the update is the same.
        seed: of dropout; a row's key is a function of (seed, step, row in the batch).
    """

    z_loss: float = 1e-4
    label_smoothing: float = 0.0
    loss_normalizing_factor: str | float | None = "NUM_REAL_TARGET_TOKENS"
    num_microbatches: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        factor = self.loss_normalizing_factor
        named = factor is None or factor == "NUM_REAL_TARGET_TOKENS"
        if not named and not (isinstance(factor, int | float) and factor > 0):
            raise UserError(
                f"loss_normalizing_factor = {factor!r}: use 'NUM_REAL_TARGET_TOKENS', None "
                "(T5X's sum) or a positive number"
            )
        if not isinstance(self.num_microbatches, int) or self.num_microbatches < 1:
            raise UserError(f"num_microbatches = {self.num_microbatches!r}: a whole number >= 1")
        if not 0.0 <= self.label_smoothing < 1.0:
            raise UserError(f"label_smoothing = {self.label_smoothing!r}: needs 0 <= value < 1")


def dropout_keys(seed: int, step: Int[Array, ""], rows: Int[Array, " rows"]) -> Key[Array, " rows"]:
    """One key per row: a function of (seed, step, row), not of devices or microbatches."""
    key = jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), step)
    return jax.vmap(jax.random.fold_in, (None, 0))(key, rows)


def train_step(
    state: TrainState,
    batch: Batch,
    *,
    model: Model,
    optimizer: optax.GradientTransformation,
    config: StepConfig,
    layout: Layout | None = None,
) -> tuple[TrainState, Metrics]:
    """One update.

    Args:
        state: is consumed (donated) by the compiled step.
        batch: features of `MODEL_FEATURES`, each [batch, length] int32.
        model: gives logits.
        optimizer: an Optax transformation.
        config: loss and microbatches.
        layout: how arrays lie on a mesh; None on one device.

    Returns:
        The next state, and scalars: loss (per real target token, z-loss included),
        cross_entropy and z_loss per token, accuracy, target_tokens, input_tokens, slots,
        grad_norm, param_norm; `finite` is 0 if the loss or a gradient is not a number (the
        loop then stops, and never saves that state).
    """
    grads, sums = _gradients(state, batch, model=model, config=config, layout=layout)
    factor = config.loss_normalizing_factor
    if factor is not None:
        divisor = sums.weight if isinstance(factor, str) else jnp.float32(factor)
        divisor = jnp.maximum(divisor, 1.0)
        grads = jax.tree.map(lambda g: g / divisor, grads)
    grad_norm = optax.global_norm(grads)
    finite = jnp.isfinite(sums.loss) & jnp.isfinite(grad_norm)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    tokens = jnp.maximum(sums.weight, 1.0)
    inputs = batch["encoder_input_tokens"]
    metrics = {
        "loss": sums.loss / tokens,
        "cross_entropy": sums.cross_entropy / tokens,
        "z_loss": sums.z_loss / tokens,
        "accuracy": sums.correct / tokens,
        "target_tokens": sums.weight,
        "input_tokens": jnp.sum(inputs > 0).astype(jnp.float32),
        "slots": jnp.float32(inputs.size + batch["decoder_target_tokens"].size),
        "grad_norm": grad_norm,
        "param_norm": optax.global_norm(params),
        "finite": finite.astype(jnp.float32),
    }
    return TrainState(state.step + 1, params, opt_state, state.frozen), metrics


def compile_step(
    model: Model,
    optimizer: optax.GradientTransformation,
    *,
    config: StepConfig,
    mesh: Mesh,
    shardings: TrainState,
    rules: Rules,
) -> jax.stages.Wrapped:
    """`train_step` under jit, (state, batch) -> (state, metrics); the state is donated."""

    layout = Layout(mesh, rules, shardings.params)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        return train_step(
            state, batch, model=model, optimizer=optimizer, config=config, layout=layout
        )

    return jax.jit(
        step,
        in_shardings=(shardings, batch_sharding(mesh)),
        out_shardings=(shardings, replicated(mesh)),
        donate_argnums=0,
    )


CompiledStep = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def abstract_batch(
    batch_size: int, lengths: Mapping[str, int], mesh: Mesh
) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of the features of `MODEL_FEATURES`, each [batch_size, length] int32, rows divided.

    Args:
        batch_size: rows of the global batch.
        lengths: of "inputs" and "targets".
        mesh: over whose devices the rows are divided.
    """
    sharding = batch_sharding(mesh)
    return {
        name: jax.ShapeDtypeStruct(
            (batch_size, lengths["inputs" if name.startswith("encoder") else "targets"]),
            np.int32,
            sharding=sharding,
        )
        for name in MODEL_FEATURES
    }


@contextlib.contextmanager
def compiling_ahead(
    step: jax.stages.Wrapped,
    state: TrainState,
    batch: Mapping[str, jax.ShapeDtypeStruct],
    *,
    saved: Callable[[jax.stages.Lowered], jax.stages.Compiled | None] = lambda _: None,
) -> Iterator[Callable[[], CompiledStep]]:
    """Compiles a step beside what happens in the block; yields what waits for the program.

    The evaluation before the first step and its own compilation leave a CPU's cores, or a TPU
    host, time for this one. Leaving the block waits for a compilation that has begun.

    Args:
        step: from `compile_step`.
        state: abstract, with shardings.
        batch: from `abstract_batch`.
        saved: the program that was compiled before, where there is one.
    """

    def program() -> CompiledStep:
        lowered = step.lower(state, batch)
        return saved(lowered) or lowered.compile()

    with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="compile") as executor:
        yield executor.submit(program).result


def _gradients(
    state: TrainState, batch: Batch, *, model: Model, config: StepConfig, layout: Layout | None
) -> tuple[Params, LossSums]:
    """Gradient of the summed loss by what is trained, and the sums, over all microbatches."""
    rows = batch["encoder_input_tokens"].shape[0]
    adapters = model.config.lora
    drops = model.config.dropout_rate > 0.0 or (adapters is not None and adapters.dropout > 0.0)
    keys = dropout_keys(config.seed, state.step, jnp.arange(rows)) if drops else None

    def loss(params: Params, part: Batch, part_keys: Any) -> tuple[Array, LossSums]:
        whole = lora.join(state.frozen, params)
        logits = model.logits(whole, dict(part), dropout_keys=part_keys)
        sums = loss_sums(
            logits,
            part["decoder_target_tokens"],
            part["decoder_loss_weights"],
            z_loss=config.z_loss,
            label_smoothing=config.label_smoothing,
        )
        return sums.loss, sums

    def gradient(params: Params, part: tuple[Batch, Any]) -> tuple[Params, LossSums]:
        (_, sums), grads = jax.value_and_grad(loss, has_aux=True)(params, *part)
        return grads, sums

    # Segment ids may be missing: then every row is one example.
    features = {name: batch[name] for name in MODEL_FEATURES if name in batch}
    return accumulate(
        gradient,
        state.params,
        (features, keys),
        num_microbatches=config.num_microbatches,
        layout=layout,
    )


def check_batch(batch_size: int, *, mesh: Mesh, num_microbatches: int) -> None:
    """Raises UserError where rows do not divide over devices and microbatches."""
    parts = batch_divisor(mesh)
    unit = parts * num_microbatches
    if batch_size < 1 or batch_size % unit:
        lower, upper = max(batch_size // unit, 1) * unit, (batch_size // unit + 1) * unit
        raise UserError(
            f"batch_size {batch_size} is not divisible by {parts} mesh parts "
            f"({', '.join(f'{a}={mesh.shape[a]}' for a in BATCH_AXES)}) times "
            f"{num_microbatches} microbatches = {unit}; {lower} or {upper} would work"
        )
