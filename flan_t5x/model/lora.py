"""Low-rank adapters (Hu et al. 2021): where they sit, and how they leave a parameter tree again.

An adapter's matrices are plain parameters beside the kernel they change, ``lora_a`` [layers, in,
rank] and ``lora_b`` [layers, rank, out]. So sharding rules, optimizers and checkpoints treat them
like every other one. A tree is divided by those two names: what has them is trained, the rest is
the base.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax.nn import initializers

from flan_t5x.errors import UserError
from flan_t5x.model.config import LoraConfig
from flan_t5x.model.layers import Dense

Tree = dict[str, Any]

NAMES = ("lora_a", "lora_b")

# Variance 1 / (3 in), as peft draws A (a uniform distribution within 1 / sqrt(in)).
_init = initializers.variance_scaling(1 / 3, "fan_in", "uniform", batch_axis=(0,))


def add_adapters(model: nnx.Module, config: LoraConfig, *, rngs: nnx.Rngs) -> None:
    """Gives every targeted matrix of the stacked layers its A (drawn) and B (zero).

    Raises:
        UserError: a target that the model has no matrix for.
    """
    unused = set(config.targets)
    for path, module in nnx.iter_modules(model):
        name = "/".join(map(str, path))
        hit = {target for target in config.targets if f"/{name}".endswith(f"/{target}")}
        if not hit or "layers" not in path or not isinstance(module, Dense):
            continue
        unused -= hit
        (count, rows, columns), axes = module.kernel.shape, module.kernel.get_metadata()["logical"]
        a, b = (count, rows, config.rank), (count, config.rank, columns)
        draw = _init(rngs.params(), a, jnp.float32)
        module.lora_a = nnx.Param(draw, logical=(axes[0], "lora_rank"))
        module.lora_b = nnx.Param(jnp.zeros(b, jnp.float32), logical=("lora_rank", axes[1]))
        module.lora = config
    if unused:
        raise UserError(
            f"LoraConfig.targets: this model has no {', '.join(sorted(unused))} in its layers "
            "(an MLP with two activations has wi_0 and wi_1, one with a single one has wi)"
        )


def split(tree: Tree) -> tuple[Tree, Tree]:
    """(base, adapter) of a tree with adapters; ({}, tree) of one without: all is trained."""
    adapter = _keep(tree, adapters=True)
    return (_keep(tree, adapters=False), adapter) if adapter else ({}, tree)


def join(base: Tree, adapter: Tree) -> Tree:
    """The inverse of `split`; no array is copied."""
    joined = dict(base)
    for name, value in adapter.items():
        nested = isinstance(value, dict)
        joined[name] = join(base.get(name, {}), value) if nested else value
    return joined


def merge(tree: Tree, config: LoraConfig) -> Tree:
    """The parameters of a model without adapters that computes the same: W + scale A B.

    Works on stacked and on single matrices, of JAX or of NumPy.
    """
    if NAMES[0] in tree:
        delta = tree["lora_a"] @ tree["lora_b"]
        return {"kernel": tree["kernel"] + config.scale * delta}
    return {n: merge(v, config) if isinstance(v, dict) else v for n, v in tree.items()}


def _keep(tree: Tree, *, adapters: bool) -> Tree:
    kept: Tree = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            if below := _keep(value, adapters=adapters):
                kept[name] = below
        elif (name in NAMES) == adapters:
            kept[name] = value
    return kept
