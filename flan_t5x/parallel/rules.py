"""From the names of an array's dimensions to its sharding.

A rule pairs a logical axis with a mesh axis (or several, or None: replicated). Rules are read in
order: each gives its mesh axis to the first dimension of that name that has none yet, unless the
array uses that mesh axis already - as in T5X. So the same rules serve parameters, where
"embed" may be sharded, and activations, where "batch" comes first and "embed" stays whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from flan_t5x.errors import UserError, nearest
from flan_t5x.parallel.mesh import BATCH_AXES, MESH_AXES

Rules = Sequence[tuple[str, str | Sequence[str] | None]]

LOGICAL_AXES = (
    "batch", "length", "layers", "embed", "mlp", "heads", "joined_kv", "kv", "vocab",
    "relpos_buckets", "norm", "lora_rank",
)  # fmt: skip

_BATCH: Rules = (("batch", BATCH_AXES),)
_TENSOR: Rules = (
    ("vocab", "tensor"),
    ("mlp", "tensor"),
    ("heads", "tensor"),
    ("joined_kv", "tensor"),
)


def standard_logical_axis_rules(
    activation_partitioning_dims: int = 1,
    parameter_partitioning_dims: int = 1,
    additional_rules: Rules | None = None,
) -> Rules:
    """T5X's rules by its own arguments; its mesh axes "model" and "data" are "tensor" and "fsdp".

    Args:
        activation_partitioning_dims: 2 also divides the activations' "embed" over "tensor".
        parameter_partitioning_dims: 2 also divides the parameters' "embed" over "fsdp" (as
            ZeRO-3 does), where activations have their batch.
        additional_rules: read after these.

    Raises:
        UserError: a number of dimensions other than 1 or 2.
    """
    for name, dims in (
        ("activation_partitioning_dims", activation_partitioning_dims),
        ("parameter_partitioning_dims", parameter_partitioning_dims),
    ):
        if dims not in (1, 2):
            raise UserError(f"standard_logical_axis_rules: {name} = {dims!r}: use 1 or 2")
    rules = [*_BATCH, *_TENSOR]
    if activation_partitioning_dims == 2:
        rules.append(("embed", "tensor"))
    if parameter_partitioning_dims == 2:
        rules.append(("embed", "fsdp"))
    return (*rules, *(additional_rules or ()))


RULES: dict[str, Rules] = {
    "data_parallel": _BATCH,
    "fsdp": (*_BATCH, ("embed", "fsdp")),
    "fsdp_tensor": (*_BATCH, *_TENSOR, ("embed", "fsdp")),
    "fsdp_tensor_sequence": (*_BATCH, *_TENSOR, ("embed", "fsdp"), ("length", "tensor")),
    "long_inputs": (
        ("batch", ("slice", "data")), *_TENSOR, ("length", "fsdp"), ("embed", "fsdp"),
    ),
    "P1A1": standard_logical_axis_rules(1, 1),
    "P1A2": standard_logical_axis_rules(2, 1),
    "P2A1": standard_logical_axis_rules(1, 2),
    "P2A2": standard_logical_axis_rules(2, 2),
}  # fmt: skip
"""Presets by name. Axes without a rule are replicated.

"fsdp_tensor_sequence" divides what lies between two tensor-parallel products by length (Korthikanti
et al. 2022, arXiv 2205.05198). "long_inputs" is for evaluation: few rows with long prompts, whose
positions, not rows, are divided over "fsdp". The last four are T5X's: P for parameters, A for
activations, and in how many dimensions they are partitioned.
"""


def resolve_rules(rules: str | Rules) -> Rules:
    """A preset by name, or the rules themselves, checked.

    Raises:
        UserError: no such preset, logical axis or mesh axis; with near names.
    """
    if isinstance(rules, str):
        if rules not in RULES:
            hint = nearest(rules, RULES) or f"known: {', '.join(RULES)}"
            raise UserError(f"sharding rules {rules!r} are not known; {hint}")
        return RULES[rules]
    for rule in rules:
        if isinstance(rule, str) or len(rule) != 2:
            raise UserError(f"sharding rule {rule!r}: needs (logical axis, mesh axis)")
        axis, target = rule
        if axis not in LOGICAL_AXES:
            hint = nearest(axis, LOGICAL_AXES) or f"known: {', '.join(LOGICAL_AXES)}"
            raise UserError(f"sharding rule for {axis!r}: no such logical axis; {hint}")
        for name in _names(target):
            if name not in MESH_AXES:
                hint = nearest(name, MESH_AXES) or f"the axes are {', '.join(MESH_AXES)}"
                hint = "T5X's 'model' is 'tensor' here" if name == "model" else hint
                raise UserError(f"sharding rule for {axis!r}: no mesh axis {name!r}; {hint}")
    return rules


def partition_spec(
    logical: Sequence[str | None],
    shape: Sequence[int],
    *,
    rules: Rules,
    mesh: Mesh,
    name: str = "",
    without: Sequence[str] = (),
) -> PartitionSpec:
    """The partition of one array.

    Args:
        logical: names of its dimensions; None is never divided.
        shape: its sizes.
        rules: see `RULES`.
        mesh: gives the sizes of the mesh axes.
        name: the parameter's name, for the message.
        without: mesh axes that a mapped dimension around the array has (inside of a `vmap`).

    Raises:
        UserError: a dimension that its mesh axis does not divide; names parameter, dimension,
            mesh axis and the nearest sizes that work.
    """
    used: set[str] = set()
    spec: list[str | tuple[str, ...] | None] = [None] * len(shape)
    taken: set[int] = set()
    for axis, target in rules:
        chosen = _names(target)
        free = (i for i, named in enumerate(logical) if named == axis and i not in taken)
        dimension = next(free, None)
        if dimension is None or not chosen or used & set(chosen):
            continue
        used |= set(chosen)
        taken.add(dimension)
        chosen = tuple(mesh_axis for mesh_axis in chosen if mesh_axis not in without)
        parts = math.prod(mesh.shape[mesh_axis] for mesh_axis in chosen)
        if shape[dimension] % parts:
            raise UserError(_indivisible(name, axis, shape[dimension], chosen, parts))
        if parts > 1:
            spec[dimension] = chosen[0] if len(chosen) == 1 else chosen
    return PartitionSpec(*spec)


def _names(target: str | Sequence[str] | None) -> tuple[str, ...]:
    return (target,) if isinstance(target, str) else tuple(target or ())


def _indivisible(name: str, axis: str, size: int, mesh_axes: tuple[str, ...], parts: int) -> str:
    works = [p for p in range(1, size + 1) if size % p == 0]
    near = sorted(works, key=lambda p: abs(p - parts))[:3]
    return (
        f"{name or 'array'}: dimension {axis!r} has size {size}, which mesh axis "
        f"{'*'.join(mesh_axes)} of size {parts} does not divide; sizes that work: "
        f"{', '.join(map(str, sorted(near)))}"
    )


def param_shardings(
    abstract: Mapping[str, Any], logical_axes: Mapping[str, Any], *, rules: Rules, mesh: Mesh
) -> Any:
    """A tree of `NamedSharding` for a parameter tree and its logical axes."""

    def leaf(path: tuple[Any, ...], x: jax.ShapeDtypeStruct, logical: tuple[str, ...]) -> Any:
        name = "/".join(str(getattr(part, "key", part)) for part in path)
        spec = partition_spec(logical, x.shape, rules=rules, mesh=mesh, name=name)
        return NamedSharding(mesh, spec)

    return jax.tree_util.tree_map_with_path(leaf, abstract, logical_axes)


def batch_axes(rules: Rules) -> tuple[str, ...]:
    """Mesh axes over which rules divide the rows of a batch."""
    return next((_names(target) for axis, target in rules if axis == "batch"), ())


def batch_sharding(mesh: Mesh, axes: Sequence[str] = BATCH_AXES) -> NamedSharding:
    """Rows divided over `axes`, everything else whole."""
    return NamedSharding(mesh, PartitionSpec(tuple(axes)))


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())
