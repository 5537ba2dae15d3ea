"""From the names of a parameter's dimensions to its sharding.

A rule pairs a logical axis with a mesh axis (or None: replicated). The first rule that names
the axis, and whose mesh axis is not yet used by the same array, wins - as in T5X.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from flan_t5x.errors import UserError, nearest
from flan_t5x.parallel.mesh import BATCH_AXES

Rules = Sequence[tuple[str, str | tuple[str, ...] | None]]

LOGICAL_AXES = (
    "batch", "length", "layers", "embed", "mlp", "heads", "joined_kv", "kv", "vocab",
    "relpos_buckets", "lora_rank",
)  # fmt: skip

_TENSOR: Rules = (("vocab", "tensor"), ("mlp", "tensor"), ("joined_kv", "tensor"))

RULES: dict[str, Rules] = {
    "data_parallel": (("batch", BATCH_AXES),),
    "fsdp": (("batch", BATCH_AXES), ("embed", "fsdp")),
    "fsdp_tensor": (("batch", BATCH_AXES), *_TENSOR, ("embed", "fsdp")),
}
"""Presets by name. Axes without a rule are replicated."""


def resolve_rules(rules: str | Rules) -> Rules:
    """A preset by name, or the rules themselves, checked."""
    if isinstance(rules, str):
        if rules not in RULES:
            hint = nearest(rules, RULES) or f"known: {', '.join(RULES)}"
            raise UserError(f"sharding rules {rules!r} are not known; {hint}")
        return RULES[rules]
    for axis, _ in rules:
        if axis not in LOGICAL_AXES:
            raise UserError(
                f"sharding rule for {axis!r}: no such logical axis; {nearest(axis, LOGICAL_AXES)}"
            )
    return rules


def partition_spec(
    logical: Sequence[str], shape: Sequence[int], *, rules: Rules, mesh: Mesh, name: str = ""
) -> PartitionSpec:
    """The partition of one array.

    Args:
        logical: names of its dimensions.
        shape: its sizes.
        rules: see `RULES`.
        mesh: gives the sizes of the mesh axes.
        name: the parameter's name, for the message.

    Raises:
        UserError: a dimension that its mesh axis does not divide; names parameter, dimension,
            mesh axis and the nearest sizes that work.
    """
    used: set[str] = set()
    spec: list[str | tuple[str, ...] | None] = []
    for axis, size in zip(logical, shape, strict=True):
        chosen: tuple[str, ...] = ()
        for rule_axis, target in rules:
            names = (target,) if isinstance(target, str) else tuple(target or ())
            if rule_axis == axis and names and not used & set(names):
                chosen = names
                break
        parts = 1
        for mesh_axis in chosen:
            parts *= mesh.shape[mesh_axis]
        if size % parts:
            works = [p for p in range(1, size + 1) if size % p == 0]
            near = sorted(works, key=lambda p: abs(p - parts))[:3]
            raise UserError(
                f"{name or 'array'}: dimension {axis!r} has size {size}, which mesh axis "
                f"{'*'.join(chosen)} of size {parts} does not divide; sizes that work: "
                f"{', '.join(map(str, sorted(near)))}"
            )
        used |= set(chosen)
        spec.append(None if parts == 1 else chosen[0] if len(chosen) == 1 else chosen)
    return PartitionSpec(*spec)


def param_shardings(
    abstract: Mapping[str, Any], logical_axes: Mapping[str, Any], *, rules: Rules, mesh: Mesh
) -> Any:
    """A tree of `NamedSharding` for a parameter tree and its logical axes."""

    def leaf(path: tuple[Any, ...], x: jax.ShapeDtypeStruct, logical: tuple[str, ...]) -> Any:
        name = "/".join(str(getattr(part, "key", part)) for part in path)
        spec = partition_spec(logical, x.shape, rules=rules, mesh=mesh, name=name)
        return NamedSharding(mesh, spec)

    return jax.tree_util.tree_map_with_path(leaf, abstract, logical_axes)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Rows divided over `BATCH_AXES`, everything else whole."""
    return NamedSharding(mesh, PartitionSpec(BATCH_AXES))


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())
