"""What is benched: a model with its shapes, by name or from a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import optax

from flan_t5x.data.rows import Batch
from flan_t5x.model.config import T5Config
from flan_t5x.parallel.mesh import make_mesh
from flan_t5x.train.optimizer import adafactor
from flan_t5x.train.step import StepConfig

# name: the model. "small" is T5 1.1 small; "tiny" has the same vocabulary on a small body.
SIZES: dict[str, T5Config] = {
    "small": T5Config(
        vocab_size=32128,
        emb_dim=512,
        num_heads=6,
        head_dim=64,
        mlp_dim=1024,
        num_encoder_layers=8,
        num_decoder_layers=8,
        dropout_rate=0.05,
    ),
    "tiny": T5Config(
        vocab_size=32128,
        emb_dim=128,
        num_heads=4,
        head_dim=32,
        mlp_dim=256,
        num_encoder_layers=2,
        num_decoder_layers=2,
        dropout_rate=0.05,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A model and the shapes it runs on.

    Attributes:
        name: for the report.
        config: the model, with what it leaves to the devices filled in.
        batch: rows.
        inputs: tokens of an encoder row.
        targets: tokens of a decoder row.
        optimizer: of the training step.
        step: loss and microbatches.
        mesh: sizes of the mesh axes.
        rules: sharding rules.
    """

    name: str
    config: T5Config
    batch: int
    inputs: int
    targets: int
    optimizer: optax.GradientTransformation = field(default_factory=lambda: adafactor(1e-3))
    step: StepConfig = field(default_factory=StepConfig)
    mesh: Mapping[str, int] = field(default_factory=lambda: {"data": -1})
    rules: Any = "data_parallel"

    @property
    def tokens(self) -> int:
        """Token slots of a batch, both sides."""
        return self.batch * (self.inputs + self.targets)

    def describe(self) -> str:
        """One line: sizes, shapes, dtype."""
        c = self.config
        return (
            f"{self.name}: {c.num_parameters():,} parameters, {c.num_encoder_layers}+"
            f"{c.num_decoder_layers} layers, batch {self.batch}, {self.inputs}/{self.targets} "
            f"tokens, {c.dtype}, dropout {c.dropout_rate}, attention {c.attention}"
        )


def named_workload(size: str, *, batch: int, inputs: int = 512, targets: int = 128) -> Workload:
    """A size of `SIZES`, in float32, on all devices."""
    config = SIZES[size]
    workload = Workload(name=size, config=config, batch=batch, inputs=inputs, targets=targets)
    return _on_devices(workload)


def recipe_workload(arguments: Mapping[str, Any], *, name: str) -> Workload:
    """The model, optimizer, shapes and mesh that a configured ``flan-t5x train`` would use.

    Args:
        arguments: of `flan_t5x.train.loop.train`.
        name: for the report.
    """
    lengths = arguments["data"].task_feature_lengths
    workload = Workload(
        name=name,
        config=arguments["model"],
        batch=arguments["batch_size"],
        inputs=lengths["inputs"],
        targets=lengths["targets"],
        optimizer=arguments["optimizer"],
        step=arguments.get("step") or StepConfig(),
        mesh=arguments.get("mesh") or {"data": -1},
        rules=arguments.get("rules") or "data_parallel",
    )
    return _on_devices(workload)


def _on_devices(workload: Workload) -> Workload:
    return replace(workload, config=workload.config.for_mesh(make_mesh(workload.mesh)))


def packed_batch(workload: Workload, *, seed: int = 0) -> Batch:
    """Full packed rows of random tokens, about four examples each: int32 [batch, length]."""
    generator = np.random.default_rng(seed)
    vocabulary = workload.config.vocab_size
    batch: Batch = {}
    sides = (
        ("encoder_input", "encoder", workload.inputs),
        ("decoder_target", "decoder", workload.targets),
    )
    for feature, side, length in sides:
        shape = (workload.batch, length)
        batch[f"{feature}_tokens"] = generator.integers(3, vocabulary, shape, dtype=np.int32)
        ends = np.sort(generator.integers(1, length, (workload.batch, 3)), axis=1)
        segments = 1 + (np.arange(length)[None, :, None] >= ends[:, None, :]).sum(-1)
        batch[f"{side}_segment_ids"] = segments.astype(np.int32)
    targets = batch["decoder_target_tokens"]
    batch["decoder_input_tokens"] = np.roll(targets, 1, axis=1)
    batch["decoder_loss_weights"] = np.ones_like(targets)
    return batch


def prompts(workload: Workload, *, seed: int = 0) -> np.ndarray:
    """Prompts of full length, int32 [batch, inputs]."""
    generator = np.random.default_rng(seed)
    shape = (workload.batch, workload.inputs)
    return generator.integers(3, workload.config.vocab_size, shape, dtype=np.int32)
