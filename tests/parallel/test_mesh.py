"""Mesh sizes from gin's words, and what is said where they do not fit."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from flan_t5x.errors import UserError
from flan_t5x.parallel.mesh import BATCH_AXES, MESH_AXES, batch_divisor, make_mesh, mesh_shape


@pytest.mark.parametrize(
    ("sizes", "devices", "shape"),
    [
        ({}, 1, (1, 1, 1, 1)),
        ({"data": -1}, 8, (1, 8, 1, 1)),
        ({"fsdp": -1, "tensor": 2}, 8, (1, 1, 4, 2)),
        ({"slice": 2, "data": 2, "fsdp": 2, "tensor": 1}, 8, (2, 2, 2, 1)),
        ({"tensor": -1, "data": 8}, 8, (1, 8, 1, 1)),
    ],
)
def test_shape(sizes: dict[str, int], devices: int, shape: tuple[int, ...]) -> None:
    assert mesh_shape(sizes, devices) == shape


@pytest.mark.parametrize(
    ("sizes", "devices", "words"),
    [
        ({"fdsp": 8}, 8, "mesh axis 'fdsp' is not one of slice, data, fsdp, tensor; did you mean"),
        ({"data": 0}, 8, "mesh axis 'data' = 0"),
        ({"data": -2}, 8, "mesh axis 'data' = -2"),
        ({"data": 2.0}, 8, "mesh axis 'data' = 2.0"),
        ({"data": True}, 8, "mesh axis 'data' = True"),
        ({"data": -1, "fsdp": -1}, 8, "only one axis may be -1"),
        ({"data": -1, "tensor": 3}, 8, r"8 devices cannot be divided by 3.*\[1, 2, 4, 8\]"),
        ({"data": 4}, 8, "needs 4 devices, but there are 8; set one axis to -1"),
        ({"data": 16}, 8, "needs 16 devices, but there are 8"),
    ],
)
def test_what_does_not_fit(sizes: dict[str, int], devices: int, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        mesh_shape(sizes, devices)
    assert "\n" not in str(caught.value)


def test_devices_in_order() -> None:
    """Row-major: neighbours on the last axis are neighbours in `jax.devices()`."""
    mesh = make_mesh({"fsdp": 4, "tensor": 2})
    assert mesh.axis_names == MESH_AXES
    assert mesh.devices.shape == (1, 1, 4, 2)
    numbers = np.vectorize(lambda device: device.id)(mesh.devices).ravel()
    assert numbers.tolist() == [device.id for device in jax.devices()]


def test_rows_are_divided_over_all_but_tensor() -> None:
    assert set(MESH_AXES) - set(BATCH_AXES) == {"tensor"}
    assert batch_divisor(make_mesh({"slice": 2, "fsdp": 2, "tensor": 2})) == 4
