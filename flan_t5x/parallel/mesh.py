"""The device mesh: four named axes, sizes from gin, one of them inferred.

Axes, slowest network first: ``slice`` (data-centre network between TPU slices), ``data``
(replicas of the parameters), ``fsdp`` (batch and parameters sharded), ``tensor`` (heads, MLP
and vocabulary sharded).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh

from flan_t5x.errors import UserError, nearest

MESH_AXES = ("slice", "data", "fsdp", "tensor")
BATCH_AXES = ("slice", "data", "fsdp")
"""Mesh axes over which rows of a batch are divided."""


def mesh_shape(sizes: Mapping[str, int], num_devices: int) -> tuple[int, int, int, int]:
    """Sizes of `MESH_AXES`; axes not named are 1, one axis may be -1 (what remains).

    Raises:
        UserError: an unknown axis, a size that is not a whole number, or a product that is
            not the number of devices; names the axis and a size that works.
    """
    for name in sizes:
        if name not in MESH_AXES:
            hint = nearest(name, MESH_AXES)
            raise UserError(f"mesh axis {name!r} is not one of {', '.join(MESH_AXES)}; {hint}")
    shape = [sizes.get(name, 1) for name in MESH_AXES]
    for name, size in zip(MESH_AXES, shape, strict=True):
        if not isinstance(size, int) or isinstance(size, bool) or (size < 1 and size != -1):
            raise UserError(f"mesh axis {name!r} = {size!r}: a whole number >= 1, or -1 once")
    free = [i for i, size in enumerate(shape) if size == -1]
    if len(free) > 1:
        raise UserError(f"mesh {dict(sizes)}: only one axis may be -1")
    known = int(np.prod([size for size in shape if size != -1]))
    if free:
        if num_devices % known:
            raise UserError(
                f"mesh {dict(sizes)}: {num_devices} devices cannot be divided by {known}; "
                f"make the other axes' product one of {_divisors(num_devices)}"
            )
        shape[free[0]] = num_devices // known
    elif known != num_devices:
        raise UserError(
            f"mesh {dict(sizes)} needs {known} devices, but there are {num_devices}; "
            "set one axis to -1 to take what remains"
        )
    return shape[0], shape[1], shape[2], shape[3]


def make_mesh(sizes: Mapping[str, int], devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh over all devices, laid out after the physical topology where there is one.

    Args:
        sizes: e.g. ``{"fsdp": -1}``; see `mesh_shape`.
        devices: default `jax.devices()`, which spans all processes.
    """
    devices = list(jax.devices()) if devices is None else list(devices)
    shape = mesh_shape(sizes, len(devices))
    if devices[0].platform == "cpu":
        # Simulated devices have no topology; row-major keeps a process's rows together.
        grid = np.array(devices).reshape(shape)
    elif shape[0] > 1:
        within = (1, *shape[1:])
        grid = _placed(
            functools.partial(
                mesh_utils.create_hybrid_device_mesh, within, (shape[0], 1, 1, 1), devices
            )
        )
    else:
        grid = _placed(functools.partial(mesh_utils.create_device_mesh, shape, devices))
    return Mesh(grid, MESH_AXES, axis_types=(AxisType.Auto,) * len(MESH_AXES))


def _placed(make: Callable[..., np.ndarray]) -> np.ndarray:
    """Mesh axes along whole sides of the torus where that is possible, else along parts of them:
    32 parts of a 4x4x4 cube, or 8 of a 16x16 square."""
    try:
        return make()
    except NotImplementedError:
        return make(allow_split_physical_axes=True)


def batch_divisor(mesh: Mesh, axes: Sequence[str] = BATCH_AXES) -> int:
    """Number of parts into which a batch's rows are divided over `axes`."""
    return int(np.prod([mesh.shape[axis] for axis in axes], dtype=np.int64))


def _divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]
