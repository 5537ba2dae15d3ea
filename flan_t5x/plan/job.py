"""What is planned: a recipe's training step on TPU slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import optax
from jax.sharding import Mesh

from flan_t5x.errors import require_count
from flan_t5x.model.config import T5Config
from flan_t5x.parallel.mesh import make_mesh, mesh_shape
from flan_t5x.parallel.rules import Rules, resolve_rules
from flan_t5x.parallel.tpu import TpuSlice
from flan_t5x.train.job import Network, build_network
from flan_t5x.train.step import StepConfig, abstract_batch, check_batch, compile_step


@dataclass(frozen=True, kw_only=True)
class PlanJob:
    """A training step and the hardware it is planned for.

    Attributes:
        config: the model.
        optimizer: of the training step.
        step: loss and microbatches.
        batch: rows of the global batch.
        inputs: tokens of an encoder row.
        targets: tokens of a decoder row.
        train_steps: of the whole recipe.
        mesh: sizes of the mesh axes.
        rules: sharding rules.
        tpu: the kind of slice.
        slices: how many of them.
    """

    config: T5Config
    optimizer: optax.GradientTransformation
    step: StepConfig
    batch: int
    inputs: int
    targets: int
    train_steps: int
    mesh: Mapping[str, int]
    rules: str | Rules
    tpu: TpuSlice
    slices: int = 1

    @property
    def chips(self) -> int:
        """Chips of all slices."""
        return self.tpu.chips * self.slices

    @property
    def devices(self) -> int:
        """jax devices of all slices."""
        return self.tpu.devices * self.slices

    @property
    def tokens(self) -> int:
        """Slots of a batch, inputs and targets."""
        return self.batch * (self.inputs + self.targets)

    def shape(self) -> tuple[int, int, int, int]:
        """Sizes of all mesh axes.

        Raises:
            UserError: a mesh that does not match the devices.
        """
        return mesh_shape(self.mesh, self.devices)

    def place(self, devices: Sequence[jax.Device]) -> tuple[Network, jax.stages.Wrapped, Any]:
        """The model on the devices, its compiled step, and the step's abstract batch.

        Raises:
            UserError: a mesh, rule or batch that does not fit.
        """
        mesh = self._mesh(devices)
        check_batch(self.batch, mesh=mesh, num_microbatches=self.step.num_microbatches)
        network = build_network(
            self.config, self.optimizer, mesh=mesh, rules=resolve_rules(self.rules)
        )
        step = compile_step(
            network.model,
            network.optimizer,
            config=self.step,
            mesh=mesh,
            shardings=network.shardings,
            rules=network.rules,
        )
        lengths = {"inputs": self.inputs, "targets": self.targets}
        return network, step, abstract_batch(self.batch, lengths, mesh)

    def _mesh(self, devices: Sequence[jax.Device]) -> Mesh:
        return make_mesh(self.mesh, devices)


def recipe_job(
    arguments: Mapping[str, Any], *, tpu: TpuSlice, slices: int, any_mesh: bool = False
) -> PlanJob:
    """The job of a recipe's `train` arguments.

    Args:
        arguments: keyword arguments of `flan_t5x.train.loop.train`.
        tpu: the kind of slice.
        slices: how many.
        any_mesh: the recipe's mesh is about to be replaced and need not match.

    Raises:
        UserError: a number of slices that is not positive, a mesh that does not match.
    """
    require_count("--slices", slices)
    lengths = arguments["data"].task_feature_lengths
    default = {"slice": slices, "data": -1} if slices > 1 else {"data": -1}
    job = PlanJob(
        config=arguments["model"],
        optimizer=arguments["optimizer"],
        step=arguments.get("step") or StepConfig(),
        batch=arguments["batch_size"],
        inputs=lengths["inputs"],
        targets=lengths["targets"],
        train_steps=arguments["train_steps"],
        mesh=default if any_mesh else arguments.get("mesh") or default,
        rules=arguments.get("rules") or "data_parallel",
        tpu=tpu,
        slices=slices,
    )
    if not any_mesh:
        job.shape()
    return job
